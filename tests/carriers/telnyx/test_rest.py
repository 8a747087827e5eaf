"""Commands to Telnyx: asked again without being done twice, bounded, no numbers in what is told of failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.carriers.telnyx.rest import ENDED, TOTAL_S, TelnyxRest
from gateway.errors import CarrierError
from tests.clock import run

CALL = "v3:WZTgPLmJyAfBvZl2wr2kyeWKPBbVx0bqkZC0NgpEWn3h1234567890"
RECORDED = Path(__file__).parents[2] / "vectors" / "telnyx.jsonl"
VECTORS = [json.loads(line) for line in RECORDED.read_text().splitlines()]
OK = httpx2.Response(200, json={"data": {"result": "ok"}})
Answer = httpx2.Response | Exception


def refusal(status: int, code: str = "", detail: str = "", **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json={"errors": [{"code": code, "title": "no", "detail": detail}]}, headers=headers)


class Body(httpx2.AsyncByteStream):
    """An answer that has yet to be read."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content


class Api(httpx2.AsyncBaseTransport):
    """Answers in turn, and remembers what was asked and when."""

    def __init__(self, answers: Sequence[Answer], delay_s: float = 0.1) -> None:
        self.answers = list(answers)
        self.delay_s = delay_s
        self.asked: list[tuple[float, httpx2.Request, dict[str, Any]]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        now = asyncio.get_running_loop().time()
        self.asked.append((now, request, json.loads(await request.aread())))
        await asyncio.sleep(self.delay_s)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=Body(answer.content))

    @property
    def command_ids(self) -> list[str]:
        return [body["command_id"] for _, _, body in self.asked]


def ask(
    answers: Sequence[Answer], work: Callable[[TelnyxRest], Awaitable[object]] | None = None, delay_s: float = 0.1
) -> tuple[Api, object]:
    async def main() -> tuple[Api, object]:
        api = Api(answers, delay_s)
        rest = TelnyxRest("KEY", "https://api.telnyx.com", transport=api)
        try:
            return api, await (work(rest) if work is not None else rest.command(CALL, "answer"))
        except CarrierError as failed:
            return api, failed
        finally:
            await rest.close()

    return run(main())


@pytest.mark.parametrize(
    "vector",
    [v["msg"] for v in VECTORS if v["channel"] == "rest" and "/actions/" in v["msg"]["url"]],
    ids=lambda msg: msg["url"].rpartition("/")[2],
)
def test_recorded_commands_are_what_we_send(vector: dict[str, Any]) -> None:
    action = vector["url"].rpartition("/")[2]
    body = {key: value for key, value in vector["json"].items() if key != "command_id"}
    api, done = ask([OK], lambda rest: rest.command(CALL, action, **body))
    ((_, request, sent),) = api.asked
    assert done is None and str(request.url) == vector["url"] and request.method == "POST"
    assert {key: value for key, value in sent.items() if key != "command_id"} == body
    assert request.headers["authorization"] == "Bearer KEY"


@pytest.mark.parametrize(
    "first",
    [
        refusal(500),
        refusal(503),
        refusal(429),
        httpx2.ConnectError("x"),
        httpx2.ReadTimeout("x"),
        httpx2.ReadError("x"),
    ],
    ids=repr,
)
def test_a_command_that_may_not_have_arrived_is_asked_again_by_the_same_name(first: Answer) -> None:
    api, done = ask([first, OK])
    assert done is None
    assert len(api.command_ids) == 2 and len(set(api.command_ids)) == 1


def test_a_command_that_may_have_arrived_once_is_not_told_as_one_that_did_not() -> None:
    lost = httpx2.ReadTimeout("x")
    _, failed = ask([lost, httpx2.ConnectError("x"), httpx2.ConnectError("x")])
    assert isinstance(failed, CarrierError) and failed.code == "timeout"
    _, never = ask([httpx2.ConnectError("x")] * 3)
    assert isinstance(never, CarrierError) and never.code == "not_sent"


def test_every_command_has_a_name_of_its_own() -> None:
    async def twice(rest: TelnyxRest) -> None:
        await rest.command(CALL, "hangup")
        await rest.command(CALL, "hangup")

    api, _ = ask([OK, OK], twice)
    assert len(set(api.command_ids)) == 2


def test_it_is_waited_as_long_as_telnyx_says_within_reason() -> None:
    api, _ = ask([refusal(429, **{"retry-after": "2"}), refusal(429, **{"retry-after": "86400"}), OK])
    times = [at for at, _, _ in api.asked]
    assert times[1] - times[0] == pytest.approx(2.1) and times[2] - times[1] == pytest.approx(3.1)


def test_an_api_that_never_answers_is_given_up_in_time() -> None:
    async def timed(rest: TelnyxRest) -> object:
        began = asyncio.get_running_loop().time()
        try:
            await rest.command(CALL, "hangup")
        except CarrierError as failed:
            return failed, asyncio.get_running_loop().time() - began
        return None

    _, done = ask([OK] * 5, timed, delay_s=60)
    assert isinstance(done, tuple)
    failed, took_s = done
    assert failed.code == "timeout" and not failed.permanent and took_s <= TOTAL_S + 3


@pytest.mark.parametrize("answer", [refusal(422, "90018"), refusal(404, "10005")], ids=["ended", "unknown"])
def test_an_ended_call_is_success_for_what_ends_it_and_told_for_the_rest(answer: httpx2.Response) -> None:
    _, done = ask([answer], lambda rest: rest.end(CALL))
    assert done is None
    api, failed = ask([answer])
    assert isinstance(failed, CarrierError) and failed.code == ENDED and failed.permanent
    assert len(api.asked) == 1


def test_a_refusal_is_final_and_holds_no_number() -> None:
    api, failed = ask([refusal(422, "10015", "the number +1 (415) 555-0150 is not valid\n")])
    assert isinstance(failed, CarrierError) and failed.permanent and failed.code == "10015"
    assert "555" not in str(failed) and "\n" not in str(failed) and len(api.asked) == 1


def test_a_key_that_is_wrong_is_named() -> None:
    _, failed = ask([refusal(401)])
    assert isinstance(failed, CarrierError) and "GATEWAY_TELNYX_API_KEY" in str(failed)


def test_a_redirect_is_not_followed() -> None:
    api, failed = ask([httpx2.Response(302, headers={"location": "https://elsewhere.example.com/"})])
    assert isinstance(failed, CarrierError) and failed.permanent and len(api.asked) == 1


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    _, failed = ask([httpx2.Response(200, content=b"x" * 200_000)])
    assert isinstance(failed, CarrierError) and failed.code == "bad_answer"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":[]}', b'{"data":{"call_control_id":7}}'])
def test_a_dialled_call_without_an_id_is_an_error(body: bytes) -> None:
    _, failed = ask([httpx2.Response(200, content=body)], lambda rest: rest.dial(to="+14155550150"))
    assert isinstance(failed, CarrierError) and failed.code == "bad_answer"


@pytest.mark.parametrize("body", [b"<html>", b'{"errors":{}}', b'{"errors":[7]}', b"[" * 9000])
def test_an_error_that_says_nothing_is_still_one(body: bytes) -> None:
    _, failed = ask([httpx2.Response(400, content=body)])
    assert isinstance(failed, CarrierError) and failed.permanent and failed.code == "400"
