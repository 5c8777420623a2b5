"""The migrations of the catalogue's own tables. Alembic runs them (`resticwrap/catalog/migrate.py`)."""
