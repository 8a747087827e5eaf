"""The webhook and the media socket as strangers, replays and broken senders meet them."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.telnyx.events import decode, pack
from gateway.errors import ConfigError, RemoteProtocolError
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carriers.telnyx import PRIVATE_KEY
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from tests.carriers.telnyx.stage import Stage, stage
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

RECORDED = Path(__file__).parents[2] / "vectors" / "telnyx.jsonl"
EVENTS = [
    msg["msg"]["json"]
    for msg in map(json.loads, RECORDED.read_text().splitlines())
    if msg["channel"] == "http" and msg["dir"] == "carrier->app"
]
OFFER: dict[str, Any] = EVENTS[0]


def event(kind: str, *, state: str | None = None, attempt: int = 1, **payload: object) -> dict[str, Any]:
    said = {**OFFER["data"]["payload"], "from": CALLER, "to": NUMBER, "client_state": state, **payload}
    data = {**OFFER["data"], "id": str(uuid.uuid4()), "event_type": kind, "payload": said}
    return {"data": data, "meta": {"attempt": attempt, "delivered_to": PUBLIC}}


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    signature = Ed25519PrivateKey.from_private_bytes(PRIVATE_KEY).sign(stamp.encode() + b"|" + body)
    return {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": base64.b64encode(signature).decode()}


async def post(it: Stage, message: object, headers: dict[str, str] | None = None) -> httpx2.Response:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    sent = signed(body) if headers is None else headers
    return await it.world.http.post(f"{PUBLIC}/telnyx/voice", content=body, headers=sent)


def on_stage(folder: Path, work: Callable[[Stage], Awaitable[None]], **more: Any) -> None:
    async def main() -> None:
        async with stage(folder, **more) as it:
            await work(it)
            registry = it.world.gateway.registry
            for session in registry.sessions():
                registry.hung_up(session.offer.carrier_call_id)
            await it.world.settled()

    run(main())


def live(it: Stage) -> int:
    return it.world.gateway.registry.live


def test_a_stranger_begins_no_call(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        body = json.dumps(OFFER).encode()
        stale = signed(body, time.time() - 400)
        forged = {**signed(body), "telnyx-signature-ed25519": base64.b64encode(bytes(64)).decode()}
        for headers in ({}, stale, forged, signed(body + b" ")):
            assert (await post(it, body, headers)).status_code == 403
        assert live(it) == 0

    on_stage(tmp_path, work)


def test_the_host_header_and_the_query_do_not_matter(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        body = json.dumps(OFFER).encode()
        answer = await it.world.http.post(
            f"{PUBLIC}/telnyx/voice?x=1", content=body, headers={**signed(body), "host": "evil.example.com"}
        )
        assert answer.status_code == 200 and live(it) == 1

    on_stage(tmp_path, work)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"data":5}', b'{"data":{"id":5,"event_type":"x","payload":{}}}'])
def test_a_signed_webhook_that_is_none_is_refused(tmp_path: Path, body: bytes) -> None:
    async def work(it: Stage) -> None:
        assert (await post(it, body)).status_code == 400

    on_stage(tmp_path, work)


def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        assert (await post(it, b"x" * 70_000)).status_code == 413

    on_stage(tmp_path, work)


def test_an_event_counts_once_however_often_it_is_delivered(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        for attempt in (1, 2, 3):
            OFFER["meta"]["attempt"] = attempt
            assert (await post(it, OFFER)).status_code == 200
        assert live(it) == 1

    on_stage(tmp_path, work)


def test_an_offer_that_its_own_end_has_overtaken_begins_no_call(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        await post(it, event("call.hangup", hangup_cause="originator_cancel"))
        await post(it, event("call.initiated"))
        assert live(it) == 0

    on_stage(tmp_path, work)


def test_a_leg_that_we_did_not_place_begins_no_call(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        await post(it, event("call.initiated", direction="outgoing"))
        await post(it, event("call.initiated", state=pack(ticket="unknown"), direction="outgoing"))
        await post(it, event("call.answered", state=pack(attempt="at_unknown")))
        assert live(it) == 0

    on_stage(tmp_path, work)


def test_every_recorded_event_is_taken(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        for message in EVENTS:
            assert (await post(it, message)).status_code == 200

    on_stage(tmp_path, work)


@pytest.mark.parametrize("token", [None, "", "short", "x" * 200, "no token of ours!!"])
def test_a_socket_without_a_token_is_refused_before_its_upgrade(tmp_path: Path, token: str | None) -> None:
    async def work(it: Stage) -> None:
        headers = {} if token is None else {"x-telnyx-streaming-auth-token": token}
        with pytest.raises(UpgradeRefused):
            await it.world.host.connect("wss://gw.example.com/telnyx/media", headers)

    on_stage(tmp_path, work)


def test_a_call_whose_process_is_gone_is_taken_over_by_who_hears_of_its_stream(tmp_path: Path) -> None:
    async def work(it: Stage) -> None:
        state = {"then": "stream", "from": CALLER, "to": NUMBER, "again": "0"}
        await post(it, event("streaming.failed", state=pack(**state), failure_reason="connection_failed"))
        assert live(it) == 0  # left for a while to the process that had it
        await asyncio.sleep(4)
        await it.world.settled()
        assert it.asked == [("streaming_start", "404")]
        assert it.ends == ["caller_hangup"]
        assert it.world.record.from_number == CALLER and it.world.record.to_number == NUMBER

    on_stage(tmp_path, work)


def test_a_key_alone_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    async def main() -> None:
        async with stage(tmp_path, settings={"telnyx_api_key": None}):
            raise AssertionError("it must not start")

    with pytest.raises(BaseExceptionGroup) as caught:
        run(main())
    assert caught.group_contains(ConfigError, match="GATEWAY_TELNYX_API_KEY")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda it: st.dictionaries(st.text(), it) | st.lists(it)))
def test_nothing_but_a_protocol_error_comes_out_of_hostile_events(payload: object) -> None:
    for body in (payload, {"data": payload}, {"data": {**OFFER["data"], "payload": payload}, "meta": payload}):
        try:
            decode(json.dumps(body).encode())
        except RemoteProtocolError:
            continue


def test_state_that_is_not_ours_is_none() -> None:
    for text in ("", "%%%", base64.b64encode(b"[]").decode(), base64.b64encode(b"\xff").decode(), "A" * 5000):
        got = decode(json.dumps(event("call.answered", state=text)).encode())
        assert got is not None and got.state == {}
