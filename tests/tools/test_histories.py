"""Random histories of one telephone call whose processes are killed: the business's own log is the judge."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from gateway.core.events import ToolResult
from gateway.simulator.clock import run
from gateway.store.memory import MemoryStore
from gateway.tools.catalogue import Catalogue
from gateway.tools.ledger import is_repetition
from gateway.tools.recovery import recover
from gateway.tools.replies import json_text
from gateway.tools.request import ToolOutcome

from .shop import BOOK, Place, Shop, agent, at_desk, facts

HISTORIES = 150
HOLD = BOOK | {"name": "hold", "idempotent": True}
TOOLS = (BOOK, HOLD)


class History:
    """One telephone call, its lives, and what each function call was told."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.shop = Shop(answer={"result": "booked"})
        self.made: list[tuple[str, str, int]] = []
        """Id, name and argument of each function call so far."""
        self.told: dict[str, list[ToolResult]] = {}
        self.store = MemoryStore()

    async def live(self, number: int) -> None:
        """One process: calls, repeats and late results, until it is killed at some instant."""
        rng = self.rng
        async with at_desk(self.store, self.shop, *TOOLS, call=facts(f"call-{number}")) as it:
            catalogues = {"support": Catalogue(agent(*TOOLS))}
            doing: list[asyncio.Task[Any]] = [asyncio.create_task(recover(it.store, it.desk, catalogues, it.meter))]
            doing += [asyncio.create_task(self.again(it, *made)) for made in self.made if rng.random() < 0.7]
            for _ in range(rng.randint(1, 4)):
                self.shop.status = rng.choice([200, 200, 200, 202, 404, 500, 503])
                self.shop.delay_s = rng.choice([0, 0.5, 3])
                made = (f"t{len(self.made)}", rng.choice(["book", "hold"]), rng.randint(1, 2))
                self.made.append(made)
                asked = asyncio.create_task(self.ask(it, *made))
                doing.append(asked)
                await asyncio.sleep(rng.choice([0, 0.2, 1, 6]))
                if rng.random() < 0.2:
                    asked.cancel()
                if rng.random() < 0.3:
                    await self.late(it)
            self.store = self.store.reopened()
            await it.desk.stop(0)  # at once: what a killed process would still do must not happen
            for task in doing:
                task.cancel()
            await asyncio.wait(doing)

    async def ask(self, it: Place, tool_call_id: str, name: str, people: int) -> None:
        self.told.setdefault(tool_call_id, []).append(await it.ask(tool_call_id, people, name=name))

    async def again(self, it: Place, tool_call_id: str, name: str, people: int) -> None:
        self.told.setdefault(tool_call_id, []).append(await it.ask(tool_call_id, people, name=name, again=True))

    async def late(self, it: Place) -> None:
        rows = await it.store.invocations_of("CA1")
        sent = [row for row in rows if row.state in ("pending", "unknown") and not is_repetition(row)]
        open_rows = [row for row in sent if not it.desk.settled(row.key)]
        if open_rows:
            row = self.rng.choice(open_rows)
            assert await it.desk.settle(row, ToolOutcome(True, json_text(f"late {row.key}"), "late"))
            fed = Counter(result.tool_call_id for result in it.late)
            assert not fed or max(fed.values()) == 1

    async def tell(self) -> None:
        for number in range(self.rng.randint(2, 4)):
            await self.live(number)
        self.shop.status, self.shop.delay_s = 200, 0
        async with at_desk(self.store, self.shop, *TOOLS, call=facts("call-last")) as it:
            await recover(it.store, it.desk, {"support": Catalogue(agent(*TOOLS))}, it.meter)
            for made in self.made:
                await self.again(it, *made)

    def judge(self) -> None:
        names = {tool_call_id: name for tool_call_id, name, _ in self.made}
        requests = Counter(key.removeprefix("CA1:") for key in self.shop.asked)
        effects = Counter(key for key, _ in self.shop.done)
        assert not effects or max(effects.values()) == 1
        assert all(count == 1 for key, count in requests.items() if names[key] == "book")
        rows = {row.tool_call_id: row for row in self.store.invocations.values()}
        assert all(row.state in ("done", "failed", "unknown", "pending") for row in rows.values())
        for tool_call_id, row in rows.items():
            if row.state == "done" and row.output == '"booked"' and not is_repetition(row):
                assert requests[tool_call_id] >= 1
            if row.state == "failed":
                assert f"CA1:{tool_call_id}" not in effects or "HTTP 404" in (row.detail or "")
        for tool_call_id, results in self.told.items():
            final = {result.output for result in results if result.ok and not result.pending}
            assert len({output for output in final if "in progress" not in output}) <= 1, (tool_call_id, final)


@pytest.mark.parametrize("first", range(0, HISTORIES, 50))
def test_no_history_of_kills_has_a_write_done_twice(first: int) -> None:
    for seed in range(first, first + 50):
        history = History(seed)
        run(history.tell())
        try:
            history.judge()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
