"""The REST client against a server on loopback: what is sent, and what every kind of failure becomes."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from gateway.carriers.twilio import rest
from gateway.carriers.twilio.rest import Account, TwilioRest
from gateway.errors import CarrierError, ConfigError, LocalProtocolError
from tests.outbound.twilio_api import ACCOUNT, CALL, Answer, Seen, TwilioApi, refusal

TO, FROM = "+14155552671", "+14155550100"
VOICE, STATUS = "https://gw.example/twilio/voice?attempt=at_1", "https://gw.example/twilio/status?attempt=at_1"


async def create(client: TwilioRest) -> str:
    return await client.create_call(TO, FROM, VOICE, STATUS, timeout_s=25)


async def ask(api: TwilioApi, use: Callable[[TwilioRest], Awaitable[object]]) -> object:
    async with api.serving():
        client = TwilioRest(ACCOUNT, auth_token="secret-token", api_url=api.url)
        try:
            return await use(client)
        finally:
            await client.close()


def failure(answer: Callable[[Seen], Answer]) -> CarrierError:
    with pytest.raises(CarrierError) as failed:
        asyncio.run(ask(TwilioApi(answer), create))
    return failed.value


def test_a_call_is_created_at_the_configured_origin() -> None:
    api = TwilioApi()
    assert asyncio.run(ask(api, create)) == CALL
    (seen,) = api.seen
    assert (seen.method, seen.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json")
    assert (seen.user, seen.password) == (ACCOUNT, "secret-token")
    assert seen.form == {
        "To": [TO],
        "From": [FROM],
        "Url": [VOICE],
        "Method": ["POST"],
        "StatusCallback": [STATUS],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": ["25"],
    }


def test_a_call_may_bring_its_own_twiml() -> None:
    api = TwilioApi()
    hang_up = "<Response><Hangup/></Response>"
    assert asyncio.run(ask(api, lambda client: client.ring(TO, FROM, hang_up, STATUS, timeout_s=25))) == CALL
    (seen,) = api.seen
    assert seen.form["Twiml"] == [hang_up] and seen.form["Timeout"] == ["25"]
    assert "Url" not in seen.form and "TimeLimit" not in seen.form
    with pytest.raises(LocalProtocolError):
        asyncio.run(ask(api, lambda client: client.ring(TO, FROM, "x" * 4001, STATUS, timeout_s=25)))


def test_an_api_key_is_used_in_place_of_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")

    async def scenario(api: TwilioApi) -> None:
        async with api.serving():
            client = TwilioRest(ACCOUNT, auth_token="t", api_key="SK1", api_secret="s", api_url=api.url + "/")
            await client.create_call(TO, FROM, VOICE, STATUS, time_limit_s=600)
            await client.close()

    api = TwilioApi()
    asyncio.run(scenario(api))
    assert (api.seen[0].user, api.seen[0].password) == ("SK1", "s")
    assert api.seen[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert api.seen[0].form["TimeLimit"] == ["600"]


def test_hanging_up_asks_for_the_completed_state() -> None:
    api = TwilioApi(lambda seen: (200, {"sid": CALL, "status": "completed"}))
    asyncio.run(ask(api, lambda client: client.hang_up(CALL)))
    assert api.seen[0].path.endswith(f"/Calls/{CALL}.json")
    assert api.seen[0].form == {"Status": ["completed"]}


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (404, 21220)])
def test_hanging_up_a_call_that_is_gone_is_a_success(status: int, code: int) -> None:
    asyncio.run(ask(TwilioApi(refusal(status, code)), lambda client: client.hang_up(CALL)))


def test_hanging_up_still_fails_for_other_reasons() -> None:
    with pytest.raises(CarrierError):
        asyncio.run(ask(TwilioApi(refusal(401, 20003)), lambda client: client.hang_up(CALL)))


def test_a_redirect_sends_the_twiml() -> None:
    api = TwilioApi(lambda seen: (200, {"sid": CALL}))
    asyncio.run(ask(api, lambda client: client.redirect(CALL, "<Response><Hangup/></Response>")))
    assert api.seen[0].form == {"Twiml": ["<Response><Hangup/></Response>"]}


def test_nothing_is_sent_for_twiml_or_a_sid_that_twilio_would_not_take() -> None:
    api = TwilioApi()
    with pytest.raises(LocalProtocolError):
        asyncio.run(ask(api, lambda client: client.redirect(CALL, "x" * 4001)))
    with pytest.raises(LocalProtocolError):
        asyncio.run(ask(api, lambda client: client.hang_up("../../Accounts")))
    assert api.seen == []


def test_the_account_is_fetched() -> None:
    api = TwilioApi(lambda seen: (200, {"sid": ACCOUNT, "status": "active", "type": "Trial"}))
    assert asyncio.run(ask(api, lambda client: client.fetch_account())) == Account("active", "Trial")
    assert (api.seen[0].method, api.seen[0].path) == ("GET", f"/2010-04-01/Accounts/{ACCOUNT}.json")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, 20003, "credentials"),
        (400, 21210, "caller number"),
        (400, 21211, "not valid"),
        (400, 21214, "cannot reach"),
        (400, 21215, "geographic permissions"),
        (400, 21216, "does not allow"),
        (400, 21219, "trial account"),
        (403, 99999, "HTTP 403, error 99999"),
    ],
)
def test_a_refusal_is_permanent_and_says_what_to_do(status: int, code: int, words: str) -> None:
    error = failure(refusal(status, code))
    assert (error.permanent, error.code) == (True, str(code))
    assert words in str(error)


@pytest.mark.parametrize(
    ("status", "code", "expected"), [(429, 20429, "20429"), (429, 0, "20429"), (500, 20500, "20500"), (503, 0, "503")]
)
def test_throttling_and_server_errors_are_temporary(status: int, code: int, expected: str) -> None:
    error = failure(refusal(status, code))
    assert (error.permanent, error.code) == (False, expected)


def test_what_twilio_says_is_told_without_the_numbers_in_it() -> None:
    error = failure(refusal(400, 21999, f"To {TO}, (415) 555-2671 and {FROM} are unfit"))
    assert str(error).endswith("To •••, ••• and ••• are unfit")


def test_a_refusal_in_the_newer_problem_format_is_understood() -> None:
    problem = {"type": "https://t/e", "title": "Bad", "status": 400, "code": 21215, "detail": "no"}
    assert "geographic" in str(failure(lambda seen: (400, problem)))


def test_a_page_of_a_proxy_in_place_of_an_error_is_still_an_error() -> None:
    page = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>"
    error = failure(lambda seen: page)
    assert (error.permanent, error.code) == (False, "502")


@pytest.mark.parametrize(
    "answer",
    [
        (201, {}),
        (201, {"sid": 5}),
        (201, {"sid": "CA1/../.."}),
        (201, [1]),
        (201, {"sid": CALL, "date_created": 5}),
        b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\n{{{",
        b"HTTP/1.1 201 Created\r\ncontent-length: 9000\r\n\r\n" + b"[" * 9000,
        b"HTTP/1.1 201 Created\r\n\r\n" + b" " * (rest.ANSWER_BYTES_MAX + 1),
    ],
)
def test_a_created_call_without_a_usable_answer_is_not_a_refusal(answer: Answer) -> None:
    error = failure(lambda seen: answer)
    assert (error.permanent, error.code) == (False, "bad_answer")


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 201 Cre", b"HTTP/1.1 201 C\r\ncontent-length: 90\r\n\r\n{", b"\0\r\n\r\n"]
)
def test_a_connection_that_breaks_after_sending_is_told_apart(answer: bytes) -> None:
    error = failure(lambda seen: answer)
    assert (error.permanent, error.code) == (False, "lost")


def test_a_redirect_is_not_followed_with_our_credentials() -> None:
    moved = b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
    assert failure(lambda seen: moved).permanent


def test_silence_ends_at_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "REQUEST_TIMEOUT_S", 0.05)
    error = failure(lambda seen: None)
    assert (error.permanent, error.code) == (False, "timeout")


def test_a_refused_connection_proves_that_nothing_was_sent() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

        async def scenario() -> None:
            client = TwilioRest(ACCOUNT, auth_token="t", api_url=url)
            try:
                await create(client)
            finally:
                await client.close()
                await client.close()

        with pytest.raises(CarrierError) as failed:
            asyncio.run(scenario())
    assert (failed.value.permanent, failed.value.code) == (False, "not_sent")


def test_no_number_and_no_credential_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        asyncio.run(ask(TwilioApi(), create))
        failure(refusal(400, 21211, f"{TO} is bad"))
    assert not any(secret in caplog.text for secret in (TO, TO[1:], FROM, "secret-token"))


@pytest.mark.parametrize("url", ["", "api.twilio.com", "ftp://x", "https://x?y=1", "https://"])
def test_an_api_address_that_is_no_origin_stops_the_start(url: str) -> None:
    with pytest.raises(ConfigError):
        TwilioRest(ACCOUNT, auth_token="t", api_url=url)


def test_missing_or_malformed_credentials_stop_the_start() -> None:
    with pytest.raises(ConfigError):
        TwilioRest("AC1", auth_token="t")
    with pytest.raises(ConfigError):
        TwilioRest(ACCOUNT, api_key="SK1")
