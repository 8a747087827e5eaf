"""TwiML from outside, signatures, and addresses."""

import random

import httpx2
import pytest
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped, unused-ignore]

from gateway.simulator.carrier.twiml import (
    Conference,
    Connect,
    Dial,
    DialTarget,
    Gather,
    Hangup,
    Pause,
    Play,
    Redirect,
    Reject,
    Say,
    TwimlError,
    Unknown,
    parse_twiml,
)
from gateway.simulator.carrier.webhooks import Router, Webhooks

URL = "https://gw.example.com/twilio/voice"
TOKEN = "test_auth_token_0123456789abcdef"


def webhooks() -> Webhooks:
    return Webhooks(httpx2.AsyncClient(), TOKEN, Router({}), random.Random(1))


def test_all_verbs_are_read() -> None:
    body = b"""<?xml version="1.0" encoding="UTF-8"?><Response><Say>Hello
      <break/> you</Say><Pause length="3"/><Play digits="ww1"/><Redirect method="get">/again</Redirect>
      <Dial timeout="25" action="after"><Number>+14155550150</Number><Sip>sip:a@b</Sip></Dial><Reject/>
      <Gather numDigits="1"/><Enqueue/><Hangup/></Response>"""
    verbs = parse_twiml(body, URL).verbs
    assert verbs[:4] == [
        Say("Hello you"),
        Pause(3),
        Play("ww1", ""),
        Redirect("https://gw.example.com/again", "GET"),
    ]
    targets = [DialTarget("+14155550150"), DialTarget("sip:a@b")]
    assert verbs[4] == Dial(targets, None, "https://gw.example.com/twilio/after", "POST", 25, 14400, None)
    assert verbs[5:] == [Reject("rejected"), Gather([], URL, "POST", 5, 1, "#"), Unknown("Enqueue"), Hangup()]


def test_a_stream_with_parameters_is_read() -> None:
    body = b"""<Response><Connect action="/after"><Stream url="wss://h/p" name="n" statusCallback="/s">
      <Parameter name="token" value="t"/></Stream></Connect></Response>"""
    (verb,) = parse_twiml(body, URL).verbs
    assert isinstance(verb, Connect)
    assert verb.action == "https://gw.example.com/after"
    assert verb.stream.parameters == {"token": "t"}
    assert verb.stream.status_callback == "https://gw.example.com/s"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 12100),
        (b"<Response>", 12100),
        (b"<Answer/>", 12100),
        (b"\xff\xfe", 12100),
        (b"<!DOCTYPE r [<!ENTITY a 'b'>]><Response/>", 12100),
        ("<!DOCTYPE r><Response/>".encode("utf-16"), 12100),
        (b"<Response>" + b" " * 70_000 + b"</Response>", 11750),
        (b"<Response>" + b"<Hangup/>" * 201 + b"</Response>", 12200),
        (b"<Response><Dial/></Response>", 12200),
        (b'<Response><Connect><Stream url="wss://h/p"><Parameter name="a"/><X/></Stream></Connect></Response>', 12200),
        (
            b'<Response><Connect><Stream><Parameter name="a" value="'
            + b"x" * 500
            + b'"/></Stream></Connect></Response>',
            12200,
        ),
    ],
)
def test_bad_documents_have_twilios_code(body: bytes, code: int) -> None:
    with pytest.raises(TwimlError) as refused:
        parse_twiml(body)
    assert refused.value.code == code


def test_signatures_agree_with_the_recorded_vectors() -> None:
    form = {
        "CallSid": "CA0000000000000000000000000000000a",
        "AccountSid": "AC00000000000000000000000000000001",
        "From": "+14155550101",
        "To": "+14155550199",
        "CallStatus": "ringing",
        "ApiVersion": "2010-04-01",
        "Direction": "inbound",
    }
    sign = webhooks().sign
    assert sign(f"{URL}?tenant=acme", form) == "9gUJsn7l0Cey2wJp9h9uRlT/o+0="
    assert sign("wss://gw.example.com/twilio/media", {}) == "AVZD1ElLyHZ+otZO/yBweaS8OdA="


def test_signatures_agree_with_the_official_library() -> None:
    form = {"B": "ü", "A": "+ &=", "a": ""}
    assert webhooks().sign(URL, form) == RequestValidator(TOKEN).compute_signature(URL, form)


def test_a_public_origin_is_routed_to_its_real_address() -> None:
    router = Router({"https://gw.example.com": "http://127.0.0.1:8080"})
    assert router.real("https://gw.example.com/a?b=c") == "http://127.0.0.1:8080/a?b=c"
    assert router.real("wss://gw.example.com/m") == "ws://127.0.0.1:8080/m"
    assert router.real("https://other.example.com/a") == "https://other.example.com/a"


def test_a_number_to_dial_has_its_own_url_and_callback() -> None:
    body = b"""<Response><Dial callerId="+14155550199" timeLimit="60"><Number url="/brief" method="GET"
      statusCallback="/leg" statusCallbackEvent="initiated answered">+14155550150</Number></Dial></Response>"""
    base = "https://gw.example.com/twilio"
    target = DialTarget(
        "+14155550150", "https://gw.example.com/brief", "GET", base[:-7] + "/leg", ("initiated", "answered")
    )
    assert parse_twiml(body, URL).verbs == [Dial([target], None, None, "POST", 30, 60, "+14155550199")]


def test_a_conference_is_read() -> None:
    body = b"""<Response><Dial><Conference startConferenceOnEnter="false" endConferenceOnExit="true" waitUrl=""
      statusCallback="/room" statusCallbackEvent="join leave">ab12</Conference></Dial></Response>"""
    room = Conference("ab12", False, True, "", "POST", "https://gw.example.com/room", ("join", "leave"))
    assert parse_twiml(body, URL).verbs == [Dial([], room, None, "POST", 30, 14400, None)]
    plain = parse_twiml(b"<Response><Dial><Conference>x</Conference></Dial></Response>", URL).verbs[0]
    assert isinstance(plain, Dial)
    assert plain.conference == Conference("x", True, False, None, "POST", None, ())


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "<Number/>",
        "<Conference>a</Conference><Number>+14155550150</Number>",
        "<Conference>a</Conference><Conference>b</Conference>",
        "<Number>+14155550150</Number>" * 11,
    ],
)
def test_a_dial_of_nobody_or_too_many_is_refused(inside: str) -> None:
    with pytest.raises(TwimlError, match="<Dial>"):
        parse_twiml(f"<Response><Dial>{inside}</Dial></Response>".encode(), URL)
