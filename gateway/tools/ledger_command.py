"""`gateway tools ledger`: what became of functions that change something, read from the database.

Arguments and outputs are kept out: they hold what callers said. What looks like a telephone number is masked.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.errors import ConfigError
from gateway.looking import ask_store
from gateway.store.rows import StoredInvocation
from gateway.store.states import INVOCATION_RANKS
from gateway.store.store import Store

__all__ = ["list_ledger"]

STYLES: Mapping[str, str] = {"unknown": "bold red", "pending": "yellow", "intended": "yellow", "done": "green"}
PIPE_WIDTH = 180
"""Columns used where the output is no terminal, so that a file or a pipe gets whole lines."""


def list_ledger(
    state: str | None, call_id: str | None, limit: int, masked: Callable[[str], str], *, as_json: bool = False
) -> int:
    """Print the newest function calls; `call_id` may be the beginning of an id, `masked` hides telephone numbers in a
    text. Raises `ConfigError`, `StoreError`."""
    if state is not None and state not in INVOCATION_RANKS:
        raise ConfigError(f"--state must be one of {', '.join(INVOCATION_RANKS)}")
    rows = ask_store(lambda store: _found(store, state, call_id, limit))
    if as_json:
        sys.stdout.write(json.dumps({"invocations": [_facts(row, masked) for row in rows]}, indent=2) + "\n")
        return 0
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
    console.print(_table(rows, masked) if rows else "no function calls")
    return 0


async def _found(store: Store, state: str | None, call_id: str | None, limit: int) -> list[StoredInvocation]:
    call = await store.get_call(call_id) if call_id is not None else None
    return await store.list_invocations(state, call.call_id if call is not None else call_id, limit)


def _table(rows: Sequence[StoredInvocation], masked: Callable[[str], str]) -> Table:
    table = Table("when", "call", "caller", "tool", "state", "detail", "result id", box=None)
    for row in rows:
        table.add_row(
            row.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            Text(_line(row.call_id)),
            Text(_line(masked(row.from_number))),
            Text(_line(row.tool)),
            Text(row.state, STYLES.get(row.state, "")),
            Text(_line(masked(row.detail or ""))),
            Text(_line(row.message_id)),
        )
    return table


def _facts(row: StoredInvocation, masked: Callable[[str], str]) -> dict[str, object]:
    return {
        "message_id": row.message_id,
        "created_at": row.created_at.isoformat(),
        "updated_at": row.updated_at.isoformat(),
        "call_id": row.call_id,
        "carrier_call_id": row.carrier_call_id,
        "tool_call_id": row.tool_call_id,
        "agent": row.agent,
        "from_number": masked(row.from_number),
        "tool": row.tool,
        "idempotent": row.idempotent,
        "state": row.state,
        "detail": masked(row.detail or ""),
    }


def _line(text: str) -> str:
    """Return text of others as one line without what a terminal would obey."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())
