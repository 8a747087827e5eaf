"""The vault: digits go in once and come out once."""

import asyncio
import re
from collections.abc import Coroutine

import pytest

from gateway.errors import GatewayError
from gateway.vault import Vault
from tests.clock import run

CARD = "4111111111111111"


def test_digits_come_out_once() -> None:
    async def main() -> None:
        vault = Vault()
        token = await vault.keep(CARD)
        assert re.fullmatch(r"vault_[A-Za-z0-9_-]{32}", token)
        assert len(vault) == 1
        assert vault.redeem(token) == CARD
        assert vault.redeem(token) is None
        assert len(vault) == 0

    run(main())


def test_each_keep_has_its_own_token() -> None:
    async def main() -> None:
        vault = Vault()
        tokens = {await vault.keep(CARD) for _ in range(100)}
        assert len(tokens) == 100
        assert [vault.redeem(token) for token in tokens] == [CARD] * 100

    run(main())


@pytest.mark.parametrize("token", ["", "vault_", "vault_" + "A" * 32, CARD, "\x00", "é" * 50])
def test_a_token_that_was_never_given_redeems_nothing(token: str) -> None:
    async def main() -> None:
        vault = Vault()
        await vault.keep(CARD)
        assert vault.redeem(token) is None
        assert len(vault) == 1

    run(main())


def test_digits_are_forgotten_when_their_time_is_over_though_nobody_asks() -> None:
    async def main() -> None:
        vault = Vault(ttl_s=900)
        early = await vault.keep(CARD)
        await asyncio.sleep(600)
        late = await vault.keep(CARD)
        await asyncio.sleep(300.1)
        assert len(vault) == 1
        assert vault.redeem(early) is None
        assert vault.redeem(late) == CARD

    run(main())


def test_a_full_vault_takes_nothing_and_loses_nothing() -> None:
    async def main() -> None:
        vault = Vault(limit=2)
        first, second = await vault.keep("1"), await vault.keep("2")
        with pytest.raises(GatewayError, match="the vault is full: it holds 2 entries") as refused:
            await vault.keep(CARD)
        assert CARD not in str(refused.value)
        assert vault.redeem(first) == "1"
        third = await vault.keep("3")
        assert (vault.redeem(second), vault.redeem(third)) == ("2", "3")

    run(main())


def test_clearing_forgets_everything_and_leaves_no_timer() -> None:
    async def main() -> None:
        vault = Vault()
        token = await vault.keep(CARD)
        vault.clear()
        assert (len(vault), vault.redeem(token)) == (0, None)

    run(main())


def test_nothing_shows_what_is_inside() -> None:
    async def main() -> Coroutine[None, None, str]:
        vault = Vault()
        token = await vault.keep(CARD)
        inside = [repr(vault), str(vault), repr(vars(vault)), f"{vault}"]
        assert not [text for text in inside if CARD in text or token in text or token[6:] in text]
        return vault.keep(CARD)

    waiting = run(main())
    assert CARD not in repr(waiting)
    waiting.close()
