"""PCM at 8 and 16 kHz to mu-law and back: nothing lost, no seams."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.transcode import Pcm16

EVERY = bytes(range(256))
NEGATIVE_ZERO = 0x7F
"""Mu-law has two zeros; the encoder writes 0xFF for both."""


def tone(rate_hz: int, ms: int) -> bytes:
    count = rate_hz * ms // 1000
    return struct.pack(f"<{count}h", *(round(8000 * math.sin(2 * math.pi * 440 * n / rate_hz)) for n in range(count)))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def test_every_mu_law_byte_survives_the_round_trip_at_8_khz() -> None:
    pcm = Pcm16(8000).from_mu_law(EVERY)
    assert len(pcm) == 512
    back = Pcm16(8000).to_mu_law(pcm)
    assert back == EVERY.replace(bytes([NEGATIVE_ZERO]), b"\xff")


def test_the_two_zeros_of_mu_law_are_the_same_sample() -> None:
    assert Pcm16(8000).from_mu_law(b"\x7f\xff") == bytes(4)


def test_samples_are_little_endian() -> None:
    assert Pcm16(8000).from_mu_law(b"\x80") == struct.pack("<h", 32124)
    assert Pcm16(8000).to_mu_law(struct.pack("<h", -32124)) == b"\x00"


@given(st.binary(max_size=400), st.lists(st.integers(0, 40), max_size=20))
def test_pieces_of_any_size_give_the_same_mu_law_as_the_whole(pcm: bytes, sizes: list[int]) -> None:
    for rate_hz in (8000, 16_000):
        whole, pieces = Pcm16(rate_hz), Pcm16(rate_hz)
        assert b"".join(map(pieces.to_mu_law, cut(pcm, sizes))) == whole.to_mu_law(pcm)


@given(st.binary(max_size=400), st.lists(st.integers(0, 40), max_size=20))
def test_pieces_of_any_size_give_the_same_samples_as_the_whole(ulaw: bytes, sizes: list[int]) -> None:
    for rate_hz in (8000, 16_000):
        whole, pieces = Pcm16(rate_hz), Pcm16(rate_hz)
        assert b"".join(map(pieces.from_mu_law, cut(ulaw, sizes))) == whole.from_mu_law(ulaw)


def test_an_odd_byte_is_kept_for_the_next_piece() -> None:
    coder = Pcm16(8000)
    assert coder.to_mu_law(b"\x7c") == b""
    assert coder.to_mu_law(b"\x7d\x7c") == b"\x80"
    assert coder.to_mu_law(b"\x7d") == b"\x80"


def test_both_ways_of_one_stream_do_not_disturb_each_other() -> None:
    alone, both = Pcm16(16_000), Pcm16(16_000)
    pcm = tone(16_000, 100)
    heard = b""
    for start in range(0, len(pcm), 640):
        heard += both.to_mu_law(pcm[start : start + 640])
        both.from_mu_law(EVERY)
    assert heard == alone.to_mu_law(pcm)


def test_16_khz_halves_and_doubles_the_samples() -> None:
    ulaw = Pcm16(16_000).to_mu_law(tone(16_000, 1000))
    assert len(ulaw) == 8000
    assert len(Pcm16(16_000).from_mu_law(ulaw)) == 32_000


def test_a_tone_at_16_khz_is_the_same_tone_in_mu_law() -> None:
    resampled = Pcm16(8000).from_mu_law(Pcm16(16_000).to_mu_law(tone(16_000, 200)))
    expected = tone(8000, 200)
    pairs = list(zip(struct.iter_unpack("<h", resampled), struct.iter_unpack("<h", expected), strict=True))
    assert max(abs(got[0] - wanted[0]) for got, wanted in pairs[8:]) < 400


def test_a_frame_of_20_ms_is_one_at_every_rate() -> None:
    for rate_hz in (8000, 16_000):
        coder = Pcm16(rate_hz)
        assert [len(coder.from_mu_law(EVERY[:160])) for _ in range(3)] == [rate_hz // 25] * 3


@pytest.mark.parametrize("rate_hz", [0, -8000, 24_000, 44_100])
def test_another_rate_is_refused(rate_hz: int) -> None:
    with pytest.raises(ValueError, match="expected 8000 or 16000"):
        Pcm16(rate_hz)
