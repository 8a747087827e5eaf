"""What a server offers, made into tools of the catalogue; hostile lists among it."""

import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.imports import Mcp
from gateway.errors import ConfigError
from gateway.tools.catalogue import CatalogueTool, ToolKind
from gateway.tools.mcp.listing import McpTarget, OfferedTool, catalogue_tools, fingerprint, fitting_names

from .stage import section

EMPTY = {"type": "object", "properties": {}}


def offered(name: str = "go", schema: dict[str, Any] | None = None, **fields: Any) -> OfferedTool:
    return OfferedTool(name, fields.pop("description", "Go."), EMPTY if schema is None else schema, **fields)


def shop(**fields: Any) -> Mcp:
    return section(command="shop", **fields)


def tools(*listed: OfferedTool, **fields: Any) -> dict[str, CatalogueTool]:
    return {tool.name: tool for tool in catalogue_tools(shop(**fields), "key", listed)}


def test_a_tool_names_its_server_and_keeps_its_own_name_there() -> None:
    tool = tools(offered("orders.find"), prefix="shop_")["shop_orders_find"]
    assert tool.kind is ToolKind.MCP
    assert tool.target == McpTarget("key", "orders.find", "shop")


def test_hints_suggest_a_policy_and_the_file_has_the_last_word() -> None:
    listed = [offered("a", read_only=True), offered("b", idempotent=True), offered("c"), offered("d", read_only=True)]
    overrides = {"d": {"effect": "write", "timeout_s": 3, "name": "dd", "description": "Better."}}
    found = tools(*listed, overrides=overrides, timeout_s=5, defaults={"pending_s": 60})
    policies = {
        name: (tool.policy.effect, tool.policy.idempotent, tool.policy.timeout_s) for name, tool in found.items()
    }
    assert policies == {
        "a": ("read", False, 5),
        "b": ("write", True, 5),
        "c": ("write", False, 5),
        "dd": ("write", False, 3),
    }
    assert found["dd"].description == "Better."
    assert found["a"].policy.pending_s == 60


def test_a_destructive_tool_is_offered_only_by_name(caplog: pytest.LogCaptureFixture) -> None:
    assert list(tools(offered("wipe", destructive=True), offered("go"))) == ["go"]
    assert "tool 'wipe': its server calls it destructive; name it under `tools` to offer it" in caplog.text
    assert list(tools(offered("wipe", destructive=True), tools=["wipe"])) == ["wipe"]


def test_only_listed_tools_are_offered_and_a_listed_one_must_be_there() -> None:
    assert list(tools(offered("a"), offered("b"), tools=["b"])) == ["b"]
    with pytest.raises(ConfigError, match="MCP server shop has no tool 'c'; its tools are: a, b"):
        tools(offered("a"), offered("b"), tools=["c"])
    with pytest.raises(ConfigError, match="has no tool 'c'"):
        tools(offered("a"), overrides={"c": {"effect": "read"}})


DEEP: dict[str, Any] = {"type": "object"}
for _ in range(70):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({}, "not of type: object"),
        ({"type": "array"}, "not of type: object"),
        ({"type": ["object", "null"]}, "not of type: object"),
        ({"type": "object", "anyOf": [{}]}, "anyOf at the root"),
        ({"type": "object", "properties": {"a": {"$ref": "https://evil.example/schema"}}}, "no JSON Schema"),
        ({"type": "object", "properties": {"a": {"$ref": "file:///etc/passwd"}}}, "no JSON Schema"),
        ({"type": "object", "properties": {"a": {"type": "strin"}}}, "no JSON Schema"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "no JSON Schema"),
        ({"type": "object", "description": "x" * 40_000}, "over 32 KiB"),
        ({"type": "object", "description": "\ud800"}, "cannot be written as JSON"),
        ({"type": "object", "minProperties": float("nan")}, "cannot be written as JSON"),
        (DEEP, "nested deeper than 64"),
    ],
)
def test_a_hostile_schema_costs_only_its_own_tool(
    schema: dict[str, Any], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(tools(offered("bad", schema), offered("good"))) == ["good"]
    assert says in caplog.text
    with pytest.raises(ConfigError, match=says):
        tools(offered("bad", schema), tools=["bad"])


def test_our_own_functions_cannot_be_replaced(caplog: pytest.LogCaptureFixture) -> None:
    assert list(tools(offered("hang_up"))) == []
    assert "'hang_up' is built in" in caplog.text
    assert list(tools(offered("hang_up"), prefix="shop_")) == ["shop_hang_up"]


def test_a_description_is_bounded_plain_and_never_empty() -> None:
    long, odd, none = tools(
        offered("a", description="x" * 10_000),
        offered("b", description="a\x00\x1b[2Jb\n"),
        offered("c", description=" "),
    ).values()
    assert len(long.description) == 4000
    assert odd.description == "a[2Jb"
    assert none.description == "c"


def test_a_name_said_twice_is_one_tool() -> None:
    assert tools(offered("a", description="first"), offered("a", description="second"))["a"].description == "second"


def test_names_that_collide_are_told_apart_in_any_order() -> None:
    names = fitting_names("", ["a.b", "a/b", "a_b"])
    assert names == fitting_names("", ["a_b", "a/b", "a.b"])
    assert names["a_b"] == "a_b"
    assert re.fullmatch(r"a_b_[0-9a-f]{8}", names["a.b"])
    assert len(set(names.values())) == 3


@given(st.lists(st.text(min_size=1, max_size=100), unique=True, max_size=20), st.sampled_from(["", "p_"]))
def test_every_name_fits_the_api_and_no_two_are_equal(names: list[str], prefix: str) -> None:
    fitting = fitting_names(prefix, names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in fitting.values())
    assert len(set(fitting.values())) == len(names)


def test_a_fingerprint_knows_a_change_and_no_order() -> None:
    a, b = offered("a"), offered("b")
    assert fingerprint([a, b]) == fingerprint([b, a])
    assert fingerprint([a]) != fingerprint([offered("a", read_only=True)])
    assert fingerprint([a]) != fingerprint([offered("a", {"type": "object"})])


def test_the_package_is_asked_for_only_when_there_is_a_server_and_then_in_a_sentence() -> None:
    script = """
import asyncio, sys
sys.modules["mcp"] = None
import gateway.tools.mcp
from gateway.agents.imports import Mcp
from gateway.errors import ConfigError
from gateway.tools.netguard import NetGuard
async def main(sections):
    async with gateway.tools.mcp.McpServers({"a": sections}, NetGuard()) as servers:
        assert servers.tools("a") == []
asyncio.run(main([]))
try:
    asyncio.run(main([Mcp(name="shop", command="x")]))
except ConfigError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'voice-agent-gateway[mcp]'" in ran.stdout
