"""What Vonage is told to do with a call: NCCO, a JSON list of actions. Pure.

Vendor page: "NCCO reference". There is no action for "ask again" and none for "busy": the first is a `notify`, whose
answer replaces what would follow, the second is said.
"""

from typing import assert_never
from urllib.parse import urlencode

from gateway.carriers.front import Again, Apologise, Busy, HangUp, Next, NotInService, Stream
from gateway.carriers.vonage.context import Context, Seal

__all__ = ["Action", "Ncco", "bare", "plus"]

Action = dict[str, object]

CONTENT_TYPE = "audio/l16;rate=24000"
"""What the model takes as it is; what is really sent is said by `websocket:connected`."""
BUSY = "All our lines are busy. Please call again later."
NOT_IN_SERVICE = "The number you have called is not in service."
DIAL_S = 30
LONGEST_RING_S = 60
MAX_TEXT = 1500
"""Characters of one `talk`."""


class Ncco:
    """Writes our answers; `streams` are told of each stream that is asked for."""

    def __init__(self, public_url: str, stream_origin: str, seal: Seal) -> None:
        self._webhooks = f"{public_url}/vonage"
        self._media_url = f"{stream_origin}/vonage/media"
        self._seal = seal

    def next(self, step: Next, context: Context) -> list[Action]:
        """Say how a call goes on. Of a `Stream`, `context.stream` tells it from the call's others."""
        match step:
            case Stream(token, _, _):
                return [self._stream(token, context)]
            case Again(again, pause_s, _):
                return [*_pause(pause_s), self._notify(context.but(again=again))]
            case Apologise(say, dial):
                return [talk(say), *([self._reach(dial, context)] if dial else [])]
            case HangUp():
                return []
            case Busy():
                return [talk(BUSY)]
            case NotInService():
                return [talk(NOT_IN_SERVICE)]
            case _:
                assert_never(step)

    def dial(self, number: str, ring_s: float, context: Context) -> list[Action]:
        """Bring the caller to a number; `/vonage/transferred` is asked what follows when nobody answers."""
        return [
            {
                "action": "connect",
                "eventType": "synchronous",
                "eventUrl": [self._url("transferred", context)],
                "from": _ours(context),
                "timeout": min(max(round(ring_s), 1), LONGEST_RING_S),
                "endpoint": [{"type": "phone", "number": bare(number)}],
            }
        ]

    def _stream(self, token: str, context: Context) -> Action:
        endpoint = {
            "type": "websocket",
            "uri": self._media_url,
            "content-type": CONTENT_TYPE,
            "headers": {"token": token, "uuid": context.call},
            "authorization": {"type": "custom", "value": f"Bearer {token}"},
        }
        return {
            "action": "connect",
            "eventType": "synchronous",
            "eventUrl": [self._url("event", context)],
            "from": _ours(context),
            "endpoint": [endpoint],
        }

    def _notify(self, context: Context) -> Action:
        url = self._url("again", context)
        return {"action": "notify", "payload": {"again": str(context.again)}, "eventUrl": [url], "eventMethod": "POST"}

    def _reach(self, number: str, context: Context) -> Action:
        endpoint = {"type": "phone", "number": bare(number)}
        return {"action": "connect", "from": _ours(context), "timeout": DIAL_S, "endpoint": [endpoint]}

    def _url(self, path: str, context: Context) -> str:
        return f"{self._webhooks}/{path}?{urlencode({'c': self._seal.close(context)})}"


def talk(text: str) -> Action:
    """Return speech; what would be markup is struck out."""
    return {"action": "talk", "text": text[:MAX_TEXT].replace("<", " ").replace("&", " and ")}


def plus(number: str) -> str:
    """Return a number of Vonage's as E.164; what is no number is left as it is."""
    return f"+{number}" if number.isascii() and number.isdigit() and 7 <= len(number) <= 15 else number


def bare(number: str) -> str:
    """Return a number as Vonage writes it."""
    return number.removeprefix("+")


def _ours(context: Context) -> str:
    return bare(context.from_number if context.direction == "outbound" else context.to_number)


def _pause(seconds: int) -> list[Action]:
    if not seconds:
        return []
    return [{"action": "talk", "text": f'<speak><break time="{seconds}s"/></speak>'}]
