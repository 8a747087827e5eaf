"""No door of any carrier opens to who does not sign: every route of an application that has them all."""

import asyncio
import base64
import logging
import re
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.world import CALLER, PUBLIC, World
from tests.carriers.strangers import CARRIERS, Carrier, all_doors, basic
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

EVERYBODY = {
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/console"),
    ("GET", "/console/"),
    ("GET", "/console/static/{name}"),
    ("GET", "/console/session"),
}
"""Open to everybody, and they tell nothing of a call."""
STREAMS = ("twilio", "telnyx", "signalwire", "plivo", "vonage", "jambonz", "genesys", "asterisk")
_is_parameter = re.compile(r"\{[^}]*\}")


def routes_of(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Yield every method and path; of a socket the method is WS."""
    for context in iter_route_contexts(app.routes):
        assert context.path is not None
        for method in sorted(context.methods or {"WS"}):
            yield method, context.path


def unsigned(carrier: Carrier) -> dict[str, str]:
    body = carrier.body()
    return {name: value for name, value in carrier.headers(body).items() if name == "content-type"}


def empty(carrier: Carrier) -> dict[str, str]:
    return {name: value if name == "content-type" else "" for name, value in carrier.headers(carrier.body()).items()}


def forged(carrier: Carrier, url: str) -> dict[str, str]:
    return carrier.headers(carrier.body(), key=bytes(reversed(carrier.key)), url=url)


def untouched(it: World) -> None:
    assert it.gateway.registry.live == 0
    assert not it.store.calls


def go(test: Coroutine[Any, Any, None]) -> None:
    run(test)


def test_every_route_refuses_who_does_not_sign(tmp_path: Path) -> None:
    async def test() -> None:
        async with all_doors(tmp_path) as it:
            app = it.host._app
            assert isinstance(app, FastAPI)
            http = [(m, p) for m, p in routes_of(app) if m not in ("WS", "HEAD") and (m, p) not in EVERYBODY]
            assert {path.split("/")[1] for _, path in http} >= set(CARRIERS) | {"console", "v1"}
            for method, path in http:
                url = PUBLIC + _is_parameter.sub("x", path)
                for carrier in CARRIERS.values():
                    for headers in (unsigned(carrier), empty(carrier), forged(carrier, url)):
                        query = carrier.body().decode() if carrier.form and method == "GET" else ""
                        answer = await it.http.request(
                            method,
                            f"{url}?{query}",
                            content=carrier.body() if method != "GET" else b"",
                            headers=headers,
                        )
                        assert answer.status_code in (401, 403), (method, path, carrier.name, answer.status_code)
                answer = await it.http.request(method, url)
                assert answer.status_code in (401, 403), (method, path, answer.status_code)
            untouched(it)

    go(test())


def test_a_request_for_one_carrier_signed_by_another_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with all_doors(tmp_path) as it:
            for door in CARRIERS.values():
                for other in CARRIERS.values():
                    if other is not door:
                        body = other.body()
                        answer = await it.http.post(door.url, content=body, headers=other.headers(body, url=door.url))
                        assert answer.status_code in (401, 403), (door.name, other.name)
            untouched(it)

    go(test())


STRANGE_UPGRADES: tuple[Mapping[str, str], ...] = (
    {},
    {"authorization": ""},
    {"authorization": "Bearer " + "A" * 43},
    {"authorization": basic("gateway", "A" * 43)},
    {"authorization": basic("asterisk", "wrong")},
    {"x-telnyx-streaming-auth-token": "A" * 43},
    {"x-twilio-signature": base64.b64encode(b"x" * 20).decode()},
    {"x-plivo-signature-v3": base64.b64encode(b"x" * 32).decode(), "x-plivo-signature-v3-nonce": "1" * 20},
    {
        "signature": "sig1=:" + "A" * 43 + "=:",
        "signature-input": 'sig1=("@request-target");keyid="x"',
        "x-api-key": "x",
    },
)


@pytest.mark.parametrize("name", STREAMS)
def test_every_socket_refuses_strangers_before_it_is_one(name: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with all_doors(tmp_path) as it:
            for headers in STRANGE_UPGRADES:
                for query in ("", "?token=" + "A" * 43 + "&from=1&call=1795327200.1"):
                    offered = {"sec-websocket-protocol": "media, audio.drachtio.org"}
                    with pytest.raises(UpgradeRefused) as refused:
                        await it.host.connect(f"wss://gw.example.com/{name}/media{query}", {**headers, **offered})
                    assert refused.value.status == 403, headers
            untouched(it)

    go(test())


def test_no_other_socket_is_there(tmp_path: Path) -> None:
    async def test() -> None:
        async with all_doors(tmp_path) as it:
            app = it.host._app
            assert isinstance(app, FastAPI)
            assert {path for method, path in routes_of(app) if method == "WS"} == {f"/{name}/media" for name in STREAMS}

    go(test())


# --- which URL, and whose -------------------------------------------------------------------------

LIES = {
    "host": "evil.example.com",
    "forwarded": "host=evil.example.com;proto=http",
    "x-forwarded-host": "evil.example.com",
    "x-forwarded-proto": "http",
    "x-forwarded-prefix": "/evil",
    "x-original-url": "/evil",
    "x-rewrite-url": "/evil",
}


@pytest.mark.parametrize("name", CARRIERS)
def test_what_a_request_says_of_its_host_counts_for_nothing(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            body = carrier.body()
            theirs = carrier.headers(body, url=f"https://evil.example.com{carrier.path}")
            if carrier.signs_url:
                answer = await it.http.post(carrier.url, content=body, headers=theirs | LIES)
                assert answer.status_code == 403
                untouched(it)
            answer = await it.http.post(carrier.url, content=body, headers=carrier.headers(body) | LIES)
            assert answer.status_code == 200
            assert it.gateway.registry.live == 1
            assert "evil" not in answer.text

    go(test())


@pytest.mark.parametrize("host", ["[", "evil?uuid=x&", "evil#", "a/b", "x@y:99999999", "\xff", ""])
@pytest.mark.parametrize("name", CARRIERS)
def test_a_host_that_is_none_fails_nothing(name: str, host: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            body = carrier.body()
            for content, headers in ((body, carrier.headers(body)), (body, unsigned(carrier))):
                said = [(key.encode(), value.encode()) for key, value in headers.items()]
                answer = await it.http.post(
                    carrier.url, content=content, headers=[*said, (b"host", host.encode("latin-1"))]
                )
                assert answer.status_code < 500

    go(test())


@pytest.mark.parametrize("name", CARRIERS)
def test_another_spelling_of_a_path_is_not_what_was_signed(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]
    last = carrier.path[-1]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            body = carrier.body()
            spelt = [
                f"{carrier.path[:-1]}%{ord(last):x}",
                f"/{carrier.path}",
                f"{carrier.path}/",
                f"{carrier.path};x",
                carrier.path.upper(),
            ]
            for path in spelt:
                answer = await it.http.post(
                    httpx2.URL(PUBLIC).copy_with(raw_path=path.encode()), content=body, headers=carrier.headers(body)
                )
                refused = answer.status_code in (403, 404)
                assert refused or (answer.status_code == 200 and not carrier.signs_url), path

    go(test())


# --- what is in them ------------------------------------------------------------------------------

ODD_CALLERS = [
    "\0",
    "a\r\nX: y",
    "\ud800",
    "<x>&'\"",
    "x" * 5000,
    "%00%0d%0a",
]


@pytest.mark.parametrize("name", CARRIERS)
def test_an_odd_caller_fails_nothing_and_leaves_short_printable_text(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    def with_caller(number: str) -> bytes:
        if name == "telnyx":
            data: Any = carrier.fields["data"]
            return carrier.body(data={**data, "payload": {**data["payload"], "from": number}})
        if name == "openai":
            data = carrier.fields["data"]
            headers = [{"name": "From", "value": f"<sip:{number}@x>"}, data["sip_headers"][1]]
            return carrier.body(data={**data, "sip_headers": headers})
        if carrier.form and number == "\ud800":
            return carrier.body().replace(b"from=", b"from=%ed%a0%80").replace(b"From=", b"From=%ed%a0%80")
        return carrier.body(**{carrier.caller: number})

    async def test(number: str, folder: Path) -> None:
        async with all_doors(folder) as it:
            body = with_caller(number)
            answer = await it.http.post(carrier.url, content=body, headers=carrier.headers(body))
            assert answer.status_code < 500, repr(number)[:40]
            for call in it.store.calls.values():
                assert len(call.from_number) <= 64 and call.from_number.isprintable(), repr(number)[:40]
                call.from_number.encode()
            for live in it.gateway.registry.calls():
                assert live.session.offer.from_number.isprintable(), repr(number)[:40]

    for at, number in enumerate(ODD_CALLERS):
        folder = tmp_path / str(at)
        folder.mkdir()
        run(test(number, folder))


HOSTILE_BODIES = {
    "nothing": b"",
    "a NUL": b"\0",
    "no UTF-8": b"\xff\xfe{",
    "a list": b"[]",
    "a number": b"1",
    "deep": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "NaN": b'{"data":NaN,"uuid":NaN,"call_sid":Infinity,"type":-Infinity}',
    "huge integers": b'{"data":' + b"9" * 5000 + b"}",
    "many fields": b"&".join(b"a%d=1" % number for number in range(9000)),
    "a long field": b"a=" + b"x" * 60_000,
    "too long": b"a" * 200_000,
    "surrogates": b'{"data":"\\ud800","uuid":"\\udfff","call_sid":"\\ud800"}',
}


@pytest.mark.parametrize("name", CARRIERS)
def test_a_hostile_body_fails_nothing_even_if_it_is_signed(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            for kind, body in HOSTILE_BODIES.items():
                try:
                    headers = carrier.headers(body)
                except UnicodeDecodeError:
                    headers = forged(carrier, carrier.url)
                answer = await it.http.post(carrier.url, content=body, headers=headers)
                assert answer.status_code < 500, (kind, answer.status_code)
                assert len(answer.content) < 1000, kind

    go(test())


@pytest.mark.parametrize("name", CARRIERS)
def test_a_body_that_does_not_end_is_given_up_before_long(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def slow() -> Any:
        while True:
            yield b"a"
            await asyncio.sleep(1.0)

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            began_s = asyncio.get_running_loop().time()
            headers = forged(carrier, carrier.url) if name != "audiosocket" else carrier.headers(carrier.body())
            answer = await it.http.post(carrier.url, content=slow(), headers=headers, timeout=60)
            assert 400 <= answer.status_code < 500
            assert asyncio.get_running_loop().time() - began_s <= 6.0

    go(test())


# --- replays, and development -----------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRIERS)
def test_a_replayed_offer_is_one_call_and_begins_none_anew(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            body = carrier.body()
            headers = carrier.headers(body)
            for _ in range(3):
                await it.http.post(carrier.url, content=body, headers=headers)
            assert it.gateway.registry.live <= 1
            assert len(it.gateway.registry._tokens) <= 1
            await asyncio.sleep(90)
            for _ in range(3):
                answer = await it.http.post(carrier.url, content=body, headers=headers)
                assert answer.status_code < 500
                assert it.gateway.registry.live == 0
            assert len(it.store.calls) == 1

    go(test())


@pytest.mark.parametrize("name", CARRIERS)
def test_in_development_the_unsigned_are_let_in_and_the_forged_are_not(name: str, tmp_path: Path) -> None:
    carrier, here = CARRIERS[name], "http://127.0.0.1:8000"

    async def test() -> None:
        async with all_doors(tmp_path, {"allow_unsigned": True, "public_url": here}) as it:
            url = here + carrier.path
            for headers in (empty(carrier), forged(carrier, url)):
                answer = await it.http.post(url, content=carrier.body(), headers=headers)
                assert answer.status_code in (401, 403)
                untouched(it)
            answer = await it.http.post(url, content=carrier.body(), headers=unsigned(carrier))
            assert answer.status_code == (403 if name == "openai" else 200)

    go(test())


# --- who waits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CARRIERS)
def test_an_offer_that_never_connects_frees_its_place(name: str, tmp_path: Path) -> None:
    carrier = CARRIERS[name]

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            body = carrier.body()
            answer = await it.http.post(carrier.url, content=body, headers=carrier.headers(body))
            assert answer.status_code == 200
            await asyncio.sleep(90)
            assert it.gateway.registry.live == 0
            assert not it.gateway.registry._tokens

    go(test())


@pytest.mark.parametrize("name", CARRIERS)
def test_a_refusal_says_nothing_of_who_is_refused(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    carrier = CARRIERS[name]
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        async with all_doors(tmp_path) as it:
            answer = await it.http.post(carrier.url, content=carrier.body(), headers=forged(carrier, carrier.url))
            for text in (answer.text, *(record.getMessage() for record in caplog.records)):
                assert CALLER[1:] not in text and carrier.key.decode("latin-1") not in text

    go(test())
