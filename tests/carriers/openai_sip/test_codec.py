"""The webhook's body, and numbers in hostile SIP headers."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.carriers.openai_sip.codec import MAX_HEADERS, Incoming, decode, number_in
from gateway.carriers.openai_sip.control import sideband_url
from gateway.carriers.openai_sip.rest import calls_url
from gateway.errors import RemoteProtocolError

VECTORS = Path(__file__).parents[2] / "vectors" / "openai_sip.jsonl"


def body(headers: object = (), **more: object) -> bytes:
    data: Mapping[str, object] = {"call_id": "rtc_0001", "sip_headers": headers, **more}
    return json.dumps({"type": "realtime.call.incoming", "created_at": 1795327200, "data": data}).encode()


def header(name: str, value: str) -> dict[str, str]:
    return {"name": name, "value": value}


def test_the_documented_webhook_is_read() -> None:
    headers = [
        header("From", "sip:+14155550101@sip.example.com"),
        header("To", "sip:proj_abc@sip.api.openai.com"),
        header("Call-ID", "0391-abc"),
    ]
    assert decode(body(headers)) == Incoming("rtc_0001", 1795327200.0, "+14155550101", "")


def test_the_wire_fixture_is_read_and_its_requests_are_ours() -> None:
    lines = [json.loads(line) for line in VECTORS.read_text().splitlines()]
    (webhook,) = [line["msg"] for line in lines if line["channel"] == "http"]
    call = decode(json.dumps(webhook["json"]).encode())
    assert call is not None
    assert (call.call_id, call.from_number) == ("rtc_0001", "+14155550101")
    urls = {line["msg"]["url"] for line in lines if line["channel"] == "rest"}
    calls = calls_url("wss://api.openai.com/v1/realtime")
    ours = {f"{calls}/{call.call_id}/{what}" for what in ("accept", "reject", "refer", "hangup")}
    assert urls == ours | {sideband_url("wss://api.openai.com/v1/realtime?x=1", call.call_id)}


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("sip:+14155550101@sip.example.com", "+14155550101"),
        ('"Ann \\"x\\" <sip:nobody@x>" <sips:+14155550101@host:5061;transport=tls;user=phone>;tag=88', "+14155550101"),
        ("<tel:+1-415-555-0101>", "+14155550101"),
        ("tel:555-0101;phone-context=+1415", "+14155550101"),
        ("tel:5550101;phone-context=example.com", "5550101"),
        ("<sip:+1%20(415)%205550101@x>", ""),
        ("<sip:%2B14155550101@x>", "+14155550101"),
        ("<sip:14155550101@x>", "+14155550101"),
        ("<sip:014155550101@x>", "014155550101"),
        ("<sip:4155550101@x>", "4155550101"),
        ("<sip:+14155550101;npdi;rn=+14155550000@x>", "+14155550101"),
        ("<sip:+14155550101:secret@x>", "+14155550101"),
        ("<sip:anonymous@anonymous.invalid>", ""),
        ("<sip:proj_14155550101@sip.api.openai.com>", ""),
        ("<sip:+14155550101>", ""),
        ("sip:+" + "1" * 60 + "@x", ""),
        ("<sip:１４１５５５５０１０１@x>", ""),
        ("", ""),
        ("+14155550101", ""),
    ],
)
def test_numbers_are_found_in_sip_and_tel_uris_only(value: str, number: str) -> None:
    assert number_in(value) == number


def test_an_asserted_identity_goes_before_a_withheld_from() -> None:
    headers = [
        header("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=1'),
        header("P-Asserted-Identity", "<sip:trunk@example.com>, <tel:+14155550101>"),
        header("To", "<sip:+14155550199@sip.api.openai.com>"),
    ]
    call = decode(body(headers))
    assert call is not None
    assert (call.from_number, call.to_number) == ("+14155550101", "+14155550199")


def test_where_to_names_the_project_the_newest_diversion_tells_the_dialled_number() -> None:
    headers = [
        header("to", "<sip:proj_abc@sip.api.openai.com;transport=tls>"),
        header("diversion", "<sip:+14155550199@pbx>;reason=unconditional"),
        header("diversion", "<sip:+14155550000@pbx>;reason=user-busy"),
    ]
    call = decode(body(headers))
    assert call is not None
    assert call.to_number == "+14155550199"
    call = decode(body([*headers, header("P-Called-Party-ID", "<sip:+14155550198@x>")]))
    assert call is not None
    assert call.to_number == "+14155550198"


def test_headers_beyond_the_bound_and_of_other_types_are_not_looked_at() -> None:
    from_ = header("From", "<sip:+14155550101@x>")
    many = [header("X", "y")] * MAX_HEADERS
    for headers in ([*many, from_], "From", None, [1, None, {"name": "From"}, {"name": 1, "value": "x"}, ["From"]]):
        call = decode(body(headers))
        assert call is not None
        assert call.from_number == ""


def test_other_events_are_none_of_ours() -> None:
    assert decode(b'{"type": "live.transport.incoming", "data": {}}') is None
    assert decode(b'{"object": "event"}') is None


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b'{"type": "realtime.call.incoming"}',
        b'{"type": "realtime.call.incoming", "created_at": true, "data": {"call_id": "rtc_1"}}',
        b'{"type": "realtime.call.incoming", "created_at": 1e400, "data": {"call_id": "rtc_1"}}',
        b'{"type": "realtime.call.incoming", "created_at": 1, "data": {"call_id": "rtc_../../x"}}',
        b'{"type": "realtime.call.incoming", "created_at": 1, "data": {"call_id": 1}}',
        b'{"type": "realtime.call.incoming", "created_at": 1, "data": {"call_id": "' + b"r" * 200 + b'"}}',
    ],
)
def test_what_is_broken_is_refused_with_a_reason(broken: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(broken)


NAMES = st.sampled_from(["From", "To", "Diversion", "P-Asserted-Identity"])


@settings(max_examples=60)
@given(st.lists(st.tuples(NAMES, st.text(max_size=60)), max_size=4))
def test_no_header_breaks_the_reader(headers: list[tuple[str, str]]) -> None:
    call = decode(body([header(name, f"<sip:{value}@x>{value}") for name, value in headers]))
    assert call is not None
    assert all(len(number) <= 16 for number in (call.from_number, call.to_number))
