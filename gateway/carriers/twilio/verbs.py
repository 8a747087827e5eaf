"""The TwiML that we answer with. Twilio page: "TwiML for Programmable Voice"."""

from urllib.parse import urlencode

from twilio.twiml.voice_response import Connect, Dial, Gather, VoiceResponse

__all__ = [
    "apologise",
    "busy",
    "caller_gone",
    "dial",
    "hang_up",
    "meet",
    "not_in_service",
    "offer_caller",
    "stream",
    "try_again",
]

DEFAULT_APOLOGY = "We are sorry, we have a technical problem. Please call again later."
DIAL_S = 25
MOST_BRIEF = 600
"""Characters told to a human before they decide: 40 s of speech, and few enough for the API, however escaped."""
KEY_S = 8
"""How long the accept key is waited for after the brief, and once more after the reminder."""
LONGEST_RING_S = 600
SPOKEN_KEYS = {"*": "star", "#": "pound"}


def stream(origin: str, stream_url: str, token: str, again: int, attempt_id: str = "") -> str:
    """Connect the call to our media socket. When the stream is over, by whatever cause, `/twilio/after` is asked.

    The token goes as `<Parameter>`: a stream URL may carry no query (error 31920).
    """
    response = VoiceResponse()
    connect = Connect()
    media = connect.stream(url=stream_url, status_callback=f"{origin}/twilio/stream-status")
    media.parameter(name="token", value=token)
    response.append(connect)
    response.redirect(f"{origin}/twilio/after?{_query(again, attempt_id)}", method="POST")
    return str(response)


def hang_up() -> str:
    response = VoiceResponse()
    response.hangup()
    return str(response)


def apologise(say: str | None, dial: str | None, caller_id: str | None) -> str:
    """Say that something is wrong, then reach a human if there is a number for that, then hang up."""
    response = VoiceResponse()
    response.say(say or DEFAULT_APOLOGY)
    if dial is not None:
        response.dial(dial, timeout=DIAL_S, caller_id=caller_id)
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


def try_again(origin: str, again: int, pause_s: int = 0, attempt_id: str = "") -> str:
    """Offer the call once more, to this node or another behind the same address."""
    response = VoiceResponse()
    if pause_s:
        response.pause(length=pause_s)
    response.redirect(f"{origin}/twilio/voice?{_query(again, attempt_id)}", method="POST")
    return str(response)


def busy() -> str:
    response = VoiceResponse()
    response.reject(reason="busy")
    return str(response)


def not_in_service() -> str:
    response = VoiceResponse()
    response.reject(reason="rejected")
    return str(response)


def ring_seconds(seconds: float) -> int:
    return min(max(round(seconds), 1), LONGEST_RING_S)


def _query(again: int, attempt_id: str) -> str:
    return urlencode({"again": again} | ({"attempt": attempt_id} if attempt_id else {}))
