"""Whole calls: SignalWire's simulator against the real application, in process, on the virtual clock."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.carriers.base import CallOffer, Ended
from gateway.carriers.front import Fallback, Front
from gateway.carriers.signalwire import open_carrier
from gateway.config import Settings
from gateway.core.commands import CompleteTransfer, StartTransfer
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError, ConfigError
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carrier import HangUp, Pause, Say, Script, Wait, tone
from gateway.simulator.carriers.signalwire import CARRIER, PROJECT, signature
from gateway.simulator.carriers.world import CarrierWorld, carrier_world
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

AGENTS = f"""
agents:
  caller:
    numbers: ["{NUMBER}"]
    instructions: You reach people behind menus.
    greeting: Hello.
    send_digits: true
"""
KEYS = "4711*0#"
PRESS = {"name": "send_digits", "arguments": {"digits": KEYS}}
MENU = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(8), HangUp()])
SHORT = Script([Wait("agent_done"), Pause(1), HangUp()])
MEDIA = PUBLIC.replace("https", "wss") + "/signalwire/media"
CALL = "7d9c2b50-8d0a-4f3e-9e8f-3a8f9b6f1c22"
HUMAN_CALL = "7d9c2b50-8d0a-4f3e-9e8f-3a8f9b6f1c23"
"""Their ids."""


async def webhook(w: CarrierWorld, path: str = "voice", **changes: str) -> httpx2.Response:
    """Send a signed form of a call that the network knows nothing of."""
    form = {"CallSid": CALL, "AccountSid": PROJECT, "From": CALLER, "To": NUMBER, "CallStatus": "ringing", **changes}
    url, body = f"{PUBLIC}/signalwire/{path}", urlencode(form).encode()
    headers = {"x-signalwire-signature": signature("PSK_simulated", url, body)}
    return await w.http.post(url, content=body, headers=headers)


def token_of(answer: httpx2.Response) -> str:
    stream = ElementTree.fromstring(answer.text).find("Connect/Stream")
    assert stream is not None
    return stream.attrib["authBearerToken"]


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_a_call_is_signed_as_configured_and_keeps_every_byte(tmp_path: Path, algorithm: str) -> None:
    async def main() -> None:
        scenario = Scenario.model_validate({"turns": [{"say": "Thank you."}], "server": {"keep_audio": True}})
        async with carrier_world(
            tmp_path,
            AGENTS,
            CARRIER,
            ScriptedEngine(scenario),
            scenario.server,
            settings={"signalwire_signature": algorithm},
        ) as w:
            report = await w.ring(MENU)
            await w.settled()
            assert report.call.warnings == [] and report.outcome == "completed"
            (wire,) = report.wires
            said, heard = bytes(wire.sent), bytes(w.session.received.sound.audio)
            assert len(heard) > 8000 and said.startswith(heard)
            assert bytes(wire.received) and w.record.end_reason == "caller_hangup"

    run(main())


def test_keys_go_to_the_far_end_as_messages(tmp_path: Path) -> None:
    async def main() -> None:
        scenario = Scenario.model_validate({"turns": [{"say": ["I press."], "calls": [PRESS], "result": "Done."}]})
        async with carrier_world(tmp_path, AGENTS, CARRIER, ScriptedEngine(scenario), scenario.server) as w:
            report = await w.ring(MENU)
            await w.settled()
            assert "".join(event.name for event in report.call.keys_heard) == KEYS
            assert report.call.warnings == [] and len(report.wires) == 1

    run(main())


def test_the_answer_asks_for_mu_law_and_hides_the_token_from_the_url(tmp_path: Path) -> None:
    async def main() -> None:
        async with carrier_world(tmp_path, AGENTS, CARRIER) as w:
            answer = await webhook(w)
            root = ElementTree.fromstring(answer.text)
            (connect, redirect) = list(root)
            (stream,) = list(connect)
            assert (stream.attrib["url"], stream.attrib["codec"]) == (MEDIA, "PCMU@8000h")
            assert stream.attrib["realtime"] == "false"
            assert stream.attrib["statusCallback"] == f"{PUBLIC}/signalwire/stream-status"
            assert len(stream.attrib["authBearerToken"]) >= 20 and not list(stream)
            assert redirect.text == f"{PUBLIC}/signalwire/after?again=0"
            await webhook(w, "status", CallStatus="completed")

    run(main())


def test_what_is_not_signalwires_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with carrier_world(tmp_path, AGENTS, CARRIER) as w:
            url = f"{PUBLIC}/signalwire/voice"
            form = {"CallSid": CALL, "AccountSid": PROJECT, "From": CALLER, "To": NUMBER}
            assert (await w.http.post(url, data=form)).status_code == 403
            twilios = {"x-twilio-signature": w.network.sign(url, form)}
            assert (await w.http.post(url, data=form, headers=twilios)).status_code == 403
            assert (await webhook(w, AccountSid=CALL)).status_code == 403
            assert (await webhook(w, CallSid="CA" + "1" * 32)).status_code == 403
            assert w.gateway.registry.live == 0

    run(main())


def test_a_socket_opens_with_a_token_that_was_given_out_and_a_call_has_one_stream(tmp_path: Path) -> None:
    async def main() -> None:
        async with carrier_world(tmp_path, AGENTS, CARRIER) as w:
            token = token_of(await webhook(w))
            for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Basic {token}"}):
                with pytest.raises(UpgradeRefused) as refused:
                    await w.host.connect(MEDIA, headers)
                assert refused.value.status == 403
            ids = {"accountSid": PROJECT, "callSid": CALL, "streamSid": HUMAN_CALL}
            form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
            start = {**ids, "tracks": ["inbound"], "mediaFormat": form, "customParameters": {}}
            sockets = [await w.host.connect(MEDIA, {"authorization": f"Bearer {token}"}) for _ in range(2)]
            for socket in sockets:
                await socket.send(json.dumps({"event": "start", "sequenceNumber": "1", "start": start}))
                await asyncio.sleep(0.1)
            assert w.gateway.registry.live == 1
            await sockets[0].send('{"event":"stop","sequenceNumber":"2"}')
            await webhook(w, "status", CallStatus="completed")
            await w.settled()
            assert w.record.end_reason == "caller_hangup"

    run(main())


def test_a_lost_stream_is_followed_by_another(tmp_path: Path) -> None:
    async def main() -> None:
        async with carrier_world(tmp_path, AGENTS, CARRIER) as w:
            await webhook(w)
            answer = await webhook(w, "after?again=0", CallStatus="in-progress")
            assert f"{PUBLIC}/signalwire/voice?again=1" in answer.text
            await webhook(w, "status", CallStatus="completed")

    run(main())


# --- transfers by REST ----------------------------------------------------------------------------


class Api:
    """The space's REST API: notes what is asked, and has placed every call."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        calls = "/api/laml/2010-04-01/Accounts/{project}/Calls"
        routes = [Route(f"{calls}.json", self._note, methods=["POST"])]
        routes.append(Route(calls + "/{sid}.json", self._note, methods=["POST"]))
        self.app = Starlette(routes=routes)

    async def _note(self, request: Request) -> Response:
        form = dict(await request.form())
        self.seen.append((request.url.path, request.headers["authorization"], form))
        return JSONResponse({"sid": request.path_params.get("sid", HUMAN_CALL), "status": "queued"}, 201)


def front(api: Api, calls: Any) -> Front:
    return Front(
        public_url=PUBLIC,
        stream_origin="wss://gw.example.com",
        allow_unsigned=False,
        calls=calls,
        reports=calls,
        fallback=lambda agent, number: Fallback(),
        transport=httpx2.ASGITransport(app=api.app),
    )


class Calls:
    """A switchboard that nothing but transfers is asked of."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def transfer_progress(self, carrier_call_id: str, progress: Any) -> None:
        self.told.append(progress.state.value)

    def outcome(self, carrier_call_id: str) -> Ended | None:
        return None


def settings(**more: object) -> Settings:
    values = {**CARRIER.settings, "signalwire_api_url": "https://acme.signalwire.com", "public_url": PUBLIC}
    return Settings.alone(values | more)


OFFER = CallOffer("signalwire", CALL, PROJECT, "inbound", CALLER, NUMBER)


def transfer(mode: TransferMode) -> StartTransfer:
    return StartTransfer("t1", "sales", "+14155550150", mode, "Ann.", "1", 20.0)


def test_a_human_of_a_warm_transfer_is_called_from_the_number_that_was_dialled() -> None:
    async def main() -> Sequence[tuple[str, str, dict[str, Any]]]:
        api, calls = Api(), Calls()
        carrier = open_carrier(settings(), front(api, calls))
        assert carrier.control is not None
        async with carrier.running():
            await carrier.control.carry_out(OFFER, transfer(TransferMode.WARM))
            with pytest.raises(CarrierError):
                await carrier.control.carry_out(OFFER, CompleteTransfer("t1"))
            carrier.control.call_over(CALL)
        return api.seen

    created, ended = run(main())
    path, authorization, form = created
    assert path == f"/api/laml/2010-04-01/Accounts/{PROJECT}/Calls.json"
    assert authorization.startswith("Basic ")
    assert (form["To"], form["From"]) == ("+14155550150", NUMBER)
    assert f"{PUBLIC}/signalwire/transfer/key?ticket=" in form["Twiml"]
    assert form["StatusCallback"].startswith(f"{PUBLIC}/signalwire/transfer/status?ticket=")
    assert ended[0] == f"/api/laml/2010-04-01/Accounts/{PROJECT}/Calls/{HUMAN_CALL}.json"
    assert ended[2] == {"Status": "completed"}


def test_without_the_api_token_a_transfer_is_refused() -> None:
    async def main() -> None:
        api = Api()
        carrier = open_carrier(settings(signalwire_api_token=None), front(api, Calls()))
        assert carrier.control is not None
        async with carrier.running():
            with pytest.raises(CarrierError, match="signalwire's REST credentials"):
                await carrier.control.carry_out(OFFER, transfer(TransferMode.BLIND))
        assert api.seen == []

    run(main())


@pytest.mark.parametrize("missing", ["signalwire_signing_key", "signalwire_project_id", "signalwire_api_url"])
def test_a_missing_setting_stops_the_start(missing: str) -> None:
    with pytest.raises(ConfigError):
        open_carrier(settings(**{missing: None}), front(Api(), Calls()))


def test_a_project_that_is_no_uuid_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="UUID"):
        open_carrier(settings(signalwire_project_id="AC" + "1" * 32), front(Api(), Calls()))
