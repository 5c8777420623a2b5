"""What `rw doctor` asks of a database: whether it answers, may be read whole, and can be loaded in drills."""

from collections.abc import Iterator
from typing import Literal

from resticwrap import errors
from resticwrap.model.base import Value, from_json
from resticwrap.model.policy import Domain
from resticwrap.model.reports import Check
from resticwrap.model.sources import PostgresSource
from resticwrap.services.database_ports import Engine, Server
from resticwrap.services.doctor import ok

Verdict = Literal["ok", "warn", "fail"]
POSTGRES_UNREADABLE = """
SELECT CASE WHEN count(*) > 0
  THEN count(*) || ' of its tables and sequences, the first is ' || min(format('%I.%I', n.nspname, c.relname)) END
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_roles r ON r.rolname = current_user
WHERE c.relkind IN ('r', 'p', 'm', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
AND n.nspname !~ '^pg_temp_'
AND (NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  OR c.relkind = 'S' AND NOT pg_catalog.has_sequence_privilege(c.oid, 'SELECT')
  OR c.relkind <> 'S' AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
  OR c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
    AND (c.relforcerowsecurity OR NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')))
"""
"""Asked in the database: rows that a policy hides make pg_dump fail as well. NULL where all may be read."""
MYSQL_LACKING = """
SELECT GROUP_CONCAT(wanted.p ORDER BY wanted.p SEPARATOR ', ') FROM (
  SELECT 'SELECT' p UNION SELECT 'SHOW VIEW' UNION SELECT 'TRIGGER' UNION SELECT 'EVENT'
) wanted WHERE wanted.p NOT IN (
  SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = {me}
  UNION SELECT privilege_type FROM information_schema.schema_privileges
  WHERE grantee = {me} AND DATABASE() LIKE table_schema
)
""".format(
    me="CONCAT(QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1)), '@', QUOTE(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)))"
)
"""What a whole dump takes and this user was not granted, neither everywhere nor for this database."""
LOG_KEPT = """
SELECT json_build_object('level', current_setting('wal_level'), 'bound', current_setting('max_slot_wal_keep_size'),
 'slot', (SELECT coalesce(wal_status, 'lost') FROM pg_replication_slots WHERE slot_name = {slot}),
 'kept', (SELECT pg_size_pretty(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)) FROM pg_replication_slots
  WHERE slot_name = {slot} AND NOT pg_is_in_recovery()),
 'may', (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user),
 'elsewhere', (SELECT min(spcname) FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global')))
"""
"""What it takes to keep a log: asked of any database of the server."""
FIRST = 20
"""Of a whole server so many databases are asked."""


class LogKept(Value, frozen=True):
    """How a server stands to keeping its log. `slot`: its status; None where there is none yet. `kept`: how much of the
    log it keeps that was not fetched, in words."""

    level: str = ""
    bound: str = ""
    slot: str | None = None
    kept: str | None = None
    may: bool = False
    elsewhere: str | None = None


def examined(name: str, policy: Domain, engine: Engine) -> Iterator[Check]:
    """Checks of one domain. Raises what its server answers."""
    server = engine.live()
    version = server.version()
    by = _client(policy, version)
    yield ok(f"database: {name}", f"{engine.engine} {version} answers{by}: {server.place}")
    if policy.source.type in ("postgres", "mysql"):
        yield from _readable(name, policy, engine, server)
    if isinstance(policy.source, PostgresSource) and policy.source.mode == "wal":
        yield from _log(name, policy.source, server)
    try:
        programs = engine.scratch_by(version)
    except errors.ClientMissing as error:
        yield Check(
            name=f"database: {name}", verdict="warn", detail=f"drills cannot load it: {error.message}", hint=error.hint
        )
    else:
        if programs:
            yield ok(f"database: {name}", f"drills load it by {programs}")


def _readable(name: str, policy: Domain, engine: Engine, server: Server) -> Iterator[Check]:
    for database in [engine.name] if engine.name else list(server.databases())[:FIRST]:
        if isinstance(policy.source, PostgresSource):
            lacks = server.value(database, POSTGRES_UNREADABLE)
            hint = "GRANT pg_read_all_data TO its user; where rows are hidden by policies: ALTER ROLE … BYPASSRLS"
            detail = f"its user may not read {lacks}"
        else:
            lacks = server.value(database, MYSQL_LACKING)
            hint = f"GRANT {lacks} ON `{database}`.* TO its user"
            detail = f"its user lacks {lacks}"
        if lacks:
            yield Check(name=f"database: {name}", verdict="fail", detail=f"{database}: {detail}", hint=hint)


def _log(name: str, source: PostgresSource, server: Server) -> Iterator[Check]:
    """What keeps the log from being kept, or lets it fill the server's disk."""
    from resticwrap.sources.postgres.access import literal

    asked = server.value(source.name or "postgres", LOG_KEPT.format(slot=literal(source.wal.slot)))
    found = from_json(LogKept, asked or "{}")

    def wrong(verdict: Verdict, detail: str, hint: str) -> Check:
        return Check(name=f"database: {name}", verdict=verdict, detail=detail, hint=hint)

    if found.level == "minimal":
        yield wrong(
            "fail", "wal_level is minimal: no log is kept", "ALTER SYSTEM SET wal_level = replica   (and restart)"
        )
    if not found.may:
        yield wrong("fail", "its user may not replicate, which fetching the log is", "ALTER ROLE … REPLICATION")
    if found.elsewhere:
        yield wrong(
            "fail",
            f"tablespace {found.elsewhere} lies elsewhere, and a base is one stream",
            "Take `mode: dump` for it.",
        )
    if found.slot == "lost":
        yield wrong(
            "warn", f"slot {source.wal.slot} has lost what was not fetched", "The next backup begins a new base."
        )
    if found.slot == "unreserved":
        yield wrong(
            "warn",
            f"slot {source.wal.slot} keeps {found.kept} that were not fetched, beyond max_slot_wal_keep_size: the "
            "server removes them next",
            f"rw backup   (at once; then look why no backup fetched them, or set more than {found.bound})",
        )
    elif found.kept is not None:
        yield ok(f"database: {name}", f"slot {source.wal.slot} keeps {found.kept} of the server's log for us")
    if found.bound == "-1":
        yield wrong(
            "warn",
            "nothing bounds what its slot keeps: the disk of the server fills up where no backup fetches it",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'   (and pg_reload_conf())",
        )


def _client(policy: Domain, version: str) -> str:
    """The client that makes its dumps. Raises ClientMissing where it is older than its server, which refuses then."""
    if not isinstance(policy.source, PostgresSource):
        return ""
    from resticwrap.sources.postgres.access import access_of

    return f", and pg_dump {access_of(policy.source).of_version(version).client()} dumps it"
