"""Vonage's webhooks and sockets at the real application."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.commands import EndReason
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from tests.carriers.vonage.stage import CALL, LEG, Desk, on_desk

pytestmark = pytest.mark.usefixtures("no_errors_logged")


def connect_of(ncco: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return the only action, which must connect a stream."""
    assert ncco is not None
    (connect,) = ncco
    assert connect["action"] == "connect" and connect["endpoint"][0]["type"] == "websocket", connect
    return connect


def event_url(connect: dict[str, Any]) -> str:
    (url,) = connect["eventUrl"]
    return str(url)


# --- offering -------------------------------------------------------------------------------------


def test_a_get_and_a_post_are_answered_alike(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        query = {"from": CALLER[1:], "to": NUMBER[1:], "uuid": CALL, "conversation_uuid": f"CON-{CALL}"}
        first = connect_of((await it.get("answer", query)).json())
        again = connect_of(await it.offer())
        assert first["endpoint"] == again["endpoint"]

    on_desk(tmp_path, test)


def test_the_answer_asks_for_24_khz_with_a_token_in_both_places(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        (endpoint,) = connect["endpoint"]
        token = endpoint["headers"].pop("token")
        assert endpoint == {
            "type": "websocket",
            "uri": "wss://gw.example.com/vonage/media",
            "content-type": "audio/l16;rate=24000",
            "headers": {"uuid": CALL},
            "authorization": {"type": "custom", "value": f"Bearer {token}"},
        }
        assert (connect["eventType"], connect["from"]) == ("synchronous", NUMBER[1:])
        assert len(json.dumps(endpoint["headers"] | {"token": token})) <= 512

    on_desk(tmp_path, test)


def test_no_number_stands_in_our_urls_and_numbers_get_their_plus(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        assert CALLER[1:] not in event_url(connect) and NUMBER[1:] not in event_url(connect)
        await (await it.open(connect)).hear(1)
        (call,) = it.world.gateway.registry.calls()
        assert (call.session.offer.from_number, call.session.offer.to_number) == (CALLER, NUMBER)

    on_desk(tmp_path, test)


def test_a_number_nobody_takes_is_told_so(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        (talk,) = await it.offer(to="14155550000")
        assert talk == {"action": "talk", "text": "The number you have called is not in service."}

    on_desk(tmp_path, test)


def test_a_full_gateway_says_that_it_is_busy(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect_of(await it.offer())
        (talk,) = await it.offer(uuid=CALL.replace("6", "7"))
        assert "busy" in talk["text"]

    on_desk(tmp_path, test, max_calls=1)


def test_a_draining_node_has_the_call_asked_for_once_more(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        it.world.gateway.registry.drain()
        (notify,) = await it.offer()
        assert (notify["action"], notify["eventMethod"]) == ("notify", "POST")
        (url,) = notify["eventUrl"]
        pause, notify = (await it.post(url, notify["payload"])).json()
        assert (pause["action"], notify["action"]) == ("talk", "notify")
        it.world.gateway.registry.draining = False
        connect_of((await it.post(notify["eventUrl"][0], notify["payload"])).json())

    on_desk(tmp_path, test)


# --- who is believed ------------------------------------------------------------------------------


def test_unsigned_forged_and_replayed_webhooks_are_refused(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        body = json.dumps({"uuid": CALL, "from": CALLER[1:], "to": NUMBER[1:]}).encode()
        url, good = f"{PUBLIC}/vonage/answer", it.sign(body)
        http = it.world.http
        assert (await http.post(url, content=body)).status_code == 403
        assert (await http.post(url, content=body + b" ", headers=good)).status_code == 403
        assert (await http.post(url, content=body, headers=it.sign(body, iat=1))).status_code == 403
        assert (await http.post(url, content=body, headers=it.sign(body, application_id="x"))).status_code == 403
        assert (await http.post(url, content=body, headers=good)).status_code == 200
        assert (await http.post(url, content=body, headers=good)).status_code == 403
        assert (await http.get(f"{url}?uuid={CALL}", headers=it.sign(b"{}"))).status_code == 403

    on_desk(tmp_path, test)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"{}", b'{"uuid":7}', b'{"uuid":"a b"}', b"[" * 9000])
def test_a_signed_body_that_is_no_call_is_refused(body: bytes, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        answer = await it.world.http.post(f"{PUBLIC}/vonage/answer", content=body, headers=it.sign(body))
        assert answer.status_code == 403

    on_desk(tmp_path, test)


@pytest.mark.parametrize("path", ["again", "transferred"])
def test_what_needs_our_context_is_refused_without_it(path: str, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        for query in ("", "?c=", "?c=gAAAAABforged", f"?c={'x' * 3000}"):
            assert (await it.post(path + query, {"uuid": CALL, "status": "busy"})).status_code == 403

    on_desk(tmp_path, test)


@pytest.mark.parametrize("authorization", [None, "", "Bearer ", "Bearer wrong", "Basic {token}", "bearer{token}"])
def test_a_socket_without_the_calls_token_is_refused_before_the_upgrade(
    authorization: str | None, tmp_path: Path
) -> None:
    async def test(it: Desk) -> None:
        (endpoint,) = connect_of(await it.offer())["endpoint"]
        said = {} if authorization is None else {"authorization": authorization.format(**endpoint["headers"])}
        with pytest.raises(UpgradeRefused):
            await it.world.host.connect(endpoint["uri"], said)

    on_desk(tmp_path, test)


def test_a_token_is_good_for_one_stream_and_for_its_own_call(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        stolen = {**connect, "endpoint": [{**connect["endpoint"][0]}]}
        stolen["endpoint"][0]["headers"] = {**connect["endpoint"][0]["headers"], "uuid": CALL.replace("6", "7")}
        assert await (await it.open(stolen)).closed() == 1008
        first = await it.open(connect)
        await first.hear(1)
        assert await (await it.open(connect)).closed() == 1008
        await first.hear(len(first.audio) + 1)

    on_desk(tmp_path, test)


# --- how a call goes on ---------------------------------------------------------------------------


def test_a_lost_stream_is_followed_by_a_new_one(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        socket = await it.open(connect)
        await socket.hear(3)
        await socket.socket.close(1011)
        ncco = await it.event(event_url(connect), "disconnected")
        assert ncco is not None and ncco[0]["action"] == "notify"
        second = connect_of((await it.post(ncco[0]["eventUrl"][0], ncco[0]["payload"])).json())
        assert second["endpoint"] != connect["endpoint"]
        await (await it.open(second)).hear(3)

    on_desk(tmp_path, test)


def test_a_late_event_of_an_older_stream_does_not_put_the_new_one_aside(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        socket = await it.open(connect)
        await socket.hear(1)
        await socket.socket.close(1011)
        (notify,) = await it.event(event_url(connect), "disconnected") or []
        second = await it.open(connect_of((await it.post(notify["eventUrl"][0], {})).json()))
        await second.hear(1)
        assert await it.event(event_url(connect), "disconnected") is None
        assert (await it.post(notify["eventUrl"][0], {})).status_code == 204
        await second.hear(len(second.audio) + 1)

    on_desk(tmp_path, test)


@pytest.mark.parametrize("status", ["unanswered", "failed", "timeout", "busy", "rejected", "cancelled"])
def test_a_stream_that_never_came_is_asked_for_again(status: str, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        ncco = await it.event(event_url(connect_of(await it.offer())), status)
        assert ncco is not None and ncco[0]["action"] == "notify"

    on_desk(tmp_path, test)


def test_after_the_last_try_the_caller_hears_an_apology_and_is_put_through(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        ncco: list[dict[str, Any]] | None = await it.offer()
        for _ in range(3):
            ncco = await it.event(event_url(connect_of(ncco)), "failed")
            assert ncco is not None and ncco[-1]["action"] == "notify"
            ncco = (await it.post(ncco[-1]["eventUrl"][0], ncco[-1]["payload"])).json()
        talk, dial = await it.event(event_url(connect_of(ncco)), "failed") or []
        assert talk == {"action": "talk", "text": "Sorry. Please call later."}
        assert dial["endpoint"] == [{"type": "phone", "number": "14155550100"}]

    on_desk(tmp_path, test)


def test_an_event_of_another_node_is_answered_from_its_url_alone(tmp_path: Path) -> None:
    async def first(it: Desk) -> None:
        urls.append(event_url(connect_of(await it.offer())))

    async def other(it: Desk) -> None:
        (notify,) = await it.event(urls[0], "disconnected") or []
        connect = connect_of((await it.post(notify["eventUrl"][0], {})).json())
        await (await it.open(connect)).hear(1)
        (call,) = it.world.gateway.registry.calls()
        assert (call.session.offer.from_number, call.session.offer.to_number) == (CALLER, NUMBER)

    urls: list[str] = []
    on_desk(tmp_path, first)
    on_desk(tmp_path, other)


def test_the_callers_own_end_is_final(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        socket = await it.open(connect)
        await socket.hear(1)
        assert await it.event("event", "completed", CALL) is None
        await it.world.settled()
        assert it.world.record.end_reason == EndReason.CALLER_HANGUP
        assert it.world.record.carrier_state == "completed"
        assert await it.event(event_url(connect), "disconnected") == []
        assert await it.offer() == []

    on_desk(tmp_path, test)


def test_states_move_forward_only_whatever_comes(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        await (await it.open(connect)).hear(1)
        for status in ("answered", "ringing", "started", "machine", "nonsense", ""):
            assert await it.event("event", status, CALL) is None
        assert it.world.record.carrier_state == "in-progress"
        for status in ("started", "ringing", "answered", "completed"):
            assert await it.event(event_url(connect), status, LEG) is None
        assert it.world.record.carrier_state == "in-progress"
        assert await it.event("event", "completed", LEG) is None
        assert len(it.world.gateway.registry.calls()) == 1

    on_desk(tmp_path, test)


def test_an_event_by_get_is_understood(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        connect_of(await it.offer())
        answer = await it.get("event", {"uuid": CALL, "status": "completed"})
        assert answer.status_code == 204
        await it.world.settled()
        assert it.world.record.end_reason == EndReason.CALLER_HANGUP

    on_desk(tmp_path, test)


@pytest.mark.parametrize(("rate_hz", "size"), [(8000, 320), (16_000, 640), (24_000, 960)])
def test_everything_out_is_a_frame_of_20_ms_at_the_rate_that_vonage_says(
    rate_hz: int, size: int, tmp_path: Path
) -> None:
    async def test(it: Desk) -> None:
        connect = connect_of(await it.offer())
        connect["endpoint"][0]["content-type"] = f"audio/l16;rate={rate_hz}"
        socket = await it.open(connect)
        await socket.hear(40)
        assert {len(frame) for frame in socket.audio} == {size}
        assert any(frame.strip(b"\0") for frame in socket.audio)

    on_desk(tmp_path, test)
