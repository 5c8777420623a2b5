"""Advisory locks of all machines that share a catalogue on PostgreSQL, over those of this machine.

A lock that guards a repository is taken here first, then on the server, on a connection of its own. It ends with that
connection: a machine that dies lets go of it. A connection that breaks while a lock is held lets go of it too, though
its holder lives; so `check` asks the server again before anything is removed.
"""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from sqlalchemy import URL, Connection, Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from resticwrap import errors
from resticwrap.catalog import postgres
from resticwrap.catalog.database import FORMS
from resticwrap.clock import Clock
from resticwrap.ports import Catalog, HostLocks, Lease, LeaseInfo

POLL_SECONDS = 0.5
PATIENCE = 1.0
"""So many seconds are waited in any case, as for the locks of this machine."""
BUSY_SECONDS = 10.0
HELD = text(
    "SELECT classid, objid, mode FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND pid = pg_backend_pid() AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
HOLDERS = text(
    "SELECT activity.application_name, extract(epoch FROM activity.backend_start) AS since "
    "FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid) "
    "WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1 "
    "AND held.classid = :high AND held.objid = :low AND held.pid <> pg_backend_pid() "
    "AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class _Key(NamedTuple):
    """A lock of ours on the server."""

    number: int
    shared: bool

    @property
    def halves(self) -> tuple[int, int]:
        """As `pg_locks` shows its number."""
        whole = self.number & (1 << 64) - 1
        return whole >> 32, whole & (1 << 32) - 1

    def call(self, verb: str) -> str:
        return f"SELECT pg_{verb}{'_shared' if self.shared else ''}(:number)"


class SharedLocks:
    """The port `HostLocks` where machines share a catalogue; leases stay a matter of this machine.

    Where the server is away, an exclusive lock raises CatalogUnavailable, and nothing is destroyed; a shared one, which
    only keeps others from destroying while this machine reads, is held on this machine alone, and `note` says so.
    """

    def __init__(
        self,
        inner: HostLocks,
        url: str,
        name_of: Callable[[str], str | None],
        clock: Clock,
        *,
        check: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda _: None,
        catalog: Callable[[], Catalog] | None = None,
        target: str = "",
    ) -> None:
        """`name_of`: by what name all machines know a lock; None for one that concerns this machine alone. `check`
        raises Interrupted where somebody wishes to stop. `catalog`: knows which jobs of `target` run where."""
        self._inner, self._name_of, self._clock = inner, name_of, clock
        self._check, self._note = check, note
        self._catalog, self._target = catalog, target
        self._address = url
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._mutex = threading.RLock()
        self._held: Counter[_Key] = Counter()
        self._lost: set[_Key] = set()

    @property
    def _url(self) -> URL:
        """Raises CatalogUnavailable where it is none."""
        try:
            return make_url(self._address)
        except (SQLAlchemyError, ValueError) as error:
            raise errors.CatalogUnavailable("The address of the catalogue cannot be used.", hint=FORMS) from error

    def hold(self, name: str, *, shared: bool = False, wait: float = 0) -> AbstractContextManager[None]:
        return self._hold(name, shared, wait)

    @contextlib.contextmanager
    def _hold(self, name: str, shared: bool, wait: float) -> Iterator[None]:
        until = self._clock.monotonic() + wait
        with self._inner.hold(name, shared=shared, wait=wait):
            known = self._name_of(name)
            if known is None:
                yield
                return
            key = _Key(postgres.number(f"rw lock {known}"), shared)
            try:
                self._wait(name, key, until, wait)
            except errors.CatalogUnavailable as error:
                if not shared:
                    raise
                self._note(f"{error.message} {name!r} is held on this machine alone.")
                yield
                return
            try:
                yield
            finally:
                self._release(key)

    def lease(self, repository: str) -> Lease:
        return self._inner.lease(repository)

    def leases(self, repository: str) -> Sequence[LeaseInfo]:
        return self._inner.leases(repository)

    def check(self) -> None:
        """Raises LockLost where the server does not know all our locks any more, or does not answer."""
        self._inner.check()
        with self._mutex:
            if not self._held:
                return
            lost = bool(self._lost & self._held.keys())
            if not lost:
                try:
                    found = {(row.classid, row.objid) for row in self._connected().execute(HELD)}
                    lost = any(key.halves not in found for key in self._held)
                except (SQLAlchemyError, errors.CatalogUnavailable):
                    self._broke()
                    lost = True
            if lost:
                raise errors.LockLost(
                    f"The connection to {postgres.shown(self._url)} broke, and with it went the locks that keep other "
                    "machines away. From here on nothing is removed.",
                    hint="Run it again once the server answers: what was done so far is done.",
                )

    def close(self) -> None:
        """Give the connection up; what is held ends with it."""
        with self._mutex:
            self._disconnect()
            if self._engine is not None:
                self._engine.dispose()

    def _wait(self, name: str, key: _Key, until: float, wait: float) -> None:
        while not self._try(key):
            left = until - self._clock.monotonic()
            if left <= 0:
                raise self._locked(name, key, wait)
            if wait - left > PATIENCE:
                self._check()
            self._clock.sleep(min(POLL_SECONDS, left))

    def _try(self, key: _Key) -> bool:
        with self._mutex:
            try:
                query = text(key.call("try_advisory_lock"))
                got = bool(self._connected().execute(query, {"number": key.number}).scalar())
            except SQLAlchemyError as error:
                self._broke()
                raise postgres.failure(error, self._url, BUSY_SECONDS) from error
            if got:
                self._held[key] += 1
                self._lost.discard(key)
            return got

    def _release(self, key: _Key) -> None:
        with self._mutex:
            self._held[key] -= 1
            if self._held[key] <= 0:
                del self._held[key]
            if key not in self._lost:
                try:
                    self._connected().execute(text(key.call("advisory_unlock")), {"number": key.number})
                except (SQLAlchemyError, errors.CatalogUnavailable):
                    self._broke()  # it ended with the connection
            if not self._held:
                self._lost.clear()
                self._disconnect()

    def _connected(self) -> Connection:
        """The one connection that all locks hang on. Raises CatalogUnavailable."""
        if self._connection is None:
            try:
                if self._engine is None:
                    self._engine = postgres.open_engine(self._url, BUSY_SECONDS)
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                # It lies idle for as long as a prune takes.
                self._connection.execute(text("SELECT set_config('idle_session_timeout', '0', false)"))
            except (SQLAlchemyError, ImportError) as error:
                self._broke()
                raise postgres.failure(error, self._url, BUSY_SECONDS) from error
        return self._connection

    def _broke(self) -> None:
        """Whatever is held was held by that connection."""
        self._lost |= self._held.keys()
        self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.invalidate()  # and not into the pool: its locks must end
            with contextlib.suppress(SQLAlchemyError):
                connection.close()

    def _locked(self, name: str, key: _Key, wait: float) -> errors.Locked:
        high, low = key.halves
        try:
            with self._mutex:
                rows = self._connected().execute(HOLDERS, {"high": high, "low": low}).all()
        except (SQLAlchemyError, errors.CatalogUnavailable):
            rows = []
        who = ", ".join(self._named(row.application_name) for row in rows) or "another machine"
        waited = f" after {wait:.0f} seconds" if wait >= 1 else ""
        return errors.Locked(
            f"{name!r} is locked by {who}{waited}.",
            hint="Wait for it to end: it ends with its holder's connection. rw status --all-hosts",
        )

    def _named(self, application: str) -> str:
        """`rw HOST PID` as a sentence has it, with the job that runs there."""
        words = application.split()
        if len(words) < 3 or words[0] != "rw":
            return f"{application or 'another connection'}"
        host, pid = words[1], words[2]
        job = ""
        if self._catalog is not None:
            with contextlib.suppress(errors.Failure):
                running = self._catalog().open_jobs(self._target)
                job = next((one.id for one in running if (one.host[: len(host)], str(one.pid)) == (host, pid)), "")
        return f"process {pid} on {host}" + (f" ({job})" if job else "")
