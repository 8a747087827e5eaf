"""Genesys AudioHook (Audio Connector): JSON text and binary audio to messages and back. Pure.

Vendor pages: "AudioHook protocol" and "Audio Connector". Both sides count their messages and name the last one seen of
the other's. Audio is PCMU, passed through untouched, or L16 at 8 kHz; of two interleaved channels the customer's is
taken. A gap in the caller's audio, `discarded`, is told by a jump of `Media.number`.

Genesys answers too many messages with error 429. So audio leaves in messages of 100 to 200 ms, five a second in the
mean, and in none while a 429 lasts; what waits is joined, never dropped. The codec has no clock: its owner gives it
`TICK` each `TICK_S`, and what has waited long enough, and what was asked by `part`, comes back as a `Reply`.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.carriers.genesys.opening import Opening, choose, duration_s, opening
from gateway.carriers.genesys.speech import TICK_S, Speech
from gateway.carriers.stream import Frame, Ignored, Media, Message, Reply, Started
from gateway.carriers.textframes import dtmf, parsed
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat
from gateway.core.events import LegEnd, LegEnded
from gateway.errors import RemoteProtocolError

__all__ = ["TICK", "TICK_S", "GenesysCodec"]

TICK = "".join(["our own ", "clock"])
"""Told from a frame of the carrier's by being this very object."""
MAX_FRAME = 64 * 1024
MOST_HELD_S = 10.0
"""The longest `retryAfter` that is believed."""
PLAYED_S = 2.0
"""How long the end waits for what Genesys still plays."""


class GenesysCodec:
    """One session's wire format."""

    def __init__(self, session_id: str = "", organization_id: str = "") -> None:
        """Take the ids of the signed upgrade, which the first message must repeat; "": it may name any."""
        self._session_id, self._organization_id = session_id, organization_id
        self._seq = self._client_seq = 0
        self._open: Opening | None = None
        self._pcm: Pcm16 | None = None
        self._number, self._frame_s = 0, 0.02
        """Of the caller's audio: frames so far, those that were discarded included; length of the last."""
        self._speech = Speech()
        self._parting: Mapping[str, str] | None = None
        self._playing_s = 0.0
        """How long the end still waits for what Genesys plays."""
        self.farewell: str | None = None
        """What a `close` of Genesys' must be answered with, once."""

    # --- from Genesys -------------------------------------------------------------------------

    def decode(self, frame: Frame) -> Message:
        if frame is TICK:
            return Reply((*self._speech.tick(), *self._part_if_due()))
        if len(frame) > MAX_FRAME:
            raise RemoteProtocolError(f"message of {len(frame)} bytes is over the bound")
        if isinstance(frame, bytes):
            return self._media(frame)
        kind, parameters = self._checked(parsed(frame))
        if self._open is None:
            return self._opened(kind, parameters)
        return self._said(kind, parameters)

    def _checked(self, message: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Check what all messages have, and note that this one was seen."""
        if message.get("version") != "2":
            raise RemoteProtocolError("expected version 2")
        kind, parameters = message.get("type"), message.get("parameters", {})
        seq, ours, session_id = message.get("seq"), message.get("serverseq"), message.get("id")
        if not isinstance(kind, str) or not isinstance(parameters, dict) or not isinstance(session_id, str):
            raise RemoteProtocolError("expected texts as type and id, an object as parameters")
        if self._session_id and session_id != self._session_id:
            raise RemoteProtocolError("the message is of another session")
        if type(seq) is not int or not self._client_seq < seq < 1 << 53:
            raise RemoteProtocolError("seq did not grow")
        if type(ours) is not int or not 0 <= ours <= self._seq:
            raise RemoteProtocolError("serverseq names what was not sent")
        self._client_seq = seq
        return kind, parameters

    def _opened(self, kind: str, parameters: Mapping[str, Any]) -> Message:
        if kind == "close":  # of a probe, or of a session that was never opened
            return Reply((self._text("closed", {}),))
        if kind == "ping":
            return Reply((self._text("pong", {}),))
        if kind != "open":
            raise RemoteProtocolError("expected open first")
        said = opening(parameters)
        if self._organization_id and said.organization_id != self._organization_id:
            raise RemoteProtocolError("open: another organization than the upgrade's")
        opened = self._text("opened", {"startPaused": False, "media": [said.media]})
        if said.probe:
            return Reply((opened,))
        self._open = said
        if said.sample_bytes == 2:
            self._pcm, self._speech = Pcm16(8000), Speech(bytes(2))
        stream_id = self._session_id or said.conversation_id
        return Started(
            stream_id,
            said.conversation_id,
            said.organization_id,
            "",
            AudioFormat.PCMU,
            said.parameters,
            (opened,),
        )

    def _said(self, kind: str, parameters: Mapping[str, Any]) -> Message:
        match kind:
            case "ping":
                return Reply((self._text("pong", {}),))
            case "update":
                return Reply((self._text("updated", {}),))
            case "dtmf":
                return dtmf(parameters, "digit")
            case "close":
                reason = str(parameters.get("reason", ""))[:32]
                self.farewell = self._text("closed", {})
                how = LegEnd.SOCKET_LOST if reason == "error" else LegEnd.CALLER_HANGUP
                # The answer to our own `disconnect` ends the session only: the flow has the caller.
                return LegEnded(how, f"close: {reason}", call_over=reason == "end")
            case "open":
                raise RemoteProtocolError("open: the session is open")
            case _:
                return self._noted(kind, parameters)

    def _noted(self, kind: str, parameters: Mapping[str, Any]) -> Ignored:
        match kind:
            case "discarded" | "resumed":
                self._number += round(duration_s(parameters.get("discarded")) / self._frame_s)
            case "error" if parameters.get("code") == 429:
                self._speech.hold(min(max(duration_s(parameters.get("retryAfter")), TICK_S), MOST_HELD_S))
            case "error":
                return Ignored(f"error {str(parameters.get('code'))[:8]}", known=False)
            case "playback_started":
                self._playing_s = PLAYED_S
            case "playback_completed":
                self._playing_s = 0.0
            case "paused":
                pass
            case _:
                return Ignored(kind[:32], known=False)
        return Ignored(kind)

    def _media(self, frame: bytes) -> Media:
        said = self._open
        if said is None:
            raise RemoteProtocolError("audio before open")
        width = said.sample_bytes * said.channels
        if not frame or len(frame) % width:
            raise RemoteProtocolError(f"expected audio in multiples of {width} bytes")
        audio = frame if said.channels == 1 else choose(frame, said)
        if self._pcm is not None:
            audio = self._pcm.to_mu_law(audio)
        self._frame_s = len(audio) / 8000
        self._number += 1
        return Media(b64encode(audio).decode(), self._number)

    # --- to Genesys ---------------------------------------------------------------------------

    def play(self, payload: str) -> Sequence[Frame]:
        audio = b64decode(payload)
        return self._speech.take(self._pcm.from_mu_law(audio) if self._pcm is not None else audio)

    def mark(self, name: str) -> Sequence[Frame]:
        return ()

    def clear(self) -> Sequence[Frame]:
        self._speech.drop()
        self._playing_s = 0.0
        return (self._text("event", {"entities": [{"type": "barge_in", "data": {}}]}),)

    def digits(self, digits: str) -> None:
        return None

    def hang_up(self) -> Sequence[Frame]:
        return ()

    def part(self, variables: Mapping[str, str]) -> None:
        """Hand the call back to the Architect flow with these output variables, once what we said has played."""
        if self._parting is None:
            self._parting = variables

    def _part_if_due(self) -> Sequence[Frame]:
        if self._parting is None or self.farewell is not None:
            return ()
        self._playing_s = max(0.0, self._playing_s - TICK_S)
        if self._speech.waits or self._playing_s > 0:
            return ()
        variables, self._parting = self._parting, None
        return (self._text("disconnect", {"reason": "completed", "info": "", "outputVariables": dict(variables)}),)

    def _text(self, kind: str, parameters: Mapping[str, object]) -> str:
        self._seq += 1
        return json.dumps(
            {
                "version": "2",
                "id": self._session_id,
                "type": kind,
                "seq": self._seq,
                "clientseq": self._client_seq,
                "parameters": parameters,
            }
        )
