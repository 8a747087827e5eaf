"""Every sample lies where it was heard, whatever the order and lateness in which it is given."""

import os
import resource
import signal
import stat
import struct
import subprocess
import sys
import wave
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.records.pcm import to_pcm
from gateway.records.recording import Recording, unwritable
from tests.records.conversation import speechlike, ulaw

FRAME = 160
SPEECH = ulaw(speechlike(30))
PIECES = st.lists(st.tuples(st.booleans(), st.floats(-1, 40), st.binary(max_size=400)), max_size=30)


def frame(number: int) -> bytes:
    """Return the number-th 20 ms of a long speech."""
    return SPEECH[number * FRAME : (number + 1) * FRAME]


def channels(path: Path) -> tuple[bytes, bytes]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        samples = array("h", file.readframes(file.getnframes()))
        assert len(samples) == 2 * file.getnframes()
    return samples[0::2].tobytes(), samples[1::2].tobytes()


def silence(ms: int) -> bytes:
    return bytes(16 * ms)


def test_the_file_is_byte_exact(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    recording = Recording(path)
    recording.caller(0.0, b"\x00\x80")
    recording.agent(0.0, b"\xff\x10\x90")
    recording.close(0.0005)
    caller, agent = (array("h", to_pcm(one)) for one in (b"\x00\x80\xff\xff", b"\xff\x10\x90\xff"))
    data = b"".join(struct.pack("<hh", *pair) for pair in zip(caller, agent, strict=True))
    header = (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 2, 8000, 32000, 4, 16)
    )
    assert path.read_bytes() == header + b"data" + struct.pack("<I", len(data)) + data
    assert caller.tolist() == [-32124, 32124, 0, 0]
    assert agent.tolist() == [0, -15996, 15996, 0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_jitter_does_not_break_the_callers_stream(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    for number in range(500):
        recording.caller(number * 0.02 + (0.0, 0.05, -0.04, 0.01)[number % 4], frame(number))
    recording.close(10.0)
    assert channels(tmp_path / "call.wav") == (to_pcm(SPEECH[: 500 * FRAME]), silence(10_000))


@pytest.mark.parametrize("stall", [8, 25, 100])
def test_a_burst_after_a_stall_fills_the_silence_it_had_made(tmp_path: Path, stall: int) -> None:
    recording = Recording(tmp_path / "call.wav")
    total = 600 // (2 * stall) * 2 * stall
    for number in range(total):
        late = stall - number % (2 * stall) if number % (2 * stall) < stall else 0
        recording.caller((number + late) * 0.02, frame(number))
    recording.close(total * 0.02)
    caller, _ = channels(tmp_path / "call.wav")
    assert caller == to_pcm(SPEECH[: total * FRAME])


def test_a_lost_stretch_of_the_caller_is_silence(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    recording.caller(0.5, frame(0))
    recording.caller(1.5, frame(1))
    recording.close(1.6)
    caller = silence(500) + to_pcm(frame(0)) + silence(980) + to_pcm(frame(1)) + silence(80)
    assert channels(tmp_path / "call.wav")[0] == caller


def test_agent_audio_given_three_seconds_late_lies_where_it_was_heard(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav", origin_s=1000.0)
    for number in range(400):
        now = 1000.0 + number * 0.02
        recording.caller(now, frame(number))
        if number in (200, 350):
            recording.agent(now - 3.0, frame(number) + frame(number + 1))
    recording.close(1008.0)
    expected = silence(1000) + to_pcm(SPEECH[200 * FRAME : 202 * FRAME]) + silence(2960)
    expected += to_pcm(SPEECH[350 * FRAME : 352 * FRAME]) + silence(3960)
    assert channels(tmp_path / "call.wav") == (to_pcm(SPEECH[: 400 * FRAME]), expected)


def test_overlapping_agent_audio_moves_nothing(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    recording.agent(0.0, frame(0) * 10)
    recording.agent(0.1, frame(1) * 2)
    recording.agent(0.21, frame(2))
    recording.close(0.22)
    _, agent = channels(tmp_path / "call.wav")
    assert agent[: 16 * 100] == to_pcm(frame(0) * 5)
    assert agent[16 * 140 : 16 * 200] == to_pcm(frame(0) * 3)
    assert agent[16 * 200 :] == to_pcm(frame(2))


def test_memory_and_disk_stay_bounded_over_long_silences(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    recording.caller(0.0, frame(0))
    recording.caller(3600.0, frame(1))
    recording.agent(3599.0, frame(2))
    recording.close(3600.1)
    caller, agent = channels(tmp_path / "call.wav")
    assert caller == to_pcm(frame(0)) + silence(3_599_980) + to_pcm(frame(1)) + silence(80)
    assert agent[16 * 3_599_000 :][: 2 * FRAME] == to_pcm(frame(2))
    assert (tmp_path / "call.wav").stat().st_blocks * 512 < 1_000_000


def test_audio_beyond_six_hours_is_not_recorded(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "call.wav")
    recording.caller(0.0, frame(0))
    recording.caller(7 * 3600.0, frame(1))
    recording.close(7 * 3600.0)
    assert recording.truncated
    assert channels(tmp_path / "call.wav") == (b"", b"")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PIECES)
@example([(True, 0.0, b"\x00"), (True, 1.0, b""), (True, 0.0, b"\x00")])
def test_any_placement_leaves_a_valid_file(pieces: list[tuple[bool, float, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "call.wav"
        recording = Recording(path)
        for of_caller, at_s, audio in pieces:
            (recording.caller if of_caller else recording.agent)(at_s, audio)
        recording.close(20.0)
        caller, agent = channels(path)
    assert len(caller) == len(agent) >= 16 * 20_000
    assert not recording.truncated


def test_a_killed_process_leaves_a_playable_file(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from gateway.records.recording import Recording\n"
        "recording = Recording(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    recording.caller(number * 0.02, bytes([number % 251]) * 160)\n"
        "    if number == 500: sys.stdout.write('.\\n'); sys.stdout.flush()\n"
    )
    path = tmp_path / "call.wav"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    caller, _ = channels(path)
    assert len(caller) >= 16 * 9_000
    assert caller[: 16 * 9_000] == b"".join(to_pcm(bytes([number % 251]) * 160) for number in range(450))


def test_a_full_disk_stops_the_recording_and_keeps_what_was_flushed(tmp_path: Path) -> None:
    """A file size limit refuses writes as a full disk does."""
    path = tmp_path / "call.wav"
    recording = Recording(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        for number in range(500):
            recording.caller(number * 0.02, frame(number))
        recording.agent(5.0, frame(0))
        recording.close(10.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert recording.truncated
    caller, _ = channels(path)
    assert len(caller) >= 16 * 2_000
    assert caller == to_pcm(SPEECH)[: len(caller)]


def test_an_unwritable_place_is_noticed_and_nothing_is_raised(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    recording = Recording(tmp_path / "file" / "call.wav")
    recording.caller(0.0, frame(0))
    recording.agent(0.0, frame(0))
    recording.close(1.0)
    recording.close(1.0)
    assert recording.truncated and not recording.written


def test_a_folder_is_tried_without_leaving_anything_in_it(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "not" / "there" / "yet") == ""
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    assert unwritable(tmp_path / "file") == f"{tmp_path / 'file'} cannot be written: Not a directory"
    assert unwritable(Path("/proc/x")) == "/proc/x cannot be written: No such file or directory"
