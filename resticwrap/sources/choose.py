"""The adapter of each kind of source."""

from pathlib import Path

from resticwrap.cancel import Cancel
from resticwrap.model.policy import Domain
from resticwrap.model.sources import MysqlSource, PostgresSource, SecretsSource, SqliteSource
from resticwrap.ports import Source
from resticwrap.services.database_ports import Engine
from resticwrap.services.wal_ports import Archive
from resticwrap.sources.files import FilesSource


def archive_of(domain: str, policy: Domain, state_dir: Path, target: str, cancel: Cancel) -> Archive | None:
    """The log of a domain; None where none is kept."""
    source = policy.source
    if isinstance(source, PostgresSource) and source.mode == "wal":
        from resticwrap.sources.postgres.wal import WalDomain

        return WalDomain(domain, source, state_dir, target, cancel)
    return None


def source_of(domain: str, policy: Domain, state_dir: Path, target: str, cancel: Cancel) -> Source:
    """How a domain is captured into a target."""
    source = policy.source
    if isinstance(source, PostgresSource) and source.mode == "wal":
        from resticwrap.sources.postgres.wal import WalDomain

        return WalDomain(domain, source, state_dir, target, cancel)
    if isinstance(source, PostgresSource):
        from resticwrap.sources.postgres.domain import PostgresDomain

        return PostgresDomain(domain, source, cancel)
    if isinstance(source, SecretsSource):
        from resticwrap.sources.secretfiles import SecretFiles

        return SecretFiles(source.root, source.files)
    if isinstance(source, MysqlSource):
        from resticwrap.sources.mysql.domain import MysqlDomain

        return MysqlDomain(domain, source, cancel)
    if isinstance(source, SqliteSource):
        from resticwrap.sources.sqlite.domain import SqliteDomain

        return SqliteDomain(domain, source, state_dir, cancel)
    return FilesSource(source.root)


def engine_of(domain: str, policy: Domain, state_dir: Path, cancel: Cancel) -> Engine | None:
    """The database of a domain; None where its source is none."""
    source = policy.source
    if isinstance(source, PostgresSource):
        from resticwrap.sources.postgres.domain import PostgresDomain

        return PostgresDomain(domain, source, cancel)
    if isinstance(source, MysqlSource):
        from resticwrap.sources.mysql.domain import MysqlDomain

        return MysqlDomain(domain, source, cancel)
    if isinstance(source, SqliteSource):
        from resticwrap.sources.sqlite.domain import SqliteDomain

        return SqliteDomain(domain, source, state_dir, cancel)
    return None
