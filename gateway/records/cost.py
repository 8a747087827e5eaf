"""What a call cost: token usage of its responses and its transcription, from the dated price table.

Nothing is guessed: a model without a listed price, or usage that cannot be priced, gives no total and a reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Self

from gateway.errors import RemoteProtocolError
from gateway.records.prices import AS_OF, PRICES, TRANSCRIPTION_PER_MINUTE, Price
from gateway.store import JsonValue

__all__ = ["Cost", "Parts", "Transcription", "Usage", "cost"]

MOST_TOKENS = 100_000_000
"""Of one response; more is not a count but an attack on the bill."""
MOST_SECONDS = 86_400
MILLION = Decimal(1_000_000)


@dataclass(slots=True, frozen=True)
class Usage:
    """Tokens of one response (Realtime API, `response.done`, `response.usage`); cached ones are among the input."""

    audio_in: int = 0
    audio_in_cached: int = 0
    text_in: int = 0
    text_in_cached: int = 0
    image_in: int = 0
    image_in_cached: int = 0
    audio_out: int = 0
    text_out: int = 0
    undivided: int = 0
    """Tokens of a side whose total came without details, so that nothing says which price they have."""

    @classmethod
    def from_api(cls, usage: object) -> Self:
        """Read the API's JSON; a missing or null field counts as 0. Raises `RemoteProtocolError` for what is no usage.

        Without `cached_tokens_details` nothing counts as cached: the cost is then an upper bound.
        """
        top = _object(usage, "usage")
        given, made = _details(top, "input_token_details"), _details(top, "output_token_details")
        cached = _details(given or {}, "cached_tokens_details") or {}
        read = cls(
            audio_in=_count(given, "audio_tokens"),
            audio_in_cached=_count(cached, "audio_tokens"),
            text_in=_count(given, "text_tokens"),
            text_in_cached=_count(cached, "text_tokens"),
            image_in=_count(given, "image_tokens"),
            image_in_cached=_count(cached, "image_tokens"),
            audio_out=_count(made, "audio_tokens"),
            text_out=_count(made, "text_tokens"),
            undivided=(0 if given else _count(top, "input_tokens")) + (0 if made else _count(top, "output_tokens")),
        )
        pairs = ((read.audio_in, read.audio_in_cached), (read.text_in, read.text_in_cached))
        if any(part > whole for whole, part in (*pairs, (read.image_in, read.image_in_cached))):
            raise RemoteProtocolError("usage: expected cached tokens to be among the input tokens, got more of them")
        return read

    def __add__(self, other: "Usage") -> "Usage":
        mine, theirs = asdict(self), asdict(other)
        return Usage(**{name: mine[name] + theirs[name] for name in mine})

    def to_json(self) -> Mapping[str, JsonValue]:
        return asdict(self)


@dataclass(slots=True, frozen=True)
class Transcription:
    """Transcribed audio of one caller turn, or of the call; `model` is the transcription model."""

    model: str
    seconds: Decimal

    @classmethod
    def from_api(cls, model: str, usage: object) -> "Transcription | None":
        """Read `usage` of `…input_audio_transcription.completed`; None when it counts tokens, which have no price here.

        Whoever gets None may give the seconds of the turn's audio instead.
        """
        top = _object(usage, "transcription usage")
        seconds = top.get("seconds")
        if seconds is None:
            return None
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:
            raise RemoteProtocolError(f"transcription usage: expected seconds, got {seconds!r:.40}")
        return cls(model, Decimal(str(seconds)))


@dataclass(slots=True, frozen=True)
class Parts:
    """What a cost is made of, in US dollars."""

    audio_in: Decimal = Decimal(0)
    audio_in_cached: Decimal = Decimal(0)
    audio_out: Decimal = Decimal(0)
    text_in: Decimal = Decimal(0)
    text_in_cached: Decimal = Decimal(0)
    text_out: Decimal = Decimal(0)
    image_in: Decimal = Decimal(0)
    transcription: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return sum(asdict(self).values(), Decimal(0))


@dataclass(slots=True, frozen=True)
class Cost:
    """A priced call, or why it has no price."""

    total_usd: Decimal | None
    parts: Parts
    """What could be priced, also where the total is None."""
    usage: Usage
    priced_as: str
    as_of: str
    reason: str = ""
    """Why there is no total; empty when there is one."""

    def to_json(self) -> Mapping[str, JsonValue]:
        """Return dollars as decimal text."""
        return {
            "total_usd": None if self.total_usd is None else f"{self.total_usd:f}",
            "parts": {name: f"{usd:f}" for name, usd in asdict(self.parts).items()},
            "usage": self.usage.to_json(),
            "priced_as": self.priced_as,
            "as_of": self.as_of,
            "reason": self.reason,
        }


def cost(
    model: str,
    usages: Iterable[Usage],
    *,
    transcription: Sequence[Transcription] = (),
    price_as: str | None = None,
) -> Cost:
    """Price a call. `price_as` names the listed model behind a deployment's own name (Azure)."""
    name = price_as or model
    total = sum(usages, Usage())
    price = PRICES.get(name)
    reasons = []
    parts = Parts() if price is None else _parts(price, total)
    if price is None:
        reasons.append(f"no price is known for model {name!r:.80}")
    if total.undivided:
        reasons.append(f"{total.undivided} tokens came without saying whether they are audio or text")
    if total.image_in and (price is None or price.image_in is None):
        reasons.append(f"no image price is known for model {name!r:.80}")
    heard = Decimal(0)
    for one in transcription:
        per_minute = TRANSCRIPTION_PER_MINUTE.get(one.model)
        if per_minute is None:
            reasons.append(f"no price is known for transcription model {one.model!r:.80}")
            break
        heard += per_minute * one.seconds / 60
    parts = Parts(**(asdict(parts) | {"transcription": heard}))
    return Cost(None if reasons else parts.total, parts, total, name, AS_OF.isoformat(), "; ".join(reasons))


def _parts(price: Price, usage: Usage) -> Parts:
    fresh_images = (usage.image_in - usage.image_in_cached) * (price.image_in or 0)
    return Parts(
        audio_in=(usage.audio_in - usage.audio_in_cached) * price.audio_in / MILLION,
        audio_in_cached=usage.audio_in_cached * price.audio_in_cached / MILLION,
        audio_out=usage.audio_out * price.audio_out / MILLION,
        text_in=(usage.text_in - usage.text_in_cached) * price.text_in / MILLION,
        text_in_cached=usage.text_in_cached * price.text_in_cached / MILLION,
        text_out=usage.text_out * price.text_out / MILLION,
        image_in=(fresh_images + usage.image_in_cached * (price.image_in_cached or 0)) / MILLION,
    )


def _object(value: object, what: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RemoteProtocolError(f"{what}: expected an object, got {type(value).__name__}")
    return value


def _details(top: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    return _object(top[name], name) if top.get(name) is not None else None


def _count(counts: Mapping[str, object] | None, name: str) -> int:
    value = (counts or {}).get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_TOKENS:
        raise RemoteProtocolError(f"usage: expected {name} to be a count, got {value!r:.40}")
    return value
