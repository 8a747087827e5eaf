"""Whatever is sent, the answer is a clear one, and a call is asked for something only by an answer of 200."""

import asyncio
import json

import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.events import OperatorAsked
from gateway.operator.desk import CommandDesk
from gateway.operator.requests import ACTIONS, CommandBody
from tests.operator.calls import CALL, Desk, ScriptedCall, command, during

FIELDS = sorted({name for form in ACTIONS.values() for name in form.model_fields})
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(["#", "root", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
BODIES = st.fixed_dictionaries(
    {"id": st.just("a") | VALUES, "action": st.sampled_from(sorted(ACTIONS)) | VALUES},
    optional={name: VALUES for name in FIELDS if name not in ("id", "action")},
)


@settings(max_examples=300, deadline=None)
@given(body=BODIES | VALUES)
def test_any_json_is_answered_clearly(body: object) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await command(client, json.dumps(body).encode())
        assert answer.status_code in (200, 400, 422)
        assert (answer.status_code == 200) == (len(desk.call.asked) == 1)
        if answer.status_code != 200:
            assert answer.json()["error"]["message"]

    during(desk, use)


@settings(max_examples=200, deadline=None)
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_answered_clearly(raw: bytes) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, raw)).status_code in (400, 422)

    during(desk, use)
    assert desk.call.asked == []


class Forgetful(ScriptedCall):
    """Knows only the last command."""

    def operate(self, asked: OperatorAsked) -> str:
        outcome = super().operate(asked)
        del self.asked[:-1]
        return outcome


def test_the_desk_remembers_longer_than_the_call() -> None:
    call = Forgetful()
    desk = CommandDesk(Desk(calls={CALL: call}), "node-1")

    def ask(number: int) -> str:
        body = {"id": f"c{number}", "action": "unmute"}
        return desk.run(CALL, "night-shift", CommandBody.model_validate(body).root)

    async def main() -> None:
        assert {ask(number) for number in range(1000)} == {"done"}
        assert {ask(number) for number in range(1000)} == {"repeated"}
        assert (ask(1000), ask(0)) == ("done", "done")  # the oldest of a thousand is forgotten

    asyncio.run(main())
