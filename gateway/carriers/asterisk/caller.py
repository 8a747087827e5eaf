"""A caller who stands in Asterisk's dialplan: the call's leg, and how the caller goes on when it is closed.

Closing our channel sends the caller on in the dialplan, at once. So what follows is said first, and then the channel is
closed: see `control.py`.
"""

import asyncio
from base64 import b64encode
from typing import Protocol

from gateway.carriers.base import CallOffer, Leg, LiveCall
from gateway.core.audio import AudioFormat, payload_bytes
from gateway.core.commands import ClearAudio, EndReason, HangUp, LegCommand, PlayAudio
from gateway.core.events import Event, LegEnd, LegEnded

__all__ = ["Caller", "Dialplan"]

FRAME_MS = 20
PAD_S = 0.25
"""Nothing came for so long: what does not fill a frame is the end. Longer than the rhythm in which the play-out sends
(180 ms), shorter than its lead (400 ms), so that nobody hears a gap."""


class Dialplan(Protocol):
    """What tells the dialplan how a caller goes on."""

    def let_go(self, caller: "Caller", reason: EndReason) -> None:
        """The call is over for us: say how the caller goes on, then have them `leave`."""

    def hung_up(self, caller: "Caller") -> None:
        """The caller is gone."""


class Caller:
    """Stands between a call and its leg, as a leg for the call and as the call for the leg.

    `channel_id` is that of the caller's channel, "" when it is not known; `fills` has what does not fill a frame filled
    with silence, for a leg that would keep it back.
    """

    def __init__(
        self, live: LiveCall, dialplan: Dialplan, offer: CallOffer, again: int, channel_id: str, *, fills: bool = False
    ) -> None:
        self.offer = offer
        self.again = again
        self.channel_id = channel_id
        self._live = live
        self._dialplan = dialplan
        self._leg: Leg | None = None
        self._leaving = False
        self._fill = _Fill() if fills else None

    # --- as the call ----------------------------------------------------------------------------

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        """See `LiveCall.attach`."""
        self._leg = leg
        if self._fill is not None:
            self._fill.begin(leg, audio)
        self._live.attach(self, stream_id, audio)

    def feed(self, event: Event) -> None:
        """See `LiveCall.feed`. Asterisk closes in order when its channel is hung up (`webchan_hangup`), and after our
        word."""
        if not isinstance(event, LegEnded):
            self._live.feed(event)
        else:
            self._ended(event)

    def _ended(self, event: LegEnded) -> None:
        leaving, self._leaving = self._leaving, True
        if self._fill is not None:
            self._fill.stop()
        if event.reason is LegEnd.CALLER_HANGUP and not leaving:
            self._dialplan.hung_up(self)
            self._live.feed(LegEnded(LegEnd.CALLER_HANGUP, event.detail, call_over=True))
        else:
            self._live.feed(event)

    # --- as the leg -----------------------------------------------------------------------------

    def send(self, command: LegCommand) -> None:
        """See `Leg.send`."""
        if isinstance(command, HangUp):
            if not self._leaving:
                self._leaving = True
                self._dialplan.let_go(self, command.reason)
            return
        if self._leg is None or self._leaving:
            return
        self._leg.send(command)
        if self._fill is not None:
            self._fill.sent(command)

    async def close(self) -> None:
        """See `Leg.close`."""
        if self._leg is not None:
            await self._leg.close()

    def leave(self) -> None:
        """Close our channel: the caller goes on in the dialplan. Safe to call twice."""
        self._leaving = True
        if self._fill is not None:
            self._fill.stop()
        if self._leg is not None:
            self._leg.send(HangUp(EndReason.TRANSFERRED))


class _Fill:
    """Fills the last frame of what is played once nothing follows it."""

    def __init__(self) -> None:
        self._leg: Leg | None = None
        self._audio = AudioFormat.PCMU
        self._over = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, leg: Leg, audio: AudioFormat) -> None:
        self._leg, self._audio = leg, audio

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def sent(self, command: LegCommand) -> None:
        match command:
            case ClearAudio():
                self.stop()
                self._over = 0
            case PlayAudio(_, payload, _):
                self.stop()
                self._over = (self._over + payload_bytes(payload)) % (FRAME_MS * self._audio.bytes_per_ms)
                if self._over:
                    self._timer = asyncio.get_running_loop().call_later(PAD_S, self._pad)

    def _pad(self) -> None:
        missing = FRAME_MS * self._audio.bytes_per_ms - self._over
        silence = self._audio.silence * (missing // self._audio.sample_bytes)
        self._timer, self._over = None, 0
        if self._leg is not None:
            self._leg.send(PlayAudio("", b64encode(silence).decode(), missing / self._audio.bytes_per_ms))
