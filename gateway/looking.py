"""One question to the configured database, for commands that look or change a row while the gateway may be running."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from gateway.config import database_sentence, load_settings
from gateway.errors import ConfigError
from gateway.store.rows import StoreError
from gateway.store.store import Store

__all__ = ["ask_store"]

T = TypeVar("T")


def ask_store(question: Callable[[Store], Awaitable[T]]) -> T:
    """Return what the store answers, its tables brought up to date as the gateway does at its start.

    Raises `ConfigError`, `StoreError`; a SQLite file that is not there is not created.
    """
    url = load_settings().database_url
    _must_exist(url)

    async def ask() -> T:
        async with Store.open(url) as store:
            return await question(store)

    try:
        return asyncio.run(ask())
    except ConfigError as error:
        raise ConfigError(database_sentence(str(error), url)) from None


def _must_exist(url: str) -> None:
    """Who only looks creates no database: a wrong folder or variable shall be told, not hidden."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return  # the store tells what it expects
    name = parsed.database
    if parsed.get_backend_name() == "sqlite" and name not in (None, "", ":memory:") and not Path(str(name)).is_file():
        raise StoreError(f"there is no database {name} (GATEWAY_DATABASE_URL); `gateway serve` creates it")
