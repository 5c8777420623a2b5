"""A dump of PostgreSQL, written as restic reads it."""

from resticwrap import errors, process
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, DumpOrder
from resticwrap.planning.dumps import Marks, PostgresDigest
from resticwrap.sources.orders import Sink, nonce
from resticwrap.sources.postgres.access import Access, failure


def made(order: DumpOrder, sink: Sink) -> DumpFacts:
    """Write a dump of PostgreSQL; returns what it held. Raises DumpFailed and kin."""
    access = Access(order.env, order.before, order.binaries)
    marks = Marks("postgres", nonce())
    sink.write(marks.first)
    found: list[DatabaseFacts] = []
    for name in order.databases:
        sink.write(marks.line("database", DatabaseHead(name=name)))
        sink.write(marks.line("begin"))
        digest = PostgresDigest(name)

        def take(chunk: memoryview, digest: PostgresDigest = digest) -> None:
            digest.feed(chunk)
            sink.write(chunk)

        code, said = process.pour([*access.program("pg_dump"), "-d", name], env=access.env, on_chunk=take)
        said = process.mask(said, access.secrets)
        if code or not digest.complete:
            raise failure(said, name, lambda why: errors.DumpFailed(f"pg_dump failed: {why}."))
        found.append(digest.facts())
    facts = DumpFacts(engine="postgres", server="", databases=tuple(found))
    sink.write(marks.line("facts", facts))
    sink.write(marks.line("end"))
    return facts
