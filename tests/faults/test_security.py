"""Who may come in: nothing happens for anybody whose signature is not Twilio's, and nothing happens twice."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
import pytest

from gateway.simulator.asgi import UpgradeRefused
from tests.faults.calls import until, written
from tests.faults.ends import MEDIA_URL, RiggedModel, open_media, voice_token, webhook
from tests.faults.test_carrier import SID, ended, started, with_world
from tests.world import ACCOUNT, NUMBER, PUBLIC, World

FORM = {
    "CallSid": "CA" + "8" * 32,
    "AccountSid": ACCOUNT,
    "To": NUMBER,
    "From": "+14155550101",
    "CallStatus": "ringing",
}
PATHS = ["/twilio/voice", "/twilio/after", "/twilio/status", "/twilio/stream-status"]
OTHER = "https://evil.example.com"


def nothing_begun(w: World, model: RiggedModel) -> None:
    """Only the neighbour lives: no session, no record, no token came of it."""
    assert w.gateway.registry.live == 1 and len(model.wires) == 1 and len(w.store.calls) == 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("signature", [None, "", "AAAA", "é" * 8, "x" * 5000])
def test_an_unsigned_webhook_is_refused(tmp_path: Path, path: str, signature: str | None) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        headers = {} if signature is None else {b"x-twilio-signature": signature.encode()}
        reply = await w.http.post(PUBLIC + path, data=FORM, headers=headers)
        assert reply.status_code == 403 and "Traceback" not in reply.text
        nothing_begun(w, model)

    with_world(tmp_path, test)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", ["host", "x-forwarded-host", "x-original-host", "forwarded"])
def test_a_signature_made_for_another_host_is_refused(tmp_path: Path, path: str, header: str) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        value = "host=evil.example.com;proto=https" if header == "forwarded" else "evil.example.com"
        reply = await webhook(w, path, FORM, signed_for=OTHER + path, headers={header: value})
        assert reply.status_code == 403
        nothing_begun(w, model)

    with_world(tmp_path, test)


CHANGES: dict[str, Mapping[str, str]] = {
    "another number": {"To": "+14155550100"},
    "another account": {"AccountSid": "AC" + "9" * 32},
    "one field more": {"ApiVersion": "2010"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_form_changed_after_signing_is_refused(tmp_path: Path, change: Mapping[str, str]) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        headers = {"x-twilio-signature": w.network.sign(PUBLIC + "/twilio/voice", FORM)}
        reply = await w.http.post(PUBLIC + "/twilio/voice", data={**FORM, **change}, headers=headers)
        assert reply.status_code == 403
        reply = await w.http.post(PUBLIC + "/twilio/voice?again=1", data=FORM, headers=headers)
        assert reply.status_code == 403
        nothing_begun(w, model)

    with_world(tmp_path, test)


@pytest.mark.parametrize(
    "form",
    [{"CallSid": ""}, {"CallSid": "../../etc/passwd"}, {"CallSid": "CA" + "1" * 5000}, {"AccountSid": "x"}],
)
def test_a_signed_webhook_without_usable_ids_is_refused(tmp_path: Path, form: Mapping[str, str]) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        assert (await webhook(w, "/twilio/voice", form)).status_code == 403
        nothing_begun(w, model)

    with_world(tmp_path, test)


@pytest.mark.parametrize(
    "body", [b"x" * 1_000_000, b"a=1&" * 15_000, b"\xff\xfe=%zz", b""], ids=["1 MB", "fields", "bytes", "none"]
)
def test_an_odd_body_is_refused(tmp_path: Path, body: bytes) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": "AAAA"}
        for path in PATHS:
            assert (await w.http.post(PUBLIC + path, content=body, headers=headers)).status_code == 403
        nothing_begun(w, model)

    with_world(tmp_path, test)


@pytest.mark.parametrize(
    "signed_for", [None, OTHER.replace("https", "wss") + "/twilio/media", PUBLIC + "/twilio/media", MEDIA_URL + "?x=1"]
)
def test_an_upgrade_without_our_signature_is_refused_before_it_is_accepted(
    tmp_path: Path, signed_for: str | None
) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        headers = {"host": "evil.example.com", "x-forwarded-host": "evil.example.com"}
        if signed_for is not None:
            headers["x-twilio-signature"] = w.network.sign(signed_for, {})
        with pytest.raises(UpgradeRefused) as refused:
            await w.host.connect(MEDIA_URL, headers)
        assert refused.value.status == 403
        nothing_begun(w, model)

    with_world(tmp_path, test)


def test_a_replayed_voice_webhook_gets_the_same_answer_and_has_no_effect(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        first, second = await voice_token(w), await voice_token(w)
        assert first == second and w.gateway.registry.live == 2
        stream = await open_media(w)
        await stream.start(first)
        await stream.audio(5)
        await webhook(w, "/twilio/voice")
        await stream.audio(5)
        assert len(model.wires) == 2 and w.gateway.registry.live == 2
        await stream.send({"event": "stop"})
        await ended(w, "caller_hangup")
        for path in ("/twilio/voice", "/twilio/voice?again=1", "/twilio/voice?again=3"):
            reply = await webhook(w, path)
            assert reply.status_code == 200 and "<Hangup" in reply.text and "<Stream" not in reply.text
        assert len(model.wires) == 2 and w.gateway.registry.live == 1

    with_world(tmp_path, test)


def test_a_replayed_resumption_does_not_cut_the_resumed_call(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        await stream.audio(5)
        await stream.socket.close(1006)
        await until(lambda: w.gateway.registry.live == 1)
        reply = await webhook(w, "/twilio/voice?again=1")
        token = reply.text.partition('value="')[2].partition('"')[0]
        stream = await open_media(w)
        await stream.start(token)
        await stream.audio(5)
        await webhook(w, "/twilio/voice?again=1")
        await webhook(w, "/twilio/voice")
        await stream.audio(5)
        assert w.gateway.registry.live == 2
        await stream.send({"event": "stop"})
        await until(lambda: w.gateway.registry.live == 1)
        reasons = sorted(str(call.end_reason) for call in w.store.calls.values() if call.carrier_call_id == SID)
        assert reasons == ["caller_hangup", "leg_lost"]
        assert "<Hangup" in (await webhook(w, "/twilio/voice?again=2")).text

    with_world(tmp_path, test)


def test_a_call_that_the_carrier_reports_as_over_cannot_be_resumed(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        await stream.socket.close(1006)
        await until(lambda: w.gateway.registry.live == 1)
        await webhook(w, "/twilio/status", {"CallStatus": "completed", "SequenceNumber": "3"})
        assert "<Hangup" in (await webhook(w, "/twilio/voice?again=1")).text
        assert w.gateway.registry.live == 1

    with_world(tmp_path, test)


def test_status_callbacks_in_any_order_only_move_a_call_forward(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        stream = await started(w)
        for state in ("completed", "ringing", "in-progress", "nonsense", "", "completed"):
            await webhook(w, "/twilio/status", {"CallStatus": state, "SequenceNumber": "x" * 50})
        await ended(w, "caller_hangup")
        assert written(w, SID)[0].carrier_state == "completed"
        await stream.closed()

    with_world(tmp_path, test)


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_metrics_are_not_for_whoever_comes_through_the_proxy(tmp_path: Path, header: str) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        assert (await w.http.get(PUBLIC + "/metrics")).status_code == 200
        for headers in ({header: "127.0.0.1"}, {header: "for=127.0.0.1", "authorization": "Bearer guess"}):
            assert (await w.http.get(PUBLIC + "/metrics", headers=headers)).status_code == 403

    with_world(tmp_path, test)


def test_no_schema_and_no_other_method_is_offered(tmp_path: Path) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        for path in ("/docs", "/redoc", "/openapi.json"):
            reply: httpx2.Response = await w.http.get(PUBLIC + path)
            assert reply.status_code == 404 or "/twilio" not in reply.text
        for path in PATHS:
            assert (await w.http.get(PUBLIC + path)).status_code == 405
        await asyncio.sleep(0)

    with_world(tmp_path, test)


def test_no_number_and_no_token_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(w: World, model: RiggedModel) -> None:
        token = await voice_token(w)
        stream = await open_media(w)
        await stream.start(token, call_sid="CA" + "9" * 32)
        await stream.closed()
        await w.http.post(PUBLIC + "/twilio/voice", data=FORM)
        assert token not in caplog.text and "+1415" not in caplog.text

    with_world(tmp_path, test)


def test_a_webhook_whose_body_does_not_come_is_given_up(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"CallSid="
        await asyncio.Event().wait()

    async def main(w: World, _: RiggedModel) -> None:
        began = asyncio.get_running_loop().time()
        assert (await w.http.post(f"{PUBLIC}/twilio/voice", content=never())).status_code == 403
        assert asyncio.get_running_loop().time() - began < 6

    with_world(tmp_path, main)
