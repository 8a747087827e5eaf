"""What a caller gets next when our stream is over: never silence."""

from fastapi import Request
from starlette.datastructures import MultiDict

from gateway.carriers import front
from gateway.carriers.base import Over, TokenRefused
from gateway.carriers.front import Stream
from gateway.carriers.sockets import MediaSockets
from gateway.carriers.transfers import Transfer
from gateway.carriers.twilio.door import TwilioDoor
from gateway.core.events import TransferState

__all__ = ["after", "again_of", "attempt_of", "come_back"]


def again_of(request: Request) -> int:
    """How often the call of a webhook's URL has been offered again."""
    return front.again_of(request.query_params.get("again", "0"))


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
    return door.say(front.after(door.front, str(form["CallSid"]), str(form.get("To", "")), again, attempt_id))


def come_back(
    door: TwilioDoor, media: MediaSockets, transfer: Transfer, state: TransferState, attempt_id: str
) -> str | None:
    """Bring a caller whose transfer failed back to the agent, who learns why; None when there is no way back.

    The old stream is over by the carrier's own word, so the call hears of that first, whatever its socket shows.
    """
    try:
        resumed = door.front.calls.resume(transfer.carrier_call_id)
    except (Over, TokenRefused):
        return None
    media.supersede(transfer.carrier_call_id)
    door.control.tell(transfer, state)
    return door.say(Stream(resumed.token, resumed.again, attempt_id))
