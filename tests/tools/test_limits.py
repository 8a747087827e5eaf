"""Bounds, fixed arguments and quotas: what the model may not decide."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.agents import Agent, ToolPolicy
from gateway.errors import ConfigError, ToolError
from gateway.simulator.clock import run
from gateway.store.memory import MemoryStore
from gateway.store.rows import StoreError
from gateway.tools.catalogue import Catalogue, CatalogueTool, ToolKind, catalogue_tool, parse_arguments
from gateway.tools.limits import CallerCounts

from .shop import BOOK, LOOK, Shop, at_desk, facts

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "account": {"type": "string"},
        "kind": {"enum": ["gift", "debt", 1]},
        "lines": {"type": "array"},
        "payment": {"type": "object", "properties": {"amount": {"type": "number"}, "from": {"type": "string"}},
                    "required": ["amount", "from"]},
        "a.b": {"type": "integer"},
    },
    "required": ["account"],
}  # fmt: skip


def tool(bounds: Mapping[str, object], parameters: Mapping[str, Any] = SCHEMA) -> CatalogueTool:
    policy = ToolPolicy.model_validate({"bounds": bounds})
    return catalogue_tool("pay", ToolKind.WEBHOOK, "x", parameters, policy)


def refusal(bounds: Mapping[str, object], arguments: Mapping[str, object], **known: object) -> str:
    with pytest.raises(ToolError) as caught:
        parse_arguments(tool(bounds), json.dumps({"account": "A", **arguments}), known)
    return f"{caught.value.code}: {caught.value}"


@pytest.mark.parametrize(
    ("bounds", "arguments", "sentence"),
    [
        ({"amount": {"maximum": 100}}, {"amount": 100.01}, "amount must be at most 100"),
        ({"amount": {"minimum": 1}}, {"amount": 0}, "amount must be at least 1"),
        ({"amount": {"maximum": 100}}, {"amount": "5000"}, "amount must be a number"),
        ({"amount": {"maximum": 100}}, {"amount": True}, "amount must be a number"),
        ({"amount": {"maximum": 100}}, {"amount": None}, "amount must be a number"),
        ({"account": {"max_length": 3}}, {"account": "ABCD"}, "account may be 3 characters long at most"),
        ({"lines": {"max_length": 1}}, {"lines": [1, 2]}, "lines may be 1 entries long at most"),
        ({"lines": {"max_length": 1}}, {"lines": {"a": 1}}, "lines must be a text or a list"),
        ({"kind": {"allowed": ["gift", "debt"]}}, {"kind": 1}, "kind must be one of: gift, debt"),
        ({"kind": {"allowed": [1]}}, {"kind": True}, "kind must be one of: 1"),
        ({"account": {"pattern": "DE[0-9]+"}}, {"account": "xDE1"}, "account does not have the form that is required"),
        ({"account": {"pattern": "DE[0-9]+"}}, {"account": "DE1\n"}, "account does not have the form that is required"),
        ({"account": {"pattern": "a|ab"}}, {"account": "abc"}, "account does not have the form that is required"),
        ({"payment.amount": {"maximum": 5}}, {"payment": {"amount": 6}}, "payment.amount must be at most 5"),
        ({"a.b": {"maximum": 5}}, {"a.b": 6}, "a.b must be at most 5"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_told_so_that_it_can_be_repaired(
    bounds: Mapping[str, object], arguments: Mapping[str, object], sentence: str
) -> None:
    assert refusal(bounds, arguments) == f"bounds: this is not allowed: {sentence}"


def test_every_broken_bound_is_told_at_once() -> None:
    told = refusal({"amount": {"maximum": 1}, "kind": {"allowed": ["gift"]}}, {"amount": 2, "kind": "debt"})
    assert told == "bounds: this is not allowed: amount must be at most 1; kind must be one of: gift"


def test_what_is_within_its_bounds_or_absent_passes() -> None:
    limited = tool({"amount": {"minimum": 1, "maximum": 5}, "payment.amount": {"maximum": 5}})
    assert parse_arguments(limited, '{"account": "A", "amount": 5}') == {"account": "A", "amount": 5}


@pytest.mark.parametrize("name", ["amuont", "payment.total", "lines.amount"])
def test_a_bound_of_an_argument_that_is_not_there_is_an_error_of_the_file(name: str) -> None:
    with pytest.raises(ConfigError, match="there is no argument"):
        tool({name: {"maximum": 1}})


FIXED = {"account": {"fixed": "{{caller}}"}, "payment.from": {"fixed": "card {{card}}"}, "amount": {"fixed": 5}}


def test_the_model_neither_sees_nor_changes_what_is_fixed() -> None:
    fixed = tool(FIXED)
    agent = Agent.model_validate({"instructions": "x", "hang_up": False})
    (shown,) = Catalogue(agent, [fixed]).functions()
    parameters: Any = shown["parameters"]
    assert set(parameters["properties"]) == {"kind", "lines", "payment", "a.b"} and parameters["required"] == []
    assert parameters["properties"]["payment"]["required"] == ["amount"]
    assert set(parameters["properties"]["payment"]["properties"]) == {"amount"}
    assert set(fixed.parameters["properties"]) == set(SCHEMA["properties"])  # type: ignore[call-overload]
    written = '{"account": "+1900", "amount": 900, "payment": {"amount": 1, "from": "theirs"}}'
    assert parse_arguments(fixed, written, {"caller": "+1415", "card": 7}) == {
        "account": "+1415",
        "amount": 5,
        "payment": {"amount": 1, "from": "card 7"},
    }


def test_a_fixed_value_alone_keeps_its_type() -> None:
    fixed = tool({"amount": {"fixed": "{{ owed }}"}, "account": {"fixed": "x"}})
    assert parse_arguments(fixed, "{}", {"owed": 12.5}) == {"account": "x", "amount": 12.5}


@pytest.mark.parametrize(
    ("known", "sentence"),
    [
        ({"card": 1}, "not_known: this cannot be done: the caller's number is withheld"),
        ({"caller": "", "card": 1}, "not_known: this cannot be done: the caller's number is withheld"),
        ({"caller": "+1"}, "not_known: this cannot be done: card is not known yet in this call"),
    ],
)
def test_a_fixed_value_that_is_not_known_refuses_the_call(known: Mapping[str, object], sentence: str) -> None:
    assert refusal(FIXED, {}, **known) == sentence


def test_what_is_fixed_has_to_fit_the_schema_too() -> None:
    with pytest.raises(ToolError, match="amount"):
        parse_arguments(tool({"amount": {"fixed": "{{owed}}"}}), '{"account": "A"}', {"owed": "much"})


def test_the_model_cannot_put_a_variable_where_none_is_fixed() -> None:
    assert parse_arguments(tool({}), '{"account": "{{caller}}"}', {"caller": "+1"}) == {"account": "{{caller}}"}


# --- quotas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["book", "look"])
def test_a_call_may_have_so_much_carried_out(name: str) -> None:
    async def main() -> None:
        limited = {"limits": {"per_call": 2}}
        async with at_desk(MemoryStore(), Shop(), BOOK | limited, LOOK | limited) as it:
            assert (await it.ask("t1", name=name)).ok and (await it.ask("t2", name=name)).ok
            refused = await it.ask("t3", name=name)
            assert refused.detail == "quota"
            assert "at most 2 times in one call, and that is used up. Do not call it again" in refused.output
            assert len(it.shop.asked) == 2 and it.meter.outcomes == {"ok": 2, "refused": 1}

    run(main())


@pytest.mark.parametrize("name", ["book", "look"])
def test_calls_at_once_count_each_other(name: str) -> None:
    async def main() -> None:
        limited = {"limits": {"per_call": 3, "per_caller": 2}}
        async with at_desk(MemoryStore(), Shop(delay_s=1), BOOK | limited, LOOK | limited) as it:
            results = await asyncio.gather(*(it.ask(f"t{number}", name=name) for number in range(6)))
            assert [result.ok for result in results].count(True) == 2 and len(it.shop.asked) == 2

    run(main())


@pytest.mark.parametrize("name", ["book", "look"])
def test_what_was_refused_does_not_count_for_a_call(name: str) -> None:
    async def main() -> None:
        limited = {"limits": {"per_call": 1}}
        shop = Shop(404)
        async with at_desk(MemoryStore(), shop, BOOK | limited, LOOK | limited) as it:
            assert not (await it.ask("t1", name=name)).ok
            assert (await it.ask("t2", "three", name=name)).detail == "bad_arguments"
            shop.status = 200
            assert (await it.ask("t3", name=name)).ok
            assert (await it.ask("t4", name=name)).detail == "quota"

    run(main())


def test_what_nobody_knows_counts() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(500), BOOK | {"limits": {"per_call": 1}}) as it:
            await it.ask("t1")
            assert (await it.ask("t2")).detail == "quota"

    run(main())


def test_a_resumed_call_goes_on_counting() -> None:
    async def main() -> None:
        shop, limited = Shop(), BOOK | {"limits": {"per_call": 2}}
        store = MemoryStore()
        async with at_desk(store, shop, limited) as it:
            await it.ask("t1")
        async with at_desk(store.reopened(), shop, limited, call=facts("call-2")) as it:
            assert (await it.ask("t2", 5)).ok
            assert (await it.ask("t3", 6)).detail == "quota"

    run(main())


def test_a_caller_may_have_so_much_whatever_the_calls() -> None:
    async def main() -> None:
        limited = {"limits": {"per_caller": 1}}
        async with at_desk(MemoryStore(), Shop(), BOOK | limited, LOOK | limited) as it:
            assert (await it.ask("t1")).ok and (await it.ask("t2", name="look")).ok
            it.call = facts("call-2", "CA2")
            assert (await it.ask("t1")).detail == "quota" and (await it.ask("t2", name="look")).detail == "quota"
            it.call = facts("call-3", "CA3", "+14155550177")
            assert (await it.ask("t1")).ok and (await it.ask("t2", name="look")).ok

    run(main())


def test_reads_of_a_caller_are_forgotten_after_their_time() -> None:
    async def main() -> None:
        async with at_desk(MemoryStore(), Shop(), LOOK | {"limits": {"per_caller": 1, "per_caller_s": 60}}) as it:
            assert (await it.ask("t1", name="look")).ok
            await asyncio.sleep(59)
            assert (await it.ask("t2", name="look")).detail == "quota"
            await asyncio.sleep(2)
            assert (await it.ask("t3", name="look")).ok

    run(main())


class Uncounting(MemoryStore):
    """A store whose database went away for one question."""

    async def count_invocations(self, agent: str, tool: str, from_number: str, since: datetime) -> int:
        assert since < datetime.now(UTC)
        raise StoreError("away")


def test_what_cannot_be_counted_is_not_done() -> None:
    async def main() -> None:
        async with at_desk(Uncounting(), Shop(), BOOK | {"limits": {"per_caller": 1}}) as it:
            result = await it.ask()
            assert result.detail == "store" and "this was not done" in result.output and it.shop.asked == []

    run(main())


def test_the_callers_that_are_counted_are_bounded() -> None:
    counts = CallerCounts(2)
    for number in ("a", "b", "c"):
        counts.add(("x", "y", number), 1.0, 5)
    assert [counts.count(("x", "y", number), 0) for number in ("a", "b", "c")] == [0, 1, 1]
    for at in range(10):
        counts.add(("x", "y", "c"), 10.0 + at, 5)
    assert counts.count(("x", "y", "c"), 0) == 5
    counts.remove(("x", "y", "c"), 19.0)
    counts.remove(("x", "y", "nobody"), 19.0)
    assert counts.count(("x", "y", "c"), 16.5) == 2
