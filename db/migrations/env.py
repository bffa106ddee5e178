"""Runs migrations on the connection that `db.schema.session.migrate` hands over."""

from __future__ import annotations

from alembic import context

from db.schema.models import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
