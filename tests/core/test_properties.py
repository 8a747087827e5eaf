"""Random histories against the invariants that every call keeps; `history.py` says which."""

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gateway.core import events as ev
from gateway.core import operator as op
from gateway.core.plan import TurnMode, TurnTaking
from tests.core.history import PLANS, History

FINAL = ("completed", "completed", "cancelled", "failed", "incomplete")
FAULTS = ("conversation_already_has_active_response", "response_cancel_not_active", "other")
FUNCTIONS = (
    *("lookup", "lookup", "lookup", "book", "book", "search"),
    *("transfer_call", "collect_digits", "send_digits", "set_language", "hang_up"),
)
WORDS = ("", "mm-hm", "Stop, please.", "yes")
ACTIONS: tuple[op.Action, ...] = (
    op.MuteCaller(),
    op.MuteAgent(),
    op.Unmute(),
    op.ForceReply("Say hi."),
    op.CancelReply(),
    op.InsertMemory("The caller is a customer."),
    op.Say("One moment."),
    op.Say("This call is recorded.", interruptible=False),
    op.ChangeTurns(TurnTaking(TurnMode.MANUAL, key="#")),
    op.ChangeTurns(TurnTaking(silence_ms=1000)),
    op.EndTurn(),
    op.PressKeys("12#"),
    op.CollectDigits(max_digits=3, secure=True, prompt="Your code, please."),
    op.CollectDigits(max_digits=3),
    op.AskTransfer("sales"),
    op.AskTransfer("expert"),
    op.AskTransfer("nobody"),
    op.EndCall(),
)

Act = Callable[[History, random.Random], None]


def _done(history: History, rng: random.Random) -> None:
    calls = [(f"tool_{rng.randrange(6)}", rng.choice(FUNCTIONS)) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    history.response_is_done(f"resp_{rng.randrange(5)}", rng.choice(FINAL), calls)


def _answer(history: History, rng: random.Random) -> None:
    """A whole answer, as most are: created, spoken, done."""
    response = f"resp_{rng.randrange(5)}"
    history.response_is_created(response, ours=rng.random() < 0.7)
    for item in range(rng.randrange(3)):
        history.model_sends_audio(response, f"item_{item}", rng.randrange(1, 4000))
    calls = [(f"tool_{rng.randrange(6)}", rng.choice(FUNCTIONS))] if rng.random() < 0.2 else []
    history.response_is_done(response, "completed", calls)


def _voice(history: History, rng: random.Random) -> None:
    if rng.random() < 0.5:
        history.feed(ev.VoiceStarted(max(0.0, history.now - 0.06)))
    else:
        history.feed(ev.VoiceStopped(max(0.0, history.now - 0.16)))


def _end(history: History, rng: random.Random) -> None:
    if rng.random() < 0.3:
        history.leg_ends(rng.choice(list(ev.LegEnd)), call_over=rng.random() < 0.3)


def _business(history: History, rng: random.Random) -> None:
    more = rng.choice(("", "", "say", "hang_up", "sales", "nobody")) if rng.random() < 0.5 else ""
    history.tool_answers(rng.randrange(9), ok=rng.random() < 0.7, pending=rng.random() < 0.5, more=more)


def _owner(history: History, rng: random.Random) -> None:
    if rng.random() < 0.1:
        history.feed(rng.choice((ev.DrainAsked(), ev.StopAsked("test"), ev.Spent(rng.uniform(0, 2)))))


def _lost(history: History, rng: random.Random) -> None:
    if rng.random() < 0.4:
        history.model_is_lost(permanent=rng.random() < 0.1)


ACTS: tuple[tuple[int, Act], ...] = (
    (10, lambda h, r: h.time_passes(r.choice((0.0, 0.05, 0.3, 0.7, 2.0, 8.0)))),
    (6, _answer),
    (5, _voice),
    (4, lambda h, r: h.feed(ev.SpeechStarted(f"u{r.randrange(6)}", 0))),
    (4, lambda h, r: h.caller_ends_a_turn(r.randrange(6))),
    (3, lambda h, r: h.feed(ev.CallerSaid(f"u{r.randrange(6)}", r.choice(WORDS)))),
    (3, lambda h, r: h.key_is_pressed(r.randrange(9))),
    (3, lambda h, r: h.session_is_ready()),
    (3, lambda h, r: h.stream_starts()),
    (3, lambda h, r: h.operator_asks(r.randrange(40), r.choice(ACTIONS))),
    (2, _done),
    (2, lambda h, r: h.response_is_created(f"resp_{r.randrange(5)}", ours=r.random() < 0.5)),
    (2, lambda h, r: h.model_sends_audio(f"resp_{r.randrange(5)}", f"item_{r.randrange(3)}", r.randrange(1, 1500))),
    (2, lambda h, r: h.caller_sounds(r.randrange(1, 60))),
    (2, lambda h, r: h.tool_answers(r.randrange(9), ok=r.random() < 0.7)),
    (2, _business),
    (1, lambda h, r: h.is_briefed(r.randrange(4), resumed=r.random() < 0.6)),
    (2, lambda h, r: h.feed(ev.OutputAccepted(f"{h.sessions}tool_{r.randrange(6)}"))),
    (2, lambda h, r: h.mark_is_played(r.randrange(99))),
    (2, lambda h, r: h.transfer_goes_on(r.choice(list(ev.TransferState)))),
    (2, lambda h, r: h.vault_answers()),
    (1, lambda h, r: h.feed(ev.InputCommitted(f"u{r.randrange(6)}"))),
    (1, lambda h, r: h.feed(ev.AgentSaid("r", f"{h.sessions}resp_0item_0", "I will look it up for you."))),
    (1, lambda h, r: h.model_complains(r.choice(FAULTS))),
    (1, _lost),
    (1, _end),
    (1, _owner),
)
WEIGHTS = [weight for weight, _ in ACTS]


def play(seed: int, steps: int = 45) -> None:
    """Play one history; the same seed plays the same one."""
    rng = random.Random(seed)
    history = History(PLANS[seed % len(PLANS)], honest=rng.random() < 0.5)
    try:
        if rng.random() < 0.9:
            history.session_is_ready()
            history.stream_starts()
        for act in rng.choices(ACTS, WEIGHTS, k=steps):
            act[1](history, rng)
        history.left_alone()
    except AssertionError as broken:
        told = "\n".join(f"{at:8.3f} {event}"[:160] for at, event in history.trace[-60:])
        raise AssertionError(f"seed {seed}: {broken}\n{told}") from broken


@pytest.mark.parametrize("block", range(3))
def test_every_history_keeps_the_invariants(block: int) -> None:
    for seed in range(block * 200, (block + 1) * 200):
        play(seed)


@pytest.mark.e2e
@pytest.mark.parametrize("block", range(11))
def test_ten_thousand_more_histories_keep_the_invariants(block: int) -> None:
    for seed in range(1000 * (block + 1), 1000 * (block + 2)):
        play(seed)


class AnyCall(RuleBasedStateMachine):
    """The same, where hypothesis looks for the shortest history that breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History(PLANS[0], honest=False)

    @initialize(plan=st.sampled_from(PLANS), honest=st.booleans())
    def offer(self, plan: object, honest: bool) -> None:
        self.history = History(plan, honest=honest)  # type: ignore[arg-type]  # one of PLANS

    @rule(act=st.sampled_from([act for _, act in ACTS]), rng=st.randoms(use_true_random=False))
    def something_happens(self, act: Act, rng: random.Random) -> None:
        act(self.history, rng)

    def teardown(self) -> None:
        self.history.left_alone()


AnyCall.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAnyCall: Callable[..., object] = AnyCall.TestCase
