"""A two-channel WAV of a call, written while it runs: left the caller, right the agent, as each was *heard*.

Agent audio is known to have been heard only some time after it was sent, up to about 3 s late, so the last `WINDOW_S`
seconds stay in memory and are written again where they changed. Every second the samples and then the header are
written, so the file can be played up to the last flush whatever happens to the process.

Placement: a piece that starts within `JITTER_S` of its channel's end continues it; any other lies at its time, with
silence before it. Caller frames that arrive in a burst, after a stall, fill the silence that their lateness had made.
Pieces of one channel that overlap are mixed: neither moves.

Writes go to the page cache of the file system, without fsync, from the caller's thread.
"""

import errno
import logging
import os
import stat
import struct
import sys
import tempfile
from array import array
from pathlib import Path

from gateway.core.audio import AudioFormat
from gateway.records.pcm import SAMPLE_BYTES, mix, samples_of

__all__ = ["Recording", "unwritable"]

log = logging.getLogger(__name__)

JITTER_S = 0.060
WINDOW_S = 8.0
FLUSH_S = 1.0
LIMIT_S = 6 * 3600.0
"""Longer recordings are truncated; a WAV file ends at 4 GB."""
HEADER_BYTES = 44
FRAME_BYTES = 4
CALLER, AGENT = 0, 1
PROBE = bytes(4096)


def unwritable(folder: Path) -> str:
    """Return why recordings cannot be written into `folder`, or nothing; a folder that is missing is made later.

    A file is really written and removed, where the folder is or would be: permissions tell nothing about a full disk,
    one mounted read-only, or a place like /proc.
    """
    try:
        place = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        with tempfile.NamedTemporaryFile(dir=place, prefix=".gateway-") as file:
            file.write(PROBE)
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or type(error).__name__}"
    return ""


class Recording:
    """Use from one thread. Nothing raises: what cannot be written is not, and `truncated` says so.

    Where not even the file could be begun `written` is false.
    """

    def __init__(self, path: Path, rate: int = 8000, *, origin_s: float = 0.0) -> None:
        """Create the file, readable by its owner only. Times given later count from `origin_s` on the same clock."""
        self.path = path
        self.truncated = False
        self.written = False
        self._rate = rate
        self._origin_s = origin_s
        self._tail = _Tail()
        self._ends = [0, 0]
        self._gap = (0, 0)
        self._flushed = 0
        self._file: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
            self._flush()
            self.written = True
        except OSError as error:
            self._stop(error)

    def caller(self, at_s: float, audio: bytes, form: AudioFormat = AudioFormat.PCMU) -> None:
        """Add caller audio whose first sample was spoken at `at_s`."""
        pcm = samples_of(audio, form, self._rate) if self._file is not None else b""
        if not pcm:
            return
        start, end = self._start(at_s), self._ends[CALLER]
        jitter = int(JITTER_S * self._rate)
        # A frame is never early: one that is behind its channel's end says that others before it came late.
        if start < end and self._fill_gap(len(pcm) // SAMPLE_BYTES):
            start = self._ends[CALLER]
        elif abs(start - end) <= jitter:
            start = end
        elif start > end:
            self._gap = (end, start)
        self._place(CALLER, start, pcm)

    def agent(self, begins_s: float, audio: bytes, form: AudioFormat = AudioFormat.PCMU) -> None:
        """Add agent audio that the caller began to hear at `begins_s`; at most `WINDOW_S` after it was heard."""
        pcm = samples_of(audio, form, self._rate) if self._file is not None else b""
        if not pcm:
            return
        start, end = self._start(begins_s), self._ends[AGENT]
        if abs(start - end) <= JITTER_S * self._rate:
            start = end
        self._place(AGENT, start, pcm)

    def close(self, at_s: float) -> None:
        """Fill both channels with silence up to `at_s` and finish the file. Safe to call twice."""
        if self._file is None:
            return
        end = min(self._start(at_s), int(LIMIT_S * self._rate))
        try:
            if end > self._tail.end:
                self._make_room(end)
            self._flush()
            os.close(self._file)
        except OSError as error:
            self._stop(error)
        self._file = None

    def _start(self, at_s: float) -> int:
        return max(0, round((at_s - self._origin_s) * self._rate))

    def _fill_gap(self, frames: int) -> bool:
        """Move the caller's audio after the latest gap back by `frames`, where the gap is as long as that."""
        begin, end = self._gap
        if end - begin < frames or begin < self._tail.begin or self._ends[CALLER] > self._tail.end:
            return False
        self._tail.shift_back(CALLER, end, self._ends[CALLER], frames)
        self._gap = (begin, end - frames)
        self._ends[CALLER] -= frames
        return True

    def _place(self, channel: int, start: int, pcm: bytes) -> None:
        end = start + len(pcm) // SAMPLE_BYTES
        if end > LIMIT_S * self._rate:
            self._stop(OSError(errno.EFBIG, "the recording is too long"))
            return
        try:
            self._make_room(end)
            self._tail.put(channel, start, pcm)
            self._ends[channel] = max(self._ends[channel], end)
            if self._tail.end - self._flushed >= FLUSH_S * self._rate:
                self._flush()
        except OSError as error:
            self._stop(error)

    def _make_room(self, end: int) -> None:
        """Reach `end` in memory; a silence longer than the window is left to the file system as a hole."""
        window = int(WINDOW_S * self._rate)
        if end - self._tail.end > window:
            self._flush()
            self._tail = _Tail(end - window)
        self._tail.reach(end)

    def _flush(self) -> None:
        assert self._file is not None
        begin, samples = self._tail.changed()
        _write(self._file, samples, HEADER_BYTES + begin * FRAME_BYTES)
        _write(self._file, _header(self._rate, self._tail.end), 0)
        self._flushed = self._tail.end
        self._tail.keep(int(WINDOW_S * self._rate))

    def _stop(self, error: OSError) -> None:
        """Give the recording up; what was flushed stays playable and the call goes on."""
        self.truncated = True
        log.error("recording stopped: %s", errno.errorcode.get(error.errno or 0, type(error).__name__))
        if self._file is not None:
            os.close(self._file)
            self._file = None


class _Tail:
    """The last seconds of both channels, interleaved; positions are frames of the whole recording."""

    def __init__(self, begin: int = 0) -> None:
        self.begin = begin
        self._samples = array("h")
        self._changed_from = begin

    @property
    def end(self) -> int:
        return self.begin + len(self._samples) // 2

    def reach(self, end: int) -> None:
        if end > self.end:
            self._changed_from = min(self._changed_from, self.end)
            self._samples.frombytes(bytes((end - self.end) * FRAME_BYTES))

    def put(self, channel: int, start: int, pcm: bytes) -> None:
        """Mix `pcm` in at `start`; what lies before the window is lost."""
        pcm = pcm[max(0, self.begin - start) * 2 :]
        start = max(start, self.begin)
        where = self._where(channel, start, start + len(pcm) // 2)
        self._samples[where] = array("h", mix(self._samples[where].tobytes(), pcm))
        self._changed_from = min(self._changed_from, start)

    def shift_back(self, channel: int, start: int, end: int, frames: int) -> None:
        moved = self._samples[self._where(channel, start, end)]
        self._samples[self._where(channel, start - frames, end)] = moved + array("h", bytes(2 * frames))
        self._changed_from = min(self._changed_from, start - frames)

    def changed(self) -> tuple[int, bytes]:
        """Return what changed since the last time, as little-endian bytes, and the frame where it begins."""
        begin = min(self._changed_from, self.end)
        samples = self._samples[2 * (begin - self.begin) :]
        if sys.byteorder == "big":
            samples.byteswap()
        self._changed_from = self.end
        return begin, samples.tobytes()

    def keep(self, frames: int) -> None:
        surplus = self.end - self.begin - frames
        if surplus > 0:
            del self._samples[: 2 * surplus]
            self.begin += surplus

    def _where(self, channel: int, start: int, end: int) -> slice:
        return slice(2 * (start - self.begin) + channel, 2 * (end - self.begin) + channel, 2)


def _header(rate: int, frames: int) -> bytes:
    data = frames * FRAME_BYTES
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, rate, rate * FRAME_BYTES, FRAME_BYTES, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + data, b"WAVE") + form + struct.pack("<4sI", b"data", data)


def _write(file: int, samples: bytes, offset: int) -> None:
    view = memoryview(samples)
    while view:
        written = os.pwrite(file, view, offset)
        if written == 0:
            raise OSError(errno.ENOSPC, "nothing was written")
        view, offset = view[written:], offset + written
