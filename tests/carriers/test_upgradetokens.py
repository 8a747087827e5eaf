"""Tokens that an upgrade presents, and what an orderly close means."""

import asyncio

import pytest

from gateway.carriers import upgradetokens
from gateway.carriers.base import Leg
from gateway.carriers.cleanclose import by_clean_close
from gateway.carriers.stream import Started
from gateway.carriers.upgradetokens import VALID_S, UpgradeTokens
from gateway.core.audio import AudioFormat
from gateway.core.events import CallerAudio, Event, LegEnd, LegEnded
from tests.clock import run


def test_a_token_lets_a_socket_in_for_a_minute() -> None:
    async def main() -> None:
        tokens = UpgradeTokens()
        assert not tokens.knows("one") and not tokens.knows("")
        tokens.add("one")
        assert tokens.knows("one") and not tokens.knows("two") and not tokens.knows("\ud800")
        await asyncio.sleep(VALID_S)
        assert tokens.knows("one")
        await asyncio.sleep(0.01)
        assert not tokens.knows("one")

    run(main())


def test_the_book_forgets_what_is_old_and_what_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        tokens = UpgradeTokens()
        for number in range(6):
            tokens.add(f"t{number}")
        assert [tokens.knows(f"t{number}") for number in range(6)] == [False] * 2 + [True] * 4
        await asyncio.sleep(VALID_S + 1)
        tokens.add("new")
        assert len(tokens._until) == 1

    monkeypatch.setattr(upgradetokens, "KEPT", 4)
    run(main())


class Call:
    def __init__(self) -> None:
        self.told: list[Event] = []

    def attach(self, leg: Leg, stream_id: str, audio: AudioFormat = AudioFormat.PCMU) -> None:
        raise AssertionError("not in this test")

    def feed(self, event: Event) -> None:
        self.told.append(event)


@pytest.mark.parametrize(
    ("came", "told"),
    [
        (LegEnded(LegEnd.SOCKET_LOST, "closed with 1000"), LegEnded(LegEnd.CALLER_HANGUP, "closed with 1000")),
        (LegEnded(LegEnd.SOCKET_LOST, "closed with 1006"), LegEnded(LegEnd.SOCKET_LOST, "closed with 1006")),
        (LegEnded(LegEnd.SOCKET_LOST, "closed with 1001"), LegEnded(LegEnd.SOCKET_LOST, "closed with 1001")),
        (LegEnded(LegEnd.BROKEN, "closed with 1000"), LegEnded(LegEnd.BROKEN, "closed with 1000")),
        (CallerAudio("////"), CallerAudio("////")),
    ],
)
def test_only_a_close_in_order_is_the_callers_hanging_up(came: Event, told: Event) -> None:
    call = Call()
    by_clean_close(lambda started: call)(Started("s", "c")).feed(came)
    assert call.told == [told]
