"""jambonz' webhooks and sockets at the real application."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.commands import EndReason
from gateway.simulator.asgi import UpgradeRefused
from gateway.simulator.carriers.jambonz import ACCOUNT
from gateway.simulator.world import CALLER, NUMBER, PUBLIC
from tests.carriers.jambonz.stage import CALL, Desk, basic, on_desk

pytestmark = pytest.mark.usefixtures("no_errors_logged")

VECTORS = Path(__file__).parents[2] / "vectors" / "jambonz.jsonl"


def listen_of(verbs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the verb that connects a stream, which must be answered before and followed by the end."""
    assert [verb["verb"] for verb in verbs] == ["answer", "listen", "hangup"], verbs
    return verbs[1]


def names(verbs: list[dict[str, Any]]) -> list[str]:
    return [str(verb["verb"]) for verb in verbs]


# --- offering -------------------------------------------------------------------------------------


def test_the_answer_is_the_recorded_one_with_a_password_for_the_call(tmp_path: Path) -> None:
    recorded = [json.loads(line)["msg"] for line in VECTORS.read_text().splitlines()]

    async def test(it: Desk) -> None:
        verbs = await it.post("call", call_status="trying")
        listen = listen_of(verbs)
        token = listen["wsAuth"]["password"]
        assert listen["metadata"] == {"token": token}
        wanted = recorded[1]["json"][1]
        for key in ("verb", "url", "mixType", "sampleRate", "passDtmf", "bidirectionalAudio"):
            assert listen[key] == wanted[key]
        assert listen["actionHook"] == f"{PUBLIC}/jambonz/after?again=0"
        assert listen_of(await it.post("call")) == listen, "asked again, the same"

    on_desk(tmp_path, test)


def test_the_recorded_offer_is_understood(tmp_path: Path) -> None:
    offer = json.loads(VECTORS.read_text().splitlines()[0])["msg"]["json"]

    async def test(it: Desk) -> None:
        listen_of((await it.send("call", json.dumps(offer).encode())).json())
        (call,) = it.world.gateway.registry.calls()
        found = call.session.offer
        assert (found.from_number, found.to_number, found.direction) == (CALLER, NUMBER, "inbound")
        assert found.account_id == ACCOUNT

    on_desk(tmp_path, test)


def test_a_number_without_its_plus_gets_one(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen_of(await it.post("call", **{"from": "alice", "to": NUMBER[1:]}))
        (call,) = it.world.gateway.registry.calls()
        assert (call.session.offer.from_number, call.session.offer.to_number) == ("alice", NUMBER)

    on_desk(tmp_path, test)


def test_a_full_gateway_is_busy_and_an_unknown_number_not_found(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        (missing,) = await it.post("call", to="+14155550000", call_sid=CALL.replace("e", "a"))
        listen_of(await it.post("call"))
        (busy,) = await it.post("call", call_sid=CALL.replace("e", "b"))
        assert [(verb["verb"], verb["status"]) for verb in (missing, busy)] == [
            ("sip:decline", 404),
            ("sip:decline", 486),
        ]

    on_desk(tmp_path, test, max_calls=1)


def test_a_draining_node_has_the_call_asked_for_once_more(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        it.world.gateway.registry.drain()
        (redirect,) = await it.post("call")
        assert redirect == {"verb": "redirect", "actionHook": f"{PUBLIC}/jambonz/call?again=1"}
        verbs = await it.post(redirect["actionHook"])
        assert names(verbs) == ["pause", "redirect"]
        it.world.gateway.registry.draining = False
        listen_of(await it.post(verbs[1]["actionHook"]))

    on_desk(tmp_path, test)


@pytest.mark.parametrize("status", ["trying", "ringing", "early-media"])
def test_an_outgoing_call_is_not_greeted_before_it_is_answered(status: str, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        url = "call"
        for _ in range(3):
            verbs = await it.post(url, direction="outbound", call_status=status)
            assert names(verbs) == ["pause", "redirect"]
            url = verbs[1]["actionHook"]
        assert not it.world.gateway.registry.calls()
        listen_of(await it.post(url, direction="outbound"))

    on_desk(tmp_path, test)


def test_an_outgoing_call_that_is_never_answered_is_given_up(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        verbs = await it.post("call?early=120", direction="outbound", call_status="early-media")
        assert names(verbs) == ["hangup"]
        assert names(await it.post("call?early=x", direction="outbound", call_status="ringing")) == ["hangup"]

    on_desk(tmp_path, test)


# --- who is believed ------------------------------------------------------------------------------


def test_unsigned_forged_and_old_webhooks_are_refused(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        body = json.dumps({"call_sid": CALL, "account_sid": ACCOUNT, "from": CALLER, "to": NUMBER}).encode()
        for path in ("call", "after", "status", "transfer", "transferred"):
            for content, headers in (
                (body, {}),
                (body + b" ", it.sign(body)),
                (body, it.sign(body, skew_s=-310)),
                (body, {"jambonz-signature": "t=1,v1=00"}),
            ):
                answer = await it.world.http.post(f"{PUBLIC}/jambonz/{path}", content=content, headers=headers)
                assert answer.status_code == 403

    on_desk(tmp_path, test)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"[" * 9000,
        b'{"call_sid":7,"account_sid":"9351f46a-678c-43f5-b8a6-d4eb58d131af"}',
        b'{"call_sid":"a b c d e f g","account_sid":"9351f46a-678c-43f5-b8a6-d4eb58d131af"}',
        b'{"call_sid":"e2f0a9d2-7a1c-4a6e-9f7a-6e3d0f6f3c11","account_sid":"another-account"}',
    ],
)
def test_a_signed_body_that_is_no_call_of_ours_is_refused(body: bytes, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        assert (await it.send("call", body)).status_code == 403

    on_desk(tmp_path, test)


def test_a_socket_without_the_calls_password_is_refused_before_the_upgrade(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        password = listen["wsAuth"]["password"]
        wrong = [{}, {"authorization": ""}, {"authorization": "Basic %%%"}, {"authorization": f"Bearer {password}"}]
        wrong += [basic("gateway", ""), basic("gateway", "wrong"), basic("other", password)]
        for headers in wrong:
            with pytest.raises(UpgradeRefused):
                await it.world.host.connect(listen["url"], headers)

    on_desk(tmp_path, test)


@pytest.mark.parametrize("name", ["audio.drachtio.org", "audio.jambonz.org"])
def test_the_subprotocol_is_selected_whatever_its_name_there(name: str, tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        headers = basic(listen["wsAuth"]["username"], listen["wsAuth"]["password"])
        # The host refuses, as jambonz does, when none of what it offers is selected.
        await it.world.host.connect(listen["url"], headers | {"sec-websocket-protocol": name})

    on_desk(tmp_path, test)


def test_a_password_is_good_for_one_stream_and_for_its_own_call(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        assert await (await it.open(listen, callSid=CALL.replace("e", "a"))).closed() == 1008
        assert await (await it.open(listen, accountSid="another-account")).closed() == 1008
        first = await it.open(listen)
        await first.hear()
        assert await (await it.open(listen)).closed() == 1008
        await first.hear()

    on_desk(tmp_path, test)


# --- how a call goes on ---------------------------------------------------------------------------


def test_a_lost_stream_is_followed_by_a_new_one(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        socket = await it.open(listen)
        await socket.hear()
        await socket.socket.close(1011)
        (redirect,) = await it.post(listen["actionHook"])
        second = listen_of(await it.post(redirect["actionHook"]))
        assert second["wsAuth"] != listen["wsAuth"]
        await (await it.open(second)).hear()

    on_desk(tmp_path, test)


def test_after_the_last_try_the_caller_hears_an_apology_and_is_put_through(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        for _ in range(3):
            verbs = await it.post(listen["actionHook"])
            listen = listen_of(await it.post(verbs[-1]["actionHook"]))
        answer, say, dial, hangup = await it.post(listen["actionHook"])
        assert (say["text"], dial["target"]) == (
            "Sorry. Please call later.",
            [{"type": "phone", "number": "+14155550100"}],
        )
        assert (answer["verb"], hangup["verb"]) == ("answer", "hangup")

    on_desk(tmp_path, test)


def test_the_end_of_the_call_is_final(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        await (await it.open(listen)).hear()
        await it.post("status", call_status="completed")
        await it.world.settled()
        assert it.world.record.end_reason == EndReason.CALLER_HANGUP
        assert it.world.record.carrier_state == "completed"
        assert names(await it.post(listen["actionHook"])) == ["hangup"]
        assert names(await it.post("call")) == ["hangup"]

    on_desk(tmp_path, test)


def test_a_hook_of_a_call_that_is_over_says_so_too(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        await (await it.open(listen)).hear()
        assert names(await it.post(listen["actionHook"], call_status="completed")) == ["hangup"]
        await it.world.settled()
        assert it.world.record.end_reason == EndReason.CALLER_HANGUP

    on_desk(tmp_path, test)


def test_states_move_forward_only_whatever_comes(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        listen = listen_of(await it.post("call"))
        await (await it.open(listen)).hear()
        for status in ("in-progress", "ringing", "trying", "nonsense", "", 7):
            await it.post("status", call_status=status)
        assert it.world.record.carrier_state == "in-progress"
        child = {"call_sid": CALL.replace("e", "a"), "parent_call_sid": CALL}
        for status in ("ringing", "in-progress", "completed"):
            await it.post("status", call_status=status, **child)
        assert len(it.world.gateway.registry.calls()) == 1

    on_desk(tmp_path, test)


def test_the_hook_of_an_unknown_transfer_changes_nothing_but_goes_on(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        assert names(await it.post("transfer?ticket=x")) == ["redirect"]
        assert names(await it.post("transferred?ticket=x", dial_call_status="busy")) == ["redirect"]
        assert names(await it.post("transferred?ticket=x", dial_call_status="completed")) == ["hangup"]

    on_desk(tmp_path, test)


def test_what_is_played_at_8_khz_when_the_metadata_say_so(tmp_path: Path) -> None:
    async def test(it: Desk) -> None:
        socket = await it.open(listen_of(await it.post("call")), sampleRate=8000)
        await socket.hear(1600)
        assert it.world.session.conversation is not None
        (call,) = it.world.gateway.registry.calls()
        assert call.session.call.state.audio.value == "audio/pcmu"

    on_desk(tmp_path, test)
