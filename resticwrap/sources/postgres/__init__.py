"""PostgreSQL: by pg_dump, psql and initdb of the version that the server asks for."""
