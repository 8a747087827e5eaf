"""The calls endpoints' client: what it asks, and what it makes of every answer."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx2
import pytest

from gateway.carriers.openai_sip.rest import GONE, TAKEN, CallsRest, calls_url
from gateway.errors import CarrierError
from tests.clock import run

URL = "https://api.openai.com/v1/realtime/calls"
Answer = Callable[[httpx2.Request], httpx2.Response]


def client(answer: Answer | httpx2.AsyncBaseTransport) -> CallsRest:
    transport = answer if isinstance(answer, httpx2.AsyncBaseTransport) else httpx2.MockTransport(answer)
    return CallsRest(URL, {"Authorization": "Bearer sk-test"}, transport=transport)


def failure(work: Coroutine[Any, Any, None]) -> CarrierError:
    async def main() -> CarrierError:
        with pytest.raises(CarrierError) as failed:
            await work
        return failed.value

    return run(main())


def error(status: int, code: str = "server_error", message: str = "No.") -> Answer:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return lambda request: replied(status, body)


def replied(status: int, body: bytes) -> httpx2.Response:
    """Return an answer that is read from the network, as a real one is."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 4096):
            yield body[at : at + 4096]

    return httpx2.Response(status, content=pieces())


@pytest.mark.parametrize(
    ("model_url", "calls"),
    [
        ("wss://api.openai.com/v1/realtime", URL),
        ("ws://127.0.0.1:8081/v1/realtime?x=1", "http://127.0.0.1:8081/v1/realtime/calls"),
        ("wss://eu.api.openai.com/v1/realtime/", "https://eu.api.openai.com/v1/realtime/calls"),
    ],
)
def test_the_endpoints_stand_beside_the_models(model_url: str, calls: str) -> None:
    assert calls_url(model_url) == calls


def test_every_request_is_what_the_reference_says() -> None:
    asked: list[tuple[str, str, str, object]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else None
        asked.append((request.method, str(request.url), request.headers["authorization"], body))
        return httpx2.Response(200)

    async def main() -> None:
        rest = client(answer)
        await rest.accept("rtc_1", {"type": "realtime", "model": "gpt-realtime-2.1"})
        await rest.reject("rtc_1", 486)
        await rest.refer("rtc_1", "tel:+14155550150")
        await rest.hang_up("rtc_1")
        await rest.close()

    run(main())
    bearer = "Bearer sk-test"
    assert asked == [
        ("POST", f"{URL}/rtc_1/accept", bearer, {"type": "realtime", "model": "gpt-realtime-2.1"}),
        ("POST", f"{URL}/rtc_1/reject", bearer, {"status_code": 486}),
        ("POST", f"{URL}/rtc_1/refer", bearer, {"target_uri": "tel:+14155550150"}),
        ("POST", f"{URL}/rtc_1/hangup", bearer, None),
    ]


def test_a_call_that_is_over_counts_as_hung_up_and_declined() -> None:
    async def main() -> None:
        rest = client(error(404, "call_id_not_found"))
        await rest.hang_up("rtc_1")
        await rest.reject("rtc_1", 603)

    run(main())
    failed = failure(client(error(404)).accept("rtc_1", {}))
    assert (failed.code, failed.permanent) == (GONE, True)


@pytest.mark.parametrize(
    ("status", "code", "permanent", "told"),
    [
        (401, "401", True, "key of the project"),
        (403, "403", True, "does not let"),
        (400, "400", True, "HTTP 400 unknown_parameter"),
        (409, TAKEN, True, "before"),
        (429, "429", False, "rate limit"),
        (500, "500", False, "HTTP 500"),
        (503, "503", False, "HTTP 503"),
        (302, "", True, "redirect"),
    ],
)
def test_an_error_becomes_a_sentence_and_one_bit(status: int, code: str, permanent: bool, told: str) -> None:
    failed = failure(client(error(status, "unknown_parameter")).accept("rtc_1", {}))
    assert (failed.code, failed.permanent) == (code, permanent)
    assert told in str(failed)


def test_the_services_words_are_told_without_numbers_and_bounded() -> None:
    said = "cannot call +1 415 555 0101 \x1b[31m" + "y" * 5000
    failed = failure(client(error(400, "x" * 500, said)).hang_up("rtc_1"))
    assert "415" not in str(failed)
    assert "\x1b" not in str(failed)
    assert len(str(failed)) < 400


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "no"}', b"[" * 50_000, b"x" * 10_000_000])
def test_an_error_of_any_shape_is_read(body: bytes) -> None:
    failed = failure(client(lambda request: replied(500, body)).hang_up("rtc_1"))
    assert failed.code == "500"


@pytest.mark.parametrize(
    "target", ["+14155550150", "tel:14155550150", "http://x", "sip:x", "tel:+1415;x", "sip:a@b\r\nX: y"]
)
def test_only_tel_and_sip_targets_are_asked_for(target: str) -> None:
    failed = failure(client(lambda request: httpx2.Response(200)).refer("rtc_1", target))
    assert (failed.code, failed.permanent) == ("bad_target", True)


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (httpx2.ConnectError("no"), "not_sent"),
        (httpx2.ConnectTimeout("no"), "not_sent"),
        (httpx2.ReadTimeout("no"), "timeout"),
        (httpx2.ReadError("no"), "lost"),
        (httpx2.RemoteProtocolError("no"), "lost"),
    ],
)
def test_a_network_that_fails_is_temporary(raised: Exception, code: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise raised

    failed = failure(client(answer).hang_up("rtc_1"))
    assert (failed.code, failed.permanent) == (code, False)


class _Trickle(httpx2.AsyncBaseTransport):
    """Answers with an error a byte a second, for ever."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        async def drops() -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(1)
                yield b"x"

        return httpx2.Response(500, content=drops())


def test_an_answer_that_never_ends_is_given_up() -> None:
    assert failure(client(_Trickle()).hang_up("rtc_1")).code == "timeout"
