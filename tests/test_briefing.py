"""What is known before the first word: the look-up's answers, good and bad, and what went before on the call."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.agents import Agent
from gateway.agents.around import Lookup
from gateway.briefing import PAST_S, Briefer, Briefing
from gateway.briefing.past import NOT_DONE
from gateway.core.events import PastCall, PastWords
from gateway.store.memory import MemoryStore
from gateway.store.rows import CallRow, InvocationRow, JournalEntry, JsonValue, StoredCall, StoreError
from gateway.tokens import HIDDEN
from gateway.tools.netguard import NetGuard
from gateway.tools.request import CallFacts
from gateway.tools.sender import Outgoing
from tests.clock import run

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 4
FACTS = CallFacts(
    "call_2", "support", "inbound", "+14155550101", "+14155550199", carrier="twilio", carrier_call_id="CA1"
)
Answer = Callable[[Request], Awaitable[Response]]


def agent(*, lookup: bool = True, greeting: str | None = None, timeout_s: float = 1.5) -> Agent:
    section = Lookup(url="https://crm.example.com/incoming", timeout_s=timeout_s) if lookup else None
    return Agent(instructions="Help.", greeting=greeting, lookup=section)


def says(document: object, status: int = 200, kind: str = "application/json") -> Answer:
    async def answer(request: Request) -> Response:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return Response(body, status, media_type=kind)

    return answer


@asynccontextmanager
async def business(answer: Answer, asked: list[dict[str, Any]]) -> AsyncIterator[Outgoing]:
    app = FastAPI(openapi_url=None)

    @app.post("/incoming")
    async def incoming(request: Request) -> Response:
        asked.append(Webhook(SECRET).verify(await request.body(), dict(request.headers)))
        return await answer(request)

    async with Outgoing(NetGuard(), transport=httpx2.ASGITransport(app=app)) as outgoing:
        yield outgoing


def brief(
    answer: Answer, who: Agent | None = None, store: MemoryStore | None = None, secret: str | None = SECRET
) -> tuple[Briefing, list[dict[str, Any]], float]:
    """Return what is known, what the business was asked, and how long it took."""

    async def main() -> tuple[Briefing, list[dict[str, Any]], float]:
        asked: list[dict[str, Any]] = []
        async with business(answer, asked) as outgoing:
            briefer = Briefer(store or MemoryStore(), outgoing, SecretStr(secret) if secret else None)
            found = await briefer.brief(who or agent(), FACTS)
            return found, asked, asyncio.get_running_loop().time()

    return run(main())


def test_a_business_tells_who_calls() -> None:
    answer = {"context": {"name": "Ada"}, "greeting": "Hello {{name}}!", "variables": {"name": "Ada", "tier": 2}}
    found, (asked,), _ = brief(says(answer))
    assert (asked["type"], asked["id"]) == ("call.incoming", "call_2:call_incoming")
    assert asked["data"]["call"] == {
        **{"id": "call_2", "direction": "inbound", "from": "+14155550101", "to": "+14155550199", "agent": "support"},
        **{"metadata": {}, "carrier": "twilio", "carrier_call_id": "CA1"},
    }
    assert (found.event.context, found.event.greeting) == ('{"name":"Ada"}', "Hello Ada!")
    assert (dict(found.variables), found.event.resumed, found.lookup) == ({"name": "Ada", "tier": 2}, False, "HTTP 200")


def test_the_agents_own_greeting_may_name_what_the_business_tells() -> None:
    found, _, _ = brief(says({"variables": {"name": "Ada"}}), agent(greeting="Hello {{name}}, this is Acme."))
    assert found.event.greeting == "Hello Ada, this is Acme."
    found, _, _ = brief(says({"variables": {"name": "Ada"}}), agent(greeting="Hello, this is Acme."))
    assert found.event.greeting is None


def test_nobody_is_asked_where_the_agent_has_no_look_up() -> None:
    found, asked, took_s = brief(says({"context": "x"}), agent(lookup=False))
    assert (asked, found.event.context, found.lookup, took_s) == ([], "", "", 0)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (says({"context": "x"}, 500), "HTTP 500"),
        (says({"error": "no"}, 404), "HTTP 404"),
        (says({"context": "x"}, 302), "HTTP 302"),
        (says(b"", 204), "HTTP 204"),
        (says(b"<html>", kind="text/html"), "not application/json"),
        (says(b'{"context":'), "unusable answer"),
        (says(b"[" * 30_000), "unusable answer"),
        (says(b'{"context": NaN}'), "unusable answer"),
        (says(["context"]), "not an object"),
        (says({"context": "x" * 200_000}), "over 65536 bytes"),
    ],
)
def test_whatever_is_wrong_the_call_goes_on_without(answer: Answer, detail: str) -> None:
    found, _, took_s = brief(answer)
    assert (found.event.context, found.event.greeting, dict(found.variables)) == ("", None, {})
    assert detail in found.lookup and took_s < 2


def test_a_slow_business_is_waited_for_no_longer_than_was_set() -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(60)
        return Response("{}")

    found, _, took_s = brief(slow, agent(timeout_s=0.7))
    assert took_s == pytest.approx(0.7, abs=0.01)
    assert "in time" in found.lookup and found.lookup_ms == 700


def test_without_a_secret_nothing_leaves() -> None:
    found, asked, _ = brief(says({"context": "x"}), secret=None)
    assert asked == [] and "no signing secret" in found.lookup


def test_parts_that_are_wrong_are_left_out_alone() -> None:
    wrong = {"context": 7, "greeting": "Hello.", "variables": {"bad name": 1}}
    found, _, _ = brief(says(wrong))
    assert (found.event.context, found.event.greeting, dict(found.variables)) == ("", "Hello.", {})
    assert "context" in found.lookup and "variables" in found.lookup
    found, _, _ = brief(says({"context": "Zoë " * 5000, "greeting": ["x"]}))
    assert len(found.event.context) == 8192 and found.event.greeting is None
    assert "end of context" in found.lookup and "greeting" in found.lookup


def test_a_call_is_given_what_finds_out_and_its_variables_are_remembered() -> None:
    async def main() -> None:
        asked: list[dict[str, Any]] = []
        remembered: list[tuple[str, dict[str, object]]] = []
        async with business(says({"variables": {"name": "Ada"}}), asked) as outgoing:
            briefer = Briefer(
                Before(), outgoing, SecretStr(SECRET), lambda call, variables: remembered.append((call, {**variables}))
            )
            assert briefer.for_call(FACTS, agent(lookup=False), False) is None
            goes_on = briefer.for_call(FACTS, agent(lookup=False), True)
            begins = briefer.for_call(FACTS, agent(), False)
            assert goes_on is not None and begins is not None
            assert (await goes_on()).resumed and not asked
            assert not (await begins()).resumed and len(asked) == 1
            assert remembered == [("call_2", {"name": "Ada"})]

    run(main())


# --- what went before -----------------------------------------------------------------------------------------------


class Before(MemoryStore):
    """A store that holds an earlier part of the telephone call."""

    def __init__(self, call_id: str = "call_1", *, answered: bool = True, carrier_call_id: str = "CA1") -> None:
        super().__init__()
        self._seq = 0
        self.part(call_id, answered=answered, carrier_call_id=carrier_call_id)

    def part(self, call_id: str, *, answered: bool = True, carrier_call_id: str = "CA1", minute: int = 0) -> None:
        at = NOON + timedelta(minutes=minute)
        self.call_offered(
            CallRow(call_id, "twilio", carrier_call_id, "inbound", "support", "+14155550101", "+14155550199", at)
        )
        if answered:
            self.call_updated(call_id, answered_at=at)

    def add(self, kind: str, at_s: float = 1.0, call_id: str = "call_1", /, **data: JsonValue) -> None:
        self._seq += 1
        self.put(JournalEntry(call_id, self._seq, at_s, "<", kind, data))

    def invoke(self, tool_call_id: str, arguments: str = "{}") -> None:
        self.add("InvokeTool", tool_call_id=tool_call_id, name="book", arguments=arguments)

    def result(self, tool_call_id: str, output: str, *, pending: bool = False) -> None:
        self.add("ToolResult", tool_call_id=tool_call_id, ok=True, output=output, pending=pending)
        self.add("SubmitToolOutput", tool_call_id=tool_call_id, output=output)

    def order(self, tool_call_id: str, state: str = "intended", output: str | None = None) -> None:
        """Put a write into the ledger."""
        row = InvocationRow(
            *(f"CA1:{tool_call_id}", f"msg_{tool_call_id}", "call_1", "CA1", tool_call_id, "support", "book"),
            *("+14155550101", '{"canonical":1}', "hash", False, NOON),
        )
        self.invocations.pop(row.key, None)
        assert asyncio.run(self.begin_invocation(row)) is None
        if state != "intended":
            self.end_invocation(row.key, state, output)


def past(store: MemoryStore) -> Briefing:
    return brief(says({}), agent(lookup=False), store)[0]


def test_a_call_that_goes_on_knows_what_was_said_and_heard() -> None:
    store = Before()
    store.add("CallerSaid", 2.0, item_id="c1", text="Book a table.")
    store.add("ResponseCreated", 3.0, response_id="r1")
    store.add("PlayAudio", 3.0, item_id="a1", ms=1000)
    store.add("AudioDelta", 3.0, ms=2000)
    store.add("AgentSaid", 3.5, item_id="a1", response_id="r1", text="Gladly, for how many?")
    store.add("Heard", 4.0, item_id="a1", ms=1000, begins_s=3.0)
    event = past(store).event
    assert event.resumed
    assert event.words == (PastWords("user", "Book a table."), PastWords("assistant", "Gladly, for"))


def test_a_call_that_goes_on_twice_knows_all_of_it() -> None:
    store = Before()
    store.add("CallerSaid", 2.0, item_id="c1", text="One.")
    store.part("call_1b", minute=1)
    store.add("CallerSaid", 1.0, "call_1b", item_id="c2", text="Two.")
    assert [words.text for words in past(store).event.words] == ["One.", "Two."]


@pytest.mark.parametrize(
    "store",
    [
        MemoryStore(),
        Before(carrier_call_id="CA-other"),
        Before(answered=False),
        Before("call_2"),
    ],
    ids=["nothing", "another telephone call", "never answered", "only itself"],
)
def test_a_call_that_begins_has_no_past(store: MemoryStore) -> None:
    event = past(store).event
    assert (event.resumed, event.words, event.calls) == (False, (), ())


def test_function_calls_come_with_what_came_of_them() -> None:
    store = Before()
    store.invoke("read", '{"id":1}')
    store.result("read", '{"status":"shipped"}')
    store.invoke("running")
    store.invoke("timed_out")
    store.add("SubmitToolOutput", tool_call_id="timed_out", output='{"error":"late"}')
    store.invoke("promised")
    store.result("promised", '{"status":"in progress"}', pending=True)
    store.invoke("kept_promise")
    store.result("kept_promise", '{"status":"in progress"}', pending=True)
    store.result("kept_promise", '{"done":1}')
    assert past(store).event.calls == (
        PastCall("read", "book", '{"id":1}', '{"status":"shipped"}'),
        PastCall("running", "book", "{}"),
        PastCall("timed_out", "book", "{}", '{"error":"late"}'),
        PastCall("promised", "book", "{}"),
        PastCall("kept_promise", "book", "{}", '{"done":1}'),
    )


def test_of_writes_the_ledger_has_the_last_word() -> None:
    store = Before()
    for name in ("done", "open", "lost"):
        store.invoke(name)
    store.result("open", '{"what":"the journal says"}')
    store.order("done", "done", '{"booked":true}')
    store.order("open")
    store.order("lost", "unknown", '{"error":"nobody knows"}')
    store.order("unwritten", "done", '{"booked":2}')
    calls = {call.tool_call_id: call for call in past(store).event.calls}
    assert {name: call.output for name, call in calls.items()} == {
        "done": '{"booked":true}',
        "open": None,
        "lost": None,
        "unwritten": '{"booked":2}',
    }
    assert calls["open"].arguments == '{"canonical":1}'
    assert calls["unwritten"].name == "book", "its journal entry died with the process"


def test_a_hidden_token_is_never_sent_again_as_an_argument() -> None:
    store = Before()
    store.invoke("pay", f'{{"card":"{HIDDEN}"}}')
    assert past(store).event.calls == (PastCall("pay", "book", f'{{"card":"{HIDDEN}"}}', NOT_DONE),)


def test_a_long_past_is_its_newest_part() -> None:
    store = Before()
    for number in range(300):
        store.add("CallerSaid", float(number), item_id=f"c{number}", text=f"{number} " + "x" * 20_000)
        store.invoke(f"t{number}")
        store.result(f"t{number}", "{}")
    event = past(store).event
    assert len(event.words) == 100 and event.words[-1].text.startswith("299 ")
    assert len(event.calls) == 64 and event.calls[-1].tool_call_id == "t299"
    assert max(len(words.text) for words in event.words) == 8000


def test_the_past_and_the_look_up_are_waited_for_side_by_side() -> None:
    class Slow(Before):
        async def journal_of(self, call_id: str, limit: int = 250_000) -> list[JournalEntry]:
            await asyncio.sleep(1.2)
            return await super().journal_of(call_id, limit)

    async def slow(request: Request) -> Response:
        await asyncio.sleep(1.0)
        return Response('{"context":"Ada"}', media_type="application/json")

    store = Slow()
    store.add("CallerSaid", 2.0, item_id="c1", text="One.")
    found, _, took_s = brief(slow, store=store)
    assert took_s == pytest.approx(1.2, abs=0.01)
    assert (found.event.context, len(found.event.words)) == ("Ada", 1)


def test_a_store_that_hangs_or_fails_keeps_nobody_waiting() -> None:
    class Hangs(Before):
        async def journal_of(self, call_id: str, limit: int = 250_000) -> list[JournalEntry]:
            await asyncio.sleep(3600)
            return []

    class Fails(MemoryStore):
        async def calls_of(self, carrier_call_id: str) -> list[StoredCall]:
            raise StoreError("the database is away")

    found, _, took_s = brief(says({"context": "Ada"}), store=Hangs())
    assert (found.event.resumed, found.event.context) == (True, "Ada")
    assert took_s == pytest.approx(PAST_S, abs=0.01)
    found, _, took_s = brief(says({"context": "Ada"}), store=Fails())
    assert (found.event.resumed, found.event.context) == (False, "Ada") and took_s < 0.1
