"""The converters between mu-law and the formats of the API: exact in size, whatever the pieces."""

import math
import warnings
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator.model.formats import Encoding, Inbound, Outbound
from gateway.simulator.model.sound import level
from tests.simulator.model.client import silence, speech

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

PCMU, PCMA, PCM = Encoding


@pytest.mark.parametrize("encoding", Encoding)
def test_silence_is_heard_as_silence(encoding: Encoding) -> None:
    assert encoding.to_mulaw(encoding.silence(40)) == silence(40)


def test_mu_law_passes_as_the_same_object() -> None:
    audio = speech()
    arrived = Inbound(PCMU).take(audio)
    assert arrived.mulaw is audio and arrived.wire is audio
    assert Outbound(PCMU).encode(audio) is audio


def test_a_law_is_what_the_standard_says() -> None:
    codes = bytes(range(256))
    assert audioop.ulaw2lin(PCMA.to_mulaw(codes), 2) == audioop.ulaw2lin(
        audioop.lin2ulaw(audioop.alaw2lin(codes, 2), 2).translate(bytes.maketrans(b"\xfe\x7e", b"\xff\x7f")), 2
    )
    assert PCMA.from_mulaw(codes) == audioop.lin2alaw(audioop.ulaw2lin(codes, 2), 2)


@given(st.sampled_from(Encoding), st.binary(max_size=400), st.lists(st.integers(0, 40), max_size=30))
def test_pieces_of_any_size_convert_as_the_whole_does(encoding: Encoding, mulaw: bytes, sizes: list[int]) -> None:
    outbound, inbound, at = Outbound(encoding), Inbound(encoding), 0
    wire = b""
    for size in [*sizes, len(mulaw)]:
        wire += outbound.encode(mulaw[at : at + size])
        at += size
    assert wire == encoding.from_mulaw(mulaw)
    assert len(wire) == len(mulaw) * encoding.scale
    taken, at = [], 0
    for size in [*sizes, len(wire)]:
        taken.append(inbound.take(wire[at : at + size * encoding.sample_bytes]))
        at += size * encoding.sample_bytes
    assert b"".join(one.wire for one in taken) == wire
    assert b"".join(one.mulaw for one in taken) == encoding.to_mulaw(wire)
    assert all(len(one.wire) == len(one.mulaw) * encoding.scale for one in taken)


@pytest.mark.parametrize(
    ("hz", "least", "most"), [(300, 0.97, 1.03), (2000, 0.95, 1.05), (5000, 0, 0.02), (7000, 0, 0.02)]
)
def test_sound_above_the_telephone_band_does_not_fold_back_into_it(hz: int, least: float, most: float) -> None:
    wave = array("h", [round(10_000 * math.sin(2 * math.pi * hz * at / 24_000)) for at in range(24_000)])
    heard = level(PCM.to_mulaw(wave.tobytes())) / (10_000 / math.sqrt(2))
    assert least <= heard <= most
