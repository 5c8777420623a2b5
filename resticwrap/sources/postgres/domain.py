"""A domain that is a PostgreSQL database."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from resticwrap import errors
from resticwrap.model.databases import DumpOrder, Engine
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import PostgresSource
from resticwrap.planning import dumptables
from resticwrap.ports import Material
from resticwrap.sources import dumped
from resticwrap.sources.postgres.access import Access, access_of, container_of
from resticwrap.sources.postgres.contained import contained_server, docker_env, image_of
from resticwrap.sources.postgres.scratch import scratch_server, server_binaries
from resticwrap.sources.postgres.server import MAINTENANCE, PostgresServer
from resticwrap.sources.postgres.walrecovery import same_version


class PostgresDomain(dumped.DumpedDomain[PostgresSource]):
    """One domain's database: how it is captured (the `Source` port), and its servers (the `Engine` port)."""

    @cached_property
    def _access(self) -> Access:
        return access_of(self._source)

    @property
    def engine(self) -> Engine:
        return "postgres"

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
        return dumptables.postgres_only(body, tables)

    def live(self) -> PostgresServer:
        return PostgresServer(self._access, self._source.place, self._cancel)

    @contextmanager
    def scratch(self, folder: Path, version: str) -> Iterator[PostgresServer]:
        if (image := self._image(version)) is None:
            with scratch_server(folder, version, self._source.scratch.bin, self._cancel) as server:
                yield server
        else:
            with contained_server(image, folder, self._cancel) as server:
                yield server

    def scratch_by(self, version: str) -> str:
        if self._source.mode == "wal":
            return str(same_version(version, self._source.scratch.bin))
        image = self._image(version)
        return f"a container of {image}" if image else str(server_binaries(version, self._source.scratch.bin))

    def _image(self, version: str) -> str | None:
        """The image of a scratch server; None where programs of this machine are to be it."""
        rule, container = self._source.scratch, self._source.container
        if rule.by != "container":
            try:
                server_binaries(version, rule.bin)
                return None
            except errors.ClientMissing:
                if rule.by == "local" or not (rule.image or container):
                    raise
        if rule.image is not None:
            return rule.image
        if container is None:
            raise errors.ClientMissing("No image is named for a scratch server.", hint="scratch.image in domains.yaml")
        return image_of(container_of(container, docker_env()), docker_env())

    def _size(self) -> int:
        which = "datname = current_database()" if self._source.name else "datallowconn AND NOT datistemplate"
        sql = f"SELECT sum(pg_database_size(oid)) FROM pg_database WHERE {which}"
        return int(self.live().value(self._source.name or MAINTENANCE, sql) or 0)

    def material(self, job: str, type: SnapshotType) -> AbstractContextManager[Material]:  # noqa: ARG002
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
        return dumped.material(order)
