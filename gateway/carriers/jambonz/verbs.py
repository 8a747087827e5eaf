"""What jambonz is told to do with a call: a JSON list of verbs. Pure.

Vendor page: "Verbs". Every call that is not ours any more is ended by `hangup`, since a list that has run out ends it
too, but without a word of ours in the log.
"""

from typing import assert_never
from urllib.parse import urlencode

from gateway.carriers.front import Again, Apologise, Busy, HangUp, Next, NotInService, Stream

__all__ = ["SOCKET_USER", "Verb", "Verbs"]

Verb = dict[str, object]

RATE_HZ = 24_000
"""What the model takes as it is; what is really sent is said by the metadata."""
SOCKET_USER = "gateway"
DIAL_S = 30
LONGEST_RING_S = 120
MAX_TEXT = 1500
"""Characters of one `say`."""


class Verbs:
    """Writes our answers."""

    def __init__(self, public_url: str, stream_origin: str) -> None:
        self._webhooks = f"{public_url}/jambonz"
        self._media_url = f"{stream_origin}/jambonz/media"

    def next(self, step: Next) -> list[Verb]:
        """Say how a call goes on."""
        match step:
            case Stream():
                return [{"verb": "answer"}, self._listen(step), {"verb": "hangup"}]
            case Again(again, pause_s, attempt_id):
                return [*pause(pause_s), self.call(again, attempt_id)]
            case Apologise(text, dial):
                return [{"verb": "answer"}, say(text), *([_reach(dial)] if dial else []), {"verb": "hangup"}]
            case HangUp():
                return [{"verb": "hangup"}]
            case Busy():
                return [{"verb": "sip:decline", "status": 486, "reason": "Busy Here"}]
            case NotInService():
                return [{"verb": "sip:decline", "status": 404, "reason": "Not Found"}]
            case _:
                assert_never(step)

    def call(self, again: int, attempt_id: str, early: int = 0) -> Verb:
        """Ask `/jambonz/call` for the next instruction; `early` counts how often a call was not answered yet."""
        query = _query(again, attempt_id) | ({"early": str(early)} if early else {})
        return {"verb": "redirect", "actionHook": self.url("call", query)}

    def dial(self, number: str, ring_s: float, caller_id: str, ticket: str, attempt_id: str) -> list[Verb]:
        """Bring the caller to a number; `/jambonz/transferred` is asked what follows, however it went."""
        query = {"ticket": ticket} | ({"attempt": attempt_id} if attempt_id else {})
        dial: Verb = {
            "verb": "dial",
            "answerOnBridge": True,
            "timeout": min(max(round(ring_s), 1), LONGEST_RING_S),
            "target": [{"type": "phone", "number": number}],
            "actionHook": self.url("transferred", query),
        }
        return [dial | ({"callerId": caller_id} if caller_id else {})]

    def url(self, path: str, query: dict[str, str]) -> str:
        """Return one of our webhooks."""
        return f"{self._webhooks}/{path}?{urlencode(query)}"

    def _listen(self, stream: Stream) -> Verb:
        return {
            "verb": "listen",
            "url": self._media_url,
            "mixType": "mono",
            "sampleRate": RATE_HZ,
            "passDtmf": True,
            "bidirectionalAudio": {"enabled": True, "streaming": True, "sampleRate": RATE_HZ},
            "wsAuth": {"username": SOCKET_USER, "password": stream.token},
            "metadata": {"token": stream.token},
            "actionHook": self.url("after", _query(stream.again, stream.attempt_id)),
        }


def say(text: str) -> Verb:
    """Return speech; what would be markup is struck out."""
    return {"verb": "say", "text": text[:MAX_TEXT].replace("<", " ").replace("&", " and ")}


def pause(seconds: int) -> list[Verb]:
    """Return silence, or nothing for none."""
    return [{"verb": "pause", "length": seconds}] if seconds else []


def _reach(number: str) -> Verb:
    return {"verb": "dial", "timeout": DIAL_S, "target": [{"type": "phone", "number": number}]}


def _query(again: int, attempt_id: str) -> dict[str, str]:
    return {"again": str(again)} | ({"attempt": attempt_id} if attempt_id else {})
