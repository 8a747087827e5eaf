"""One agent: what it says, hears, may do and may cost, and the Realtime session that this asks for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, field_validator
from pydantic_core.core_schema import ValidationInfo

from gateway.agents.around import CallbacksField, Events, Lookup
from gateway.agents.behaviour import BargeIn, BargeInField, EarlyReply, EarlyReplyField, IdleField, Transfer
from gateway.agents.functions import (
    COLLECT_DIGITS_TOOL,
    HANG_UP_TOOL,
    OPT_OUT_TOOL,
    SCHEDULE_CALLBACK_TOOL,
    SEND_DIGITS_TOOL,
    set_language_tool,
    transfer_call_tool,
)
from gateway.agents.imports import Mcp, OpenApi
from gateway.agents.numbers import E164
from gateway.agents.section import Section
from gateway.agents.tool import Tool
from gateway.agents.turns import ServerVad, TurnDetection

__all__ = ["DEFAULT_MODEL", "Agent", "Fallback", "Limits", "Transcription"]

DEFAULT_MODEL = "gpt-realtime-2.1"

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


class Transcription(Section):
    """Transcription of the caller, for records; the model itself hears the audio. Billed apart."""

    model: str = Field(default="gpt-transcribe", min_length=1, max_length=100)
    """Transcription model; on Azure the deployment name."""
    prompt: str | None = Field(default=None, max_length=4000)
    """Words to expect, such as product names."""


class Limits(Section):
    """What ends a call that would go on for ever."""

    max_duration_s: int = Field(default=1800, ge=10, le=14_400)
    """Seconds from answer to end. The carrier's own limit is 4 hours."""
    max_cost_usd: float | None = Field(default=2.0, gt=0, le=1000)
    """Model cost in US dollars, by the price table; null: no limit."""


class Fallback(Section):
    """What the caller hears when the model fails: never silence."""

    say: str = Field(
        default="Sorry, we have a technical problem. Please call again later.", min_length=1, max_length=1000
    )
    """Said by the carrier's own voice."""
    dial: E164 | None = None
    """Number to connect the caller to afterwards, E.164; null: hang up."""


class Agent(Section):
    """One voice agent."""

    numbers: tuple[E164, ...] = Field(default=(), max_length=1000)
    """Dialled numbers that reach this agent, E.164, in quotes."""
    default: bool = False
    """Whether it answers numbers that no agent lists; one agent at most."""
    instructions: str = Field(min_length=1, max_length=100_000)
    """The system prompt."""
    voice: str = Field(default="marin", min_length=1, max_length=100)
    """The model's voice; marin and cedar are the recommended ones."""
    model: str = Field(default=DEFAULT_MODEL, min_length=1, max_length=100)
    """Realtime model; on Azure the deployment name."""
    greeting: str | None = Field(default=None, min_length=1, max_length=2000)
    """First sentence, said exactly so; null: the caller speaks first. "{{name}}" is a variable that `lookup` told."""
    greeting_interruptible: bool = True
    """Whether the caller may cut the greeting; false for what must be heard. Speech meanwhile is answered after it."""
    language: Language | None = None
    """ISO 639 code the transcription expects; null: detected."""
    transcription: Transcription | None = Field(default_factory=Transcription)
    """Transcription of the caller; null: records hold the agent's side only."""
    turn_detection: TurnDetection = Field(default_factory=lambda: ServerVad(type="server_vad"))
    """How the end of the caller's turn is noticed: default (500 ms of silence; so it is where nothing is said), patient
    (1000 ms), spelling (1800 ms, for letters and digits), manual (key #), or a section with a type."""
    barge_in: BargeInField = Field(default_factory=lambda: BargeIn(reversible=False))
    """What the caller's speech does to the agent's: immediate (so it is where nothing is said) cuts it, reversible
    pauses it until it proves to be an interruption."""
    early_reply: EarlyReplyField = None
    """Whether the answer begins before the turn has proved to be over; with server_vad only. null or false: no."""
    idle: IdleField = None
    """What a silent caller hears. null or false: nothing, and only `limits` end the call; prompts are said word for
    word, and no default has them in your agent's language. true: one English prompt after 15 s, then goodbye."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    """Filter in front of the model: near_field for handsets, far_field for speakerphones, null for none."""
    tools: tuple[Tool, ...] = Field(default=(), max_length=128)
    """Functions the model may call, beside the built-in ones."""
    openapi: tuple[OpenApi, ...] = Field(default=(), max_length=20)
    """Functions made of operations of OpenAPI documents."""
    mcp: tuple[Mcp, ...] = Field(default=(), max_length=20)
    """Functions of MCP servers."""
    lookup: Lookup | None = None
    """What is asked about a caller while it rings; null: nothing."""
    events: Events | None = None
    """What the business is told of calls; null: nothing."""
    correct_claims: bool = False
    """Whether the model is told to correct itself when it claims what no function did (`claims` of the tools)."""
    transfer: Transfer | None = None
    """To whom callers may be transferred; null: nobody. With it the model has `transfer_call`."""
    hang_up: bool = True
    """Whether the model may end the call (`hang_up`)."""
    collect_digits: bool = False
    """Whether the model may let the caller key in a number (`collect_digits`), secretly where that is asked."""
    send_digits: bool = False
    """Whether the model may press keys on the call (`send_digits`), for menus at the other end."""
    set_language: tuple[Language, ...] | None = Field(default=None, min_length=1, max_length=20)
    """Languages the call may go on in, ISO 639 codes; with them the model has `set_language`. null: none."""
    schedule_callback: CallbacksField = None
    """Whether the model may promise the caller a call (`schedule_callback`); null or false: no."""
    opt_out: bool = False
    """Whether the model may note that the caller wants no more calls (`opt_out`); they are then never dialled."""
    keys_to_model: bool = True
    """Whether keys that nobody collects are told to the model as text."""
    limits: Limits = Field(default_factory=Limits)
    """When a call is ended."""
    fallback: Fallback = Field(default_factory=Fallback)
    """What happens when the model fails."""
    recording: bool = False
    """Whether a two-channel WAV is kept. The law may ask for the caller's consent."""
    price_as: str | None = Field(default=None, max_length=100)
    """Model of the price table to account by, for deployments it does not know; null: `model`."""

    _name: str = PrivateAttr(default="")

    @field_validator("early_reply")
    @classmethod
    def _server_vad_only(cls, value: EarlyReply | None, info: ValidationInfo) -> EarlyReply | None:
        turns = info.data.get("turn_detection")  # missing when it is wrong itself
        if value is None or turns is None:
            return value
        if not isinstance(turns, ServerVad):
            raise ValueError(f"needs turn_detection of type server_vad, and it is {turns.type}")
        confirm_ms = value.confirm(turns.silence_duration_ms)
        if confirm_ms < value.server_silence_ms:
            raise ValueError(
                f"confirm_ms ({confirm_ms}) should not be shorter than server_silence_ms ({value.server_silence_ms})"
            )
        return value

    @property
    def name(self) -> str:
        """The agent's key in the file."""
        return self._name

    @property
    def transcription_config(self) -> dict[str, str] | None:
        """The API's `audio.input.transcription` section; None: the caller is not transcribed."""
        if self.transcription is None:
            return None
        language = {"language": self.language} if self.language else {}
        return self.transcription.model_dump(exclude_none=True) | language

    def session_config(
        self,
        turn_detection: Mapping[str, Any] | None,
        functions: Sequence[Mapping[str, object]],
        audio_format: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Return the Realtime `session` object: one audio format both ways, every value explicit.

        `turn_detection` as the codec makes it from the call's plan, which is also how it is changed in mid-call; None
        turns it off. `functions` are all that the model may call. Realtime API, client event `session.update`; `model`
        is not in it, the connection's URL decides.
        """
        noise = {"type": self.noise_reduction} if self.noise_reduction else None
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": self.instructions,
            "audio": {
                "input": {
                    "format": dict(audio_format),
                    "noise_reduction": noise,
                    "transcription": self.transcription_config,
                    "turn_detection": turn_detection,
                },
                "output": {"format": dict(audio_format), "voice": self.voice},
            },
            "tools": [dict(function) for function in functions],
            "tool_choice": "auto",
        }

    def built_in(self) -> Iterator[Mapping[str, Any]]:
        """Yield the functions that the gateway runs for this agent, in the API's form.

        Those of `functions.LOCAL` are carried out beside the call, the others by its core.
        """
        if self.transfer is not None:
            yield transfer_call_tool({name: target.description for name, target in self.transfer.targets.items()})
        if self.collect_digits:
            yield COLLECT_DIGITS_TOOL
        if self.send_digits:
            yield SEND_DIGITS_TOOL
        if self.set_language is not None:
            yield set_language_tool(self.set_language)
        if self.schedule_callback is not None:
            yield SCHEDULE_CALLBACK_TOOL
        if self.opt_out:
            yield OPT_OUT_TOOL
        if self.hang_up:
            yield HANG_UP_TOOL
