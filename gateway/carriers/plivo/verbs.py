"""The Plivo XML that we answer with. Vendor page: "Voice XML"."""

from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

from gateway.carriers.front import Again, Apologise, Busy, HangUp, Next, NotInService, Stream
from gateway.carriers.plivo.codec import to_header

__all__ = ["dial", "render", "stream"]

DIAL_S = 25
LONGEST_RING_S = 600


def render(public_url: str, stream_origin: str, step: Next) -> str:
    """Say in XML how a call goes on."""
    match step:
        case Stream(token, again):
            return stream(public_url, stream_origin, token, again)
        case Again(again, pause_s):
            pause = f'<Wait length="{pause_s}"/>' if pause_s else ""
            return _response(pause + _redirect(f"{public_url}/plivo/answer?{urlencode({'again': again})}"))
        case Apologise(say, number):
            then = f'<Dial timeout="{DIAL_S}">{_number(number)}</Dial>' if number is not None else ""
            return _response(f"<Speak>{_clean(say)}</Speak>{then}<Hangup/>")
        case HangUp():
            return _response("<Hangup/>")
        case Busy():
            return _response('<Hangup reason="busy"/>')
        case NotInService():
            return _response('<Hangup reason="rejected"/>')


def stream(public_url: str, stream_origin: str, token: str, again: int) -> str:
    """Connect the call to our media socket, and have us asked once it is over.

    Everything is said that has a default, since Plivo's pages disagree about the defaults. `keepCallAlive` makes the
    verbs behind wait for the end of the stream; where it keeps the call without running them, `control.py` sees to it.
    """
    attributes = {
        "bidirectional": "true",
        "audioTrack": "inbound",
        "keepCallAlive": "true",
        "contentType": "audio/x-mulaw;rate=8000",
        "streamTimeout": "86400",
        "statusCallbackUrl": f"{public_url}/plivo/stream-status",
        "statusCallbackMethod": "POST",
        "extraHeaders": f"token={to_header(token)}",
    }
    said = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    after = _redirect(f"{public_url}/plivo/after?{urlencode({'again': again})}")
    return _response(f"<Stream {said}>{escape(stream_origin)}/plivo/media</Stream>{after}")


def dial(number: str, ring_s: float, *, action: str, progress: str, caller_id: str) -> str:
    """Bring the caller to a number. `progress` hears when it answers; `action` is asked what follows, however it went.

    `caller_id` "" leaves it to Plivo what the human sees.
    """
    ring = min(max(round(ring_s), 1), LONGEST_RING_S)
    attributes = {
        "action": action,
        "method": "POST",
        "redirect": "true",
        "timeout": str(ring),
        "callbackUrl": progress,
        "callbackMethod": "POST",
    } | ({"callerId": caller_id.removeprefix("+")} if caller_id else {})
    said = " ".join(f"{name}={quoteattr(value)}" for name, value in attributes.items())
    return _response(f"<Dial {said}>{_number(number)}</Dial>")


def _response(body: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{body}</Response>'


def _redirect(url: str) -> str:
    return f'<Redirect method="POST">{escape(url)}</Redirect>'


def _number(number: str) -> str:
    return f"<Number>{escape(number.removeprefix('+'))}</Number>"


def _clean(text: str) -> str:
    return escape("".join(letter for letter in " ".join(text.split()) if letter.isprintable()))
