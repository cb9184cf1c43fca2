"""Runs the revisions on the connection that the caller hands over; developers get a scratch database."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes.get("target_metadata"),
        transactional_ddl=True,
        transaction_per_migration=False,
        render_as_batch=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from catalogdb.store.models import metadata

    context.config.attributes["target_metadata"] = metadata
    with create_engine("sqlite:///scratch.db").connect() as scratch:
        run(scratch)
        scratch.commit()
