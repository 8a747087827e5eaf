"""Looks for keyed digits in everything that a call leaves behind, and in everything that the model got."""

import json
import re
import wave
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from gateway.records.timeline import tell
from gateway.simulator.carrier.loudness import to_ulaw
from tests.turns.calls import Called, keys_in

__all__ = ["channels", "digits_in", "leaks"]

WINDOW = 4
"""So many digits of a secret in a row are a leak."""
NOT_DIGITS = re.compile(r"[\s\"',.;:•\-\[\]{}()]+")


OURS = re.compile(
    r"(?:[A-Za-z]+_)?(?=[0-9]*[a-fA-F])[0-9a-fA-F]{16,}"  # ids, drawn anew in each run
    r"|\d{4}-\d\d-\d\d[T ][\d:.+]+"  # the time of day
)
"""May hold any four digits by chance; a number that somebody keyed has no letters and no date."""


def digits_in(text: str, secret: str) -> set[str]:
    """Return the pieces of a secret that a text holds, with or without blanks and punctuation between the digits."""
    text = OURS.sub(" ", text)
    joined = NOT_DIGITS.sub("", text)
    pieces = {secret[at : at + WINDOW] for at in range(len(secret) - WINDOW + 1)}
    return {piece for piece in pieces if piece in joined or piece in text}


def leaks(called: Called, secret: str, logs: Iterable[str], metrics: str = "") -> dict[str, str]:
    """Return every place in which digits of the secret are found, and what was found there."""
    found = {}
    for place, text in _texts(called, logs, metrics):
        pieces = digits_in(text, secret)
        if pieces:
            found[place] = ", ".join(sorted(pieces))
    for place, audio in _sounds(called):
        keys = keys_in(audio)
        if keys:
            found[place] = keys
    return found


def channels(path: str | Path) -> tuple[bytes, bytes]:
    """Return caller and agent of a recording, as mu-law."""
    with wave.open(str(path), "rb") as file:
        both = file.readframes(file.getnframes())
    left, right = bytearray(len(both) // 2), bytearray(len(both) // 2)
    left[0::2], left[1::2], right[0::2], right[1::2] = both[0::4], both[1::4], both[2::4], both[3::4]
    return to_ulaw(bytes(left)), to_ulaw(bytes(right))


def _texts(called: Called, logs: Iterable[str], metrics: str) -> Iterator[tuple[str, str]]:
    for entry in called.w.journal:
        # Numbers of the journal itself (times, lengths) are no text.
        yield f"journal {entry.kind}", " ".join(_strings(entry.data))
    yield "journal, key by key", "".join(str(entry.data["digit"]) for entry in called.w.journal if entry.kind == "Dtmf")
    record = {name: value for name, value in asdict(called.w.record).items() if not name.endswith("_number")}
    yield "record", " ".join(_strings(record))
    yield "timeline", "\n".join(line.what for line in tell(called.w.record, called.w.journal).lines)
    for line in logs:
        yield "log", line
    for text in called.session.texts():
        yield "model", text
    for text in called.session.heard.values():
        yield "transcript", text
    for asked in called.business.calls:
        yield "webhook", json.dumps(asked)
    yield "metrics", metrics
    yield "vault", repr(called.w.gateway.vault) + repr(vars(called.w.gateway.vault))


def _sounds(called: Called) -> Iterator[tuple[str, bytes]]:
    yield "sound at the model", bytes(called.session.caller.audio)
    path = called.w.record.recording_path
    if path is not None:
        caller, agent = channels(path)
        yield "recording of the caller", caller
        yield "recording of the agent", agent


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for name, part in value.items():
                yield str(name)
                yield from _strings(part)
        case list() | tuple():
            for part in value:
                yield from _strings(part)
