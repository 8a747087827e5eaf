"""The TwiML that we answer with. Twilio page: "TwiML for Programmable Voice"."""

from urllib.parse import urlencode

from twilio.twiml.voice_response import Connect, VoiceResponse

__all__ = ["apologise", "busy", "hang_up", "not_in_service", "stream", "try_again"]

DEFAULT_APOLOGY = "We are sorry, we have a technical problem. Please call again later."
DIAL_S = 25


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


def _query(again: int, attempt_id: str) -> str:
    return urlencode({"again": again} | ({"attempt": attempt_id} if attempt_id else {}))
