"""What tells apart the carriers that speak Twilio's webhooks, TwiML, media socket and REST API."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import WebSocket
from twilio.twiml.voice_response import Connect

from gateway.carriers.stream import StreamCodec
from gateway.carriers.twilio.codec import TwilioCodec

__all__ = ["TWILIO", "Dialect"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One carrier's."""

    name: str
    """Of its folder: prefix of the routes, `CallOffer.carrier`, and what messages call it."""
    webhook_id: re.Pattern[str]
    """`CallSid` and `AccountSid` of a webhook, whole."""
    call_id: re.Pattern[str]
    """A call's id in the REST API, whole."""
    account_id: re.Pattern[str]
    account_words: str
    """What `account_id` asks for, in words."""
    stream: Callable[[Connect, str, str, str], None]
    """Adds the `<Stream>`: URL of the socket, URL that hears of its state, one-use token."""
    open_codec: Callable[[WebSocket], StreamCodec]
    """Makes the codec of a socket, whose upgrade may carry the token."""


def _stream(connect: Connect, url: str, status_url: str, token: str) -> None:
    """The token goes as `<Parameter>`: a stream URL may carry no query (error 31920)."""
    connect.stream(url=url, status_callback=status_url).parameter(name="token", value=token)


TWILIO = Dialect(
    name="twilio",
    webhook_id=re.compile(r"[A-Z]{2}[0-9a-zA-Z]{8,62}"),
    call_id=re.compile(r"CA[0-9a-fA-F]{32}"),
    account_id=re.compile(r"AC[0-9a-fA-F]{32}"),
    account_words="AC and 32 hexadecimal digits",
    stream=_stream,
    open_codec=lambda websocket: TwilioCodec(),
)
