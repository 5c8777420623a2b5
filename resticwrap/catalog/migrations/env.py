"""What Alembic runs first. The transaction is the caller's: all steps of an upgrade are on disk, or none."""

from alembic import context

from resticwrap.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite alters tables by copying them, and its schema changes are part of the transaction.
    render_as_batch=True,
    transactional_ddl=True,
)
context.run_migrations()
