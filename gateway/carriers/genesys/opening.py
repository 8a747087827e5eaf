"""What Genesys says when it opens a session: whose call it is, and which of the offered audio is taken. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import RemoteProtocolError

__all__ = ["Opening", "choose", "duration_s", "opening"]

NIL = "00000000-0000-0000-0000-000000000000"
MOST_MEDIA = 16
MOST_VARIABLES = 64
MOST_TEXT = 512
LONGEST_S = 3600.0
SAMPLE_BYTES = {"PCMU": 1, "L16": 2}
CUSTOMER = "external"

_is_uuid = re.compile(r"[0-9a-fA-F-]{8,64}").fullmatch
_duration = re.compile(r"PT(?:(\d{1,4})H)?(?:(\d{1,6})M)?(?:(\d{1,8}(?:\.\d{1,9})?)S)?").fullmatch


@dataclass(slots=True, frozen=True)
class Opening:
    """An `open` that can be served."""

    organization_id: str
    conversation_id: str
    probe: bool
    """Genesys tries the configuration; there is no caller."""
    media: Mapping[str, object]
    """The offer that is taken, as it was worded."""
    sample_bytes: int
    channels: int
    channel: int
    """Which of them is the customer's."""
    parameters: Mapping[str, str]
    """"agent", "from", "to", and what the flow gave along."""


def opening(parameters: Mapping[str, Any]) -> Opening:
    """Read the parameters of an `open`. Raises `RemoteProtocolError`."""
    conversation_id, organization_id = _uuid(parameters, "conversationId"), _uuid(parameters, "organizationId")
    participant = parameters.get("participant")
    if not isinstance(participant, dict):
        raise RemoteProtocolError("open: expected an object as participant")
    given = {**_texts(parameters.get("customConfig")), **_texts(parameters.get("inputVariables"))}
    named = {"from": _number(participant.get("ani")), "to": _number(participant.get("dnis"))}
    media, channels = _taken(parameters.get("media"))
    return Opening(
        organization_id,
        conversation_id,
        conversation_id == NIL,
        media,
        SAMPLE_BYTES[str(media["format"])],
        len(channels),
        channels.index(CUSTOMER),
        {**given, **named},
    )


def choose(frame: bytes, said: Opening) -> bytes:
    """Return the customer's channel of interleaved audio."""
    if said.sample_bytes == 1:
        return frame[said.channel :: said.channels]
    return memoryview(frame).cast("H")[said.channel :: said.channels].tobytes()


def duration_s(text: object) -> float:
    """Read an ISO 8601 duration such as PT1.2S; 0 for anything else, an hour at most."""
    found = _duration(text) if isinstance(text, str) else None
    if found is None:
        return 0.0
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return min(hours * 3600 + minutes * 60 + seconds, LONGEST_S)


def _taken(offered: object) -> tuple[Mapping[str, object], list[str]]:
    """Take the customer's voice alone before both, mu-law before PCM."""
    best: tuple[tuple[int, int], Mapping[str, object], list[str]] | None = None
    for media in offered[:MOST_MEDIA] if isinstance(offered, list) else ():
        if not isinstance(media, dict) or media.get("type") != "audio" or media.get("rate") != 8000:
            continue
        channels = media.get("channels")
        if media.get("format") not in ("PCMU", "L16") or channels not in (
            [CUSTOMER],
            [CUSTOMER, "internal"],
            ["internal", CUSTOMER],
        ):
            continue
        rank = (SAMPLE_BYTES[media["format"]], len(channels))
        if best is None or rank < best[0]:
            best = (rank, media, channels)
    if best is None:
        raise RemoteProtocolError("open: expected PCMU or L16 at 8000 Hz with the external channel")
    taken = {key: best[1][key] for key in ("type", "format", "channels", "rate")}
    return taken, best[2]


def _uuid(parameters: Mapping[str, Any], key: str) -> str:
    value = parameters.get(key)
    if not isinstance(value, str) or _is_uuid(value) is None:
        raise RemoteProtocolError(f"open: expected a UUID as {key}")
    return value


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    pairs = list(value.items())[:MOST_VARIABLES]
    return {str(key)[:64]: said[:MOST_TEXT] for key, said in pairs if isinstance(said, str)}


def _number(value: object) -> str:
    """Return a telephone number with its `+`, or an address as it is, printable and short."""
    text = value[:128] if isinstance(value, str) else ""
    text = text.removeprefix("tel:").split(";")[0]
    if text.isascii() and text.isdigit() and 7 <= len(text) <= 15:
        return "+" + text
    return "".join(filter(str.isprintable, text))[:64]
