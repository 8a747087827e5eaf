"""What the models cost, as of one day. Raise `AS_OF` with every change and say where the figures come from.

US dollars per 1 million tokens; transcription per minute of audio. Only what is listed is priced: a snapshot of a
listed model under another name is not, because its price is a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from types import MappingProxyType

__all__ = ["AS_OF", "PRICES", "SOURCE", "TRANSCRIPTION_PER_MINUTE", "Price"]

AS_OF = date(2026, 11, 22)
SOURCE = "OpenAI model pages; list prices of shut-down models from their launch posts"


@dataclass(slots=True, frozen=True)
class Price:
    """One model's prices, per 1 million tokens."""

    audio_in: Decimal
    audio_in_cached: Decimal
    audio_out: Decimal
    text_in: Decimal
    text_in_cached: Decimal
    text_out: Decimal
    image_in: Decimal | None = None
    image_in_cached: Decimal | None = None


def _price(*usd: str) -> Price:
    return Price(*(Decimal(one) for one in usd))


_LAUNCH = _price("100", "20", "200", "5", "2.5", "20")
_PREVIEW = _price("40", "2.5", "80", "5", "2.5", "20")
_REALTIME = _price("32", "0.40", "64", "4", "0.40", "16", "5", "0.50")
_REALTIME_2 = _price("32", "0.40", "64", "4", "0.40", "24", "5", "0.50")
_MINI = _price("10", "0.30", "20", "0.60", "0.06", "2.40", "0.80", "0.08")

PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "gpt-4o-realtime-preview-2024-10-01": _LAUNCH,
        "gpt-4o-realtime-preview-2024-12-17": _PREVIEW,
        "gpt-4o-realtime-preview-2025-06-03": _PREVIEW,
        "gpt-4o-mini-realtime-preview": _price("10", "0.30", "20", "0.60", "0.30", "2.40"),
        "gpt-realtime": _REALTIME,
        "gpt-realtime-2025-08-28": _REALTIME,
        "gpt-realtime-1.5": _REALTIME,
        "gpt-realtime-2": _REALTIME_2,
        "gpt-realtime-2.1": _REALTIME_2,
        "gpt-realtime-mini": _MINI,
        "gpt-realtime-2.1-mini": _MINI,
    }
)

TRANSCRIPTION_PER_MINUTE: Mapping[str, Decimal] = MappingProxyType(
    {
        "gpt-live-transcribe": Decimal("0.017"),
        "gpt-realtime-whisper": Decimal("0.017"),
        "gpt-transcribe": Decimal("0.0045"),
        "whisper-1": Decimal("0.006"),
    }
)
