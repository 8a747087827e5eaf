"""Prices against the worked examples of the launch article, and usage as the API and its imitators send it."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import RemoteProtocolError
from gateway.records.cost import Transcription, Usage, cost

LAUNCH = "gpt-4o-realtime-preview-2024-10-01"
LEAVES = st.none() | st.booleans() | st.integers() | st.text()
NAMES = st.sampled_from(
    ["input_tokens", "input_token_details", "output_token_details", "cached_tokens_details", "audio_tokens"]
)


def conversation(minutes: int) -> Iterator[Usage]:
    """The article's call, its tokens times 3 so that they are whole: 3 exchanges a minute of 93⅓ tokens each side.

    A response pays its new caller audio and the last answer in full, all older audio at the cached price.
    """
    for number in range(3 * minutes):
        fresh = 280 + (280 if number else 0)
        cached = 2 * 280 * number - (280 if number else 0)
        yield Usage(audio_in=fresh + cached, audio_in_cached=cached, audio_out=280)


def price(model: str, minutes: int) -> Decimal:
    total = cost(model, conversation(minutes)).total_usd
    assert total is not None
    return total / 3


@pytest.mark.parametrize(
    ("minutes", "usd"), [(1, "0.1101"), (2, "0.2613"), (5, "0.9165"), (10, "2.6805"), (15, "5.2845"), (30, "18.14")]
)
def test_launch_prices_reproduce_the_published_table(minutes: int, usd: str) -> None:
    closed_form = Decimal("0.0168") * minutes**2 + Decimal("0.1008") * minutes - Decimal("0.0224") / 3
    assert abs(price(LAUNCH, minutes) - closed_form) < Decimal("1e-20")
    assert price(LAUNCH, minutes).quantize(Decimal(usd)) == Decimal(usd)


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("gpt-4o-realtime-preview-2024-12-17", ["0.042", "0.266", "0.640", "1.120", "3.188"]),
        ("gpt-realtime", ["0.033", "0.184", "0.387", "0.607", "1.368"]),
        ("gpt-realtime-2.1", ["0.033", "0.184", "0.387", "0.607", "1.368"]),
        ("gpt-realtime-2.1-mini", ["0.010", "0.061", "0.135", "0.221", "0.557"]),
    ],
)
def test_the_same_call_at_later_prices(model: str, dollars: list[str]) -> None:
    found = [price(model, minutes).quantize(Decimal("0.001")) for minutes in (1, 5, 10, 15, 30)]
    assert found == [Decimal(usd) for usd in dollars]


def test_each_part_has_its_own_price() -> None:
    usage = Usage(1_000_000, 500_000, 2_000_000, 1_000_000, 0, 0, 250_000, 125_000)
    found = cost("gpt-realtime-2.1", [usage], transcription=[Transcription("whisper-1", Decimal(90))])
    parts = found.parts
    assert (parts.audio_in, parts.audio_in_cached, parts.audio_out) == (Decimal(16), Decimal("0.2"), Decimal(16))
    assert (parts.text_in, parts.text_in_cached, parts.text_out) == (Decimal(4), Decimal("0.4"), Decimal(3))
    assert parts.transcription == Decimal("0.009")
    assert found.total_usd == Decimal("39.609")


def test_an_unknown_model_has_no_cost_but_a_reason() -> None:
    found = cost("gpt-9", [Usage(audio_in=5)])
    assert (found.total_usd, found.reason) == (None, "no price is known for model 'gpt-9'")
    assert found.usage.audio_in == 5


def test_a_deployment_is_priced_as_the_model_behind_it() -> None:
    found = cost("my-azure-deployment", [Usage(audio_out=1_000_000)], price_as="gpt-realtime")
    assert (found.total_usd, found.priced_as) == (Decimal(64), "gpt-realtime")


def test_unknown_transcription_and_undivided_tokens_leave_no_total() -> None:
    heard = cost("gpt-realtime", [Usage()], transcription=[Transcription("ears-1", Decimal(1))])
    assert heard.total_usd is None and "ears-1" in heard.reason
    undivided = cost("gpt-realtime", [Usage.from_api({"input_tokens": 100})])
    assert undivided.total_usd is None and "100 tokens" in undivided.reason


def test_usage_of_the_api_is_read() -> None:
    usage = Usage.from_api(
        {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        }
    )
    assert usage == Usage(13, 0, 119, 64, 0, 0, 91, 30)


@pytest.mark.parametrize("usage", [None, {}, {"input_token_details": None, "output_token_details": {}}])
def test_missing_usage_counts_as_nothing(usage: object) -> None:
    assert Usage.from_api(usage) == Usage()


@pytest.mark.parametrize(
    "usage",
    [
        [],
        "12",
        {"input_token_details": 3},
        {"input_token_details": {"audio_tokens": -1}},
        {"input_token_details": {"audio_tokens": True}},
        {"input_token_details": {"audio_tokens": 1.5}},
        {"output_token_details": {"text_tokens": 10**30}},
        {"input_token_details": {"audio_tokens": 1, "cached_tokens_details": {"audio_tokens": 2}}},
    ],
)
def test_hostile_usage_is_refused(usage: object) -> None:
    with pytest.raises(RemoteProtocolError, match="usage|expected"):
        Usage.from_api(usage)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda deeper: st.dictionaries(NAMES, deeper))
)
def test_any_json_is_read_or_refused(usage: object) -> None:
    try:
        read = Usage.from_api(usage)
    except RemoteProtocolError:
        return
    assert read.audio_in >= read.audio_in_cached >= 0


def test_transcription_in_tokens_has_no_seconds() -> None:
    assert Transcription.from_api("whisper-1", {"type": "tokens", "input_tokens": 5}) is None
    heard = Transcription.from_api("whisper-1", {"type": "duration", "seconds": 2.5})
    assert heard == Transcription("whisper-1", Decimal("2.5"))
    with pytest.raises(RemoteProtocolError):
        Transcription.from_api("whisper-1", {"seconds": float("nan")})
