"""What a simulated call says about a gateway that refuses it, or is gone."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from gateway.simulator.carrier import HangUp, Pause, Script, parties
from gateway.simulator.carriers import plivo, telnyx
from gateway.simulator.carriers.advice import port_of, refused_by_rest
from gateway.simulator.carriers.frame import Carrier, CarrierNetwork, CarrierReport, Plan
from gateway.simulator.carriers.telnyx import TelnyxDialect
from gateway.wire import TextSocket, pipe
from tests.clock import run

PRIVATE = b64encode(telnyx.PRIVATE_KEY).decode()
KEYS = {"private_key": PRIVATE, "api_key": "k", "token": "a-token", "account": plivo.ACCOUNT}
Answers = Callable[[httpx2.Request, CarrierNetwork], int]
LOST_S = 3.0


async def nothing() -> AsyncIterator[bytes]:
    """A body that is still to be read."""
    yield b""


def call(carrier: Carrier, answers: Answers, script: Script = Script()) -> CarrierReport:  # noqa: B008  frozen
    """Make one call to an application that answers webhooks so, and whose sockets break after `LOST_S`."""

    async def main() -> CarrierReport:
        async with asyncio.TaskGroup() as group:

            async def connect(url: str, headers: object) -> TextSocket:
                ours, theirs = pipe()

                async def breaks() -> None:
                    await asyncio.sleep(LOST_S)
                    await theirs.close(1011)

                group.create_task(breaks())
                return ours

            def handle(request: httpx2.Request) -> httpx2.Response:
                return httpx2.Response(answers(request, network), content=nothing())

            async with httpx2.AsyncClient(transport=httpx2.MockTransport(handle)) as http:
                network = CarrierNetwork(
                    carrier, KEYS, http, connect, public_url="https://gw.example.com", everybody=parties.answers()
                )
                return await network.call(Plan(to="+14155550199", from_="+14155550100", script=script))

    return run(main())


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "HTTP 404: the gateway has no /{0}: is {1} set there?"),
        (403, "HTTP 403: the gateway refuses the signature: both sides need the same secret ({1})"),
    ],
)
@pytest.mark.parametrize(
    ("carrier", "secret"),
    [(telnyx.CARRIER, "GATEWAY_TELNYX_PUBLIC_KEY"), (plivo.CARRIER, "GATEWAY_PLIVO_AUTH_TOKEN")],
    ids=["telnyx", "plivo"],
)
def test_a_shut_door_and_a_wrong_secret_say_one_thing(carrier: Carrier, secret: str, status: int, said: str) -> None:
    report = call(carrier, lambda request, network: status)
    texts = {warning.detail for warning in report.call.warnings if warning.name == "9102"}
    assert len(texts) == 1
    assert texts.pop().startswith(said.format(carrier.name, secret))


def test_a_wrong_rest_key_is_a_warning() -> None:
    def answers(request: httpx2.Request, network: CarrierNetwork) -> int:
        network.asked(next(iter(network.calls.values())), "answer", 401)
        return 200

    report = call(telnyx.CARRIER, answers)
    said = "answer: HTTP 401: the gateway's GATEWAY_TELNYX_API_KEY is not the simulator's"
    assert ("9104", said) in {(warning.name, warning.detail) for warning in report.call.warnings}
    assert refused_by_rest("telnyx", "answer", 422) is None


def test_a_call_whose_gateway_is_gone_ends_when_the_stream_does() -> None:
    def answers(request: httpx2.Request, network: CarrierNetwork) -> int:
        if json.loads(request.content)["data"]["event_type"] != "call.initiated":
            return 503
        dialect = next(iter(network.calls.values())).dialect
        assert isinstance(dialect, TelnyxDialect)
        dialect.answer({"stream_url": "wss://gw.example.com/telnyx/media"})
        return 200

    carrier = telnyx.telnyx(telnyx.Trouble(silence_s=60.0))
    report = call(carrier, answers, Script([Pause(40), HangUp()]))
    assert report.call.ended_by == "application_error"
    assert report.call.duration_s == pytest.approx(LOST_S, abs=0.1)


def test_carriers_that_a_gateway_may_ask_together_have_ports_of_their_own() -> None:
    names = ("telnyx", "signalwire", "plivo", "vonage", "jambonz")
    assert [port_of(name) for name in names] == [8082, 8083, 8084, 8085, 8086]
