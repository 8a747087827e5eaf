"""Vonage's REST client: what it asks, and what it makes of every answer."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.carriers.front import Again, Apologise, Busy, HangUp, NotInService, Stream
from gateway.carriers.jsonrest import ANSWER_BYTES_MAX, GONE
from gateway.carriers.vonage import CAPABILITIES
from gateway.carriers.vonage.context import Context, Seal
from gateway.carriers.vonage.ncco import Ncco, plus
from gateway.carriers.vonage.rest import VonageRest
from gateway.errors import CarrierError, ConfigError
from gateway.simulator.carriers.vonage import CARRIER
from tests.clock import run

APPLICATION = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
CALL = "aaaaaaaa-bbbb-cccc-dddd-0123456789ab"
KEY = str(CARRIER.settings["vonage_private_key"])
PUBLIC_KEY = serialization.load_pem_private_key(KEY.encode(), None).public_key()
NOW = 1_795_327_200
VECTORS = [
    json.loads(line) for line in (Path(__file__).parents[2] / "vectors" / "vonage.jsonl").read_text().splitlines()
]

Answer = Callable[[httpx2.Request], httpx2.Response]


def replied(status: int, body: bytes = b"") -> httpx2.Response:
    """Return an answer that is read from the network, as a real one is."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 4096):
            yield body[at : at + 4096]

    return httpx2.Response(status, content=pieces())


def client(answer: Answer, key: str = KEY, **more: str) -> VonageRest:
    return VonageRest(APPLICATION, key, wall=lambda: NOW, transport=httpx2.MockTransport(answer), **more)


def failure(answer: Answer) -> CarrierError:
    async def main() -> CarrierError:
        with pytest.raises(CarrierError) as failed:
            await client(answer).transfer(CALL, [])
        return failed.value

    return run(main())


def recorded(scenario: str) -> dict[str, object]:
    (request,) = [v["msg"] for v in VECTORS if v["scenario"] == scenario and v["channel"] == "rest"]
    return dict(request)


def test_requests_are_the_recorded_ones() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return replied(204)

    async def main() -> None:
        rest = client(answer)
        await rest.hang_up(CALL)
        await rest.transfer(CALL, recorded("transfer")["json"]["destination"]["ncco"])  # type: ignore[index]
        await rest.close()

    run(main())
    for request, wanted in zip(seen, (recorded("hangup"), recorded("transfer")), strict=True):
        assert (request.method, str(request.url)) == (wanted["method"], wanted["url"])
        assert json.loads(request.content) == wanted["json"]
    words = [request.headers["authorization"].removeprefix("Bearer ") for request in seen]
    options = {"verify_exp": False, "verify_iat": False}
    claims = [jwt.decode(word, PUBLIC_KEY, algorithms=["RS256"], options=options) for word in words]  # type: ignore[arg-type]
    assert [(c["application_id"], c["iat"], c["exp"]) for c in claims] == [(APPLICATION, NOW, NOW + 60)] * 2
    assert claims[0]["jti"] != claims[1]["jti"]


@pytest.mark.parametrize("status", [404, 410])
def test_hanging_up_a_call_that_has_ended_is_success(status: int) -> None:
    run(client(lambda request: replied(status)).hang_up(CALL))


def test_transferring_a_call_that_has_ended_is_not() -> None:
    failed = failure(lambda request: replied(404))
    assert (failed.code, failed.permanent) == (GONE, True)


@pytest.mark.parametrize(
    ("status", "permanent"),
    [(400, True), (401, True), (403, True), (408, False), (429, False), (500, False), (503, False), (302, True)],
)
def test_every_refusal_says_whether_asking_again_helps(status: int, permanent: bool) -> None:
    failed = failure(lambda request: replied(status, b"no +1 415 555 0101\x00 please"))
    assert failed.permanent is permanent
    assert "415" not in str(failed) and "\0" not in str(failed)


def test_an_endless_answer_is_read_to_its_bound() -> None:
    failed = failure(lambda request: replied(400, b"x" * (ANSWER_BYTES_MAX * 4)))
    assert failed.code == "400" and len(str(failed)) < 300


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx2.ConnectError("x"), "not_sent"),
        (httpx2.ConnectTimeout("x"), "not_sent"),
        (httpx2.ReadTimeout("x"), "timeout"),
        (httpx2.ReadError("x"), "lost"),
    ],
)
def test_what_may_have_been_done_is_told_from_what_was_not(error: Exception, code: str) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        raise error

    failed = failure(answer)
    assert (failed.code, failed.permanent) == (code, False)


@pytest.mark.parametrize(
    ("told", "host"),
    [
        ("https://api-us-3.vonage.com", "api-us-3.vonage.com"),
        ("https://api-eu-4.nexmo.com", "api-eu-4.nexmo.com"),
        ("https://api.vonage.com.evil.example", "api.nexmo.com"),
        ("https://evil.example/api-us-3.vonage.com", "api.nexmo.com"),
        ("http://api-us-3.vonage.com", "api.nexmo.com"),
        ("", "api.nexmo.com"),
    ],
)
def test_a_call_is_controlled_where_a_webhook_says_if_that_is_vonage(told: str, host: str) -> None:
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.url.host)
        return replied(204)

    async def main() -> None:
        for rest in (client(answer), client(answer, api_url="https://sim.example.com")):
            rest.controlled_at(CALL, told)
            await rest.hang_up(CALL)

    run(main())
    assert seen == [host, "sim.example.com"]


def test_a_key_in_one_line_is_understood_and_another_kind_refused() -> None:
    client(lambda request: replied(204), key=KEY.replace("\n", "\\n"))
    curve = ec.generate_private_key(ec.SECP256R1())
    kind, form, lock = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for wrong in ("", "secret", curve.private_bytes(kind, form, lock).decode()):
        with pytest.raises(ConfigError, match="GATEWAY_VONAGE_PRIVATE_KEY"):
            VonageRest(APPLICATION, wrong)


# --- NCCO -----------------------------------------------------------------------------------------

SEAL = Seal("secret")
NCCO = Ncco("https://gw.example.com", "wss://gw.example.com", SEAL)
CONTEXT = Context(CALL, "+14155550101", "+14155550199", "inbound")


def test_the_recorded_answer_is_what_we_write() -> None:
    (reply,) = [v["msg"]["json"] for v in VECTORS if v["channel"] == "http-reply" and "json" in v["msg"]]
    (connect,) = NCCO.next(Stream("tok9f3c1d", 0), CONTEXT)
    (wanted,) = reply
    wanted["endpoint"][0]["headers"] = {"token": "tok9f3c1d", "uuid": CALL}
    urls = connect.pop("eventUrl")
    assert isinstance(urls, list) and urls[0].startswith(wanted.pop("eventUrl")[0] + "?c=")
    assert connect == wanted


def test_the_recorded_transfer_is_what_we_write() -> None:
    (dial,) = NCCO.dial("+14155550150", 25, CONTEXT)
    (wanted,) = recorded("transfer")["json"]["destination"]["ncco"]  # type: ignore[index]
    for key in ("action", "from", "timeout", "endpoint"):
        assert dial[key] == wanted[key]
    assert dial["eventType"] == "synchronous"


def test_every_next_step_has_its_actions() -> None:
    assert NCCO.next(HangUp(), CONTEXT) == []
    assert [a["action"] for a in NCCO.next(Again(1, 0), CONTEXT)] == ["notify"]
    assert [a["action"] for a in NCCO.next(Again(2, 1), CONTEXT)] == ["talk", "notify"]
    assert [a["action"] for a in NCCO.next(Apologise("Sorry", None), CONTEXT)] == ["talk"]
    assert [a["action"] for a in NCCO.next(Apologise("Sorry", "+14155550100"), CONTEXT)] == ["talk", "connect"]
    assert [a["action"] for step in (Busy(), NotInService()) for a in NCCO.next(step, CONTEXT)] == ["talk", "talk"]


def test_what_is_said_is_never_markup() -> None:
    (talk,) = NCCO.next(Apologise("<speak>1 < 2 & 3</speak>", None), CONTEXT)
    assert "<" not in str(talk["text"]) and "&" not in str(talk["text"])


def test_calls_that_we_place_show_our_number() -> None:
    outbound = Context(CALL, "+14155550199", "+14155550123", "outbound")
    (connect,) = NCCO.next(Stream("t", 0), outbound)
    assert connect["from"] == "14155550199"


def test_a_context_comes_back_as_it_was_and_no_other_does() -> None:
    context = CONTEXT.but(again=2, stream="ab", ticket="t")
    sealed = SEAL.close(context)
    assert SEAL.open(sealed) == context
    assert "4155550101" not in sealed
    for wrong in ("", "x", sealed[:-2], sealed + "A", sealed.swapcase(), "é", Seal("other").close(context), "A" * 9000):
        assert SEAL.open(wrong) is None


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("14155550101", "+14155550101"), ("+1415", "+1415"), ("anonymous", "anonymous"), ("", ""), ("123", "123")],
)
def test_numbers_get_their_plus(theirs: str, ours: str) -> None:
    assert plus(theirs) == ours


def test_the_capabilities_have_the_agreed_keys() -> None:
    keys = "audio marks after_clear dtmf_in dtmf_out hang_up transfer_blind transfer_warm comes_back"
    assert list(CAPABILITIES) == [*keys.split(), "upgrade_auth", "webhook_auth", "silence"]
