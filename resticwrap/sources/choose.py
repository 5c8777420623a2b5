"""The adapter of each kind of source."""

from pathlib import Path

from resticwrap.cancel import Cancel
from resticwrap.model.policy import Domain
from resticwrap.model.sources import MysqlSource, PostgresSource, SecretsSource, SqliteSource
from resticwrap.ports import Source
from resticwrap.services.database_ports import Engine
from resticwrap.sources.files import FilesSource


def source_of(domain: str, policy: Domain, state_dir: Path, cancel: Cancel) -> Source:
    """How a domain is captured."""
    source = policy.source
    if isinstance(source, PostgresSource):
        from resticwrap.sources.postgres.domain import PostgresDomain

        return PostgresDomain(domain, source, cancel)
    if isinstance(source, SecretsSource):
        from resticwrap.sources.secretfiles import SecretFiles

        return SecretFiles(source.root, source.files)
    if isinstance(source, MysqlSource | SqliteSource):
        raise NotImplementedError(state_dir)
    return FilesSource(source.root)


def engine_of(domain: str, policy: Domain, state_dir: Path, cancel: Cancel) -> Engine | None:
    """The database of a domain; None where its source is none."""
    source = policy.source
    if isinstance(source, PostgresSource):
        from resticwrap.sources.postgres.domain import PostgresDomain

        return PostgresDomain(domain, source, cancel)
    if isinstance(source, MysqlSource | SqliteSource):
        raise NotImplementedError(state_dir)
    return None
