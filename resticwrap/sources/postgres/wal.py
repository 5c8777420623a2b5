"""PostgreSQL to a moment: base backups by pg_basebackup, the log by pg_receivewal through a replication slot."""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import msgspec

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.clock import SystemClock
from resticwrap.host.locks import FlockLocks
from resticwrap.model.base import Time, from_json
from resticwrap.model.databases import DumpOrder, DumpSaid
from resticwrap.model.snapshot import SnapshotType
from resticwrap.model.sources import PostgresSource
from resticwrap.model.wal import ArchiveState, BaseFacts, BaseOrder, KeptBase, LogFacts, Origin, ServerState
from resticwrap.planning import wal as planning
from resticwrap.ports import Material
from resticwrap.services.wal_ports import Recovered
from resticwrap.sources.orders import named, told
from resticwrap.sources.postgres import walrecovery
from resticwrap.sources.postgres.access import Access, literal, poured
from resticwrap.sources.postgres.domain import PostgresDomain
from resticwrap.sources.postgres.server import MAINTENANCE, PostgresServer
from resticwrap.sources.postgres.trouble import explained
from resticwrap.sources.postgres.walfiles import LogFiles

WAIT = 60.0
"""Seconds that a fetch may take to begin, and that somebody else's may stand still."""
FETCH = 3600.0
POLL = 0.1
WITH_US = ("setpriv", "--pdeathsig", "TERM", "--")
"""A receiver that outlived us would keep the slot from the next one."""
SERVER = """
SELECT json_build_object(
    'system', (SELECT system_identifier::text FROM pg_control_system()),
    'timeline', CASE WHEN pg_is_in_recovery() THEN 0
        ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END,
    'version', current_setting('server_version_num')::int / 10000,
    'server', split_part(current_setting('server_version'), ' ', 1),
    'segment', pg_size_bytes(current_setting('wal_segment_size')),
    'user', (SELECT rolname FROM pg_roles WHERE oid = 10),
    'standby', pg_is_in_recovery(),
    'slot', coalesce((SELECT coalesce(wal_status, 'lost') FROM pg_replication_slots
        WHERE slot_name = {slot} AND slot_type = 'physical'), ''),
    'kept', coalesce((SELECT restart_lsn::text FROM pg_replication_slots
        WHERE slot_name = {slot} AND slot_type = 'physical'), ''),
    'flushed', CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_flush_lsn()::text END,
    'keep_size', current_setting('max_slot_wal_keep_size', true),
    'level', current_setting('wal_level'),
    'tablespaces', (SELECT coalesce(json_agg(spcname), '[]') FROM pg_tablespace
        WHERE spcname NOT IN ('pg_default', 'pg_global')),
    'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN
        ('max_connections', 'max_prepared_transactions', 'max_locks_per_transaction', 'max_worker_processes')),
    'now', clock_timestamp())
"""
NOW = "SELECT json_build_object('until', clock_timestamp())"
MARK = """
SET synchronous_commit = local;
BEGIN;
SELECT json_build_object('until', clock_timestamp());
SELECT pg_logical_emit_message(true, 'resticwrap', '');
COMMIT;
SELECT json_build_object('reached', pg_current_wal_flush_lsn());
"""


class _Until(msgspec.Struct):
    until: Time


class _Reached(msgspec.Struct):
    reached: str


class WalDomain(PostgresDomain):
    """One domain's cluster: how it is captured (the `Source` port), its servers (`Engine`), its log (`Archive`)."""

    def __init__(self, domain: str, source: PostgresSource, state_dir: Path, target: str, cancel: Cancel) -> None:
        super().__init__(domain, source, cancel)
        folder = state_dir / "wal" / domain
        self._files = LogFiles(folder, target, domain)
        self._locks = FlockLocks(state_dir, SystemClock(), cancel.check)
        self._receiving, self._changing = f"wal {domain}", f"wal state {domain}"
        self._database = source.name or MAINTENANCE

    @property
    def slot(self) -> str:
        return self._source.wal.slot

    def _size(self) -> int:
        return int(self.live().value(self._database, "SELECT sum(pg_database_size(oid)) FROM pg_database") or 0)

    @contextmanager
    def material(self, job: str, type: SnapshotType) -> Iterator[Material]:  # noqa: ARG002
        with self._base() if type == "full" else self._log() as material:
            yield material

    def state(self) -> ArchiveState:
        return self._files.state()

    def keep(self, bases: Collection[str]) -> None:
        with self._locks.hold(self._changing, wait=WAIT):
            state = self._files.state()
            left = tuple(one for one in state.bases if one.snapshot in bases)
            if left != state.bases:
                self._files.put_state(msgspec.structs.replace(state, bases=left))
            self._files.trim()

    def why_base(self) -> str:
        bases, max_age = self._files.bases(), self._source.wal.max_age
        return planning.why_base(bases, self._files.origin(), max_age, SystemClock().now()) or self._hole()

    def why_base_now(self) -> str:
        return self.why_base() or self._broken(self.server())

    def _broken(self, server: ServerState) -> str:
        """Why nothing can be added to what was received here; empty: it can."""
        return (
            planning.broken(self._files.origin(), server, self.slot)
            or planning.gone_back(server, self._files.reached())
            or self._hole(server.kept)
        )

    def _hole(self, kept: str = "") -> str:
        """What is received meanwhile is listed after `kept` was asked, and looked at twice: files are renamed."""
        return self._files.hole(kept) and self._files.hole(kept)

    def server(self) -> ServerState:
        return from_json(ServerState, self._said(SERVER.replace("{slot}", literal(self.slot))))

    def _said(self, sql: str) -> str:
        return self.live().value(self._database, sql) or ""

    @contextmanager
    def _base(self) -> Iterator[Material]:
        server = self._fit(self.server())
        origin = self._begun(server)
        self._fetch()  # before the base: pg_receivewal goes on from what lies there, and nothing may be missing
        order = DumpOrder(
            engine="postgres",
            domain=self._domain,
            place=self._source.place,
            binaries=self._access.of_version(server.server).binaries,
            before=self._access.before,
            env=dict(self._access.env),
            base=BaseOrder(database=self._database, server=server),
        )
        with told(order) as (command, fds, said):

            def settle() -> None:
                heard = said()
                if not heard.ok or heard.base is None:
                    raise named(heard, self._domain)

            def stored(snapshot: str) -> None:
                facts = said().base
                assert facts is not None  # it was settled
                self._add(KeptBase(snapshot=snapshot, facts=facts, origin=origin.id))

            yield Material(
                cwd=b"/", name=f"{self._domain}.base.tar".encode(), command=command, fds=fds, settle=settle,
                stored=stored, warnings=tuple(planning.unbounded(server, self.slot)),
            )  # fmt: skip

    @contextmanager
    def _log(self) -> Iterator[Material]:
        base = self._files.bases()[0]
        reached, until = self._fetch()
        self._files.stage(LogFacts(base=base.facts, snapshot=base.snapshot, reached=reached, until=until))

        def stored(snapshot: str) -> None:
            with self._locks.hold(self._changing, wait=WAIT):
                state = self._files.state()
                self._files.put_state(
                    msgspec.structs.replace(state, last=snapshot, last_base=base.snapshot, until=until)
                )

        cwd, name = self._files.place
        yield Material(cwd=os.fsencode(cwd), name=name.encode(), stored=stored, base=base.snapshot)

    def _fit(self, server: ServerState) -> ServerState:
        """Raises DumpFailed where no base can be made of this server."""
        if server.version < planning.OLDEST:
            raise errors.DumpFailed(f"mode: wal needs PostgreSQL {planning.OLDEST} or later; this is {server.server}.")
        if server.standby:
            raise errors.DumpFailed(
                f"{self._source.place} is a standby, and the log is kept of a primary.", hint="Name the primary's url."
            )
        if server.level == "minimal":
            raise errors.DumpFailed(
                f"The log of {self._source.place} does not hold enough: its wal_level is minimal.",
                hint="ALTER SYSTEM SET wal_level = replica; and restart the server.",
            )
        if server.tablespaces:
            raise errors.DumpFailed(
                f"{self._source.place} has tablespaces of its own ({', '.join(server.tablespaces)}), and a base backup "
                "that is streamed holds one alone.",
                hint="mode: dump takes databases with tablespaces; or move their tables: ALTER TABLE … SET TABLESPACE.",
            )
        return server

    def _begun(self, server: ServerState) -> Origin:
        """The log that is received here; begun anew, with its slot, where it cannot be gone on with."""
        origin = self._files.origin()
        if origin is not None and not self._broken(server):
            return origin
        # Not beside a receiver: it would write on into a folder that is gone.
        with self._locks.hold(self._receiving), self._locks.hold(self._changing, wait=WAIT):
            slot = literal(self.slot)
            if server.slot:
                self._said(f"SELECT pg_drop_replication_slot({slot})")
            origin = self._files.begin(server.system, server.timeline)
            self._said(f"SELECT pg_create_physical_replication_slot({slot}, true)")
            return origin

    def _add(self, base: KeptBase) -> None:
        with self._locks.hold(self._changing, wait=WAIT):
            state = self._files.state()
            old = [one for one in state.bases if one.origin == base.origin]
            self._files.put_state(msgspec.structs.replace(state, bases=(*old, base)))

    def _fetch(self) -> tuple[str, Time]:
        """Fetch the log up to a commit of now. Returns how far, and an instant before that commit: so a replay that
        shall stop at any instant before it meets a commit at which to stop."""
        lines = [line for line in self._said(MARK).splitlines() if line]
        until, reached = from_json(_Until, lines[0]).until, from_json(_Reached, lines[-1]).reached
        self._receive_to(reached)
        return reached, until

    def _received(self, *more: str, timeout: float = FETCH) -> None:
        """Run pg_receivewal; a slot that a killed one still holds is waited for."""
        access = self._access.of_version(self.live().version())
        command = [
            *WITH_US,
            *access.program("pg_receivewal"),
            "-D",
            str(self._files.received),
            "-S",
            self.slot,
            "--no-loop",
            "-w",
            *more,
        ]
        until, mended = time.monotonic() + WAIT, False
        while True:
            result = process.run(command, env=access.env, timeout=timeout, secrets=access.secrets, cancel=self._cancel)
            if result.code == 0:
                return
            if not mended and (mended := self._files.mend(self._segment())):
                continue
            if time.monotonic() > until or not self._taken():
                break
            time.sleep(POLL * 5)
        said = result.stderr.strip().splitlines()[:1]  # the cause; what follows is that it ended
        raise explained(
            access, result.code, "".join(said), self._source.place, self._database,
            lambda why: errors.DumpFailed(f"The log was not fetched: {why}."),
        )  # fmt: skip

    def _segment(self) -> int:
        return int(self._said("SELECT pg_size_bytes(current_setting('wal_segment_size'))"))

    def _taken(self) -> bool:
        slot = literal(self.slot)
        return self._said(f"SELECT active FROM pg_replication_slots WHERE slot_name = {slot}") == "t"

    def _receive_to(self, reached: str) -> None:
        """Fetch that far, or wait until whoever receives has got there. Another job's fetch may end before that, and
        then it is our turn."""
        seen, until = "", time.monotonic() + WAIT
        while True:
            with suppress(errors.Locked), self._locks.hold(self._receiving):
                # It stops after it has gone beyond the end that it is given.
                self._received("--endpos", planning.lsn(planning.number(reached) - 1))
                return
            kept = self._said(f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = {literal(self.slot)}")
            if kept and planning.number(kept) >= planning.number(reached):
                return
            if kept != seen:
                seen, until = kept, time.monotonic() + WAIT
            if time.monotonic() > until:
                raise errors.DumpFailed(
                    f"The receiver of {self._domain} has not got any further for {WAIT:.0f} seconds.",
                    hint=f"Is it at work? Stop it and start it again: rw db receive {self._domain}",
                )
            self._cancel.check()
            time.sleep(POLL)

    def receive(self) -> None:
        with self._locks.hold(self._receiving):
            if why := self._broken(self.server()):
                raise errors.DumpFailed(f"{self._domain}: {why}.", hint="rw backup --type full begins its log")
            self._received("--synchronous", "--status-interval=1", timeout=10 * 365 * 86400)

    def recovered(
        self, data: Path, log: Path, base: BaseFacts, until: Time | None, *, lasting: bool = False
    ) -> AbstractContextManager[Recovered]:
        return walrecovery.recovered(data, log, base, until, self._source, self._cancel, lasting=lasting)


def produce(order: DumpOrder, write: Callable[[bytes | memoryview], None]) -> DumpSaid:
    """Write a base backup, and at its end what it is. Raises DumpFailed and kin."""
    assert order.base is not None
    access = Access(order.env, order.before, order.binaries)
    server = PostgresServer(access, order.place, Cancel())
    look = planning.TarLook("backup_manifest")

    def take(chunk: memoryview) -> None:
        for piece in look.feed(chunk):
            write(piece)

    options = ["-Ft", "-X", "fetch", "-D", "-", "-c", "fast", "-l", "resticwrap", "-w"]
    code, said = poured(access, "pg_basebackup", options, take)
    if code or not look.ended:
        raise explained(
            access, code, said, order.place, order.base.database,
            lambda why: errors.DumpFailed(f"pg_basebackup failed: {why}."),
        )  # fmt: skip
    found, known = order.base, order.base.server
    timeline, start, end = planning.ranges(bytes(look.found["backup_manifest"]))
    ended = from_json(
        _Until, server.value(found.database, "SELECT json_build_object('until', clock_timestamp())") or ""
    )
    facts = BaseFacts(
        system=known.system,
        timeline=timeline,
        start=start,
        end=end,
        began=known.now,
        ended=ended.until,
        server=known.server,
        segment=known.segment,
        user=known.user,
        settings=known.settings,
    )
    write(planning.closing(facts))
    return DumpSaid(ok=True, base=facts)
