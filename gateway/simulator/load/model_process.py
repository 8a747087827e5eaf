"""The scripted model of a load run, in a process of its own: `python -m gateway.simulator.load.model_process`.

Prints its address as one JSON line, serves until SIGTERM, gives open sessions a moment to be closed by the gateway,
and prints as a second line what it received and sent. Times are those of CLOCK_MONOTONIC, which all processes of a
machine share.
"""

import asyncio
import base64
import gc
import hashlib
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

from gateway.simulator.load.frames import read_number
from gateway.simulator.load.reports import ItemReport, ModelReport, SessionReport, to_line
from gateway.simulator.model import ModelServer, ScriptedEngine, SessionRecord, load_scenario
from gateway.simulator.model.shapes import Json

__all__ = ["Ledger", "main"]

CLOSE_S = 3.0
"""Every model session is closed within this time of its call's end."""


@dataclass(slots=True)
class _Seen:
    call: int | None = None
    audio_bytes: int = 0
    numbers: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    first_delta_at: dict[str, float] = field(default_factory=dict)


class Ledger:
    """Notes every caller frame and the first delta of every item; give `note` to the server as its observer."""

    def __init__(self) -> None:
        self._sessions: dict[str, _Seen] = {}

    def note(self, session_id: str, direction: str, event: Json, at_s: float) -> None:
        seen = self._sessions.get(session_id)
        if seen is None:
            seen = self._sessions[session_id] = _Seen()
        kind = event.get("type")
        if kind == "input_audio_buffer.append" and direction == "in":
            _count(seen, base64.b64decode(event["audio"]), at_s)
        elif kind == "response.output_audio.delta":
            seen.first_delta_at.setdefault(event["item_id"], at_s)

    def report(self, record: SessionRecord) -> SessionReport:
        """Return what is known of a session."""
        seen = self._sessions.get(record.id) or _Seen()
        cut = {one.item_id: one.audio_end_ms for one in record.truncations if one.accepted}
        items = [
            ItemReport(
                spoken.text,
                len(spoken.audio),
                hashlib.sha256(spoken.audio).hexdigest(),
                seen.first_delta_at.get(spoken.item_id),
                cut.get(spoken.item_id),
            )
            for spoken in record.spoken.values()
        ]
        return SessionReport(seen.call, seen.audio_bytes, seen.numbers, seen.times, items, len(record.errors))


def main() -> None:
    """Serve the scenario file named by the only argument."""
    asyncio.run(_serve(Path(sys.argv[1])))


def _count(seen: _Seen, audio: bytes, at_s: float) -> None:
    seen.audio_bytes += len(audio)
    found = read_number(audio)
    if found is not None:
        seen.call = found[0]
        seen.numbers.append(found[1])
        seen.times.append(at_s)


async def _serve(path: Path) -> None:
    scenario, ledger, stop = load_scenario(path), Ledger(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with ModelServer(ScriptedEngine(scenario), scenario.server, on_event=ledger.note) as server:
        gc.collect()
        gc.freeze()
        _say(json.dumps({"url": server.url}))
        await stop.wait()
        await _closed(server)
        sessions = [ledger.report(record) for record in server.sessions]
        _say(to_line(ModelReport(server.open_sessions, sessions)))


async def _closed(server: ModelServer) -> None:
    deadline = asyncio.get_running_loop().time() + CLOSE_S
    while server.open_sessions and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.05)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
