"""Runs the steps on the connection that ``store.opening`` hands over."""

from alembic import context

from newsletter.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot ALTER a constraint
)
context.run_migrations()
