"""A dump of MySQL or MariaDB: run inside the program that restic reads from."""

from collections.abc import Iterator, Sequence

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, DumpOrder
from resticwrap.planning.dbrestore import of_a_restore
from resticwrap.planning.dumps import Marks
from resticwrap.planning.dumps_mysql import MysqlDump, quoted
from resticwrap.planning.exchange_mysql import OURS
from resticwrap.sources.mysql.access import DUMP, Access, failure, poured
from resticwrap.sources.mysql.asking import Asking, literal
from resticwrap.sources.orders import Sink, nonce

OPTIONS = (
    "--single-transaction", "--skip-lock-tables", "--quick", "--routines", "--triggers", "--events", "--hex-blob",
    "--skip-dump-date", "--order-by-primary", "--skip-extended-insert", "--complete-insert", "--skip-add-drop-table",
    "--skip-disable-keys", "--no-tablespaces", "--max-allowed-packet=1G", "--loose-set-gtid-purged=OFF",
    "--loose-column-statistics=0",
)  # fmt: skip
"""One view of all tables; a dump that is the same while the data are, and never drops what it is loaded over."""
OF_THE_SERVER = ("mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema")


def made(order: DumpOrder, sink: Sink) -> DumpFacts:
    """Write a dump; returns what it held. Raises DumpFailed and kin."""
    access = Access(order.arguments, order.env, order.before, order.binaries)
    write = sink.write
    asking = Asking(access, order.place, Cancel())
    marks = Marks("mysql", nonce())
    names = order.databases or tuple(name for name in asking.databases() if not _ours(name))
    write(marks.first)
    if accounts := list(accounts_of(asking, order.databases)):
        write(marks.line("globals"))
        for line in accounts:
            write(line.encode("utf-8", "surrogateescape") + b"\n")
    found: list[DatabaseFacts] = []
    for name in names:
        refuse_unsteady(asking, name, order.exclude_data)
        head = head_of(asking, name)
        write(marks.line("database", head))
        if not order.databases:
            write(f"{created(head, name, ' IF NOT EXISTS')};\nUSE {quoted(name)};\n".encode())
        write(marks.line("begin"))
        without = present(asking, name, order.exclude_data)
        dump = MysqlDump(name, without)
        argv = dump_command(access, *[f"--ignore-table-data={name}.{table}" for table in without], name)

        def take(chunk: memoryview, dump: MysqlDump = dump) -> None:
            if text := dump.feed(chunk):
                write(text)

        try:
            code, said = poured(access, argv, take)
        except ValueError as error:
            raise errors.DumpFailed(f"The dump of {name} is not understood: {error}.") from error
        if code or not dump.complete:
            said = process.mask(said, access.secrets)
            raise failure(said, order.place, lambda why: errors.DumpFailed(f"The dump failed: {why}."))
        found.append(dump.facts())
    facts = DumpFacts(
        engine="mysql", server=asking.version(), client=access.version(DUMP), databases=tuple(found)
    )  # fmt: skip
    write(marks.line("facts", facts))
    write(marks.line("end"))
    return facts


def dump_command(access: Access, *words: str) -> list[str]:
    """The command that dumps a database as all of ours are."""
    return access.command(DUMP, *OPTIONS, *words)


def present(asking: Asking, name: str, tables: Sequence[str]) -> Sequence[str]:
    """Those of these tables that a database has."""
    if not tables:
        return ()
    rows = asking.rows(f"SELECT table_name FROM information_schema.tables WHERE table_schema = {literal(name)}")
    there = {row[0] for row in rows}
    return [table for table in tables if table in there]


def head_of(asking: Asking, name: str) -> DatabaseHead:
    """How a database was made. Raises DatabaseUnavailable where there is none."""
    rows = asking.rows(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"
        f" WHERE schema_name = {literal(name)}"
    )
    if not rows:
        raise errors.DatabaseUnavailable(f"{asking.place} has no database {name}, or does not show it to us.")
    return DatabaseHead(name=name, options={"CHARACTER SET": rows[0][0] or "", "COLLATE": rows[0][1] or ""})


def created(head: DatabaseHead, name: str, more: str = "") -> str:
    """The SQL that makes an empty database like a dumped one. Raises LoadFailed where its words are none."""
    options = " ".join(f"{word} {value}" for word, value in head.options.items())
    if not options.replace("_", "").replace(" ", "").isalnum():
        raise errors.LoadFailed(f"The dump of {head.name} asks for a database that cannot be made.")
    return f"CREATE DATABASE{more} {quoted(name)} {options}"


def refuse_unsteady(asking: Asking, name: str, excluded: Sequence[str]) -> None:
    """Raises DumpFailed where tables have an engine without transactions: what is read of them while others write is
    never one moment, and nothing would show it."""
    rows = asking.rows(
        "SELECT t.table_name, t.engine FROM information_schema.tables t LEFT JOIN information_schema.engines e"
        f" ON e.engine = t.engine WHERE t.table_schema = {literal(name)} AND t.table_type <> 'VIEW'"
        " AND COALESCE(e.transactions, 'NO') <> 'YES' ORDER BY 1"
    )
    if unsteady := [row for row in rows if row[0] not in excluded]:
        table, engine = unsteady[0]
        more = f" and {len(unsteady) - 1} more" if len(unsteady) > 1 else ""
        raise errors.DumpFailed(
            f"{name} has tables that cannot be read as of one moment: {table} ({engine}){more}.",
            hint=f"ALTER TABLE {quoted(table or '')} ENGINE=InnoDB;   (or name it in exclude_data in domains.yaml)",
        )


def _ours(name: str) -> bool:
    """Whether a database is a copy that a restore works on, or stands in for what it exchanges."""
    return name == OURS or of_a_restore(name)


def accounts_of(asking: Asking, databases: Sequence[str]) -> Iterator[str]:
    """The accounts, and what each may do, a statement a line. Of single databases only who may do something in these,
    as comments: a dump of one is loaded by who may not make accounts, too. None at all where we may not see them."""
    try:
        rows = asking.rows("SELECT user, host FROM mysql.user ORDER BY user, host")
    except (errors.DatabaseRefused, errors.LoadFailed):
        return
    roles = {row[0] for row in asking.rows("SELECT user FROM mysql.user WHERE host = '' AND user <> ''")}
    within = [f" ON {quoted(name)}." for name in databases]
    for user, host in rows:
        if user in OF_THE_SERVER:
            continue
        account = f"{quoted(user or '')}@{quoted(host or '')}"
        try:
            grants = asking.rows(f"SHOW GRANTS FOR {quoted(user or '') if user in roles else account}")
        except errors.LoadFailed:
            continue  # one that the server itself cannot tell from another has nothing to show
        texts = [grant[0] or "" for grant in grants]
        if within and not any(place in text.replace("\\_", "_") for place in within for text in texts):
            continue
        if user in roles:
            texts = [f"CREATE ROLE IF NOT EXISTS {quoted(user or '')}", *texts]
        else:
            made = asking.rows(f"SHOW CREATE USER {account}")[0][0] or ""
            texts = [made.replace("CREATE USER ", "CREATE USER IF NOT EXISTS ", 1), *texts]
        for text in texts:
            yield ("-- " if within else "") + " ".join(text.splitlines()) + ";"
