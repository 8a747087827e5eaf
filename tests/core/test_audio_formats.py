"""A call in each audio format: lengths, silence, tones, and a stream that speaks another than was expected."""

import base64

import pytest

from gateway.core import Call, CallPlan, Phase
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.audio import AudioFormat, payload_ms, silence_like, split_payload, split_payload_at
from gateway.core.operator import AskTransfer
from gateway.core.plan import TransferTarget
from gateway.core.tones import ring_back

FORMATS = list(AudioFormat)


def of_ms(audio: AudioFormat, ms: int) -> str:
    return base64.b64encode(bytes(range(256)) * 100)[: ms * audio.bytes_per_ms // 3 * 4].decode()


@pytest.mark.parametrize("audio", FORMATS)
def test_lengths_are_those_of_the_format(audio: AudioFormat) -> None:
    second = base64.b64encode(audio.silence * audio.rate_hz).decode()
    assert payload_ms(second, audio) == 1000
    assert silence_like(second, audio) == second
    assert base64.b64decode(silence_like("AAAA" * 5 + "AA==", audio))[0:1] == audio.silence[:1]


@pytest.mark.parametrize("audio", FORMATS)
@pytest.mark.parametrize("ms", (0.0, 0.1, 19.99, 20.0, 77.3, 99.0, 500.0))
def test_a_cut_lies_between_samples_and_loses_nothing(audio: AudioFormat, ms: float) -> None:
    whole = of_ms(audio, 99)
    first, rest = split_payload_at(whole, ms, audio)
    assert base64.b64decode(first) + base64.b64decode(rest) == base64.b64decode(whole)
    assert len(base64.b64decode(first)) % audio.sample_bytes == 0
    assert ms - 0.5 < payload_ms(first, audio) <= ms or first == whole


@pytest.mark.parametrize("audio", FORMATS)
def test_pieces_hold_whole_samples(audio: AudioFormat) -> None:
    whole = of_ms(audio, 999)
    pieces = [base64.b64decode(piece) for piece in split_payload(whole, 180 * audio.bytes_per_ms)]
    assert b"".join(pieces) == base64.b64decode(whole)
    assert all(len(piece) % audio.sample_bytes == 0 for piece in pieces)


@pytest.mark.parametrize("audio", FORMATS)
def test_a_ring_lasts_two_seconds_in_every_format(audio: AudioFormat) -> None:
    assert payload_ms(ring_back(audio), audio) == 2000


@pytest.mark.parametrize("audio", FORMATS)
def test_play_out_is_counted_in_the_streams_format(audio: AudioFormat) -> None:
    call = Call(CallPlan(audio=audio))
    call.receive(ev.CallOffered(), 0.0)
    assert call.receive(ev.StreamStarted("s", audio), 0.1) == []
    call.receive(ev.SessionReady("sess"), 0.2)
    call.receive(ev.ResponseCreated("r1", ""), 0.3)
    played = call.receive(ev.AudioDelta("r1", "i1", of_ms(audio, 300)), 0.3)
    assert sum(command.ms for command in played if isinstance(command, cmd.PlayAudio)) == pytest.approx(300, abs=1)
    cut = call.receive(ev.SpeechStarted("c1", 100), 0.45)
    assert [command for command in cut if isinstance(command, cmd.TruncateItem)] == [cmd.TruncateItem("i1", 150)]


def test_a_stream_in_another_format_than_expected_changes_the_models() -> None:
    call = Call(CallPlan())
    call.receive(ev.CallOffered(), 0.0)
    assert cmd.ConfigureAudio(AudioFormat.PCMA) in call.receive(ev.StreamStarted("s", AudioFormat.PCMA), 0.1)
    call.receive(ev.SessionReady("sess"), 0.2)
    lost = call.receive(ev.ModelClosed("1006", "gone", permanent=False), 1.0)
    opened = [command for command in lost if isinstance(command, cmd.OpenModel | cmd.ConfigureAudio)]
    assert opened == [cmd.OpenModel(), cmd.ConfigureAudio(AudioFormat.PCMA)]


def test_what_was_kept_of_another_format_is_not_handed_to_the_model() -> None:
    """The model was lost while the caller was being moved; the caller comes back on a stream that speaks otherwise."""
    targets = {"desk": TransferTarget("+14155550100")}
    call = Call(CallPlan(transfer_targets=targets))
    for at_s, event in (
        (0.0, ev.CallOffered()),
        (0.1, ev.StreamStarted("s", AudioFormat.PCMU)),
        (0.2, ev.SessionReady("sess")),
        (1.0, ev.OperatorAsked("c1", "desk", AskTransfer("desk"))),
    ):
        started = call.receive(event, at_s)
    (transfer,) = (command for command in started if isinstance(command, cmd.StartTransfer))
    assert call.phase is Phase.TRANSFERRING
    call.receive(ev.ModelClosed("1006", "gone", permanent=False), 1.1)
    old, new = of_ms(AudioFormat.PCMU, 99), of_ms(AudioFormat.PCM24, 99)
    call.receive(ev.CallerAudio(old), 1.2)
    call.receive(ev.LegEnded(ev.LegEnd.SOCKET_LOST), 1.3)
    call.receive(ev.TransferProgress(transfer.transfer_id, ev.TransferState.BUSY), 2.0)
    call.receive(ev.StreamStarted("s2", AudioFormat.PCM24), 2.1)
    call.receive(ev.CallerAudio(new), 2.2)
    told = call.receive(ev.SessionReady("sess2"), 2.3)
    assert [command.payload for command in told if isinstance(command, cmd.AppendAudio)] == [new]
