"""The TwiML that we answer with. Twilio page: "TwiML for Programmable Voice"."""

from typing import assert_never
from urllib.parse import urlencode

from twilio.twiml.voice_response import Connect, Dial, Gather, VoiceResponse

from gateway.carriers.front import DEFAULT_APOLOGY, Again, Apologise, Busy, HangUp, Next, NotInService, Stream
from gateway.carriers.twilio.dialect import Dialect

__all__ = ["apologise", "caller_gone", "dial", "following", "hang_up", "meet", "offer_caller", "ring_seconds"]

DIAL_S = 25
MOST_BRIEF = 600
"""Characters told to a human before they decide: 40 s of speech, and few enough for the API, however escaped."""
KEY_S = 8
"""How long the accept key is waited for after the brief, and once more after the reminder."""
LONGEST_RING_S = 600
SPOKEN_KEYS = {"*": "star", "#": "pound"}


def following(dialect: Dialect, origin: str, stream_origin: str, next_: Next) -> str:
    """Return how a call goes on. When a stream is over, by whatever cause, `/NAME/after` is asked."""
    base, response = f"{origin}/{dialect.name}", VoiceResponse()
    match next_:
        case Stream(token, again, attempt_id):
            connect = Connect()
            dialect.stream(connect, f"{stream_origin}/{dialect.name}/media", f"{base}/stream-status", token)
            response.append(connect)
            response.redirect(f"{base}/after?{_query(again, attempt_id)}", method="POST")
        case Again(again, pause_s, attempt_id):
            if pause_s:
                response.pause(length=pause_s)
            response.redirect(f"{base}/voice?{_query(again, attempt_id)}", method="POST")
        case Apologise(say, number):
            return apologise(say, number)
        case HangUp():
            response.hangup()
        case Busy():
            response.reject(reason="busy")
        case NotInService():
            response.reject(reason="rejected")
        case _:
            assert_never(next_)
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def apologise(say: str | None = None, number: str | None = None) -> str:
    """Say that something is wrong, then reach a human if there is a number for that, then hang up."""
    response = VoiceResponse()
    response.say(say or DEFAULT_APOLOGY)
    if number is not None:
        response.dial(number, timeout=DIAL_S)
    response.hangup()
    return str(response)


def dial(number: str, ring_s: float, *, action: str, progress: str, caller_id: str | None) -> str:
    """Bring the caller to a number. `progress` hears when it answers; `action` is asked what follows, however it went.

    `caller_id` None shows the caller's own number, which Twilio allows for calls that came in.
    """
    response = VoiceResponse()
    ring = Dial(
        action=action, method="POST", timeout=ring_seconds(ring_s), caller_id=caller_id or None, answer_on_bridge=True
    )
    ring.number(number, status_callback=progress, status_callback_method="POST", status_callback_event="answered")
    response.append(ring)
    return str(response)


def offer_caller(brief: str, accept_key: str, key_url: str) -> str:
    """Tell a human who answers what it is about, then ask `key_url` what follows: with the key that was pressed, or at
    once where `accept_key` is "".

    Whoever presses nothing, a machine for instance, is asked once more; then the line goes down.
    """
    told = "".join(letter for letter in " ".join(brief.split()) if letter.isprintable())[:MOST_BRIEF]
    response = VoiceResponse()
    if not accept_key:
        if told:
            response.say(told)
        response.redirect(key_url, method="POST")
        return str(response)
    prompt = f"Press {SPOKEN_KEYS.get(accept_key, accept_key)} to take the call."
    for texts in ((told or "There is a caller for you.", prompt), (prompt,)):
        # No key finishes the entry: `#` may be the accept key.
        gather = Gather(num_digits=1, timeout=KEY_S, finish_on_key="", action=key_url, method="POST")
        for text in texts:
            gather.say(text)
        response.append(gather)
    response.hangup()
    return str(response)


def meet(room: str) -> str:
    """Put this side of a call into a conference of two; whoever leaves it ends it for the other."""
    response = VoiceResponse()
    table = Dial()
    # Silence and not music until the other is there: that is a second.
    table.conference(
        room, start_conference_on_enter=True, end_conference_on_exit=True, beep="false", wait_url="", max_participants=2
    )
    response.append(table)
    response.hangup()
    return str(response)


def caller_gone() -> str:
    """What a human hears who takes a caller that is no longer there."""
    response = VoiceResponse()
    response.say("The caller is no longer on the line. Goodbye.")
    response.hangup()
    return str(response)


def ring_seconds(seconds: float) -> int:
    return min(max(round(seconds), 1), LONGEST_RING_S)


def _query(again: int, attempt_id: str) -> str:
    return urlencode({"again": again} | ({"attempt": attempt_id} if attempt_id else {}))
