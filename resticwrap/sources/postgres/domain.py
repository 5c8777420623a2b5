"""A domain that is a PostgreSQL database."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from resticwrap.cancel import Cancel
from resticwrap.model.databases import DumpOrder, Engine
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import PostgresSource
from resticwrap.ports import BackupResult, Look, Material
from resticwrap.sources.orders import named, told
from resticwrap.sources.postgres.access import Access, access_of
from resticwrap.sources.postgres.scratch import scratch_server
from resticwrap.sources.postgres.server import PostgresServer


class PostgresDomain:
    """One domain's database: how it is captured (the `Source` port), and its servers (the `Engine` port)."""

    def __init__(self, domain: str, source: PostgresSource, cancel: Cancel) -> None:
        self._domain, self._source, self._cancel = domain, source, cancel

    @cached_property
    def _access(self) -> Access:
        return access_of(self._source)

    @property
    def engine(self) -> Engine:
        return "postgres"

    @property
    def name(self) -> str | None:
        return self._source.name

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
        raise NotImplementedError

    def live(self) -> PostgresServer:
        return PostgresServer(self._access, self._source.place, self._cancel)

    @contextmanager
    def scratch(self, folder: Path, version: str) -> Iterator[PostgresServer]:
        with scratch_server(folder, version, self._source.scratch.bin, self._cancel) as server:
            yield server

    def look(self) -> Look:
        return Look(cwd=b"/", name=f"{self._domain}.sql".encode(), identity=())

    def empty(self, path: bytes) -> bool:  # noqa: ARG002
        return False

    def measure(self) -> BackupResult:
        name = self._source.name or "postgres"
        size = int(self.live().value(name, "SELECT pg_database_size(current_database())") or 0)
        return BackupResult(complete=True, snapshot=None, files=1, size=size, would_read=(1, size))

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:  # noqa: ARG002
        order = DumpOrder(
            engine="postgres",
            domain=self._domain,
            place=self._source.place,
            binaries=self._access.binaries if self._access.chosen else "",
            before=self._access.before,
            env=dict(self._access.env),
            databases=(self._source.name,) if self._source.name else (),
            exclude_data=self._source.exclude_data,
        )
        with told(order) as (command, fds, said):

            def settle() -> None:
                heard = said()
                if not heard.ok:
                    raise named(heard, self._domain)

            yield Material(cwd=b"/", name=self.look().name, command=command, fds=fds, settle=settle)
