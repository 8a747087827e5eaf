"""`turn_detection`: how the end of the caller's turn is noticed, in the agents file and in mid-call changes.

Every value is an explicit default here and is sent: the API's own defaults have changed. `turn_taking()` is the one
way from what a person wrote to what the core and the codec understand.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, TypeAdapter

from gateway.agents.section import Section
from gateway.core.plan import TurnMode, TurnTaking

__all__ = ["Manual", "SemanticVad", "ServerVad", "TurnDetection", "TurnPreset", "turn_taking"]


class ServerVad(Section):
    """Turn-taking by loudness: the turn ends after a fixed silence."""

    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Loudness that counts as speech, 0 to 1; raise it on noisy lines."""
    prefix_padding_ms: int = Field(default=300, ge=0, le=5000)
    """Audio kept from before speech was noticed, in ms."""
    silence_duration_ms: int = Field(default=500, ge=100, le=10_000)
    """Silence that ends the caller's turn, in ms; shorter answers sooner and cuts in more often."""
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    """Silence after which the model speaks up by itself, in ms, again and again; null: never. See also `idle`."""

    def turn_taking(self) -> TurnTaking:
        return TurnTaking(
            TurnMode.SERVER_VAD,
            threshold=self.threshold,
            prefix_padding_ms=self.prefix_padding_ms,
            silence_ms=self.silence_duration_ms,
            idle_timeout_ms=self.idle_timeout_ms,
        )


class SemanticVad(Section):
    """Turn-taking by meaning: the turn ends when the sentence seems complete."""

    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    """How soon it answers: waits at most 8 s (low), 4 s (medium, auto) or 2 s (high)."""

    def turn_taking(self) -> TurnTaking:
        return TurnTaking(TurnMode.SEMANTIC_VAD, eagerness=self.eagerness)


class Manual(Section):
    """Turn-taking by us: a turn ends at a key, at a silence that our own ear hears, or when the API says so.

    With `key: null` and `own_ear: false` only the API (an operator's command) ends turns.
    """

    type: Literal["manual"]
    key: Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"] | None = "#"
    """Key with which the caller ends the turn, in quotes (a bare # begins a comment); null: none."""
    own_ear: bool = False
    """Whether a silence of `silence_duration_ms` after a voice ends the turn too, by our own ear."""
    silence_duration_ms: int = Field(default=500, ge=100, le=10_000)
    """With `own_ear`: silence that ends the caller's turn, in ms."""

    def turn_taking(self) -> TurnTaking:
        return TurnTaking(TurnMode.MANUAL, silence_ms=self.silence_duration_ms, key=self.key, own_ear=self.own_ear)


TurnPreset = Literal["default", "patient", "spelling", "manual"]
"""A word for a whole `turn_detection`."""

PRESETS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "default": {"type": "server_vad"},
        # For callers who think aloud: most pauses inside a sentence are under a second.
        "patient": {"type": "server_vad", "silence_duration_ms": 1000},
        # For letters and digits. They come in groups, and the number is looked for between them: pauses of up to
        # 1.5 s. S, F and T alone are mostly hiss, which scores low as speech and begins before it is noticed.
        "spelling": {
            "type": "server_vad",
            "threshold": 0.4,
            "prefix_padding_ms": 500,
            "silence_duration_ms": 1800,
        },
        "manual": {"type": "manual"},
    }
)


def _spelled_out(value: object) -> object:
    if isinstance(value, Mapping | Section):
        return value
    if isinstance(value, str) and value in PRESETS:
        return dict(PRESETS[value])
    raise ValueError(f"should be one of {', '.join(PRESETS)}, or a section with a type")


_Modes = Annotated[ServerVad | SemanticVad | Manual, Field(discriminator="type")]

TurnDetection = Annotated[_Modes, BeforeValidator(_spelled_out, json_schema_input_type=TurnPreset | _Modes)]
"""A section with a `type`, or a preset: default (500 ms of silence), patient (1000 ms), spelling (1800 ms), manual."""

_ADAPTER: TypeAdapter[ServerVad | SemanticVad | Manual] = TypeAdapter(TurnDetection)


def turn_taking(value: object) -> TurnTaking:
    """Return what a preset or a section, as parsed from YAML or JSON, means. Raises pydantic's `ValidationError`."""
    return _ADAPTER.validate_python(value).turn_taking()
