"""`gateway tools ledger`: what became of writes, without what callers said."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli import app
from gateway.errors import ConfigError
from gateway.store.rows import CallRow, StoreError
from gateway.store.store import Store
from tests.store.test_ledger import NOON, invocation


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", url)

    async def fill() -> None:
        async with Store.open(url) as store:
            store.call_offered(CallRow("c-1", "twilio", "CA1", "inbound", "shop", "+14155550101", "+2", NOON))
            for minute, name in enumerate(("intended", "unknown", "done")):
                await store.begin_invocation(invocation(name, minute=minute))
            store.end_invocation("CA1:unknown", "unknown", None, "HTTP 500\x1b[2J of +14155550199")
            store.end_invocation("CA1:done", "done", '{"said":"Rex"}', "HTTP 200")

    asyncio.run(fill())


def shown(*words: str) -> str:
    result = CliRunner().invoke(app, ["tools", "ledger", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


@pytest.mark.usefixtures("ledger")
def test_the_newest_are_listed_first_without_numbers_or_contents() -> None:
    text = shown()
    assert [line.split()[5] for line in text.splitlines()[1:]] == ["done", "unknown", "intended"]
    assert "msg_CA1:unknown" in text and "HTTP 500[2J of +1•••0199" in text and "+1•••0101" in text
    assert not any(secret in text + shown("--json") for secret in ("55501", "Rex", "sku", "\x1b"))


@pytest.mark.usefixtures("ledger")
def test_state_call_and_limit_choose() -> None:
    def found(*words: str) -> list[str]:
        return [row["tool_call_id"] for row in json.loads(shown("--json", *words))["invocations"]]

    assert (found("--state", "unknown"), found("--limit", "1")) == (["unknown"], ["done"])
    assert found("--call", "c-") == found("--call", "c-1") == ["done", "unknown", "intended"]
    assert found("--call", "c-2") == [] and "no function calls" in shown("--call", "c-2")
    with pytest.raises(ConfigError, match="--state must be one of intended, pending, unknown, done, failed"):
        shown("--state", "lost")


def test_looking_creates_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(StoreError, match=r"there is no database .*none\.db"):
        shown()
    assert not (tmp_path / "none.db").exists()
