"""The program that restic reads a dump from: `python -m resticwrap.sources.produce ORDER SAID`, two descriptors.

It exits 0 only when all of the dump was written and was whole: restic stores nothing otherwise. restic's environment
holds the target's secrets, so nothing of it goes on to the database's programs.
"""

import os
import sys

from resticwrap import errors, process
from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DatabaseFacts, DatabaseHead, DumpFacts, DumpOrder, DumpSaid
from resticwrap.planning.dumps import Marks, PostgresDigest
from resticwrap.sources import postgres


class Sink:
    """Standard output, written whole."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, data: bytes | memoryview) -> None:
        """Raises BrokenPipeError where restic has gone."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._fd, rest) :]


def main(argv: list[str]) -> int:
    """0, or 1 with the reason in the second descriptor."""
    asking, answering = map(int, argv)
    os.lseek(asking, 0, os.SEEK_SET)
    with open(asking, "rb", closefd=False) as file:
        order = from_json(DumpOrder, file.read())
    sink = Sink(sys.stdout.fileno())
    try:
        said = DumpSaid(ok=True, facts=of_postgres(order, sink))
    except errors.Failure as error:
        said = DumpSaid(kind=error.kind, message=error.message, hint=error.hint)
    except BrokenPipeError:
        said = DumpSaid(message="restic ended before the dump did.")
    except Exception as error:  # noqa: BLE001 - what it says may hold a secret; its kind does not
        unforeseen = errors.unforeseen(error)
        said = DumpSaid(kind=unforeseen.kind, message=unforeseen.message, hint=unforeseen.hint)
    os.write(answering, to_json(said))
    return 0 if said.ok else 1


def of_postgres(order: DumpOrder, sink: Sink) -> DumpFacts:
    """Write a dump of PostgreSQL; returns what it held. Raises DumpFailed and kin."""
    access = postgres.Access(order.env, order.before, order.binaries)
    marks = Marks("postgres", postgres.nonce())
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
            raise postgres.failure(said, name, lambda why: errors.DumpFailed(f"pg_dump failed: {why}."))
        found.append(digest.facts())
    facts = DumpFacts(engine="postgres", server="", databases=tuple(found))
    sink.write(marks.line("facts", facts))
    sink.write(marks.line("end"))
    return facts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
