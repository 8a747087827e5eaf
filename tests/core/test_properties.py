"""Random histories against the invariants that every call keeps."""

import base64
from collections.abc import Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev

RESPONSES = st.integers(0, 5).map("resp_{}".format)
ITEMS = st.integers(0, 5).map("item_{}".format)
TOOLS = st.integers(0, 5).map("tool_{}".format)
AUDIO = st.integers(1, 1500).map(lambda ms: base64.b64encode(b"\x22" * (ms * 8)).decode())
FINAL = ("completed", "cancelled", "failed", "incomplete")


class AnyCall(RuleBasedStateMachine):
    """A leg, a model and tools that say anything at any time, also what they should not."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.call = Call(CallPlan(greeting="Hello.", max_duration_s=120, max_cost_usd=1.0))
        self.marks: list[str] = []
        self.received: dict[str, float] = {}
        self.played: dict[str, float] = {}
        self.asked: str | None = None
        self.outputs: list[tuple[int, str]] = []
        self.invoked: list[str] = []
        self.sessions = 0
        self.hung_up = 0
        self.ends = 0
        self.model_open = False

    def feed(self, event: ev.Event) -> None:
        ended = self.call.phase is Phase.ENDED
        commands = self.call.receive(event, self.now)
        assert not (ended and commands), "silence after the end"
        for command in commands:
            self._watch(command)

    def _watch(self, command: cmd.Command) -> None:
        match command:
            case cmd.PlayAudio(item_id, _, ms):
                assert not self.hung_up, "nothing is played after the hang-up"
                self.played[item_id] = self.played.get(item_id, 0.0) + ms
                assert self.played[item_id] <= self.received.get(item_id, 0.0) + 1e-6, "only what the model sent"
            case cmd.SendMark(name):
                assert name not in self.marks, "each mark has a name of its own"
                self.marks.append(name)
            case cmd.TruncateItem(item_id, audio_end_ms):
                assert 0 < audio_end_ms <= self.received[item_id], "never beyond what was received of that item"
            case cmd.CreateResponse():
                assert self.asked is None, "one response is asked at a time"
                assert self.model_open, "a closed model is asked nothing"
                self.asked = command.wish_id
            case cmd.SubmitToolOutput(tool_call_id):
                assert self.model_open
                assert (self.sessions, tool_call_id) not in self.outputs, "one answer per function call"
                self.outputs.append((self.sessions, tool_call_id))
            case cmd.InvokeTool(tool_call_id):
                assert tool_call_id not in self.invoked, "a function call runs once"
                self.invoked.append(tool_call_id)
            case cmd.OpenModel():
                self.sessions += 1
                self.asked = None
                self.received = {}
                self.played = {}
            case cmd.CloseModel():
                self.model_open = False
            case cmd.HangUp():
                self.hung_up += 1
            case cmd.Record("end"):
                self.ends += 1

    @initialize()
    def offer(self) -> None:
        self.feed(ev.CallOffered())

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(500):
            deadline = self.call.deadline
            if deadline is None or deadline > until:
                break
            self.now = max(self.now, deadline)
            self.feed(ev.Tick())
        else:
            raise AssertionError("a tick at its deadline must make progress")
        self.now = until

    @rule()
    def stream_starts(self) -> None:
        self.feed(ev.StreamStarted("MZ1"))

    @rule()
    def session_is_ready(self) -> None:
        if self.sessions and self.call.phase is not Phase.ENDED:
            self.model_open = True
            self.feed(ev.SessionReady("sess"))

    @rule(payload=AUDIO)
    def caller_speaks(self, payload: str) -> None:
        self.feed(ev.CallerAudio(payload))

    @rule(response=RESPONSES, item=ITEMS, payload=AUDIO)
    def model_sends_audio(self, response: str, item: str, payload: str) -> None:
        key = f"{self.sessions}{item}"
        self.received[key] = self.received.get(key, 0.0) + len(base64.b64decode(payload)) / 8
        self.feed(ev.AudioDelta(f"{self.sessions}{response}", key, payload))

    @rule(item=ITEMS)
    def speech_starts(self, item: str) -> None:
        self.feed(ev.SpeechStarted(f"u{item}", 0))

    @rule(item=ITEMS)
    def speech_stops(self, item: str) -> None:
        self.feed(ev.SpeechStopped(f"u{item}", 0))

    @rule(response=RESPONSES, ours=st.booleans())
    def response_is_created(self, response: str, ours: bool) -> None:
        wish = self.asked if ours and self.asked else ""
        if wish:
            self.asked = None
        self.feed(ev.ResponseCreated(f"{self.sessions}{response}", wish))

    @rule(response=RESPONSES, status=st.sampled_from(FINAL), tools=st.lists(TOOLS, max_size=3), bye=st.booleans())
    def response_is_done(self, response: str, status: str, tools: list[str], bye: bool) -> None:
        calls = [ev.FunctionCall(f"{self.sessions}{tool}", "lookup", "{}") for tool in tools]
        if bye:
            calls.append(ev.FunctionCall(f"{self.sessions}{response}bye", "hang_up", "{}"))
        self.feed(ev.ResponseDone(f"{self.sessions}{response}", status, "", tuple(calls), None))

    @precondition(lambda self: self.invoked)
    @rule(data=st.data(), ok=st.booleans())
    def tool_answers(self, data: st.DataObject, ok: bool) -> None:
        self.feed(ev.ToolResult(data.draw(st.sampled_from(self.invoked)), ok, "{}"))

    @rule(tool=TOOLS)
    def output_is_accepted(self, tool: str) -> None:
        self.feed(ev.OutputAccepted(f"{self.sessions}{tool}"))

    @precondition(lambda self: self.marks)
    @rule(data=st.data())
    def mark_is_played(self, data: st.DataObject) -> None:
        self.feed(ev.MarkPlayed(data.draw(st.sampled_from(self.marks))))

    @rule(code=st.sampled_from(["conversation_already_has_active_response", "response_cancel_not_active", "other"]))
    def model_complains(self, code: str) -> None:
        wish, self.asked = (self.asked or ""), None
        self.feed(ev.ModelFault(code, "", wish))

    @rule(permanent=st.booleans())
    def model_is_lost(self, permanent: bool) -> None:
        self.model_open = False
        self.asked = None
        self.feed(ev.ModelClosed("1006", "", permanent))

    @rule(usd=st.floats(0, 2))
    def money_is_spent(self, usd: float) -> None:
        self.feed(ev.Spent(usd))

    @rule()
    def digit_is_pressed(self) -> None:
        self.feed(ev.Dtmf("5"))

    @rule(why=st.sampled_from(list(ev.LegEnd)))
    def leg_ends(self, why: ev.LegEnd) -> None:
        self.feed(ev.LegEnded(why))

    @rule(event=st.sampled_from([ev.DrainAsked(), ev.StopAsked("test")]))
    def owner_ends_it(self, event: ev.Event) -> None:
        self.feed(event)

    @invariant()
    def ends_at_most_once(self) -> None:
        assert self.hung_up <= 1
        assert self.ends == (1 if self.call.phase is Phase.ENDED else 0)
        assert self.call.phase is not Phase.ENDED or self.call.end_reason is not None

    @invariant()
    def a_live_call_waits_for_something_or_for_the_caller(self) -> None:
        waits = self.call.phase in (Phase.CONNECTING, Phase.RECOVERING, Phase.ENDING)
        assert not waits or self.call.deadline is not None

    def teardown(self) -> None:
        """Left alone, with nobody saying anything any more, every call ends by itself."""
        if self.call.phase is Phase.ACTIVE:
            self.feed(ev.StopAsked("over"))
        for _ in range(2000):
            if self.call.deadline is None:
                break
            self.now = max(self.now, self.call.deadline)
            self.feed(ev.Tick())
        assert self.call.phase is Phase.ENDED
        assert self.ends == 1


AnyCall.TestCase.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyCall: Callable[..., object] = AnyCall.TestCase
