"""What the parts of a call share: where it stands, and the accounts that more than one part reads."""

from enum import Enum

from gateway.core.audio import AudioFormat
from gateway.core.commands import Command, ConfigureAudio, EndReason
from gateway.core.conversation import Conversation
from gateway.core.deadlines import Deadlines
from gateway.core.plan import CallPlan
from gateway.core.playout import Playout
from gateway.core.remoteplayout import RemotePlayout
from gateway.core.responses import ResponseSlot, SlotState
from gateway.core.toolcalls import ToolCalls
from gateway.core.transfer import Transfer
from gateway.core.turns import TurnClock

__all__ = ["TRANSITIONS", "CallState", "Phase"]


class Phase(Enum):
    """Where a call stands."""

    CONNECTING = "connecting"
    ACTIVE = "active"
    RECOVERING = "recovering"
    TRANSFERRING = "transferring"
    ENDING = "ending"
    ENDED = "ended"


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.CONNECTING: frozenset({Phase.ACTIVE, Phase.ENDING, Phase.ENDED}),
    Phase.ACTIVE: frozenset({Phase.RECOVERING, Phase.TRANSFERRING, Phase.ENDING, Phase.ENDED}),
    Phase.RECOVERING: frozenset({Phase.ACTIVE, Phase.TRANSFERRING, Phase.ENDING, Phase.ENDED}),
    Phase.TRANSFERRING: frozenset({Phase.ACTIVE, Phase.ENDING, Phase.ENDED}),
    Phase.ENDING: frozenset({Phase.ENDED}),
    Phase.ENDED: frozenset(),
}


class CallState:
    """Plain accounts. Each part of the call changes what is its own matter, only inside `Call.receive`."""

    def __init__(self, plan: CallPlan) -> None:
        self.plan = plan
        self.phase = Phase.CONNECTING
        self.end_reason: EndReason | None = None
        self.playout: Playout | RemotePlayout = RemotePlayout() if plan.media_elsewhere else Playout(plan.lead_ms)
        self.playout.audio = plan.audio
        self.slot = ResponseSlot()
        self.tool_calls = ToolCalls()
        self.conversation = Conversation()
        self.timers = Deadlines()
        self.turn = TurnClock()
        self.transfer = Transfer()
        self.stream_up = False
        self.model_up = False

    @property
    def active(self) -> bool:
        return self.phase is Phase.ACTIVE

    @property
    def talking(self) -> bool:
        """Whether the agent speaks or is about to: something is unheard, being generated or wished for."""
        return self.playout.unheard or self.slot.state is not SlotState.FREE or self.slot.wanted

    @property
    def audio(self) -> AudioFormat:
        """What the media stream speaks, and with it the model."""
        return self.playout.audio

    def tune(self, audio: AudioFormat) -> list[Command]:
        """A stream has begun: have the model speak what it speaks."""
        if audio is self.audio:
            return []
        self.playout.audio = audio
        return [ConfigureAudio(audio)]

    @property
    def retuned(self) -> list[Command]:
        """What a new session must be told, which begins with what the plan expects."""
        return [ConfigureAudio(self.audio)] if self.audio is not self.plan.audio else []

    def attend(self) -> None:
        """The caller or an operator has turned to the agent: it may call functions anew."""
        self.tool_calls.unattended = 0
        self.slot.allow_tools()

    def enter(self, phase: Phase) -> None:
        assert phase in TRANSITIONS[self.phase], f"{self.phase} to {phase}"
        self.phase = phase
