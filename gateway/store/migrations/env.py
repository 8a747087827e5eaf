"""Alembic's entry: runs migrations on the connection that `gateway.store.migrate.upgrade` hands over."""

from alembic import context
from sqlalchemy import Connection

from gateway.store.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


run(context.config.attributes["connection"])
