"""What the core is told about the agent and the limits of one call. Plain values: the core knows no settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.core.audio import AudioFormat

__all__ = [
    "BACKCHANNELS",
    "DEFAULT_TOOL",
    "CallPlan",
    "Confirmation",
    "EarlyReply",
    "Filler",
    "Idle",
    "OnInterrupt",
    "ReversibleBargeIn",
    "ToolRules",
    "TransferMode",
    "TransferTarget",
    "TurnMode",
    "TurnTaking",
]

BACKCHANNELS = frozenset(
    "ah aha alright cool fine good great hm hmm huh i mhm mm mmhm mmm mmhmm oh ok okay right see sure uh uhhuh um yeah "
    "yep yes yup".split()
)
"""Words with which English listeners say that they still listen; letters only, lower case."""


class TurnMode(StrEnum):
    """Who notices that the caller's turn is over."""

    SERVER_VAD = "server_vad"
    SEMANTIC_VAD = "semantic_vad"
    MANUAL = "manual"
    """We commit the caller's audio: at a key, when our own ear hears silence, or when an operator asks."""


@dataclass(slots=True, frozen=True)
class TurnTaking:
    """How the end of the caller's turn is noticed. Every value is sent: the API's own defaults have changed."""

    mode: TurnMode = TurnMode.SERVER_VAD
    threshold: float = 0.5
    """server_vad: loudness that counts as speech, 0 to 1."""
    prefix_padding_ms: int = 300
    """server_vad: audio kept from before speech was noticed."""
    silence_ms: int = 500
    """server_vad, and manual with `own_ear`: silence that ends a turn."""
    idle_timeout_ms: int | None = None
    """server_vad: silence after which the server speaks up by itself."""
    eagerness: str = "auto"
    """semantic_vad: low, medium, high or auto."""
    key: str | None = None
    """manual: the key that ends a turn."""
    own_ear: bool = False
    """manual: our own ear ends a turn."""

    @property
    def known_silence_ms(self) -> int:
        """The silence that has passed when a turn is found to be over; 0 where that has no fixed length."""
        return self.silence_ms if self.mode is TurnMode.SERVER_VAD else 0


@dataclass(slots=True, frozen=True)
class ReversibleBargeIn:
    """Speech pauses what plays; only what proves to be an interruption cuts it. Needs our own ear."""

    confirm_ms: int = 600
    """After a shorter voice the agent goes on at once; a longer one holds it until its words are known."""
    backchannels: frozenset[str] = BACKCHANNELS
    """Words that do not interrupt; letters only, lower case."""


@dataclass(slots=True, frozen=True)
class EarlyReply:
    """The model answers after a short silence; we hold the answer until the turn proves to be over. Needs our ear."""

    server_silence_ms: int = 100
    """Silence after which the model begins to answer."""
    confirm_ms: int = 800
    """Silence, by our own ear, after which the answer is let out."""
    unfinished_ms: int = 1700
    """The same after words that seem to go on; counts only where the caller is transcribed."""


@dataclass(slots=True, frozen=True)
class Idle:
    """What happens when the caller gives no sign any more."""

    after_s: float = 15.0
    prompts: tuple[str, ...] = ("Are you still there?",)
    """Said exactly, one after each silence; then the call is ended with a goodbye."""


class TransferMode(StrEnum):
    BLIND = "blind"
    WARM = "warm"


@dataclass(slots=True, frozen=True)
class TransferTarget:
    """A human, or a queue of them, to whom callers may be transferred."""

    number: str
    """E.164."""
    mode: TransferMode = TransferMode.BLIND
    description: str = ""
    brief: str = ""
    """Warm: what the human is told before they accept; the model's own summary follows it."""
    accept_key: str = "1"
    """Warm: the key with which the human takes the caller; "" takes whoever answers, machines too."""
    ring_s: float = 25.0


class OnInterrupt(StrEnum):
    """What becomes of a function call that runs when the caller interrupts."""

    FINISH = "finish"
    CANCEL = "cancel"
    """Nobody wants the answer any more: the model is told so. For functions that change nothing."""


class Confirmation(StrEnum):
    """What the caller must do between the model's first call of a function and the one that is carried out."""

    NONE = "none"
    SPOKEN = "spoken"
    """Say something that does not plainly refuse, after the agent has asked; whether it agrees the model judges."""
    KEY = "key"
    """Press 1, after the agent has asked."""


@dataclass(slots=True, frozen=True)
class Filler:
    """What the caller hears while a function runs and nobody speaks."""

    after_s: float = 1.2
    """Silence before it."""
    text: str | None = None
    """Said exactly; None: the model finds a few words itself."""
    sound: bool = False
    """A soft tone in place of words."""


@dataclass(slots=True, frozen=True)
class ToolRules:
    """How one function of the business is run."""

    deadline_s: float = 10.0
    """Longest wait; after it the model gets an error."""
    pending_s: float = 600.0
    """The same, once the business has said that it works on it."""
    filler: Filler | None = Filler()
    on_interrupt: OnInterrupt = OnInterrupt.FINISH
    confirmation: Confirmation = Confirmation.NONE
    claims: tuple[str, ...] = ()
    """Phrases by which the agent claims to have done what this function does; see `claims.py`."""


DEFAULT_TOOL = ToolRules()


@dataclass(slots=True, frozen=True)
class CallPlan:
    """Fixed when the call is offered; a changed agents file never changes a running call."""

    instructions: str = ""
    """The session's instructions; a response's own instructions replace them, so they are said again there."""
    greeting: str | None = None
    """Said exactly, as the first words; None lets the caller speak first."""
    greeting_interruptible: bool = True
    goodbye: str = "Say one short, friendly goodbye in the language of the call, and nothing else."
    """How to ask for the last words when the agent hangs up without having said any."""
    turns: TurnTaking = TurnTaking()
    reversible: ReversibleBargeIn | None = None
    """None: every start of speech interrupts."""
    early_reply: EarlyReply | None = None
    idle: Idle | None = None
    transcribes: bool = True
    """Whether the caller's words are transcribed; without them any speech is a sign of life."""
    transcription: Mapping[str, str] = field(default_factory=dict)
    """The API's `audio.input.transcription` section that the session begins with."""
    keys_to_model: bool = True
    """Whether keys that nobody collects are told to the model as text."""
    languages: frozenset[str] = frozenset()
    """ISO 639 codes of the languages that the model may switch the transcription to (`set_language`)."""
    transfer_targets: Mapping[str, TransferTarget] = field(default_factory=dict)
    """The only numbers callers may be transferred to, by name."""
    tools: Mapping[str, ToolRules] = field(default_factory=dict)
    """By name; one that is not listed has the defaults."""
    filler: str = (
        "The caller waits in silence while you look something up. Say in a few words, in the language of the call, "
        "that it takes a moment longer, and nothing else: you do not know the result yet."
    )
    """How to ask for the words of a `Filler` that has none of its own."""
    corrects_claims: bool = False
    """Whether the model is told to correct itself when it claims what no function did."""
    briefing_s: float = 0.0
    """How long the first word waits for `Briefed`, from the offer; 0: there is none."""
    built_in: frozenset[str] = frozenset({"hang_up"})
    """Names of the built-in functions that the model was offered; see `functions.py`."""
    max_duration_s: float = 1800.0
    max_cost_usd: float | None = None
    audio: AudioFormat = AudioFormat.PCMU
    """What the carrier is expected to speak; its stream has the last word."""
    media_elsewhere: bool = False
    """Whether the model's server has the caller, and no audio passes here; see `elsewhere.py`."""
    lead_ms: float = 400.0
    """How far audio may run ahead of the caller's ear."""
    start_s: float = 15.0
    """From the offer to the start of the media stream."""
    connect_s: float = 5.0
    """From the start of the stream to a ready model: silence for the caller."""
    recover_s: float = 3.0
    """From the loss of the model to a ready new session."""
    answer_s: float = 10.0
    """From the end of caller speech, or from our asking, to the model's first sign of an answer."""

    def exactly(self, text: str) -> str:
        """Return the instructions of a response that says `text` and nothing else."""
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'{self.instructions}\n\nSay exactly: "{quoted}"'

    @property
    def server_answers(self) -> bool:
        """Whether the server begins a response by itself at the end of a turn, and cancels it at speech."""
        return self.reversible is None

    def told(self, turns: TurnTaking) -> TurnTaking:
        """Return what the server is told of a way to take turns: of an early reply, its short silence."""
        if self.early_reply is None or turns.mode is not TurnMode.SERVER_VAD:
            return turns
        return replace(turns, silence_ms=self.early_reply.server_silence_ms)

    @property
    def needs_ear(self) -> bool:
        """Whether the call cannot do without our own ear."""
        unheard = self.idle is not None and self.turns.mode is TurnMode.MANUAL  # no server tells of speech
        return self.reversible is not None or self.early_reply is not None or self.turns.own_ear or unheard
