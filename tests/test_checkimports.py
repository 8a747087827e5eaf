"""What `gateway check` says of documents that are read and MCP servers that are started."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.agents import load_agents
from gateway.checkimports import ImportedTools, check_imports
from gateway.findings import CheckResult
from gateway.tools.netguard import NetGuard

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "servers": [{"url": "https://shop.example.com/v1"}],
    "paths": {
        "/orders": {
            "get": {"operationId": "findOrders", "responses": {"200": {"description": "Found."}}},
            "post": {"operationId": "createOrder", "responses": {"201": {"description": "Made."}}},
        }
    },
}
PHOTO = {
    "get": {
        "operationId": "getPhoto",
        "responses": {"200": {"description": "It.", "content": {"image/png": {"schema": {}}}}},
    }
}
SERVER = """\
import json, sys
info = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}
tool = {"name": "find_slot", "description": "Finds a slot.", "inputSchema": {"type": "object"}}
answers = {"initialize": info, "tools/list": {"tools": [tool]}}
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        known = asked["method"] in answers
        said = {"result": answers[asked["method"]]} if known else {"error": {"code": -32601, "message": "unknown"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)
"""


def checked(
    folder: Path, keys: Mapping[str, object], *, network: bool = True
) -> tuple[dict[str, CheckResult], ImportedTools]:
    path = folder / "agents.yaml"
    path.write_text(json.dumps({"agents": {"a": {"instructions": "x", **keys}}}))

    async def main() -> tuple[list[CheckResult], ImportedTools]:
        return await check_imports(load_agents(path), NetGuard(), network=network)

    results, found = asyncio.run(main())
    assert all(bool(result.fix) == (not result.ok or result.warning) for result in results)
    return {result.name: result for result in results}, found


def written(folder: Path, **paths: object) -> Path:
    (folder / "shop.json").write_text(json.dumps(DOCUMENT | {"paths": DOCUMENT["paths"] | paths}))  # type: ignore[operator]
    return folder


def test_a_sound_document_is_read_and_its_address_known(tmp_path: Path) -> None:
    results, found = checked(written(tmp_path), {"openapi": [{"document": "shop.json"}]}, network=False)
    assert results == {"document of a/openapi[0]": CheckResult("document of a/openapi[0]", True, "functions: 2")}
    assert found.servers == [("a document of a", "https://shop.example.com/v1")]
    names = [function["name"] for function in found.catalogues["a"].functions()]
    assert names == ["findOrders", "createOrder", "hang_up"]


def test_an_address_that_stands_in_the_agents_file_is_not_named_twice(tmp_path: Path) -> None:
    section = {"document": "shop.json", "server": "https://shop.example.com/v2/"}
    assert checked(written(tmp_path), {"openapi": [section]})[1].servers == []


@pytest.mark.parametrize(
    ("section", "detail"),
    [
        ({"document": "none.json"}, "none.json"),
        ({"document": "shop.json", "operations": ["findOrder"]}, "did you mean 'findOrders'?"),
        (
            {"document": "shop.json", "tools": {"createOrder": {"on_interrupt": "cancel"}}},
            "createOrder: on_interrupt: cancel needs effect: read",
        ),
    ],
)
def test_a_document_that_cannot_be_used_is_a_failure(tmp_path: Path, section: dict[str, object], detail: str) -> None:
    found = checked(written(tmp_path), {"openapi": [section]})[0]["document of a/openapi[0]"]
    assert not found.ok and detail in found.detail


def test_operations_that_are_left_out_are_a_warning(tmp_path: Path) -> None:
    results, _ = checked(written(tmp_path, **{"/photo": PHOTO}), {"openapi": [{"document": "shop.json"}]})
    found = results["document of a/openapi[0]"]
    assert (found.ok, found.warning) == (True, True)
    assert found.detail.startswith("functions: 2; left out (1): getPhoto: it answers with image/png")


def test_a_document_that_gives_nothing_is_a_warning(tmp_path: Path) -> None:
    results, _ = checked(written(tmp_path), {"openapi": [{"document": "shop.json", "operations": []}]})
    found = results["document of a/openapi[0]"]
    assert (found.detail, found.warning) == ("functions: 0", True)


def test_two_tools_of_one_name_are_a_failure(tmp_path: Path) -> None:
    tool = {"name": "findOrders", "description": "d", "url": "https://a.example/x"}
    results, found = checked(written(tmp_path), {"openapi": [{"document": "shop.json"}], "tools": [tool]})
    assert results["tools of a"].detail == "agent a: there are two tools 'findOrders'"
    assert not results["tools of a"].ok and not found.catalogues


def test_an_mcp_server_is_started_asked_and_stopped(tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    section = {"name": "calendar", "command": sys.executable, "args": ["-S", "server.py"], "prefix": "cal_"}
    results, found = checked(tmp_path, {"mcp": [section]})
    assert results == {"server a/calendar": CheckResult("server a/calendar", True, "functions: 1")}
    assert found.catalogues["a"].find("cal_find_slot").policy.effect == "write"
    assert checked(tmp_path, {"mcp": [section]}, network=False)[0] == {}


@pytest.mark.parametrize(
    ("section", "detail"),
    [
        ({"command": "/nowhere/calendar-mcp"}, "the command or its folder is not there"),
        ({"command": sys.executable, "args": ["-S", "-c", "pass"]}, "it ended, or closed the connection"),
        (
            {"command": sys.executable, "args": ["-S", "server.py"], "tools": ["book"]},
            "has no tool 'book'; its tools are: find_slot",
        ),
        (
            {"command": sys.executable, "args": ["server.py"], "env": {"TOKEN": "env:CHECK_TEST_NOT_SET"}},
            "the environment variable CHECK_TEST_NOT_SET is not set",
        ),
    ],
)
def test_an_mcp_server_that_does_not_do_is_a_failure(tmp_path: Path, section: dict[str, object], detail: str) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    results, _ = checked(tmp_path, {"mcp": [{"name": "calendar", **section}]})
    assert not results["server a/calendar"].ok
    assert results["server a/calendar"].detail.startswith("MCP server calendar ")
    assert detail in results["server a/calendar"].detail
