"""Imports point one way; the core imports the standard library and itself."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "gateway"

MAY_IMPORT: dict[str, frozenset[str]] = {
    "errors": frozenset(),
    "wire": frozenset(),
    "tokens": frozenset(),
    "bodies": frozenset({"errors"}),
    "looking": frozenset({"config", "errors", "store"}),
    "core": frozenset(),
    "carriers": frozenset({"bodies", "carrierconfig", "core", "errors", "wire"}),
    "realtime": frozenset({"core", "errors", "wire"}),
    "store": frozenset({"errors"}),
    "hearing": frozenset({"core"}),
    "records": frozenset({"core", "errors", "store", "tokens"}),
    "apikeys": frozenset(),
    "carrierconfig": frozenset(),
    "config": frozenset({"apikeys", "carrierconfig", "errors"}),
    "agentfile": frozenset({"errors"}),
    "agents": frozenset({"agentfile", "core", "errors"}),
    "plans": frozenset({"agents", "core", "realtime", "tools"}),
    "tools": frozenset({"agents", "bodies", "config", "core", "errors", "looking", "store", "tokens"}),
    "deliveries": frozenset({"config", "errors", "looking", "operator", "records", "store", "tools"}),
    "briefing": frozenset({"agents", "core", "deliveries", "errors", "store", "tokens", "tools"}),
    "watching": frozenset({"errors", "store"}),
    "console": frozenset(
        {"apikeys", "calls", "carriers", "config", "errors", "operator", "registry", "store", "watching"}
    ),
    "outbound": frozenset({"apikeys", "config", "errors", "store"}),
    "session": frozenset({"carriers", "core", "errors"}),
    "registry": frozenset({"carriers", "core", "errors", "session"}),
    "vault": frozenset({"errors", "tokens"}),
    "operator": frozenset({"agents", "apikeys", "bodies", "config", "core", "errors", "vault"}),
    "business": frozenset({"config", "errors"}),
    "metrics": frozenset({"core", "records"}),
}
"""Package or module of `gateway` to what else of `gateway` it may import. Those not named here may import anything."""

NEVER_SERVING = ("simulator", "demo", "business")
SERVING = (
    "core",
    "hearing",
    "carriers",
    "realtime",
    "store",
    "records",
    "tools",
    "outbound",
    "operator",
    "deliveries",
    "console",
)
SERVING_MODULES = (
    "watching",
    "app",
    "calls",
    "office",
    "server",
    "serve",
    "session",
    "registry",
    "config",
    "agents",
    "plans",
    "metrics",
    "log",
)


@cache
def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.append(node.module)
    return found


def parts(name: str) -> list[Path]:
    folder = ROOT / name
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [ROOT / f"{name}.py"]


def own_imports(path: Path) -> Iterator[str]:
    for name in imports(path):
        if name.startswith("gateway."):
            yield name.split(".")[1]


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_a_part_imports_only_what_lies_below_it(name: str) -> None:
    allowed = MAY_IMPORT[name] | {name}
    wrong = {(path.name, used) for path in parts(name) for used in own_imports(path) if used not in allowed}
    assert not wrong


def test_the_core_imports_the_standard_library_and_itself() -> None:
    foreign = {
        name
        for path in parts("core")
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and not name.startswith("gateway.core")
    }
    assert not foreign


@pytest.mark.parametrize("module", ["asyncio", "time", "random", "logging", "threading"])
def test_the_core_neither_waits_nor_looks_at_clocks_nor_draws_nor_logs(module: str) -> None:
    assert not [path.name for path in parts("core") if module in imports(path)]


@pytest.mark.parametrize("name", [*SERVING, *SERVING_MODULES])
def test_the_serving_path_knows_no_simulator(name: str) -> None:
    assert not [path.name for path in parts(name) for used in own_imports(path) if used in NEVER_SERVING]


def test_no_file_outgrows_a_sitting() -> None:
    long = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if len(path.read_text().splitlines()) > 600}
    assert not long
