"""The session object: defaults, deep merge of partial updates, and the checks that refuse a whole update.

Realtime API, client event `session.update`; protocol notes §4.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.simulator.model.refusals import Refused, refusal
from gateway.simulator.model.shapes import Json

__all__ = ["FunctionTool", "SemanticVad", "ServerVad", "SessionConfig", "Tool", "ToolChoice", "TurnDetection", "Voice"]
__all__ += ["AudioFormat", "Reasoning", "check_reasoning", "update"]

DEFAULT_INSTRUCTIONS = (
    "Your knowledge cutoff is 2023-10. You are a helpful, witty, and friendly AI. Act like a human, but remember that "
    "you aren't a human and that you can't do human things in the real world."
)

REPLACED = {
    "format",
    "tools",
    "tool_choice",
    "voice",
    "tracing",
    "truncation",
    "prompt",
    "include",
    "output_modalities",
}
"""Keys whose value is replaced whole, not merged."""
PLAIN_MODELS = re.compile(r"gpt-realtime(-mini)?(-\d{4}-\d\d-\d\d)?$|gpt-realtime-1\.|gpt-audio")
"""Models without reasoning; they refuse an update that names it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class PcmFormat(_Part):
    type: Literal["audio/pcm"]
    rate: Literal[24000] = 24000


class MulawFormat(_Part):
    type: Literal["audio/pcmu"]


class AlawFormat(_Part):
    type: Literal["audio/pcma"]


AudioFormat: TypeAlias = Annotated[PcmFormat | MulawFormat | AlawFormat, Field(discriminator="type")]


class NoiseReduction(_Part):
    type: Literal["near_field", "far_field"]
    strength: float = Field(default=1.0, ge=0, le=1)


class Transcription(_Part):
    model: str = Field(min_length=1, max_length=128)
    language: str | None = None
    languages: list[str] | None = None
    keywords: list[str] | None = None
    prompt: str | None = None
    delay: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class ServerVad(_Part):
    type: Literal["server_vad"]
    threshold: float = Field(default=0.5, ge=0, le=1)
    prefix_padding_ms: int = Field(default=300, ge=0, le=10_000)
    silence_duration_ms: int = Field(default=500, ge=0, le=10_000)
    idle_timeout_ms: int | None = Field(default=None, ge=5000, le=30_000)
    create_response: bool = True
    interrupt_response: bool = True


class SemanticVad(_Part):
    type: Literal["semantic_vad"]
    eagerness: Literal["low", "medium", "high", "auto"] = "auto"
    create_response: bool = True
    interrupt_response: bool = True


TurnDetection: TypeAlias = Annotated[ServerVad | SemanticVad, Field(discriminator="type")]


class AudioInput(_Part):
    format: AudioFormat = PcmFormat(type="audio/pcm")
    noise_reduction: NoiseReduction | None = None
    transcription: Transcription | None = None
    turn_detection: TurnDetection | None = ServerVad(type="server_vad")


class CustomVoice(_Part):
    id: str = Field(pattern=r"^voice_", max_length=128)


Voice: TypeAlias = (
    Literal["alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar"] | CustomVoice
)


class AudioOutput(_Part):
    format: AudioFormat = PcmFormat(type="audio/pcm")
    voice: Voice = "marin"
    speed: float = Field(default=1.0, ge=0.25, le=1.5)


class Audio(_Part):
    input: AudioInput = AudioInput()
    output: AudioOutput = AudioOutput()


class FunctionTool(_Part):
    type: Literal["function"]
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None


class McpTool(_Part):
    model_config = ConfigDict(extra="allow", strict=True)

    type: Literal["mcp"]
    server_label: str


Tool: TypeAlias = Annotated[FunctionTool | McpTool, Field(discriminator="type")]


class ChosenFunction(_Part):
    type: Literal["function"]
    name: str


class ChosenMcp(_Part):
    type: Literal["mcp"]
    server_label: str
    name: str | None = None


ToolChoice: TypeAlias = (
    Literal["auto", "none", "required"] | Annotated[ChosenFunction | ChosenMcp, Field(discriminator="type")]
)


class Reasoning(_Part):
    effort: Literal["minimal", "low", "medium", "high", "xhigh"] | None = None


class TokenLimits(_Part):
    post_instructions: int | None = Field(default=None, ge=0)


class RetentionRatio(_Part):
    type: Literal["retention_ratio"]
    retention_ratio: float = Field(ge=0, le=1)
    token_limits: TokenLimits | None = None


class Tracing(_Part):
    workflow_name: str | None = None
    group_id: str | None = None
    metadata: dict[str, Any] | None = None


class Prompt(_Part):
    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class SessionConfig(_Part):
    """The effective configuration of one session; replaced whole by every accepted update."""

    type: Literal["realtime"] = "realtime"
    model: str
    instructions: str = DEFAULT_INSTRUCTIONS
    output_modalities: list[Literal["audio", "text"]] = Field(default=["audio"], min_length=1, max_length=1)
    audio: Audio = Audio()
    tools: list[Tool] = []
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=32_768)] | Literal["inf"] = "inf"
    truncation: Literal["auto", "disabled"] | RetentionRatio = "auto"
    tracing: Literal["auto"] | Tracing | None = None
    prompt: Prompt | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None


def update(current: SessionConfig, patch: object, *, audio_present: bool) -> SessionConfig:
    """Return the configuration after a partial update. Raises `Refused`; then nothing of it may be applied.

    The model is fixed at connection; a `model` in the patch is accepted and without effect.
    """
    if not isinstance(patch, dict):
        raise Refused("missing_required_parameter", "Missing required parameter: 'session'.", "session")
    if "type" not in patch:
        raise Refused("missing_required_parameter", "Missing required parameter: 'session.type'.", "session.type")
    merged = _merge(current.model_dump(), patch)
    merged["model"] = current.model
    try:
        new = SessionConfig.model_validate(merged)
    except ValidationError as error:
        raise refusal(error, merged, "session") from None
    if audio_present and new.audio.output.voice != current.audio.output.voice:
        message = "Cannot update a conversation's voice if assistant audio is present."
        raise Refused("cannot_update_voice", message, "session.audio.output.voice")
    if current.tracing is not None and new.tracing != current.tracing:
        raise Refused("invalid_value", "Tracing cannot be changed once it is enabled.", "session.tracing")
    if new.reasoning is not None or new.parallel_tool_calls is not None:
        check_reasoning(current.model, "session.reasoning")
    return new


def check_reasoning(model: str, param: str) -> None:
    """Raise `Refused` when the model takes no reasoning settings."""
    if PLAIN_MODELS.match(model):
        raise Refused("invalid_value", f"Reasoning settings are not supported with the model '{model}'.", param)


def _merge(base: Json, patch: Json) -> Json:
    merged = dict(base)
    for key, value in patch.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and key not in REPLACED:
            other_type = value.get("type", old.get("type")) != old.get("type")
            merged[key] = value if other_type else _merge(old, value)
        else:
            merged[key] = value
    return merged
