"""A domain that is a MySQL or MariaDB database."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path

from resticwrap.model.databases import DumpOrder, Engine
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import MysqlSource
from resticwrap.planning import dumps_mysql
from resticwrap.ports import Material
from resticwrap.sources import dumped
from resticwrap.sources.mysql.access import Access, access_of
from resticwrap.sources.mysql.asking import Asking, literal
from resticwrap.sources.mysql.scratch import scratch_server, server_program
from resticwrap.sources.mysql.server import MysqlServer


class MysqlDomain(dumped.DumpedDomain[MysqlSource]):
    """One domain's database: how it is captured (the `Source` port), and its servers (the `Engine` port)."""

    @cached_property
    def _access(self) -> Access:
        """Looked for when it is needed: a container may not be up."""
        return access_of(self._source)

    @property
    def engine(self) -> Engine:
        return "mysql"

    def only(self, body: Iterable[bytes], tables: Collection[str]) -> Iterator[bytes]:
        return dumps_mysql.only(body, tables)

    def live(self) -> MysqlServer:
        return MysqlServer(self._access, self._source.place, self._cancel)

    def scratch_by(self, version: str) -> str:  # noqa: ARG002 - whichever is installed
        return server_program(self._source.scratch.bin)

    @contextmanager
    def scratch(self, folder: Path, version: str) -> Iterator[MysqlServer]:  # noqa: ARG002 - whichever is installed
        clients = "" if self._source.container else str(self._source.bin or "")
        with scratch_server(folder, self._source.scratch.bin, clients, self._cancel) as server:
            yield server

    def _size(self) -> int:
        where = f" WHERE table_schema = {literal(self._source.name)}" if self._source.name else ""
        return int(
            Asking(self._access, self._source.place, self._cancel).one(
                f"SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables{where}"
            )
        )

    def material(self, job: str, type: SnapshotType) -> AbstractContextManager[Material]:  # noqa: ARG002
        order = DumpOrder(
            engine="mysql",
            domain=self._domain,
            binaries=self._access.binaries,
            before=self._access.before,
            env=dict(self._access.env),
            databases=(self._source.name,) if self._source.name else (),
            exclude_data=self._source.exclude_data,
            arguments=self._access.arguments,
            place=self._source.place,
        )
        return dumped.material(order)
