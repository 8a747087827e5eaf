"""What a page says is read strictly, and nothing it says raises anything but a protocol error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.browser.codec import HungUp, decode
from gateway.core.events import Dtmf
from gateway.errors import RemoteProtocolError


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_a_key_is_an_event(digit: str) -> None:
    assert decode(json.dumps({"type": "key", "digit": digit})) == Dtmf(digit)


def test_hanging_up_is_read_and_unknown_types_are_none() -> None:
    assert decode('{"type": "hang_up"}') == HungUp()
    assert decode('{"type": "wave"}') is None


@pytest.mark.parametrize(
    "message",
    [
        b"\x00\x01",
        b'{"type": "hang_up"}',
        "",
        "hello",
        "[]",
        "7",
        "null",
        "{}",
        '{"type": 7}',
        '{"type": "key"}',
        '{"type": "key", "digit": "12"}',
        '{"type": "key", "digit": "E"}',
        '{"type": "key", "digit": ""}',
        '{"type": "key", "digit": 5}',
        '{"type": "key", "digit": "5"',
        '{"type": "hang_up", "x": "' + "x" * 300 + '"}',
        "[" * 200,
    ],
)
def test_what_is_no_message_is_refused(message: str | bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(message)


@given(st.text() | st.binary() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_nothing_else_is_ever_raised(message: str | bytes) -> None:
    try:
        decode(message)
    except RemoteProtocolError as refused:
        assert str(refused).startswith("expected")
