"""A caller's leg as this process knows it, and how it is told to a process that does not. Pure."""

from dataclasses import dataclass

from gateway.carriers.base import CallOffer
from gateway.carriers.front import again_of
from gateway.carriers.telnyx.codec import ENCODINGS
from gateway.carriers.telnyx.events import Event, pack
from gateway.core.audio import AudioFormat

__all__ = ["NAME", "Line", "adopted", "codec_name", "offer_of", "state_of"]

NAME = "telnyx"


@dataclass(slots=True)
class Line:
    """One caller's leg, as far as this process has to do with it."""

    offer: CallOffer
    connection_id: str = ""
    token: str = ""
    """Of the stream that is expected; "" once it is there."""
    streams: str = ""
    """The token of the stream that is there."""
    again: int = 0
    answered: bool = False
    adopted: bool = False
    """It was another process's call; that one may have come back to it."""
    hopeless: bool = False
    """No stream can carry this call: the caller is told so."""
    over: bool = False
    """Telnyx says that the call has ended, or somebody else drives it: nothing is asked for it any more."""

    @property
    def call_id(self) -> str:
        return self.offer.carrier_call_id


def offer_of(event: Event, attempt_id: str, agent: str) -> CallOffer:
    """Return the offer of a call that came in, or, with an attempt, of one of ours that was answered."""
    return CallOffer(
        carrier=NAME,
        carrier_call_id=event.call_id,
        account_id="",
        direction="outbound" if attempt_id else "inbound",
        from_number=_number(event.get("from")),
        to_number=_number(event.get("to")),
        attempt_id=attempt_id,
        agent=agent,
        audio=_wanted(event.get("offered_codecs")),
        comes_back=False,
    )


def adopted(event: Event) -> Line:
    """Return the line of a call whose process is gone, from the state that went along with it."""
    state = event.state
    offer = CallOffer(
        carrier=NAME,
        carrier_call_id=event.call_id,
        account_id="",
        direction="outbound" if state.get("attempt") else "inbound",
        from_number=state.get("from", ""),
        to_number=state.get("to", ""),
        attempt_id=state.get("attempt", ""),
        agent=state.get("agent", ""),
        audio=ENCODINGS.get(state.get("codec", ""), AudioFormat.PCMU),
        comes_back=False,
    )
    again = again_of(state.get("again", ""))
    return Line(offer, event.get("connection_id"), again=again, answered=True, adopted=True)


def state_of(line: Line, then: str) -> str:
    """Return the `client_state` that says what follows."""
    offer = line.offer
    more = {"from": offer.from_number, "again": str(line.again), "codec": codec_name(offer.audio)}
    return pack(
        then=then,
        to=offer.to_number,
        agent=offer.agent,
        attempt=offer.attempt_id,
        **(more if then == "stream" else {}),
    )


def _wanted(offered_codecs: str) -> AudioFormat:
    """Ask for the law that the caller's side prefers: then nobody transcodes. Mu-law where that is not said."""
    for name in offered_codecs.upper().split(","):
        if (audio := ENCODINGS.get(name.strip())) is not None:
            return audio
    return AudioFormat.PCMU


def codec_name(audio: AudioFormat) -> str:
    """Return Telnyx' name of a format."""
    return next(name for name, known in ENCODINGS.items() if known is audio)


def _number(text: str) -> str:
    """Telnyx says E.164 with its +; where a SIP side left it out it is put back."""
    return f"+{text}" if text.isascii() and text.isdigit() and 7 <= len(text) <= 15 else text[:64]
