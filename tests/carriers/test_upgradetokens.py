"""Tokens that an upgrade presents."""

import asyncio

import pytest

from gateway.carriers import upgradetokens
from gateway.carriers.upgradetokens import VALID_S, UpgradeTokens
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
