"""Talking without a telephone: the teaching client against the simulated server, and reading sound files."""

import asyncio
import json
import struct
import wave
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType

import pytest

from gateway.errors import ConfigError, ModelError
from gateway.simulator.carrier.wav import mulaw_wav
from gateway.simulator.clips import load_clips
from gateway.simulator.model import ModelServer, ScriptedEngine, parse_scenario
from gateway.sound import FileMicrophone, FileSpeaker, Sounds, read_speech
from gateway.talk import Conversation, converse, talk

ORDER = """
turns:
  - heard: "where is order four two seven"
    calls: [{name: lookup_order, arguments: {order_id: "427"}}]
    result: "Order 427 is {status}, and here is a long story about how it came to be so."
  - heard: "stop"
    say: "Sure."
"""


WIDE = mulaw_wav(b"\xff" * 80, 1).replace(struct.pack("<II", 8000, 8000), struct.pack("<II", 16000, 16000))


async def against(server: ModelServer, frames: AsyncIterator[bytes], speaker: FileSpeaker) -> Conversation:
    conversation = Conversation()
    await converse(f"{server.url}?model=gpt-realtime-2.1", {}, frames, speaker, conversation)
    return conversation


async def interrupting(speech: bytes, interruption: bytes, speaker: FileSpeaker) -> AsyncIterator[bytes]:
    """Speak; once the answer has begun, speak again; then listen until it is over."""
    async for frame in FileMicrophone(speech, speaker).frames():
        yield frame
        if speaker.answered:
            break
    async for frame in FileMicrophone(interruption, speaker).frames():
        yield frame


@pytest.mark.e2e
def test_the_teaching_client_calls_a_function_and_is_interrupted() -> None:
    async def call() -> None:
        clips = load_clips()
        scenario = parse_scenario(ORDER)
        async with ModelServer(ScriptedEngine(scenario), scenario.server) as server:
            speaker = FileSpeaker()
            frames = interrupting(
                clips["order-05-af_bella"].audio, b"\xff" * 8000 + clips["barge-03-am_michael"].audio, speaker
            )
            conversation = await against(server, frames, speaker)
            assert conversation.of("tool") == ['lookup_order {"order_id": "427"}']
            assert conversation.of("agent")[0].startswith("Order 427 is on the way")
            assert conversation.of("agent")[1] == "Sure."
            assert conversation.of("you") == ["where is order four two seven", "stop"]
            session = server.sessions[0]
            assert not session.errors
            (cut,) = session.truncations
            assert cut.accepted
            assert 1000 <= cut.audio_end_ms <= 3000
            assert [output.expected for output in session.outputs] == [True]

    asyncio.run(call())


def test_an_address_where_nobody_answers_is_told_in_a_sentence() -> None:
    async def call() -> None:
        speaker = FileSpeaker()
        frames = FileMicrophone(b"\xff" * 160, speaker).frames()
        with pytest.raises(ModelError, match=r"no Realtime server answers at ws://127\.0\.0\.1:9/: Connect"):
            await converse("ws://127.0.0.1:9/", {}, frames, speaker, Conversation())

    asyncio.run(call())


def test_a_server_that_goes_away_is_told_in_a_sentence() -> None:
    async def call() -> None:
        async with ModelServer(ScriptedEngine()) as server:
            server.close_next(1013, reason="overloaded")
            speaker = FileSpeaker()
            with pytest.raises(ModelError, match="the server closed the connection"):
                await against(server, FileMicrophone(b"\xff" * 160, speaker).frames(), speaker)

    asyncio.run(call())


def test_live_without_a_key_and_with_an_address_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ulaw").write_bytes(b"\xff" * 160)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY"):
        talk(Path("a.ulaw"), None, live=True, as_json=True)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
    with pytest.raises(ConfigError, match="not both"):
        talk(Path("a.ulaw"), "ws://127.0.0.1:9/", live=True, as_json=True)


def test_the_configured_server_is_talked_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.sound.PATIENCE_S", 0.5)
    monkeypatch.setattr("gateway.sound.QUIET_S", 0.2)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key")
    (tmp_path / "a.ulaw").write_bytes(b"\xff" * 160)

    async def call() -> None:
        async with ModelServer(ScriptedEngine()) as server:
            (tmp_path / ".env").write_text(f"GATEWAY_MODEL_URL={server.url}\n")
            assert await asyncio.to_thread(talk, Path("a.ulaw"), None, live=False, as_json=False) == 1
            assert len(server.sessions) == 1

    asyncio.run(call())
    assert "talking to 127.0.0.1:" in capsys.readouterr().out


@pytest.mark.e2e
def test_a_conversation_that_answers_nothing_has_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gateway.sound.PATIENCE_S", 0.5)
    monkeypatch.setattr("gateway.sound.QUIET_S", 0.2)
    (tmp_path / "silence.ulaw").write_bytes(b"\xff" * 160)

    async def call() -> None:
        async with ModelServer(ScriptedEngine()) as server:
            code = await asyncio.to_thread(talk, Path("silence.ulaw"), server.url, live=False, as_json=True)
            assert code == 1

    asyncio.run(call())
    told = json.loads(capsys.readouterr().out)
    assert told == {"ok": False, "you": [], "agent": [], "tools": [], "errors": [], "output": "talk-output.wav"}
    assert (tmp_path / "talk-output.wav").read_bytes()[:4] == b"RIFF"


# --- sound devices -----------------------------------------------------------------------------------


class SoundCard:
    """Stands in for the sounddevice package: hands blocks to the callback when told to."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.callback: Callable[..., None] | None = None
        self.closed = False

    def module(self) -> ModuleType:
        module = ModuleType("sounddevice")
        module.__dict__.update(PortAudioError=self.PortAudioError, RawStream=self.open)
        return module

    def open(self, *, callback: Callable[..., None], **_: object) -> "SoundCard":
        if self.broken:
            raise self.PortAudioError("no default input device")
        self.callback = callback
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def block(self, heard: bytes = b"\x00" * 320) -> bytes:
        played = bytearray(320)
        assert self.callback is not None
        self.callback(heard, played, 160, None, None)
        return bytes(played)


def test_the_sound_card_is_fed_and_heard() -> None:
    pytest.importorskip("soxr")

    async def call() -> None:
        card = SoundCard()
        with Sounds(card.module()) as sounds:
            sounds.play("item_1", b"\x80" * 160)
            sounds.play("item_2", b"\x00" * 480)
            assert struct.unpack("<h", card.block()[:2]) == (32124,)
            card.block()
            card.block()
            assert sounds.stop() == ("item_2", 40)
            assert sounds.stop() is None
            assert card.block() == b"\x00" * 320
            assert await anext(sounds.frames()) == b"\xff" * 160
        assert card.closed

    asyncio.run(call())


def test_a_machine_without_sound_is_told_in_a_sentence() -> None:
    pytest.importorskip("soxr")

    async def call() -> None:
        with pytest.raises(ConfigError, match="no microphone and speaker can be opened: no default input device"):
            with Sounds(SoundCard(broken=True).module()):
                pass

    asyncio.run(call())


# --- sound files -----------------------------------------------------------------------------------


def test_mulaw_files_are_taken_as_they_are(tmp_path: Path) -> None:
    speech = bytes(range(256)) * 4
    (tmp_path / "a.ulaw").write_bytes(speech)
    (tmp_path / "mono.wav").write_bytes(mulaw_wav(speech, 1))
    assert read_speech(tmp_path / "a.ulaw") == speech
    assert read_speech(tmp_path / "mono.wav") == speech


def test_of_two_channels_the_left_one_is_the_caller(tmp_path: Path) -> None:
    both = bytes(value for pair in zip(b"\x01" * 800, b"\x02" * 800, strict=True) for value in pair)
    (tmp_path / "call.wav").write_bytes(mulaw_wav(both, 2))
    assert read_speech(tmp_path / "call.wav") == b"\x01" * 800


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_pcm_of_any_rate_becomes_telephone_audio_of_the_same_length(tmp_path: Path, rate: int) -> None:
    pytest.importorskip("soxr")
    path = tmp_path / "pcm.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, rate, "NONE", ""))
        file.writeframes(struct.pack("<h", 1000) * rate)
    assert len(read_speech(path)) == pytest.approx(8000, abs=8)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.mp3", b"ID3....", "is no WAV file and no raw mu-law"),
        ("a.ulaw", b"", "is no WAV file and no raw mu-law"),
        ("a.wav", b"RIFF\x00\x00\x00\x00WAVE", "is a damaged WAV file"),
        ("a.wav", b"RIFF" + b"\xff" * 40, "is a damaged WAV file"),
        ("a.wav", mulaw_wav(b"\xff" * 80, 4), "one or two channels"),
        ("a.wav", WIDE, "16000 Hz"),
    ],
    ids=["mp3", "empty", "no chunks", "garbage", "four channels", "wide mu-law"],
)  # fmt: skip
def test_other_files_are_refused_in_a_sentence(tmp_path: Path, name: str, data: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=sentence):
        read_speech(tmp_path / name)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_speech(tmp_path / "none.wav")
