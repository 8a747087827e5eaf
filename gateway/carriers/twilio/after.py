"""What a caller gets next when our stream is over: never silence."""

from fastapi import Request
from starlette.datastructures import MultiDict

from gateway.carriers.base import RESUMABLE, Over, TokenRefused
from gateway.carriers.front import MOST_AGAIN, SPOKEN_END
from gateway.carriers.transfers import Transfer
from gateway.carriers.twilio import verbs
from gateway.carriers.twilio.door import TwilioDoor
from gateway.carriers.twilio.media import MediaSockets
from gateway.core.events import TransferState

__all__ = ["MOST_AGAIN", "after", "again_of", "apology", "attempt_of", "come_back"]


def again_of(request: Request) -> int:
    """How often the call of a webhook's URL has been offered again."""
    text = request.query_params.get("again", "0")
    return int(text) if text in ("0", "1", "2", "3") else MOST_AGAIN


def attempt_of(request: Request) -> str:
    """Our id of the outbound attempt in a webhook's URL; "" for none."""
    return request.query_params.get("attempt", "")[:64]


def after(door: TwilioDoor, media: MediaSockets, form: MultiDict, request: Request) -> str:
    """Answer how a call whose stream is over goes on."""
    again, attempt_id = again_of(request), attempt_of(request)
    transfer = door.control.newest(str(form["CallSid"]))
    if transfer is not None:
        # Not asked when the transfer itself took the stream; but whoever is asked must not begin the call anew.
        back = come_back(door, media, transfer, TransferState.FAILED, attempt_id)
        if back is not None:
            return back
    ended = door.calls.outcome(str(form["CallSid"]))
    if ended is not None and ended.reason in SPOKEN_END:
        return verbs.hang_up()
    if (ended is None or ended.reason in RESUMABLE) and again < MOST_AGAIN:
        # At once the first time; then slower, so that a short trouble in between does not use up every try.
        return verbs.try_again(door.public_url, again + 1, pause_s=again, attempt_id=attempt_id)
    return apology(door, ended.agent if ended is not None else "", str(form.get("To", "")))


def apology(door: TwilioDoor, agent: str, to_number: str) -> str:
    fallback = door.fallback(agent, to_number)
    return verbs.apologise(fallback.say, fallback.dial, None)


def come_back(
    door: TwilioDoor, media: MediaSockets, transfer: Transfer, state: TransferState, attempt_id: str
) -> str | None:
    """Bring a caller whose transfer failed back to the agent, who learns why; None when there is no way back.

    The old stream is over by the carrier's own word, so the call hears of that first, whatever its socket shows.
    """
    try:
        resumed = door.calls.resume(transfer.carrier_call_id)
    except (Over, TokenRefused):
        return None
    media.supersede(transfer.carrier_call_id)
    door.control.tell(transfer, state)
    return verbs.stream(door.public_url, door.stream_url, resumed.token, resumed.again, attempt_id)
