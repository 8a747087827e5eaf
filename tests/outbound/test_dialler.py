"""One call at most: the order of the steps, every way a carrier can fail, the pace, and repeated wishes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.carriers.twilio.rest import TwilioRest
from gateway.errors import CarrierError, GatewayError, PolicyError
from gateway.outbound.attempts import Attempt, AttemptState, may_follow, state_of_carrier
from gateway.outbound.dialler import DialConflict, Dialler, DialRequest
from gateway.outbound.journal import StoredAttempts
from gateway.outbound.pace import Pace, PaceFull
from gateway.outbound.policy import DialPolicy
from gateway.store.store import Store
from tests import clock
from tests.outbound.memory import MemoryAttempts
from tests.outbound.twilio_api import ACCOUNT, CALL, TwilioApi, refusal

NOON = datetime(2026, 6, 10, 19, 0, tzinfo=UTC)
"""In Los Angeles."""
REQUEST = DialRequest(to="+14155552671", agent="sales", from_="+14155550100", idempotency_key="order 7")


@dataclass
class Carrier:
    """A carrier that does `then` for each call it is asked for, at the loop's time that it notes."""

    then: Callable[[], Awaitable[str]] | None = None
    urls: list[tuple[str, str]] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)

    async def create_call(self, to: str, from_: str, url: str, status_callback: str, *, timeout_s: int) -> str:
        assert timeout_s >= 20
        self.urls.append((url, status_callback))
        self.at_s.append(asyncio.get_running_loop().time())
        return CALL if self.then is None else await self.then()


@dataclass
class World:
    """A dialler on the virtual clock: wall time moves with the loop's."""

    carrier: Carrier = field(default_factory=Carrier)
    attempts: MemoryAttempts = field(default_factory=MemoryAttempts)
    started_at: datetime = NOON
    pace: Pace = field(default_factory=Pace)

    def now(self) -> datetime:
        return self.started_at + timedelta(seconds=asyncio.get_running_loop().time())

    def dialler(self) -> Dialler:
        return Dialler(
            policy=DialPolicy(frozenset({"US"})),
            carrier=self.carrier,
            attempts=self.attempts,
            public_url="https://gw.example/",
            clock=self.now,
            pace=self.pace,
        )


def other(number: int) -> DialRequest:
    return DialRequest(to=f"+1415555{number:04}", agent="sales", from_="+14155550100")


def raising(error: BaseException) -> Carrier:
    async def fail() -> str:
        raise error

    return Carrier(fail)


def test_a_placed_call_carries_its_attempt_in_both_urls() -> None:
    world = World()
    attempt = clock.run(world.dialler().dial(REQUEST))
    assert (attempt.state, attempt.carrier_call_id) == (AttemptState.PLACED, CALL)
    assert world.carrier.urls == [
        (
            f"https://gw.example/twilio/voice?attempt={attempt.attempt_id}",
            f"https://gw.example/twilio/status?attempt={attempt.attempt_id}",
        )
    ]
    assert world.attempts.rows[attempt.attempt_id] == attempt


def test_the_intent_is_committed_before_the_carrier_is_asked() -> None:
    world = World()

    async def look() -> str:
        assert world.attempts.written == [AttemptState.DIALING]
        return CALL

    world.carrier.then = look
    clock.run(world.dialler().dial(REQUEST))
    assert world.attempts.written == [AttemptState.DIALING, AttemptState.PLACED]


def test_a_refused_number_leaves_no_trace() -> None:
    world = World()
    with pytest.raises(PolicyError):
        clock.run(world.dialler().dial(DialRequest(to="911", agent="sales", from_="+14155550100")))
    assert (world.carrier.urls, world.attempts.rows) == ([], {})


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (CarrierError("no", permanent=True, code="21215"), AttemptState.FAILED),
        (CarrierError("slow down", code="20429"), AttemptState.FAILED),
        (CarrierError("no connection", code="not_sent"), AttemptState.FAILED),
        (CarrierError("broke", code="lost"), AttemptState.UNKNOWN),
        (CarrierError("late", code="timeout"), AttemptState.UNKNOWN),
        (CarrierError("what", code="bad_answer"), AttemptState.UNKNOWN),
        (CarrierError("oops", code="500"), AttemptState.UNKNOWN),
        (TimeoutError(), AttemptState.UNKNOWN),
    ],
)
def test_only_a_sure_refusal_is_a_failure(error: Exception, state: AttemptState) -> None:
    attempt = clock.run(World(raising(error)).dialler().dial(REQUEST))
    assert attempt.state is state
    assert attempt.reason
    assert (state is AttemptState.UNKNOWN) == ("not dialled again" in attempt.reason)


def test_a_carrier_that_never_answers_is_given_up_as_unknown() -> None:
    async def scenario(world: World) -> tuple[Attempt, float]:
        return await world.dialler().dial(REQUEST), asyncio.get_running_loop().time()

    async def hang() -> str:
        await asyncio.Event().wait()
        return CALL

    attempt, took_s = clock.run(scenario(World(Carrier(hang))))
    assert (attempt.state, took_s) == (AttemptState.UNKNOWN, 15.0)


@pytest.mark.parametrize("error", [None, CarrierError("no", permanent=True), CarrierError("lost", code="lost")])
def test_the_same_key_never_asks_the_carrier_twice(error: CarrierError | None) -> None:
    world = World(Carrier() if error is None else raising(error))

    async def scenario() -> tuple[Attempt, Attempt]:
        return await world.dialler().dial(REQUEST), await world.dialler().dial(REQUEST)

    first, second = clock.run(scenario())
    assert first == second
    assert len(world.carrier.urls) == 1


def test_twenty_requests_with_one_key_at_once_place_one_call() -> None:
    world = World(pace=Pace(max_wait_s=60))

    async def scenario() -> set[str]:
        dialler = world.dialler()
        return {attempt.attempt_id for attempt in await asyncio.gather(*(dialler.dial(REQUEST) for _ in range(20)))}

    assert len(clock.run(scenario())) == 1
    assert len(world.carrier.urls) == 1


def test_without_a_key_every_request_is_a_new_call() -> None:
    world = World()

    async def scenario() -> bool:
        dialler = world.dialler()
        return (await dialler.dial(other(2671))).attempt_id != (await dialler.dial(other(2671))).attempt_id

    assert clock.run(scenario())
    assert len(world.carrier.urls) == 2


def test_a_key_that_was_used_for_another_number_is_a_conflict() -> None:
    async def scenario(dialler: Dialler) -> None:
        await dialler.dial(REQUEST)
        await dialler.dial(
            DialRequest(to="+14155552672", agent="sales", from_="+14155550100", idempotency_key="order 7")
        )

    with pytest.raises(DialConflict):
        clock.run(scenario(World().dialler()))


def test_calls_are_one_second_apart_and_the_eleventh_waiter_is_turned_away() -> None:
    world = World()

    async def scenario() -> list[Attempt | BaseException]:
        dialler = world.dialler()
        return await asyncio.gather(*(dialler.dial(other(2600 + n)) for n in range(13)), return_exceptions=True)

    outcomes = clock.run(scenario())
    assert world.carrier.at_s == [float(second) for second in range(11)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, PaceFull)]
    assert [refusal.retry_after_s for refusal in refused] == [1.0, 1.0]


def test_a_call_that_waited_past_the_end_of_the_window_is_not_placed() -> None:
    world = World(started_at=datetime(2026, 6, 11, 2, 59, 59, 500_000, tzinfo=UTC))  # 19:59:59.5 there

    async def scenario() -> list[Attempt | BaseException]:
        dialler = world.dialler()
        return [*await asyncio.gather(dialler.dial(other(2671)), dialler.dial(other(2672)), return_exceptions=True)]

    first, second = clock.run(scenario())
    assert isinstance(first, Attempt)
    assert isinstance(second, PolicyError)
    assert len(world.carrier.urls) == len(world.attempts.rows) == 1


def test_a_cancelled_dial_stays_in_the_journal_and_is_read_as_unknown_later() -> None:
    async def hang() -> str:
        await asyncio.Event().wait()
        return CALL

    world = World(Carrier(hang))

    async def scenario() -> list[Attempt]:
        dialler = world.dialler()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await dialler.dial(REQUEST)
        soon = await dialler.dial(REQUEST)
        await asyncio.sleep(61)
        return [soon, await dialler.dial(REQUEST), await dialler.find(soon.attempt_id) or soon]

    states = [attempt.state for attempt in clock.run(scenario())]
    assert states == [AttemptState.DIALING, AttemptState.UNKNOWN, AttemptState.UNKNOWN]
    assert len(world.carrier.urls) == 1


def test_a_callback_settles_an_unknown_attempt() -> None:
    world = World(raising(CarrierError("lost", code="lost")))

    async def scenario() -> Attempt | None:
        dialler = world.dialler()
        attempt = await dialler.dial(REQUEST)
        await dialler.adopt(attempt.attempt_id, CALL, "ringing")
        return await dialler.find(attempt.attempt_id)

    settled = clock.run(scenario())
    assert settled is not None
    assert (settled.state, settled.carrier_call_id) == (AttemptState.RINGING, CALL)


def test_a_callback_that_overtakes_the_answer_is_not_undone_by_it() -> None:
    world = World()

    async def ring_first() -> str:
        (attempt_id,) = world.attempts.rows
        await world.dialler().adopt(attempt_id, CALL, "ringing")
        return CALL

    world.carrier.then = ring_first
    attempt = clock.run(world.dialler().dial(REQUEST))
    assert world.attempts.rows[attempt.attempt_id].state is AttemptState.RINGING


@pytest.mark.parametrize(("call_id", "status"), [("CA" + "9" * 32, "completed"), (CALL, "nonsense")])
def test_a_callback_of_another_call_or_of_unknown_words_changes_nothing(call_id: str, status: str) -> None:
    world = World()

    async def scenario() -> Attempt | None:
        dialler = world.dialler()
        attempt = await dialler.dial(REQUEST)
        assert await dialler.adopt(attempt.attempt_id, call_id, status) is None
        assert await dialler.adopt("at_nothing", CALL, "ringing") is None
        return await dialler.find(attempt.attempt_id)

    after = clock.run(scenario())
    assert after is not None
    assert after.state is AttemptState.PLACED


def test_states_only_rise_and_a_final_state_is_final() -> None:
    final = [state for state in AttemptState if state.rank == AttemptState.COMPLETED.rank]
    assert len(final) == 5
    assert not any(may_follow(state, new) for state in final for new in AttemptState)
    assert not any(may_follow(state, state) for state in AttemptState)
    assert state_of_carrier("no-answer") is AttemptState.NO_ANSWER


def test_a_store_that_fails_after_the_call_was_placed_does_not_hide_the_call() -> None:
    class Failing(MemoryAttempts):
        async def attempt_updated(self, *_: object, **__: object) -> None:
            raise GatewayError("disk full")

    assert clock.run(World(attempts=Failing()).dialler().dial(REQUEST)).carrier_call_id == CALL


def through_twilio(api: TwilioApi, file: Path, use: Callable[[Dialler], Coroutine[object, object, Attempt]]) -> Attempt:
    """Run with the real REST client on loopback and the real store on a file."""

    async def scenario() -> Attempt:
        async with api.serving(), Store.open(f"sqlite+aiosqlite:///{file}") as store:
            carrier = TwilioRest(ACCOUNT, auth_token="t", api_url=api.url)
            try:
                return await use(
                    Dialler(
                        policy=DialPolicy(frozenset({"US"})),
                        carrier=carrier,
                        attempts=StoredAttempts(store, "twilio"),
                        public_url="https://gw.example",
                        clock=lambda: NOON,
                        pace=Pace(1000),
                    )
                )
            finally:
                await carrier.close()

    return asyncio.run(scenario())


def test_through_the_real_client_and_store_a_call_is_placed_once_and_followed(tmp_path: Path) -> None:
    api = TwilioApi()
    request = DialRequest(
        "+14155552671", "sales", "+14155550100", "America/New_York", {"order": "7"}, idempotency_key="k"
    )

    async def use(dialler: Dialler) -> Attempt:
        placed = await dialler.dial(request)
        repeated = await dialler.dial(request)
        assert (placed.state, repeated.state) == (AttemptState.PLACED, AttemptState.PLACED)
        assert repeated.attempt_id == placed.attempt_id
        for status, sequence in (("initiated", 0), ("in-progress", 2), ("ringing", 1), ("completed", 3)):
            await dialler.adopt(placed.attempt_id, CALL, status, sequence)
        found = await dialler.find(placed.attempt_id)
        assert found is not None
        return found

    found = through_twilio(api, tmp_path / "a.db", use)
    assert (found.state, found.carrier_call_id) == (AttemptState.COMPLETED, CALL)
    assert (found.zone, found.metadata) == ("America/New_York", {"order": "7"})
    (seen,) = api.seen
    assert parse_qs(urlsplit(seen.form["Url"][0]).query) == {"attempt": [found.attempt_id]}


def test_through_the_real_client_a_refusal_and_a_broken_connection_differ(tmp_path: Path) -> None:
    refused = through_twilio(TwilioApi(refusal(400, 21215)), tmp_path / "b.db", lambda dialler: dialler.dial(REQUEST))
    assert (refused.state, "geographic" in (refused.reason or "")) == (AttemptState.FAILED, True)
    lost = through_twilio(TwilioApi(lambda seen: b""), tmp_path / "c.db", lambda dialler: dialler.dial(REQUEST))
    assert lost.state is AttemptState.UNKNOWN


def test_an_attempt_survives_a_restart_of_the_gateway(tmp_path: Path) -> None:
    api = TwilioApi()
    through_twilio(api, tmp_path / "d.db", lambda dialler: dialler.dial(REQUEST))
    again = through_twilio(api, tmp_path / "d.db", lambda dialler: dialler.dial(REQUEST))
    assert (again.state, len(api.seen)) == (AttemptState.PLACED, 1)
