"""Nobody gets in by another site's page, by a name pointed at us, by a proxy, or without a key where one is needed."""

import asyncio
import logging

import httpx2
import pytest

from gateway.console.sessions import MOST_SESSIONS, SESSION_S, WRONG_S, Sessions
from tests.console.pages import HERE, KEY, OURS, Console, asking

LOCAL = {"keys": (), "public_url": HERE, "address": "127.0.0.1"}


def here(**other: object) -> Console:
    return Console(**(LOCAL | other))  # type: ignore[arg-type]  # fields of the dataclass


async def who(client: httpx2.AsyncClient) -> object:
    return (await client.get("/session")).json()["who"]


def test_a_key_signs_in_and_the_cookie_is_out_of_reach() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        session = (await client.get("/session")).json()
        assert session == {"who": None, "needs_key": True, "agents": []}
        answer = await client.post("/session", json={"key": KEY})
        assert answer.status_code == 200
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-gateway_console=")
        for part in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
            assert part in cookie
        assert KEY not in cookie
        session = (await client.get("/session")).json()
        assert session["who"] and session["agents"] == [{"name": "support"}]

    asking(Console(), use)


@pytest.mark.parametrize("body", [{"key": "a-key-of-nobody-at-all"}, {"key": ""}, {}])
def test_without_a_valid_key_nobody_comes_in(body: dict[str, str]) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/session", json=body)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers

    asking(Console(), use)


def test_a_session_ends_when_it_is_signed_out_and_after_its_time() -> None:
    console = Console()

    async def use(client: httpx2.AsyncClient) -> None:
        await client.post("/session", json={"key": KEY})
        old = dict(client.cookies)
        await client.delete("/session")
        client.cookies.update(old)
        assert await who(client) is None
        client.cookies.clear()
        await client.post("/session", json={"key": KEY})
        assert await who(client) is not None
        console.now += SESSION_S + 1
        assert await who(client) is None

    asking(console, use)


def test_no_more_sessions_are_kept_than_may() -> None:
    sessions = Sessions(lambda: 0.0)
    tokens = [sessions.begin(str(number)) for number in range(MOST_SESSIONS + 1)]
    assert sessions.who(tokens[0]) is None and sessions.who(tokens[-1]) == str(MOST_SESSIONS)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://gw.example.com"},
        {"origin": f"{OURS}.evil.example.com"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize(("method", "path"), [("POST", "/session"), ("DELETE", "/session"), ("POST", "/calls")])
def test_another_site_s_page_changes_nothing(headers: dict[str, str], method: str, path: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        await client.post("/session", json={"key": KEY})
        answer = await client.request(method, path, json={"key": KEY}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")
        assert await who(client) is not None, "still signed in"

    asking(Console(), use)


def test_a_request_that_changes_something_must_bear_an_origin() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        del client.headers["origin"]
        assert (await client.post("/session", json={"key": KEY})).status_code == 403
        assert (await client.get("/session")).status_code == 200

    asking(Console(), use)


def test_a_form_of_another_site_cannot_even_be_written() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await client.post("/session", content=b'{"key": "x"}', headers={"content-type": "text/plain"})
        assert answer.status_code == 415

    asking(Console(), use)


def test_on_this_machine_without_any_key_the_page_is_open_to_this_machine() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await client.get("/session")).json()["needs_key"] is False
        answer = await client.post("/session", json={})
        assert answer.json() == {"who": "local"}
        assert answer.headers["set-cookie"].startswith("gateway_console=")
        assert "Secure" not in answer.headers["set-cookie"], "plain http"

    asking(here(), use)


def test_by_whatever_name_this_machine_goes() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        origin = {"host": "localhost:8080", "origin": "http://localhost:8080"}
        assert (await client.post("/session", json={}, headers=origin)).status_code == 200

    asking(here(), use)


@pytest.mark.parametrize(
    ("console", "headers"),
    [
        (here(keys=(KEY,)), {}),
        (here(address="192.0.2.7"), {}),
        (here(), {"x-forwarded-for": "127.0.0.1"}),
        (here(), {"forwarded": "for=127.0.0.1"}),
        (here(), {"via": "1.1 proxy"}),
        (Console(keys=(), address="127.0.0.1"), {}),
    ],
)
def test_it_is_open_to_nobody_else(console: Console, headers: dict[str, str]) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await client.get("/session", headers=headers)).json()["needs_key"] is True
        assert (await client.post("/session", json={}, headers=headers)).status_code == 401

    asking(console, use)


@pytest.mark.parametrize("host", ["evil.example.com:8080", "evil.example.com", "127.0.0.1.evil.example.com", "[", ""])
def test_a_name_that_somebody_pointed_at_this_machine_is_not_ours(host: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        headers = {"host": host, "origin": f"http://{host}"}
        assert (await client.post("/session", json={}, headers=headers)).status_code == 403
        assert (await client.get("/session", headers=headers)).status_code == 403

    asking(here(), use)


def test_wrong_keys_are_logged_without_the_key_and_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        for _ in range(20):
            await client.post("/session", json={"key": "a-key-of-nobody-at-all"})
        await asyncio.sleep(WRONG_S)
        await client.post("/session", json={"key": "another-key-of-nobody"})

    with caplog.at_level(logging.WARNING, "gateway.console"):
        asking(Console(), use)
    assert caplog.messages == [
        "sign-in to the console refused: wrong API key (1 since the last such line)",
        "sign-in to the console refused: wrong API key (20 since the last such line)",
    ]
