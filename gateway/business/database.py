"""The shop's data: one SQLite file. Every change is one transaction together with the record of its request.

The functions below block; the web server calls them in a thread.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Database"]

BUSY_S = 5.0
LOG_ROWS = 10_000
"""Older entries of the log give way."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS customers (
    number TEXT PRIMARY KEY,      -- E.164
    name TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY,
    number TEXT NOT NULL,         -- of the customer
    status TEXT NOT NULL,         -- being packed, on the way, delivered, cancelled
    arrives TEXT NOT NULL,
    address TEXT NOT NULL,
    cents INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS appointments (
    date TEXT NOT NULL,
    time TEXT NOT NULL,
    number TEXT NOT NULL,
    PRIMARY KEY (date, time)      -- nobody else gets that time
);
CREATE TABLE IF NOT EXISTS refunds (
    order_id TEXT PRIMARY KEY,    -- an order is refunded once, whoever asks how often
    state TEXT NOT NULL           -- asked, paid
);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY,         -- Idempotency-Key: the same function call, however often it is sent
    asked TEXT NOT NULL,
    status INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS promises (
    message_id TEXT PRIMARY KEY,  -- answered with 202: the result is sent to this id
    key TEXT NOT NULL,
    order_id TEXT NOT NULL,
    due REAL NOT NULL,            -- seconds since 1970
    attempts INTEGER NOT NULL DEFAULT 0,
    outcome TEXT                  -- NULL: not sent yet
);
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY,          -- events may come twice, and in any order
    type TEXT NOT NULL,
    call_id TEXT NOT NULL,
    at TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS log (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
    what TEXT NOT NULL,
    key TEXT NOT NULL,
    signed INTEGER NOT NULL,
    status INTEGER NOT NULL
);
"""

CUSTOMERS = (("+14155550101", "Sam"), ("+14155550123", "Robin"))
ORDERS = (
    ("427", "+14155550101", "on the way", "tomorrow", "12 Mill Lane", 8900),
    ("6412", "+14155550101", "delivered", "last week", "12 Mill Lane", 4250),
    ("9153", "+14155550123", "being packed", "on Friday", "5 Station Road", 12_000),
    ("7184", "+14155550123", "delivered", "last week", "5 Station Road", 2495),
)


class Database:
    """Opens a connection for every transaction: SQLite does that in less than a millisecond."""

    def __init__(self, path: Path) -> None:
        """Create the file with its sample data, unless it is there. Raises `sqlite3.Error` when it cannot be used."""
        self._path = path
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'orders'").fetchone() is None:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.executemany("INSERT INTO customers VALUES (?, ?)", CUSTOMERS)
                db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", ORDERS)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside happens, or nothing. One writer at a time; others wait up to five seconds."""
        db = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise
        finally:
            db.close()

    def log(self, what: str, key: str, *, signed: bool, status: int) -> None:
        """Note a request that was answered."""
        with self.transaction() as db:
            at = db.execute(
                "INSERT INTO log (what, key, signed, status) VALUES (?, ?, ?, ?)", (what, key, signed, status)
            )
            db.execute("DELETE FROM log WHERE number <= ?", ((at.lastrowid or 0) - LOG_ROWS,))

    def rows(self, table: str, limit: int = 1000) -> list[dict[str, object]]:
        """Return the newest rows of a table of `SCHEMA`, oldest first."""
        with self.transaction() as db:
            found = db.execute(f"SELECT * FROM {table} ORDER BY rowid DESC LIMIT ?", (limit,))  # noqa: S608 - ours
            return [dict(row) for row in found][::-1]
