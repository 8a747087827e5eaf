"""What the page can do with a call, and what it cannot."""

import asyncio
import json

import httpx2
import pytest

from gateway.carriers.base import Draining, Full
from gateway.console.routes import HEADERS, HEARTBEAT_S, STATIC, _lines
from gateway.core import operator as ask
from gateway.errors import CarrierError, ConfigError, GatewayError, RemoteProtocolError
from gateway.store.rows import CallEnd
from gateway.watching import KEPT_ENTRIES, MOST_WATCHERS
from tests.clock import run
from tests.console.pages import CALL, KEY, NOW, Console, asking

DIAL = {"agent": "support", "sdp": "v=0"}
OVER = CallEnd(CALL, NOW, "caller_hangup", 4200)


async def calling(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/session", json={"key": KEY})).status_code == 200
    assert (await client.post("/calls", json=DIAL)).json() == {"call_id": CALL, "sdp": "v=0 of ours"}


def events(text: str) -> list[dict[str, object]]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_the_page_and_its_parts_come_with_a_strict_policy() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        for path in ("", *(f"/static/{name}" for name in STATIC)):
            answer = await client.get(path)
            assert answer.status_code == 200
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        policy = HEADERS["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        page = (await client.get("")).text
        assert "<script>" not in page and "style=" not in page and "onclick" not in page and "http" not in page
        assert (await client.get("/static/../mount.py")).status_code == 404
        assert (await client.get("/static/mount.py")).status_code == 404

    asking(Console(), use)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/calls"), ("GET", f"/calls/{CALL}/events"), ("POST", f"/calls/{CALL}/commands")]
)
def test_nothing_is_done_for_who_is_not_signed_in(method: str, path: str) -> None:
    console = Console(owners={CALL: "somebody"})

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await client.request(method, path, json=DIAL)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["content-security-policy"]

    asking(console, use)
    assert not console.placed


def test_commands_go_by_the_operators_desk_with_the_key_s_name() -> None:
    console = Console()

    async def use(client: httpx2.AsyncClient) -> None:
        await calling(client)
        for number, action in enumerate(("mute_caller", "unmute", "force_reply")):
            answer = await client.post(f"/calls/{CALL}/commands", json={"id": f"c{number}", "action": action})
            assert answer.json() == {"id": f"c{number}", "outcome": "done"}
        again = await client.post(f"/calls/{CALL}/commands", json={"id": "c0", "action": "mute_caller"})
        assert again.json()["outcome"] == "repeated"
        wrong = await client.post(f"/calls/{CALL}/commands", json={"id": "c9", "action": "explode"})
        assert wrong.status_code == 422

    asking(console, use)
    assert [asked.action for asked in console.call_made.asked] == [ask.MuteCaller(), ask.Unmute(), ask.ForceReply()]
    assert {asked.who for asked in console.call_made.asked} == {console.placed[0][0]}


def test_a_call_is_its_maker_s_alone() -> None:
    console = Console(owners={CALL: "somebody else"})

    async def use(client: httpx2.AsyncClient) -> None:
        await client.post("/session", json={"key": KEY})
        for method, path in (("GET", "events"), ("POST", "commands")):
            answer = await client.request(method, f"/calls/{CALL}/{path}", json={"id": "c", "action": "hang_up"})
            assert answer.status_code == 404

    asking(console, use)
    assert not console.call_made.asked


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RemoteProtocolError("expected PCMU"), 422, "invalid"),
        (Draining("bye"), 503, "draining"),
        (Full("16 lines"), 503, "full"),
        (CarrierError("no socket"), 502, "no_connection"),
        (ConfigError("there is no such agent"), 409, "refused"),
    ],
)
def test_each_way_a_call_is_not_made_has_its_answer(error: GatewayError, status: int, code: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        await client.post("/session", json={"key": KEY})
        answer = await client.post("/calls", json=DIAL)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)

    asking(Console(refuses=error), use)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"agent": "support"},
        {"agent": "support", "sdp": "x" * 17_000},
        {"agent": "", "sdp": "v=0"},
        {"agent": "support", "sdp": "v=0", "to": "+14155550199"},
        {"agent": 7, "sdp": "v=0"},
    ],
)
def test_what_is_no_call_is_refused_with_a_sentence(body: dict[str, object]) -> None:
    console = Console()

    async def use(client: httpx2.AsyncClient) -> None:
        await client.post("/session", json={"key": KEY})
        answer = await client.post("/calls", json=body)
        assert answer.status_code == 422 and answer.json()["error"]["message"]
        assert (await client.post("/calls", content=b"x" * 200_000)).status_code in (413, 415)

    asking(console, use)
    assert not console.placed


def test_the_stream_tells_what_happens_and_ends_with_the_call() -> None:
    console = Console()

    async def use(client: httpx2.AsyncClient) -> None:
        await calling(client)
        console.note(0, "CallerSaid", item_id="i1", text="Hello </script>\n\ndata: x")
        console.note(1, "CallerAudio", frames=50)
        console.note(2, "Dtmf", digit="5")
        console.watching.call_ended(OVER)
        answer = await client.get(f"/calls/{CALL}/events")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        told = events(answer.text)
        assert [event["type"] for event in told] == ["caller", "key", "end"]
        assert told[0]["text"] == "Hello </script>\n\ndata: x"
        assert told[2] == {"type": "end", "reason": "caller_hangup", "duration_ms": 4200, "cost_usd": None}
        later = await client.get(f"/calls/{CALL}/events", headers={"last-event-id": "0"})
        assert [event["type"] for event in events(later.text)] == ["key", "end"]
        odd = await client.get(f"/calls/{CALL}/events", headers={"last-event-id": "-1; x" * 50})
        assert len(events(odd.text)) == 3

    asking(console, use)


def test_a_slow_page_is_told_that_it_missed_something_and_a_quiet_call_that_it_lives() -> None:
    console = Console()

    async def main() -> list[str]:
        await console.call("me", "support", "v=0")
        for seq in range(KEPT_ENTRIES + 10):
            console.note(seq, "Dtmf", digit="1")
        asyncio.get_running_loop().call_later(2.5 * HEARTBEAT_S, console.watching.call_ended, OVER)
        with console.watching.watch(CALL) as watcher:
            return [line async for line in _lines(watcher)]

    lines = run(main())
    assert lines[0] == "retry: 2000\n\n"
    assert json.loads(lines[1].removeprefix("data: ")) == {"type": "missed", "entries": 10}
    assert len([line for line in lines if line.startswith("id: ")]) == KEPT_ENTRIES
    assert lines[-3:-1] == [": still here\n\n"] * 2 and '"end"' in lines[-1]


def test_a_call_is_watched_by_a_few_only() -> None:
    console = Console()

    async def use(client: httpx2.AsyncClient) -> None:
        await calling(client)
        watchers = [console.watching.watch(CALL) for _ in range(MOST_WATCHERS)]
        for watcher in watchers:
            watcher.__enter__()
        assert (await client.get(f"/calls/{CALL}/events")).status_code == 429
        for watcher in watchers:
            watcher.__exit__(None, None, None)
        console.watching.call_ended(OVER)
        assert (await client.get(f"/calls/{CALL}/events")).status_code == 200

    asking(console, use)


def test_what_the_phone_needs_lives_as_long_as_the_application() -> None:
    console = Console()

    async def main() -> None:
        app = console.app()
        async with app.router.lifespan_context(app):
            assert console.entered == ["in"]

    run(main())
    assert console.entered == ["in", "out"]
