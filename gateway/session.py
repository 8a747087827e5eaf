"""The owner of one live call: it alone feeds the core and hands every command to its adapter.

`feed` is synchronous and may be called from any callback of the loop; an event that arises while another is being
carried out waits its turn. Everything started for the call runs in one task group and ends with it. The end is
written exactly once, whatever happened, cancellation at any instant included.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.carriers.base import CallOffer, Leg
from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core.audio import AudioFormat, silence_like
from gateway.core.commands import Command, ControlCommand, EndReason
from gateway.core.events import (
    Briefed,
    CallerAudio,
    CallOffered,
    Dtmf,
    Event,
    OperatorAsked,
    SecretKept,
    StreamStarted,
    Tick,
    ToolResult,
    TransferProgress,
    TransferState,
)
from gateway.errors import CarrierError, GatewayError

__all__ = ["Book", "CallSession", "Hearing", "Model", "Ports"]

logger = logging.getLogger(__name__)

CLOSE_S = 2.0
"""How long the leg and the model may take to close after the end of the call."""
CONTROL_S = 12.0
"""How long the carrier may take, after the end of the call, to let go of a human who is being called for it."""
TOOL = "tool"
"""Begins the names of function calls: their ids come from the model, and may be anything."""
CONTROL = "control"
"""Begins the names of tasks at the carrier's control."""
HIDDEN_KEY = "•"
"""Stands for a key that nobody may see."""


class Model(Protocol):
    """A model session of one call."""

    def send(
        self,
        command: cmd.AppendAudio
        | cmd.CreateItem
        | cmd.DeleteItem
        | cmd.TruncateItem
        | cmd.SubmitToolOutput
        | cmd.CreateResponse
        | cmd.CancelResponse
        | cmd.ClearOutput
        | cmd.CommitInput
        | cmd.ConfigureTurns
        | cmd.ConfigureAudio
        | cmd.ConfigureLanguage,
    ) -> None:
        """Queue one command; never blocks."""

    def detach(self) -> None:
        """Close soon and tell nothing any more."""

    async def run(self) -> None:
        """Live until the session is gone or detached; raises nothing."""


class Book(Protocol):
    """What is written about one call. Synchronous; never blocks and never raises."""

    def event(self, event: Event, now: float) -> None:
        """Note an event before the core takes it."""

    def command(self, command: Command, now: float) -> None:
        """Note a command before it is carried out."""

    def spent(self) -> Event | None:
        """Return what the call has cost if that changed since it was last asked."""

    def end(self, reason: str, now: float) -> None:
        """Write the one end record."""


class Hearing(Protocol):
    """Our own ear for one call: it hears a copy of what passes by."""

    def tune(self, audio: AudioFormat) -> None:
        """Both ways are in this format from now on; mu-law before it is told."""

    def caller(self, payload: str, now: float) -> list[Event]:
        """Hear a frame of the caller, base64, whose last sample came now."""

    def played(self, payload: str, now: float) -> None:
        """A piece of ours leaves for the caller, to play behind what was sent before."""

    def cleared(self, now: float) -> None:
        """What has not played is dropped."""


@dataclass(frozen=True, slots=True)
class Ports:
    """What the owner reaches the world by; the leg comes later, with the media stream."""

    open_model: Callable[[Callable[[Event], None]], Model]
    """Makes a model session that feeds the given callback once its `run` is started."""
    invoke: Callable[[cmd.InvokeTool], Awaitable[ToolResult]]
    """Carries out a function of the business; raises nothing but cancellation. What changes something goes on when
    nobody waits for it any more."""
    book: Book
    control: Callable[[ControlCommand], Awaitable[None]] | None = None
    """Has the carrier transfer the call; raises `CarrierError`."""
    keep_secret: Callable[[str, str], Awaitable[str]] | None = None
    """Puts digits into the vault, for an operator's command if one is named, and returns their token; raises
    `GatewayError`."""
    ear: Hearing | None = None
    brief: Callable[[], Awaitable[Briefed]] | None = None
    """Finds out what is known before the first word; bounded in time, raises nothing but cancellation."""


class CallSession:
    """One call from its offer to its end record. Create it, then await `run` in a task of its own."""

    def __init__(self, call_id: str, offer: CallOffer, plan: CallPlan, ports: Ports) -> None:
        self.call_id = call_id
        self.offer = offer
        self.call = Call(plan)
        self._ports = ports
        self._leg: Leg | None = None
        self._model: Model | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._waiting: deque[Event] = deque()
        self._stepping = False
        self._timer: asyncio.TimerHandle | None = None
        self._over = asyncio.Event()
        self._written = False

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        """Give the call its media stream, or another one after a transfer that failed."""
        self._leg = leg
        if self._ports.ear is not None:
            self._ports.ear.tune(audio)
        self.feed(StreamStarted(stream_id, audio))

    def feed(self, event: Event) -> None:
        """Step the core with one event and carry out what it wants."""
        if self._over.is_set():
            return
        self._waiting.append(event)
        if self._stepping or self._group is None:  # its task has not begun: the offer comes first
            return
        self._stepping = True
        rearm = False
        try:
            while self._waiting:
                taken = self._waiting.popleft()
                rearm = rearm or type(taken) is not CallerAudio
                self._step(taken)
        except Exception:
            logger.exception("call %s failed inside", self.call_id)
            self.call.fail()
            self._over.set()
        finally:
            self._stepping = False
        if rearm:
            self._rearm()

    def operate(self, asked: OperatorAsked) -> str:
        """Do at once what an operator asks; return "done", "repeated" (it was done before) or "refused: why"."""
        known = self.call.outcome(asked.command_id)
        if known:
            return "repeated" if known == "done" else known
        self.feed(asked)
        return self.call.outcome(asked.command_id) or "refused: the call has ended"

    async def run(self) -> None:
        """Live until the call is over and its adapters are closed. Writes the end record on every way out."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                early = [*self._waiting]
                self._waiting.clear()
                self.feed(CallOffered())
                for event in early:
                    self.feed(event)
                if self._ports.brief is not None:
                    self._start(self._brief(self._ports.brief), "brief")
                try:
                    await self._over.wait()
                finally:
                    # Cancelled: events still come, but a group that is shutting down takes no more tasks.
                    self._over.set()
                self._write_end()
                await self._close()
        except BaseExceptionGroup as failed:
            logger.error("call %s lost a task", self.call_id, exc_info=failed.exceptions[0])
            self.call.fail()
        finally:
            self._over.set()
            self._write_end()
            if self._leg is not None:
                # Cancelled, `_close` had no time to: the leg closes its socket, and the carrier goes on.
                self._leg.send(cmd.HangUp(self.call.end_reason or EndReason.STOPPED))
            if self._timer is not None:
                self._timer.cancel()

    def abandon(self) -> None:
        """Write the end record of a call whose task never got to run. Harmless otherwise."""
        self._over.set()
        self._write_end()

    def _step(self, event: Event) -> None:
        if self._over.is_set():
            return
        now = asyncio.get_running_loop().time()
        book = self._ports.book
        hidden = self.call.keys_hidden if type(event) is Dtmf else self.call.hidden
        book.event(_shown(event, self.call.state.audio) if hidden else event, now)
        for command in self.call.receive(event, now):
            book.command(command, now)
            if type(command) is cmd.AppendAudio and self._model is not None:  # fifty a second: not through the match
                self._model.send(command)
            else:
                self._carry_out(command, now)
        if self._ports.ear is not None and type(event) is CallerAudio:
            self._waiting.extend(self._ports.ear.caller(event.payload, now))
        spent = book.spent()
        if spent is not None:
            self._waiting.append(spent)
        if self.call.phase is Phase.ENDED:
            self._over.set()

    def _carry_out(self, command: Command, now: float) -> None:
        match command:
            case cmd.PlayAudio() | cmd.SendMark() | cmd.ClearAudio() | cmd.SendDigits() | cmd.HangUp():
                self._to_leg(command, now)
            case cmd.OpenModel():
                self._open_model()
            case cmd.CloseModel():
                self._close_model()
            case cmd.InvokeTool():
                self._invoke(command)
            case cmd.CancelTool():
                self._cancel(f"{TOOL} {command.tool_call_id}")
            case cmd.StartTransfer() | cmd.CompleteTransfer() | cmd.CancelTransfer():
                kind = type(command).__name__
                self._start(self._control(command), f"{CONTROL} {kind} {command.transfer_id}")
            case cmd.KeepSecret():
                self._start(self._keep(command), f"vault {command.secret_id}")
            case cmd.Heard() | cmd.Record():
                pass
            case _:
                if self._model is not None:
                    self._model.send(command)

    def _open_model(self) -> None:
        self._model = self._ports.open_model(self.feed)
        self._start(self._model.run(), f"model-{id(self._model)}")

    def _close_model(self) -> None:
        if self._model is not None:
            self._model.detach()
            self._model = None

    def _cancel(self, name: str) -> None:
        task = self._tasks.get(name)
        if task is not None:
            task.cancel()

    def _invoke(self, command: cmd.InvokeTool) -> None:
        self._start(self._run_tool(command), f"{TOOL} {command.tool_call_id}")

    async def _run_tool(self, command: cmd.InvokeTool) -> None:
        self.feed(await self._ports.invoke(command))

    async def _brief(self, find_out: Callable[[], Awaitable[Briefed]]) -> None:
        self.feed(await find_out())

    async def _control(self, command: ControlCommand) -> None:
        try:
            if self._ports.control is None:
                raise CarrierError("this carrier cannot transfer calls", permanent=True, code="no_control")
            await self._ports.control(command)
        except CarrierError as failed:
            logger.warning("call %s: %s failed: %s", self.call_id, type(command).__name__, failed)
            self.feed(TransferProgress(command.transfer_id, TransferState.FAILED, failed.code))

    async def _keep(self, command: cmd.KeepSecret) -> None:
        token = ""
        try:
            if self._ports.keep_secret is not None:
                token = await self._ports.keep_secret(command.digits, command.command_id)
        except GatewayError as failed:
            logger.warning("call %s: the vault took no digits: %s", self.call_id, failed)
        self.feed(SecretKept(command.secret_id, token))

    def _to_leg(self, command: cmd.LegCommand, now: float) -> None:
        ear = self._ports.ear
        # What is on the line may come back as an echo: our own ear has to know it.
        if ear is not None and isinstance(command, cmd.PlayAudio):
            ear.played(command.payload, now)
        elif ear is not None and isinstance(command, cmd.ClearAudio):
            ear.cleared(now)
        if self._leg is not None:
            self._leg.send(command)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._group is not None, "a call is fed only while it runs"
        task = self._group.create_task(work, name=f"{self.call_id} {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    def _rearm(self) -> None:
        deadline = self.call.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() == deadline and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._over.is_set():
            self._timer = asyncio.get_running_loop().call_at(deadline, self._on_deadline)

    def _on_deadline(self) -> None:
        self._timer = None
        self.feed(Tick())

    async def _close(self) -> None:
        """Close both ends; whoever has not ended by then is cancelled."""
        self._close_model()
        if self._leg is not None:
            await self._leg.close()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=CLOSE_S)
        letting_go = [task for name, task in self._tasks.items() if name.startswith(CONTROL)]
        if letting_go:
            await asyncio.wait(letting_go, timeout=CONTROL_S - CLOSE_S)
        for task in list(self._tasks.values()):
            task.cancel()

    def _write_end(self) -> None:
        if self._written:
            return
        self._written = True
        reason = self.call.end_reason if self.call.phase is Phase.ENDED or self._over.is_set() else None
        now = asyncio.get_running_loop().time()
        self._ports.book.end((reason or EndReason.STOPPED).value, now)


def _shown(event: Event, audio: AudioFormat) -> Event:
    """Return what may be written of an event while the caller's keys are secret."""
    match event:
        case CallerAudio(payload):
            return CallerAudio(silence_like(payload, audio))
        case Dtmf():
            return Dtmf(HIDDEN_KEY)
        case _:
            return event
