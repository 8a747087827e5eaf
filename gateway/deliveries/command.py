"""`gateway deliveries`: what businesses were told, what waits and what was given up, read from the database.

A replay is written there too: the running gateway finds it within seconds. Each returns its exit code.
"""

import json
import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.deliveries.routes import STATES, shown
from gateway.errors import ConfigError
from gateway.looking import ask_store
from gateway.store.rows import StoredDelivery, StoreError
from gateway.store.store import Store

__all__ = ["list_deliveries", "replay_delivery", "show_delivery"]

STYLES: Mapping[str, str] = {"waiting": "yellow", "delivered": "green", "dead": "bold red"}
PIPE_WIDTH = 160
"""Columns used where the output is no terminal, so that a file or a pipe gets whole lines."""


def list_deliveries(state: str | None, call_id: str | None, limit: int, *, as_json: bool = False) -> int:
    """Print the newest deliveries, without their bodies. Raises `ConfigError`, `StoreError`."""
    if state is not None and state not in STATES:
        raise ConfigError("--state must be waiting, delivered or dead")
    rows = ask_store(lambda store: store.list_deliveries(state, call_id, limit))
    if as_json:
        _json({"deliveries": [shown(row) for row in rows]})
    elif not rows:
        _console().print("no deliveries")
    else:
        _console().print(_table(rows))
    return 0


def show_delivery(delivery_id: str, *, as_json: bool = False) -> int:
    """Print one delivery with its body. Raises `ConfigError`, `StoreError`."""
    row = _found(delivery_id, ask_store(lambda store: store.get_delivery(delivery_id)))
    if as_json:
        _json(shown(row, body=True))
        return 0
    console = _console()
    table = Table(box=None, show_header=False)
    for name, value in shown(row).items():
        table.add_row(name, Text(_line(value)))
    console.print(table)
    console.print(Text(_pretty(row.body)), soft_wrap=True)
    return 0


def replay_delivery(delivery_id: str, *, as_json: bool = False) -> int:
    """Have one sent again that was delivered or dead; 1 when it waits already. Raises `ConfigError`, `StoreError`."""

    async def replay(store: Store) -> tuple[StoredDelivery | None, bool]:
        return await store.get_delivery(delivery_id), await store.replay_delivery(delivery_id)

    row, done = ask_store(replay)
    _found(delivery_id, row)
    outcome = "it will be sent again" if done else "it is waiting already; it will be sent"
    if as_json:
        _json({"id": delivery_id, "replayed": done, "state": "waiting"})
    else:
        _console().print(Text(f"{delivery_id}: {outcome}"), soft_wrap=True)
    return 0 if done else 1


def _found(delivery_id: str, row: StoredDelivery | None) -> StoredDelivery:
    if row is None:
        raise StoreError(f"no delivery has the id {delivery_id[:128]!r}; `gateway deliveries list` shows them")
    return row


def _table(rows: Sequence[StoredDelivery]) -> Table:
    table = Table("delivery", "type", "made", "state", "attempts", "last answer", "next", box=None)
    for row in rows:
        waiting = row.state == "waiting"
        table.add_row(
            Text(row.delivery_id),
            row.type,
            row.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
            Text(row.state, STYLES.get(row.state, "")),
            str(row.attempts),
            Text(_line(row.detail or "")),
            row.next_at.astimezone().strftime("%m-%d %H:%M:%S") if waiting else "",
        )
    return table


def _pretty(body: str) -> str:
    try:
        text = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = body
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def _line(value: object) -> str:
    words = "" if value is None else " ".join(str(value).split())
    return "".join(letter for letter in words if letter.isprintable())


def _json(document: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
