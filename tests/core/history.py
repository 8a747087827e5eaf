"""One call under any history of events, and what must hold in all of them. Driven by chance or by hypothesis.

The leg is honest or not. An honest one plays what it is sent on the same clock and echoes each mark when it was
played, so that what was heard is known exactly; another one says anything at any time.
"""

import base64
import json
from collections import defaultdict
from dataclasses import dataclass, replace

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import (
    Confirmation,
    EarlyReply,
    Filler,
    Idle,
    OnInterrupt,
    ReversibleBargeIn,
    ToolRules,
    TransferMode,
    TransferTarget,
    TurnMode,
    TurnTaking,
)

BUILT_IN = frozenset({"hang_up", "transfer_call", "collect_digits", "send_digits", "set_language"})
TOOLS = {
    "lookup": ToolRules(deadline_s=6.0, pending_s=15.0, claims=("I will look",)),
    "book": ToolRules(filler=Filler(0.8, "One moment."), confirmation=Confirmation.SPOKEN),
    "search": ToolRules(filler=Filler(0.5, sound=True), on_interrupt=OnInterrupt.CANCEL),
}
TARGETS = {
    "sales": TransferTarget("+14155550111", TransferMode.BLIND, ring_s=20),
    "expert": TransferTarget("+14155550112", TransferMode.WARM, brief="A caller for you.", ring_s=20),
}
SECRET_KEYS = "789"
"""Pressed only while keys are hidden; the others only while they are not."""
OPEN_KEYS = "123#"
LONGEST_S = 14.0
"""The longest deadline of a function, and what a gate may hold it back."""
ROUNDING_MS = 0.4
"""A hold cuts text at multiples of 0.375 ms."""

_COMMON = {"max_duration_s": 120.0, "max_cost_usd": 1.0, "built_in": BUILT_IN, "transfer_targets": TARGETS}
_WITH_TOOLS = CallPlan(tools=TOOLS, **_COMMON)  # type: ignore[arg-type]
PLANS: tuple[CallPlan, ...] = (
    CallPlan(greeting="Hello.", **_COMMON),  # type: ignore[arg-type]  # keyword values of several types
    CallPlan(greeting="Hello.", greeting_interruptible=False, idle=Idle(5.0, ("Hello?", "Hm?")), **_COMMON),  # type: ignore[arg-type]
    CallPlan(reversible=ReversibleBargeIn(), **_COMMON),  # type: ignore[arg-type]
    CallPlan(early_reply=EarlyReply(), **_COMMON),  # type: ignore[arg-type]
    CallPlan(reversible=ReversibleBargeIn(), early_reply=EarlyReply(), idle=Idle(), **_COMMON),  # type: ignore[arg-type]
    CallPlan(turns=TurnTaking(TurnMode.MANUAL, key="#", own_ear=True), **_COMMON),  # type: ignore[arg-type]
    CallPlan(turns=TurnTaking(TurnMode.MANUAL, own_ear=True), reversible=ReversibleBargeIn(), **_COMMON),  # type: ignore[arg-type]
    replace(_WITH_TOOLS, greeting="Hello.", briefing_s=1.0, corrects_claims=True, languages=frozenset({"es"})),
    replace(_WITH_TOOLS, early_reply=EarlyReply(), reversible=ReversibleBargeIn(), keys_to_model=False),
)


@dataclass(slots=True)
class _Sent:
    item_id: str
    begins_s: float
    ms: float


class History:
    """A call, what it was told, and what it did."""

    def __init__(self, plan: CallPlan, *, honest: bool) -> None:
        self.now = 0.0
        self.call = Call(plan)
        self.honest = honest
        self.trace: list[tuple[float, ev.Event]] = []
        self.marks: list[str] = []
        self.received: dict[str, float] = defaultdict(float)
        self.played: dict[str, float] = defaultdict(float)
        """By item: what the caller has heard of it."""
        self.on_line: list[_Sent] = []
        self.echoes: list[tuple[float, str]] = []
        self.ends_s = 0.0
        self.holds = 0
        self.asked: str | None = None
        self.outputs: list[tuple[int, str]] = []
        self.invoked: list[str] = []
        self.called: dict[str, set[str]] = defaultdict(set)
        """Items of function calls, by the call's id: a model may make one again."""
        self.owed: dict[str, tuple[float, str]] = {}
        """Functions of the business that this session's model waits for, by id: since when, and the item."""
        self.past: set[str] = set()
        """Function calls of before, whose outcome the ledger is asked."""
        self.promised: dict[str, bool] = {}
        """Sessions and function calls of which a promised result was told."""
        self.turns = 0
        """Turns that the caller has ended."""
        self.deleted: set[str] = set()
        self.secrets: list[str] = []
        self.transfers: dict[str, str] = {}
        self.blind = ""
        self.sessions = 0
        self.muted = False
        self.hung_up = 0
        self.ends = 0
        self.model_open = False
        self.stream_up = False
        self.feed(ev.CallOffered())

    # --- what happens -------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        self.trace.append((self.now, event))
        ended = self.call.phase is Phase.ENDED
        # What was said before the keys were asked for may be handed over late; it is no secret.
        hidden = self.call.hidden and isinstance(event, ev.CallerAudio)
        commands = self.call.receive(event, self.now)
        assert not (ended and commands), "silence after the end"
        for command in commands:
            self._watch(command, hidden=hidden)
        self._invariants()

    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(800):
            due = [at for at in (self.call.deadline, *(at for at, _ in self.echoes)) if at is not None and at <= until]
            if not due:
                break
            self.now = max(self.now, min(due))
            echo = next((name for at, name in self.echoes if at <= self.now), None)
            if echo is not None:
                self.echoes = [one for one in self.echoes if one[1] != echo]
                self.feed(ev.MarkPlayed(echo))
            else:
                self.feed(ev.Tick())
        else:
            raise AssertionError("a tick at its deadline must make progress")
        self.now = until

    def stream_starts(self) -> None:
        again, self.stream_up = not self.stream_up, True
        if again and self.call.phase is Phase.TRANSFERRING:
            # Who brings the caller back has given the transfer up.
            self.transfers = dict.fromkeys(self.transfers, "over")
        self.feed(ev.StreamStarted("MZ1"))

    def session_is_ready(self) -> None:
        if self.sessions and self.call.phase is not Phase.ENDED:
            self.model_open = True
            self.feed(ev.SessionReady("sess"))

    def caller_sounds(self, ms: int) -> None:
        self.feed(ev.CallerAudio(base64.b64encode(b"\x22" * (ms * 8)).decode()))

    def model_sends_audio(self, response: str, item: str, ms: int) -> None:
        key = f"{self.sessions}{response}{item}"
        self.received[key] += ms
        payload = base64.b64encode(b"\x22" * (ms * 8)).decode()
        self.feed(ev.AudioDelta(f"{self.sessions}{response}", key, payload))

    def response_is_created(self, response: str, *, ours: bool) -> None:
        wish = self.asked if ours and self.asked else ""
        # One that we had asked for and that is not this one will be refused: one runs at a time.
        self.asked = None
        self.feed(ev.ResponseCreated(f"{self.sessions}{response}", wish))

    def response_is_done(self, response: str, status: str, names: list[tuple[str, str]]) -> None:
        calls = [
            ev.FunctionCall(f"{self.sessions}{tool}", name, ARGUMENTS.get(name, "{}"), f"f{len(self.trace)}{tool}")
            for tool, name in names
        ]
        for call in calls:
            known = call.tool_call_id in self.called
            self.called[call.tool_call_id].add(call.item_id)
            live = status == "completed" and self.call.phase is Phase.ACTIVE
            if live and not known and call.name not in BUILT_IN:
                self.owed.setdefault(call.tool_call_id, (self.now, call.item_id))
        self.feed(ev.ResponseDone(f"{self.sessions}{response}", status, "", tuple(calls), None))

    def tool_answers(self, number: int, *, ok: bool, pending: bool = False, more: str = "") -> None:
        """`more`: what comes along, say, hang_up, or the name of a transfer target."""
        if not self.invoked:
            return
        tool_call_id = self.invoked[number % len(self.invoked)]
        action = {"": None, "say": None, "hang_up": ev.ToolAction.HANG_UP}.get(more, ev.ToolAction.TRANSFER)
        say = "The business says so." if more else ""
        result = ev.ToolResult(
            tool_call_id, ok, f'{{"n":{number}}}', pending=pending, say=say, action=action, target=more
        )
        self.feed(result)

    def is_briefed(self, number: int, *, resumed: bool) -> None:
        calls = [ev.PastCall(f"past{n}", "lookup", "{}", "{}" if n % 2 else None) for n in range(number)]
        if self.call.phase is Phase.CONNECTING and resumed:
            self.past |= {call.tool_call_id for call in calls}
        words = (ev.PastWords("user", "Hello."), ev.PastWords("assistant", "Hm."))
        self.feed(ev.Briefed("A customer.", None, words, tuple(calls), resumed=resumed))

    def caller_ends_a_turn(self, number: int) -> None:
        self.turns += 1
        self.feed(ev.SpeechStopped(f"u{number}", 0))

    def mark_is_played(self, number: int) -> None:
        if self.marks and not self.honest:
            self.feed(ev.MarkPlayed(self.marks[number % len(self.marks)]))

    def model_complains(self, code: str) -> None:
        wish, self.asked = (self.asked or ""), None
        self.feed(ev.ModelFault(code, "", wish))

    def model_is_lost(self, *, permanent: bool) -> None:
        self.model_open = False
        self.asked = None
        self.feed(ev.ModelClosed("1006", "", permanent))

    def key_is_pressed(self, number: int) -> None:
        keys = SECRET_KEYS if self.call.hidden else OPEN_KEYS
        self.feed(ev.Dtmf(keys[number % len(keys)]))

    def vault_answers(self) -> None:
        if self.secrets:
            self.feed(ev.SecretKept(self.secrets.pop(0), "vault_x"))

    def transfer_goes_on(self, state: ev.TransferState) -> None:
        if self.transfers:
            self.feed(ev.TransferProgress(list(self.transfers)[-1], state))

    def operator_asks(self, number: int, action: op.Action) -> None:
        self.feed(ev.OperatorAsked(f"c{number}", "ops", action))

    def leg_ends(self, why: ev.LegEnd, *, call_over: bool) -> None:
        self.stream_up = False
        self.feed(ev.LegEnded(why, "", call_over))

    def left_alone(self) -> None:
        """Nobody says anything any more: every call ends by itself, and writes one end."""
        if self.call.phase is Phase.ACTIVE:
            self.feed(ev.StopAsked("over"))
        for _ in range(3000):
            if self.call.deadline is None:
                break
            self.now = max(self.now, self.call.deadline)
            self.feed(ev.Tick())
        assert self.call.phase is Phase.ENDED
        assert self.ends == 1
        moved = self.call.end_reason is cmd.EndReason.TRANSFERRED
        assert moved or "started" not in self.transfers.values(), f"nobody is left ringing: {self.transfers}"

    # --- what must hold -----------------------------------------------------------------------

    def _watch(self, command: cmd.Command, *, hidden: bool) -> None:
        self._watch_leg(command)
        self._watch_model(command, hidden=hidden)
        self._watch_rest(command)

    def _watch_leg(self, command: cmd.Command) -> None:
        match command:
            case cmd.PlayAudio(item_id, _, ms):
                assert not self.hung_up, "nothing is played after the hang-up"
                assert item_id not in self.deleted, "nothing is played that the model was told to forget"
                begins_s = max(self.now, self.ends_s)
                self.on_line.append(_Sent(item_id, begins_s, ms))
                self.ends_s = begins_s + ms / 1000
                if self.honest and not item_id.startswith("own:"):
                    given = self._given(item_id)
                    known = self.received[item_id] + ROUNDING_MS * self.holds + 1e-6
                    assert given <= known, f"only what the model sent, once: {item_id} {given} {known}"
            case cmd.SendMark(name):
                assert name not in self.marks, "each mark has a name of its own"
                self.marks.append(name)
                if self.honest:
                    self.echoes.append((self.ends_s, name))
            case cmd.ClearAudio():
                self._clear()
            case cmd.SendDigits():
                assert self.now >= self.ends_s or not self.honest, "keys do not sound over the agent"
                self.ends_s = max(self.now, self.ends_s) + 0.2 * len(command.digits)
            case cmd.HangUp():
                self.hung_up += 1
            case _:
                pass

    def _watch_model(self, command: cmd.Command, *, hidden: bool) -> None:
        match command:
            case cmd.AppendAudio(payload):
                assert not hidden or set(base64.b64decode(payload)) <= {0xFF}, "a hidden caller is silent"
            case cmd.TruncateItem(item_id, audio_end_ms):
                assert 0 < audio_end_ms <= self.received[item_id], "never beyond what was received of that item"
                assert item_id not in self.deleted
                if self.honest:
                    heard = self._heard(item_id)
                    assert abs(audio_end_ms - heard) <= 1 + ROUNDING_MS * self.holds, (
                        f"at what was heard: {audio_end_ms} {heard}"
                    )
            case cmd.DeleteItem(item_id):
                self.deleted.add(item_id)
                self.owed = {name: owed for name, owed in self.owed.items() if owed[1] != item_id}
                if self.honest and item_id in self.received:
                    assert self._heard(item_id) <= 1 + ROUNDING_MS * self.holds, "only what was not heard"
            case cmd.CreateResponse(wish_id):
                assert self.asked is None, "one response is asked at a time"
                assert self.model_open, "a closed model is asked nothing"
                self.asked = wish_id
            case cmd.SubmitToolOutput(tool_call_id, output):
                assert self.model_open
                assert (self.sessions, tool_call_id) not in self.outputs, "one answer per function call"
                self.outputs.append((self.sessions, tool_call_id))
                self.owed.pop(tool_call_id, None)
                self._no_secret(str(json.loads(output).get("digits", "")))
            case cmd.CreateItem(item):
                self._no_secret(_said_keys(item))
                self._promise(json.dumps(item))
            case cmd.OpenModel():
                self.owed.clear()
                self.sessions += 1
                self.asked = None
            case cmd.CloseModel():
                self.model_open = False
            case _:
                pass

    def _watch_rest(self, command: cmd.Command) -> None:
        match command:
            case cmd.InvokeTool(tool_call_id, name, again=again):
                assert tool_call_id not in self.invoked, "a function call runs once"
                if again:
                    assert tool_call_id in self.past
                else:
                    assert self.called[tool_call_id] - self.deleted, "what was dropped does not run"
                asked_first = self.call.plan.tools.get(name, ToolRules()).confirmation is Confirmation.SPOKEN
                assert not asked_first or self.turns, "nobody is bound who has said nothing"
                self.invoked.append(tool_call_id)
            case cmd.KeepSecret(secret_id, digits):
                assert digits, "an empty entry is no secret"
                self.secrets.append(secret_id)
            case cmd.StartTransfer(transfer_id, target, number):
                assert TARGETS[target].number == number, "only listed numbers are called"
                assert transfer_id not in self.transfers
                self.transfers[transfer_id] = "started"
                self.blind = transfer_id if target == "sales" else self.blind
            case cmd.CompleteTransfer(transfer_id):
                assert self.transfers[transfer_id] == "started"
                self.transfers[transfer_id] = "completed"
            case cmd.CancelTransfer(transfer_id):
                assert self.transfers[transfer_id] in ("started", "completed")
                self.transfers[transfer_id] = "cancelled"
            case cmd.Record():
                self._watch_records(command)
            case _:
                pass

    def _watch_records(self, record: cmd.Record) -> None:
        match record:
            case cmd.Record("transfer", {"transfer_id": str(transfer_id), "state": str(state)}):
                blind = transfer_id in self.transfers and self.blind == transfer_id
                if state in ("busy", "no_answer", "rejected", "failed") or (state == "answered" and blind):
                    self.transfers[transfer_id] = state
            case cmd.Record("muted", {"agent": muted}):
                self.muted = bool(muted)
            case cmd.Record("filler"):
                caller = self.call.state.turn
                assert self.call.phase is Phase.ACTIVE and not caller.speaking, "a filler is for a caller who listens"
                assert not self.muted, "a filler is to be heard"
            case cmd.Record("held"):
                self.holds += 1
            case cmd.Record("end"):
                self.ends += 1
            case _:
                pass

    def _promise(self, item: str) -> None:
        """A promised result is told once to a session, and a new session is told of it again with all the rest."""
        if "still in progress" in item:
            name = item.partition("(call ")[2].partition(")")[0]
            told = f"{self.sessions} {name}"
            assert told not in self.promised, "a promised result is told once"
            self.promised[told] = True

    def _invariants(self) -> None:
        call = self.call
        assert self.hung_up <= 1
        assert self.ends == (1 if call.phase is Phase.ENDED else 0)
        assert call.phase is not Phase.ENDED or call.end_reason is not None
        late = [name for name, (since, _) in self.owed.items() if self.now - since > LONGEST_S]
        assert call.phase is not Phase.ACTIVE or not late, f"every function call is answered: {late}"
        waits = call.phase in (Phase.CONNECTING, Phase.RECOVERING, Phase.TRANSFERRING, Phase.ENDING)
        assert not waits or call.deadline is not None

    def _clear(self) -> None:
        for sent in self.on_line:
            self.played[sent.item_id] += _heard_ms(sent, self.now)
        self.on_line.clear()
        self.echoes.clear()
        self.ends_s = self.now
        self.holds += 1

    def _heard(self, item_id: str) -> float:
        return self.played[item_id] + sum(_heard_ms(s, self.now) for s in self.on_line if s.item_id == item_id)

    def _given(self, item_id: str) -> float:
        return self.played[item_id] + sum(sent.ms for sent in self.on_line if sent.item_id == item_id)

    @staticmethod
    def _no_secret(text: str) -> None:
        assert not set(SECRET_KEYS) & set(text), "a secret key is told to nobody"


ARGUMENTS = {
    "transfer_call": '{"target": "expert", "summary": "wants advice"}',
    "collect_digits": '{"max_digits": 4, "secure": true}',
    "send_digits": '{"digits": "12#"}',
    "set_language": '{"language": "es"}',
    "book": '{"day": "friday"}',
}


def _heard_ms(sent: _Sent, now: float) -> float:
    return min(max((now - sent.begins_s) * 1000, 0.0), sent.ms)


def _said_keys(item: object) -> str:
    text = json.dumps(item)
    return text.rpartition("telephone: ")[2] if "telephone: " in text else ""
