"""Log lines: JSON, with the call's id, and nothing that must not be written down."""

import asyncio
import io
import json
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import uvicorn
import websockets
from starlette.types import Message, Receive, Scope, Send

from gateway.log import bind_call, call_logger, configure, mask_number, redact

KEY = "sk-proj-abcdefghijklmnop"
TOKEN = "0123456789abcdef0123456789abcdef"

Lines = Callable[[], list[dict[str, object]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return a function that gives the lines written so far; the root logger is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("DEBUG", secrets=[TOKEN, "abc"], stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_json_with_time_level_logger_and_event(lines: Lines) -> None:
    logging.getLogger("gateway.session").info("ended: %s after %s s", "caller_hangup", 12)
    (line,) = lines()
    assert line.pop("time")
    assert line == {"level": "info", "logger": "gateway.session", "event": "ended: caller_hangup after 12 s"}


def test_lines_inside_a_call_carry_its_id(lines: Lines) -> None:
    with bind_call("call-1"):
        logging.getLogger("a").info("one")
    call_logger("b", "call-2").info("two")
    logging.getLogger("a").info("three")
    assert [line.get("call_id") for line in lines()] == ["call-1", "call-2", None]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("from +14155551234", "from +1•••1234"),
        ("from %2B4915112345678&x", "from +49•••5678&x"),
        ("to +44 20 7946 0958.", "to +44•••0958."),
        ("call (415) 555-1234 now", "call +41•••1234 now"),
        ("sip:14155551234@host", "sip:+1•••1234@host"),
        ("key sk-proj-abcdefghijklmnop", "key sk-[removed]"),
        ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer [removed]"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_[removed]"),
        ("postgresql://user:hunter2@db/x", "postgresql://[removed]@db/x"),
        ("GET /a?token=abcdef&b=1", "GET /a?token=[removed]&b=1"),
        ('{"api_key": "zzz"}', '{"api_key": "[removed]"}'),
        ("CA0123456789abcdef0123456789abcdef took 1234 ms", "CA0123456789abcdef0123456789abcdef took 1234 ms"),
        ("listening on 127.0.0.1:8080, 2026-11-22", "listening on 127.0.0.1:8080, 2026-11-22"),
        ("total_tokens: 12", "total_tokens: 12"),
    ],
)
def test_numbers_and_secrets_are_masked_in_text(text: str, written: str) -> None:
    assert redact(text) == written


def test_values_and_nested_values_are_cleaned(lines: Lines) -> None:
    import structlog

    structlog.get_logger("x").warning(
        "refused",
        caller="+14155551234",
        auth_token="anything",
        usage={"total_tokens": 7, "who": ["+14155551234"], "password": "p"},
        error=ValueError(f"bad {KEY}"),
    )
    (line,) = lines()
    assert line["caller"] == "+1•••1234"
    assert line["auth_token"] == "[removed]"
    assert line["usage"] == {"total_tokens": 7, "who": ["+1•••1234"], "password": "[removed]"}
    assert line["error"] == "bad sk-[removed]"


def test_a_known_secret_is_removed_wherever_it_turns_up(lines: Lines) -> None:
    logging.getLogger("x").info("odd place: <%s> and abc stays", TOKEN)
    assert lines()[0]["event"] == "odd place: <[removed]> and abc stays"


def test_a_traceback_is_cleaned_and_stays_one_line(lines: Lines) -> None:
    try:
        raise RuntimeError(f"call from +14155551234 with {KEY} and {TOKEN}")
    except RuntimeError:
        logging.getLogger("x").exception("session failed")
    (line,) = lines()
    assert "RuntimeError: call from +1•••1234 with sk-[removed] and [removed]" in str(line["exception"])
    assert "Traceback" in str(line["exception"])


def test_a_hostile_text_cannot_forge_a_line_or_fill_the_disk(lines: Lines) -> None:
    logging.getLogger("x").info("got %s", '\n{"event":"forged"}' + "a" * 100_000)
    (line,) = lines()
    assert len(str(line["event"])) < 9000
    assert "characters left out" in str(line["event"])


def test_libraries_that_log_frames_and_headers_are_kept_quiet(lines: Lines) -> None:
    logging.getLogger("websockets.client").debug("> Authorization: %s", KEY)
    logging.getLogger("twilio.http_client").info("POST /Calls.json")
    assert lines() == []


def test_frames_of_a_media_socket_are_not_logged_at_debug(lines: Lines) -> None:
    async def main() -> None:
        config = uvicorn.Config(_echo, ws="websockets-sansio", log_config=None, lifespan="off", access_log=False)
        server = uvicorn.Server(config)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(server.serve([listener]))
                async with websockets.connect(f"ws://127.0.0.1:{port}/", proxy=None) as client:
                    for _ in range(3):
                        await client.send('{"event":"media","media":{"payload":"f39/f39/"}}')
                        await client.recv()
                server.should_exit = True

    asyncio.run(main())
    written = [line for line in lines() if line["level"] == "debug"]
    assert written == [] and any("[accepted]" in str(line["event"]) for line in lines())


async def _echo(scope: Scope, receive: Receive, send: Send) -> None:
    async for message in _messages(receive):
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def _messages(receive: Receive) -> AsyncIterator[Message]:
    while (message := await receive())["type"] != "websocket.disconnect":
        yield message


@pytest.mark.parametrize(
    ("number", "shown"), [("+14155551234", "+1•••1234"), ("+4915112345678", "+49•••5678"), ("12", "•••")]
)
def test_a_number_is_shown_by_its_region_and_last_digits(number: str, shown: str) -> None:
    assert mask_number(number) == shown
