"""Asterisk's chan_websocket: binary frames are media, text frames control, as JSON or in the older plain text. Pure.

Source: Asterisk documentation, "WebSocket channel", and `chan_websocket.c` of 22.x. It treats what we send like this:

* `START_MEDIA_BUFFERING` lets audio come in pieces of any size: Asterisk cuts frames itself and plays them in time. A
  `FLUSH_MEDIA` ends that, so the next piece begins it again. What does not fill a frame waits there for more.
* A mark that is flushed is never reported. A text command over 128 bytes is ignored, a message over 65,500 bytes ends
  the call, and above 1000 queued frames (20 s) audio is dropped: `MEDIA_XOFF` comes at 900.
* Audio may overtake `MEDIA_START` (Asterisk issue 1712).

The dialect of `MEDIA_START` is the one we answer in. It carries `channel_variables` in JSON only; the variables of the
dial string's `v()` come in the query of the upgrade.
"""

import binascii
import logging
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence

from pydantic_core import from_json

from gateway.carriers.asterisk.variables import MAX_VALUE, is_channel, known_of
from gateway.carriers.stream import Flow, Frame, Ignored, Media, Message, Started
from gateway.carriers.transcode import Pcm16
from gateway.core.audio import AudioFormat
from gateway.core.events import Dtmf, MarkPlayed
from gateway.errors import RemoteProtocolError

__all__ = ["AsteriskCodec"]

logger = logging.getLogger(__name__)

MAX_MESSAGE = 65_500
CHUNK_BYTES = 32_000
"""Most audio in one message; a multiple of every frame."""
MAX_PENDING = 1000
UNTOUCHED = {"ulaw": AudioFormat.PCMU, "alaw": AudioFormat.PCMA, "slin24": AudioFormat.PCM24}
CONVERTED_HZ = {"slin": 8000, "slin8": 8000, "slin16": 16_000}
EARLY_HZ = {320: 8000, 640: 16_000}
"""Bytes of 20 ms to the rate of linear audio that comes before its format is told."""
QUIET = frozenset({"STATUS", "QUEUE_DRAINED", "MEDIA_BUFFERING_COMPLETED"})

_is_short = re.compile(r"[A-Za-z0-9_.:-]{1,64}").fullmatch
_is_digit = re.compile(r"[0-9*#A-Da-d]").fullmatch
_is_format = re.compile(r"[a-z0-9]{1,16}").fullmatch


class AsteriskCodec:
    """One stream's. `variables` are those of the upgrade's query, decoded."""

    def __init__(self, variables: Mapping[str, str] | None = None) -> None:
        self._variables = variables or {}
        self._plain = False
        self._started = False
        self._bulk = False
        self._pcm: Pcm16 | None = None
        self._short: dict[str, str] = {}
        """Marks that are too long for a command, by what stands for them."""
        self._marks = 0

    def decode(self, frame: Frame) -> Message:
        """Return what a frame says. Raises `RemoteProtocolError` for one that breaks the protocol."""
        if len(frame) > MAX_MESSAGE:
            raise RemoteProtocolError(f"message of {len(frame)} bytes is over the bound")
        if isinstance(frame, bytes):
            return self._media(frame)
        event, fields = _json(frame) if frame.startswith("{") else _plain(frame)
        match event:
            case "MEDIA_START":
                self._plain = not frame.startswith("{")
                return self._start(fields)
            case "MEDIA_MARK_PROCESSED":
                name = _text(fields, "correlation_id")
                return MarkPlayed(self._short.pop(name, name))
            case "DTMF_END":
                digit = _text(fields, "digit")
                if _is_digit(digit) is None:
                    raise RemoteProtocolError("expected one telephone key")
                return Dtmf(digit.upper())
            case "MEDIA_XOFF" | "MEDIA_XON":
                return Flow(event == "MEDIA_XON")
            case "ERROR":
                logger.warning("asterisk reports an error about a command of ours")  # its text may hold numbers
                return Ignored(event)
        return Ignored(event, known=event in QUIET)

    def play(self, payload: str) -> Sequence[Frame]:
        """Queue audio, base64 in `Started.audio`."""
        audio = binascii.a2b_base64(payload)
        if self._pcm is not None:
            audio = self._pcm.from_mu_law(audio)
        frames: list[Frame] = [] if self._bulk else [self._command("START_MEDIA_BUFFERING")]
        self._bulk = True
        return frames + [audio[at : at + CHUNK_BYTES] for at in range(0, len(audio), CHUNK_BYTES)]

    def mark(self, name: str) -> Sequence[Frame]:
        """Ask for an echo of `name`; a long one travels under another."""
        word = name
        if _is_short(name) is None:
            self._marks += 1
            word = f"mark{self._marks}"
            self._short[word] = name
            while len(self._short) > MAX_PENDING:
                del self._short[next(iter(self._short))]
        return [self._command("MARK_MEDIA", word)]

    def clear(self) -> Sequence[Frame]:
        """Drop what has not played; Asterisk forgets its marks and leaves the mode that takes pieces of any size."""
        self._bulk = False
        self._short.clear()
        return [self._command("FLUSH_MEDIA")]

    def digits(self, digits: str) -> Sequence[Frame] | None:
        """There is no message for keys."""
        return None

    def hang_up(self) -> Sequence[Frame]:
        """The WebSocket channel hangs up; the caller's goes on in the dialplan."""
        return [self._command("HANGUP")]

    def _command(self, command: str, correlation_id: str = "") -> str:
        if self._plain:
            return f"{command} {correlation_id}".rstrip()
        told = f',"correlation_id":"{correlation_id}"' if correlation_id else ""
        return f'{{"command":"{command}"{told}}}'

    def _media(self, audio: bytes) -> Media:
        if not audio:
            raise RemoteProtocolError("expected audio, got an empty message")
        if not self._started and len(audio) in EARLY_HZ:
            self._pcm = self._pcm or Pcm16(EARLY_HZ[len(audio)])
        if self._pcm is not None:
            audio = self._pcm.to_mu_law(audio)
        return Media(b64encode(audio).decode())

    def _start(self, fields: Mapping[str, object]) -> Message:
        if self._started:
            return Ignored("MEDIA_START")
        audio = self._format(_text(fields, "format"))
        if str(fields.get("optimal_frame_size", "")) == "0":
            raise RemoteProtocolError("pass-through has neither flush nor marks: take p out of the dial string")
        told = fields.get("channel_variables")
        known = known_of(self._variables, told if isinstance(told, dict) else {})
        channel_id = _text(fields, "channel_id")
        call = known.get("call", channel_id)
        if is_channel(channel_id) is None or is_channel(call) is None:
            raise RemoteProtocolError("expected the id of a channel")
        self._started = True
        return Started(channel_id, call, audio=audio, parameters=known)

    def _format(self, name: str) -> AudioFormat:
        rate = CONVERTED_HZ.get(name)
        if rate is None and name not in UNTOUCHED:
            told = name if _is_format(name) else "something else"
            raise RemoteProtocolError(f"expected ulaw, alaw, slin, slin16 or slin24, got {told}: put c(ulaw) into Dial")
        if rate is None:
            self._pcm = None
        elif self._pcm is None or self._pcm.rate_hz != rate:
            self._pcm = Pcm16(rate)
        return UNTOUCHED.get(name, AudioFormat.PCMU)


def _json(frame: str) -> tuple[str, Mapping[str, object]]:
    try:
        message = from_json(frame, cache_strings="keys")
    except ValueError:
        raise RemoteProtocolError("expected JSON, got something else") from None
    return _text(message, "event")[:64], message


def _plain(frame: str) -> tuple[str, Mapping[str, object]]:
    event, _, rest = frame.strip().partition(" ")
    if not event:
        raise RemoteProtocolError("expected an event, got nothing")
    pairs = (word.partition(":") for word in rest.split(" ")[:64])
    fields: dict[str, object] = {name: value for name, joint, value in pairs if joint}
    if event == "MEDIA_MARK_PROCESSED":  # the id stands alone
        fields = {"correlation_id": rest.strip()}
    return event[:64], fields


def _text(fields: Mapping[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > MAX_VALUE:
        raise RemoteProtocolError(f"expected a short text as {name}")
    return value
