"""Whatever the order and repetition of callbacks, a recorded state only moves forward."""

import asyncio
import itertools
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.store.states import ATTEMPT_RANKS, CALL_RANKS
from gateway.store.store import Store
from tests.store.rows import attempt, call

TERMINAL = {state for state, rank in CALL_RANKS.items() if rank == max(CALL_RANKS.values())}

histories = st.lists(
    st.lists(st.tuples(st.sampled_from([*sorted(CALL_RANKS), "gone"]), st.none() | st.integers(0, 9)), max_size=8),
    min_size=1,
    max_size=20,
)


def expected(history: list[tuple[str, int | None]]) -> tuple[str | None, int | None]:
    """Return the first of the highest-ranked callbacks; that one wins in every order that keeps it first."""
    known = [(state, sequence) for state, sequence in history if state in CALL_RANKS]
    return max(known, key=lambda callback: CALL_RANKS[callback[0]], default=(None, None))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories)
def test_any_callbacks_leave_the_furthest_state(histories: list[list[tuple[str, int | None]]]) -> None:
    async def main(folder: str) -> None:
        async with Store.open(f"sqlite:///{folder}/gateway.db") as store:
            for number, history in enumerate(histories):
                store.call_offered(call(f"call-{number}", carrier_call_id=f"CA{number}"))
                for state, sequence in history:
                    store.call_state(f"CA{number}", state, sequence)
            await store.flush()
            for number, history in enumerate(histories):
                found = await store.get_call(f"call-{number}")
                assert found is not None
                assert (found.carrier_state, found.carrier_sequence) == expected(history)

    with TemporaryDirectory() as folder:
        asyncio.run(main(folder))


def test_every_order_of_one_calls_callbacks_ends_the_same(tmp_path: Path) -> None:
    callbacks = [("initiated", 0), ("ringing", 1), ("in-progress", 2), ("completed", 3)]

    async def main() -> set[tuple[str | None, int | None]]:
        async with Store.open(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
            for number, order in enumerate(itertools.permutations(callbacks)):
                store.call_offered(call(f"call-{number}", carrier_call_id=f"CA{number}"))
                for state, sequence in [*order, *order]:
                    store.call_state(f"CA{number}", state, sequence)
            await store.flush()
            return {(found.carrier_state, found.carrier_sequence) for found in await store.list_calls()}

    assert asyncio.run(main()) == {("completed", 3)}


def test_a_terminal_attempt_state_is_final(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(f"sqlite:///{tmp_path / 'gateway.db'}") as store:
            await store.create_attempt(attempt())
            for state in ("no-answer", *ATTEMPT_RANKS):
                store.attempt_updated("a-1:1", state)
            await store.flush()
            found = await store.get_attempt("a-1:1")
        assert found is not None and found.state == "no-answer"

    asyncio.run(main())
