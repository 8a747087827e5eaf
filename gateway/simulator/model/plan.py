"""What one response is made with: its own settings over the session's."""

from dataclasses import dataclass

from gateway.simulator.model.config import FunctionTool, SessionConfig
from gateway.simulator.model.requests import ResponseParams
from gateway.simulator.model.shapes import Json

__all__ = ["Plan", "plan"]


@dataclass(slots=True, frozen=True)
class Plan:
    """The effective settings of one response."""

    instructions: str
    tools: tuple[Json, ...]
    tool_choice: str | Json
    voice: str
    audio_format: Json
    modality: str
    max_output_tokens: int | str
    metadata: dict[str, str] | None
    in_conversation: bool
    own_instructions: bool
    """Whether the response has other instructions than the session."""


def plan(config: SessionConfig, params: ResponseParams) -> Plan:
    """Return the effective settings of a response."""
    effective = config.model_dump(exclude_none=True) | params.model_dump(exclude_none=True, exclude={"audio", "input"})
    output = params.audio.output if params.audio else None
    voice = (output.voice if output else None) or config.audio.output.voice
    audio_format = (output.format if output else None) or config.audio.output.format
    tools = params.tools if params.tools is not None else config.tools
    return Plan(
        instructions=effective["instructions"],
        tools=tuple(tool.model_dump(exclude_none=True) for tool in tools if isinstance(tool, FunctionTool)),
        tool_choice=effective["tool_choice"],
        voice=voice if isinstance(voice, str) else voice.id,
        audio_format=audio_format.model_dump(),
        modality=effective["output_modalities"][0],
        max_output_tokens=effective["max_output_tokens"],
        metadata=params.metadata,
        in_conversation=params.conversation == "auto",
        own_instructions=effective["instructions"] != config.instructions,
    )
