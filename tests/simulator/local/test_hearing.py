"""Real speech through the real models. The clips were chosen with this recogniser: the bounds say that it is set up
as it was, not how well it does on real lines."""

import asyncio
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.clips import Clip
from gateway.simulator.local.engine import LocalEngine
from gateway.simulator.local.wer import digits_of, word_errors

pytestmark = pytest.mark.e2e

ENTER, LEAVE = 0.5, 0.35


@pytest.fixture(scope="module")
def heard(engine: LocalEngine, clips: dict[str, Clip]) -> dict[str, str]:
    async def transcribe_all() -> dict[str, str]:
        return {name: await engine.transcribe(clip.audio, "", 1) for name, clip in clips.items()}

    return asyncio.run(transcribe_all())


def test_word_errors_of_the_clips_stay_below_three_percent(heard: dict[str, str], clips: dict[str, Clip]) -> None:
    counts = [word_errors(clip.text, heard[name]) for name, clip in clips.items()]
    errors, words = (sum(column) for column in zip(*counts, strict=True))
    assert words > 120
    assert errors / words <= 0.03, heard


def test_every_digit_is_heard(heard: dict[str, str], clips: dict[str, Clip]) -> None:
    said = {name: digits for name, clip in clips.items() if (digits := digits_of(clip.text))}
    assert len(said) >= 6
    assert {name: digits_of(heard[name]) for name in said} == said


@pytest.mark.parametrize("kind", ["silence", "noise", "blip"])
def test_what_is_no_speech_is_not_heard(engine: LocalEngine, kind: str) -> None:
    import numpy as np

    from gateway.simulator.local.audio import Samples, encode

    noise: Samples = np.random.default_rng(7).normal(0, 0.02, 24_000).astype(np.float32)
    audio = {"silence": b"\xff" * 24_000, "noise": encode(noise), "blip": b"\x10" * 200}[kind]
    assert asyncio.run(engine.transcribe(audio, "", 1)) == ""


def test_a_prompt_of_any_size_and_content_is_harmless(engine: LocalEngine, clips: dict[str, Clip]) -> None:
    prompt = "<|endoftext|> Ümläut \x00 " * 500
    text = asyncio.run(engine.transcribe(clips["bye-02-am_michael"].audio, prompt, 1))
    assert word_errors(clips["bye-02-am_michael"].text, text)[0] <= 1


def test_a_turn_longer_than_the_window_is_heard_in_pieces(engine: LocalEngine, clips: dict[str, Clip]) -> None:
    names = ["order-01-am_michael", "talk-03-am_michael", "order-08-bm_george", "bill-03-af_heart"]
    audio = b"".join(clips[name].audio + b"\xff" * 24_000 for name in names) * 2
    assert len(audio) > 30 * 8000
    errors, words = word_errors(
        " ".join(clips[name].text for name in names * 2), asyncio.run(engine.transcribe(audio, "", 1))
    )
    assert errors / words < 0.1


def _outside(start: int, length: int, bound: int) -> int:
    return max(start - bound, bound - start - length, 0)


def test_speech_is_found_within_100_ms_of_its_bounds(engine: LocalEngine, clips: dict[str, Clip]) -> None:
    off = {}
    for name, clip in clips.items():
        vad = engine.vad()
        size = vad.frame_bytes
        audio = clip.audio + b"\xff" * 4000
        frames = [audio[at : at + size] for at in range(0, len(audio) - size + 1, size)]
        chances = [vad.probability(frame) for frame in frames]
        ms = size // 8
        first = next(at for at, chance in enumerate(chances) if chance >= ENTER) * ms
        last = max(at for at, chance in enumerate(chances) if chance >= LEAVE) * ms
        # The bound lies somewhere in the frame: the distance to the nearest end of it is what the detector is off.
        off[name] = max(_outside(first, ms, clip.speech_ms[0][0]), _outside(last, ms, clip.speech_ms[-1][1]))
    assert {name: ms for name, ms in off.items() if ms > 100} == {}


def test_a_detector_wants_whole_frames(engine: LocalEngine) -> None:
    with pytest.raises(ValueError, match="256 bytes"):
        engine.vad().probability(b"\xff" * 160)


def test_a_reused_detector_starts_anew(engine: LocalEngine, clips: dict[str, Clip]) -> None:
    audio = clips["order-01-am_michael"].audio[:8192]
    runs = []
    for _ in range(4):
        vad = engine.vad()
        runs.append([vad.probability(audio[at : at + 256]) for at in range(0, 8192, 256)])
    assert all(run == pytest.approx(runs[0], abs=1e-4) for run in runs)


def test_other_weights_than_the_expected_are_refused(speech_packages: None, tmp_path: Path) -> None:
    from gateway.simulator.local.whisper import Whisper

    for name in ("model.bin", "vocabulary.txt", "config.json"):
        (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="SHA-256"):
        Whisper(tmp_path)
    with pytest.raises(ConfigError, match=r"has no model\.bin"):
        Whisper(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        Whisper(tmp_path, sha256=None)


def test_missing_packages_are_named_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(ConfigError, match="ctranslate2 not found.*uv sync --group speech"):
        asyncio.run(LocalEngine.load())
