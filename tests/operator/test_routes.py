"""Live calls, commands and the vault as a client meets them; over loopback where it matters. The calls are scripted."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import httpx2
import pytest

from gateway.apikeys import hash_key
from gateway.core import TurnMode, TurnTaking
from gateway.core import operator as ask
from gateway.core.events import OperatorAsked
from gateway.operator.door import BODY_BYTES_MAX
from gateway.operator.routes import CallView
from tests.operator.calls import CALL, KEY, PATH, PLAIN_KEY, Desk, ScriptedCall, command, during, over_sockets

CARD = "4111111111111111"
TEXT = "Wait a moment."
EVERY: list[tuple[dict[str, object], ask.Action]] = [
    ({"action": "mute_caller"}, ask.MuteCaller()),
    ({"action": "mute_agent"}, ask.MuteAgent()),
    ({"action": "unmute"}, ask.Unmute()),
    ({"action": "force_reply"}, ask.ForceReply()),
    ({"action": "force_reply", "instructions": TEXT}, ask.ForceReply(TEXT)),
    ({"action": "cancel_reply"}, ask.CancelReply()),
    ({"action": "insert_memory", "text": TEXT}, ask.InsertMemory(TEXT)),
    (
        {"action": "insert_memory", "text": TEXT, "role": "user", "after": "root"},
        ask.InsertMemory(TEXT, "user", "root"),
    ),
    ({"action": "say", "text": f"  {TEXT}\n"}, ask.Say(TEXT)),
    ({"action": "say", "text": TEXT, "interruptible": False}, ask.Say(TEXT, interruptible=False)),
    (
        {"action": "turn_taking", "turn_detection": "patient"},
        ask.ChangeTurns(TurnTaking(TurnMode.SERVER_VAD, silence_ms=1000)),
    ),
    (
        {"action": "turn_taking", "turn_detection": {"type": "semantic_vad", "eagerness": "low"}},
        ask.ChangeTurns(TurnTaking(TurnMode.SEMANTIC_VAD, eagerness="low")),
    ),
    ({"action": "end_turn"}, ask.EndTurn()),
    ({"action": "send_digits", "digits": "12#"}, ask.PressKeys("12#")),
    ({"action": "collect_digits"}, ask.CollectDigits()),
    (
        {"action": "collect_digits", "max_digits": 19, "min_digits": 12, "terminator": "", "between_s": 6}
        | {"total_s": 60.5, "retries": 2, "prompt": TEXT, "secure": True},
        ask.CollectDigits(19, 12, "", 6.0, 60.5, 2, TEXT, secure=True),
    ),
    ({"action": "transfer", "target": "sales"}, ask.AskTransfer("sales")),
    ({"action": "transfer", "target": "sales", "summary": TEXT}, ask.AskTransfer("sales", TEXT)),
    ({"action": "hang_up"}, ask.EndCall()),
]


def test_every_action_reaches_the_call_with_who_asked() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        for number, (body, _) in enumerate(EVERY):
            answer = await command(client, {"id": f"c{number}", **body})
            assert (answer.status_code, answer.json()) == (
                200,
                {"id": f"c{number}", "call_id": CALL, "outcome": "done"},
            )
            assert answer.headers["x-gateway-node"] == "node-1"

    over_sockets(desk, use)
    assert desk.call.asked == [
        OperatorAsked(f"c{number}", "night-shift", action) for number, (_, action) in enumerate(EVERY)
    ]


def test_a_key_without_a_name_is_known_by_the_beginning_of_its_hash() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, {"id": "1", "action": "unmute"}, key=PLAIN_KEY)).status_code == 200

    during(desk, use)
    assert desk.call.asked[0].who == hash_key(PLAIN_KEY)[:8]


# --- once ---


def test_the_same_command_again_is_repeated_and_another_with_its_id_is_refused() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        say = {"id": "a", "action": "say", "text": TEXT}
        outcomes = [
            (await command(client, body)).json()["outcome"] for body in (say, say, say | {"interruptible": True})
        ]
        assert outcomes == ["done", "repeated", "repeated"]
        for other in ({"id": "a", "action": "say", "text": "No."}, {"id": "a", "action": "hang_up"}):
            answer = await command(client, other)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
        assert (await command(client, say)).json()["outcome"] == "repeated"

    during(desk, use)
    assert len(desk.call.asked) == 1


def test_what_was_refused_is_refused_again_and_needs_a_new_id() -> None:
    desk = Desk(calls={CALL: ScriptedCall(refuses="the call is being transferred")})

    async def use(client: httpx2.AsyncClient) -> None:
        first = await command(client, {"id": "a", "action": "unmute"})
        assert (first.status_code, first.json()["error"]) == (
            409,
            {"code": "refused", "message": "the call is being transferred"},
        )
        desk.call.refuses = ""
        again = await command(client, {"id": "a", "action": "unmute"})
        assert (again.status_code, again.json()) == (409, first.json())
        other = await command(client, {"id": "a", "action": "hang_up"})
        assert (other.status_code, other.json()["error"]["code"]) == (409, "conflict")
        assert (await command(client, {"id": "b", "action": "unmute"})).json()["outcome"] == "done"

    during(desk, use)


def test_two_askers_at_once_with_one_id_are_served_once() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(command(client, {"id": "a", "action": "hang_up"})) for _ in range(20)]
        assert sorted(task.result().json()["outcome"] for task in both) == ["done"] + ["repeated"] * 19

    over_sockets(desk, use)
    assert len(desk.call.asked) == 1


def test_ids_belong_to_their_call() -> None:
    other = "call_1"
    desk = Desk(calls={CALL: ScriptedCall(), other: ScriptedCall()})

    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, {"id": "a", "action": "unmute"})).json()["outcome"] == "done"
        answer = await command(client, {"id": "a", "action": "hang_up"}, path=f"/v1/calls/{other}/commands")
        assert answer.json()["outcome"] == "done"

    during(desk, use)


# --- who and where ---


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer wrong", f"Basic {KEY}", f"Bearer {hash_key(KEY)}", KEY, "Bearer \xff\xfe"]
)
@pytest.mark.parametrize("path", [PATH, "/v1/vault/redeem"])
def test_without_a_valid_key_nothing_is_done(header: str, path: str) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        headers = [(b"authorization", header.encode("latin-1")), (b"content-type", b"application/json")]
        answer = await client.post(path, content=b'{"id": "a", "action": "hang_up"}', headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert "x-gateway-node" not in answer.headers
        assert (await client.get("/v1/calls/live", headers=headers)).status_code == 401

    during(desk, use)
    assert desk.call.asked == []


def test_the_body_of_a_stranger_is_not_waited_for() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer no\r\nContent-Length: 900\r\n\r\n"
        writer.write(head.encode())
        assert b" 401 " in await reader.readline()
        writer.close()

    over_sockets(Desk(), use)


def test_a_call_that_is_not_here_is_404_and_one_that_has_ended_is_410() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        for name in ("call_x", "x" * 5000, "%00", "%F0%9F%98%80"):
            answer = await command(client, {"id": "a", "action": "unmute"}, path=f"/v1/calls/{name}/commands")
            assert answer.status_code == 404
            assert "no such call on this node" in answer.json()["error"]["message"]
        answer = await command(client, {"id": "a", "action": "unmute"}, path="/v1/calls/call_over/commands")
        assert (answer.status_code, answer.json()["error"]["message"]) == (410, "the call has ended")

    over_sockets(Desk(ended={"call_over"}), use)


def test_a_request_for_another_node_is_misdirected() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await command(client, {"id": "a", "action": "unmute"}, x_gateway_node="node-2")
        assert (answer.status_code, answer.headers["x-gateway-node"]) == (421, "node-1")
        assert (await command(client, {"id": "a", "action": "unmute"}, x_gateway_node="node-1")).status_code == 200

    during(desk, use)
    assert len(desk.call.asked) == 1


def test_live_calls_are_listed() -> None:
    view = CallView(CALL, "support", "inbound", "active", 12.5, "+1•••0101", "+1•••0199")

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await client.get("/v1/calls/live", headers={"authorization": f"Bearer {KEY}"})
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        assert answer.json() == {
            "node": "node-1",
            "calls": [
                {
                    "call_id": CALL,
                    "agent": "support",
                    "direction": "inbound",
                    "phase": "active",
                    "seconds": 12.5,
                    "from_number": "+1•••0101",
                    "to_number": "+1•••0199",
                }
            ],
        }

    during(Desk(views=[view]), use)


# --- hostile bodies ---

SAY = {"id": "a", "action": "say", "text": TEXT}
ID = "must be 1 to 64 letters, digits and . _ : -, the first a letter or digit"
KEYS = "must be 1 to 64 keys of 0-9 * # A-D"
PRESETS = "should be one of default, patient, spelling, manual"
COLLECT = {"id": "a", "action": "collect_digits"}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 16000, b'{"id": "\\ud800"}', b'{"id": ' + b"9" * 5000 + b"}"]
)
def test_what_is_no_json_is_400(body: bytes) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await command(client, body)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "the body is not valid JSON")

    during(Desk(), use)


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ([], {"body": "must be a JSON object"}),
        ("say", {"body": "must be a JSON object"}),
        (None, {"body": "must be a JSON object"}),
        ({}, {"action": "is missing"}),
        ({"id": "a", "action": 5}, {"action": "must be one of mute_caller"}),
        ({"id": "a", "action": "explode"}, {"action": "must be one of mute_caller, mute_agent, unmute"}),
        ({"action": "unmute"}, {"id": "is missing"}),
        ({"id": 7, "action": "unmute"}, {"id": "must be text"}),
        ({"id": "", "action": "unmute"}, {"id": ID}),
        ({"id": "a" * 65, "action": "unmute"}, {"id": ID}),
        ({"id": "a b", "action": "unmute"}, {"id": ID}),
        ({"id": "a\n", "action": "unmute"}, {"id": ID}),
        ({"id": "a", "action": "unmute", "text": TEXT}, {"text": "is not known here"}),
        ({"id": "a", "action": "say"}, {"text": "is missing"}),
        (SAY | {"text": " \n"}, {"text": "must not be empty"}),
        (SAY | {"text": "a" * 2001}, {"text": "may have 2000 characters"}),
        (SAY | {"text": "a\x00b"}, {"text": "holds characters that are not allowed here"}),
        (SAY | {"text": "\x1b[2J"}, {"text": "holds characters that are not allowed here"}),
        (SAY | {"text": [TEXT]}, {"text": "must be text"}),
        (SAY | {"interruptible": "yes"}, {"interruptible": "must be true or false"}),
        (SAY | {"text": 5, "interruptible": 1}, {"text": "must be text", "interruptible": "must be true or false"}),
        (SAY | {"action": "insert_memory", "role": "boss"}, {"role": "must be system, user or assistant"}),
        (SAY | {"action": "insert_memory", "after": "a b"}, {"after": "must be the id of an item, or root"}),
        ({"id": "a", "action": "send_digits", "digits": "1;2"}, {"digits": KEYS}),
        ({"id": "a", "action": "send_digits", "digits": "1" * 65}, {"digits": KEYS}),
        ({"id": "a", "action": "send_digits", "digits": "٣"}, {"digits": KEYS}),
        (COLLECT | {"max_digits": 0}, {"max_digits": "must be at least 1"}),
        (COLLECT | {"max_digits": 65}, {"max_digits": "may be 64 at most"}),
        (COLLECT | {"max_digits": 4.5}, {"max_digits": "must be a whole number"}),
        (COLLECT | {"max_digits": True}, {"max_digits": "must be a whole number"}),
        (COLLECT | {"max_digits": 10**30}, {"max_digits": "may be 64 at most"}),
        (COLLECT | {"max_digits": 4, "min_digits": 5}, {"min_digits": "may not be more than max_digits"}),
        (COLLECT | {"terminator": "##"}, {"terminator": "must be one key of 0-9 * # A-D, or empty"}),
        (COLLECT | {"between_s": 0}, {"between_s": "must be at least 0.5"}),
        (COLLECT | {"total_s": float("nan")}, {"total_s": "must be a number"}),
        (COLLECT | {"total_s": float("inf")}, {"total_s": "must be a number"}),
        (COLLECT | {"total_s": "60"}, {"total_s": "must be a number"}),
        ({"id": "a", "action": "transfer"}, {"target": "is missing"}),
        ({"id": "a", "action": "transfer", "target": ""}, {"target": "must not be empty"}),
        ({"id": "a", "action": "turn_taking"}, {"turn_detection": "is missing"}),
        ({"id": "a", "action": "turn_taking", "turn_detection": "hasty"}, {"turn_detection": PRESETS}),
        ({"id": "a", "action": "turn_taking", "turn_detection": 5}, {"turn_detection": "should be one of default"}),
        ({"id": "a", "action": "turn_taking", "turn_detection": {}}, {"turn_detection.type": "is missing"}),
        (
            {"id": "a", "action": "turn_taking", "turn_detection": {"type": "server_vad", "threshold": 2, "x": 1}},
            {"turn_detection.threshold": "may be 1.0 at most", "turn_detection.x": "is not known here"},
        ),
        (
            {"id": "a", "action": "turn_taking", "turn_detection": {"type": "manual", "key": "##"}},
            {"turn_detection.key": "must be "},
        ),
    ],
)
def test_a_field_that_we_do_not_take_is_422_with_a_sentence_each(body: object, faults: dict[str, str]) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        answer = await command(client, body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (422, "invalid")
        said = {fault["field"]: fault["message"] for fault in error["fields"]}
        assert said.keys() == faults.keys()
        for name, words in faults.items():
            assert said[name].startswith(words)
            assert f"{name} {words}" in error["message"]

    during(desk, use)
    assert desk.call.asked == []


def test_no_value_comes_back_and_none_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        token = await desk.vault.keep(CARD)
        bodies: list[dict[str, object]] = [
            {"id": "a", "action": "send_digits", "digits": f"{CARD}x"},
            {"id": "b", "action": CARD},
            {"id": "c", "action": "turn_taking", "turn_detection": {"type": CARD}},
            {"id": "d", "action": "turn_taking", "turn_detection": CARD},
            {"id": f"{CARD} ", "action": "unmute"},
        ]
        for body in bodies:
            answer = await command(client, body)
            assert answer.status_code == 422 and CARD not in answer.text
        assert (await command(client, {"id": "e", "action": "send_digits", "digits": CARD})).status_code == 200
        assert (await command(client, {"token": token + "x"}, path="/v1/vault/redeem")).status_code == 404
        assert (await command(client, {"token": token}, path="/v1/vault/redeem")).json() == {"digits": CARD}
        assert token[6:] not in caplog.text

    with caplog.at_level(logging.DEBUG):
        during(desk, use)
    assert CARD not in caplog.text and KEY not in caplog.text
    assert "night-shift asked call" in caplog.text and "night-shift redeemed digits" in caplog.text


def test_a_hundred_mistakes_are_ten_sentences() -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        answer = await command(client, SAY | {f"{n}" * 200: n for n in range(100)})
        fields = answer.json()["error"]["fields"]
        assert len(fields) == 10 and max(len(fault["field"]) for fault in fields) == 80

    during(Desk(), use)


def test_a_body_over_the_bound_is_413_however_it_is_announced() -> None:
    async def chunks() -> AsyncIterator[bytes]:  # sent without a length
        for _ in range(BODY_BYTES_MAX // 1000 + 2):
            yield b" " * 1000

    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, b" " * (BODY_BYTES_MAX + 1))).status_code == 413
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        assert (await client.post(PATH, content=chunks(), headers=headers)).status_code == 413
        assert (await command(client, json.dumps(SAY).encode().ljust(BODY_BYTES_MAX))).status_code == 200

    over_sockets(Desk(), use)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"])
def test_what_is_not_said_to_be_json_is_415(kind: str) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, SAY, content_type=kind)).status_code == 415
        assert (await command(client, SAY, content_type="Application/JSON; charset=utf-8")).status_code == 200

    during(Desk(), use)


def test_a_client_that_goes_away_in_its_body_leaves_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        writer.write(head.encode() + b'Content-Length: 900\r\n\r\n{"id": "a", "action": "hang_up"}')
        await writer.drain()
        writer.close()
        assert await reader.read() == b""
        assert (await command(client, SAY)).status_code == 200

    over_sockets(desk, use)
    assert len(desk.call.asked) == 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_body_that_never_ends_is_given_up() -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"{"
            await asyncio.sleep(1)

    async def use(client: httpx2.AsyncClient) -> None:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        assert (await client.post(PATH, content=drip(), headers=headers)).status_code == 408

    during(Desk(), use)


# --- the vault ---


def test_digits_are_redeemed_once_and_every_other_token_looks_the_same() -> None:
    desk = Desk()

    async def use(client: httpx2.AsyncClient) -> None:
        token = await desk.vault.keep(CARD)
        answer = await command(client, {"token": token}, path="/v1/vault/redeem")
        assert (answer.status_code, answer.json()) == (200, {"digits": CARD})
        assert (answer.headers["cache-control"], answer.headers["x-gateway-node"]) == ("no-store", "node-1")
        used = await command(client, {"token": token}, path="/v1/vault/redeem")
        unknown = await command(client, {"token": "vault_" + "A" * 32}, path="/v1/vault/redeem")
        assert used.status_code == unknown.status_code == 404
        assert used.json() == unknown.json()

    during(desk, use)


@pytest.mark.parametrize("body", [{}, {"token": 5}, {"token": ""}, {"token": "a" * 129}, {"token": "a", "b": 1}, []])
def test_a_redemption_that_names_no_token_is_422(body: object) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        assert (await command(client, body, path="/v1/vault/redeem")).status_code == 422

    during(Desk(), use)
