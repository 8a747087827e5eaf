"""SignalWire's media stream: Twilio's messages with three differences. Pure.

* `start`, `media` and `stop` have no `streamSid` of their own, only `start.start` has; ids are UUIDs.
* The encoding may be linear PCM: `start` says so. At 24 kHz that passes through untouched; no other rate is asked for.
* Keys are sent towards the far end by a message.

The token comes by the upgrade (`authBearerToken`), so whoever makes the codec brings it. Vendor page: cXML `<Stream>`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.carriers.stream import Frame, Message, Started
from gateway.carriers.twilio.codec import MU_LAW, TwilioCodec
from gateway.core.audio import AudioFormat

__all__ = ["SignalWireCodec"]

FORMATS: Mapping[tuple[str, str], AudioFormat] = {**MU_LAW, ("audio/x-L16", "24000"): AudioFormat.PCM24}


class SignalWireCodec(TwilioCodec):
    """One stream's."""

    def __init__(self, token: str = "") -> None:
        super().__init__(formats=FORMATS)
        self._token = token

    def decode(self, frame: Frame) -> Message:
        """See `TwilioCodec.decode`. Only the upgrade's token counts: parameters could name another."""
        message = super().decode(frame)
        return replace(message, token=self._token) if isinstance(message, Started) else message

    def digits(self, digits: str) -> Sequence[Frame]:
        """Press keys, one message each."""
        return [json.dumps({"event": "dtmf", "streamSid": self.stream_id, "dtmf": {"digit": key}}) for key in digits]
