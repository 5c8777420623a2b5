"""The program that restic reads a dump from: `python -m resticwrap.sources.produce ORDER SAID`, two descriptors.

It exits 0 only when all of the dump was written and was whole: restic stores nothing otherwise. restic's environment
holds the target's secrets, so nothing of it goes on to the database's programs.
"""

import os
import sys

from resticwrap import errors
from resticwrap.model.base import from_json, to_json
from resticwrap.model.databases import DumpFacts, DumpOrder, DumpSaid
from resticwrap.sources.orders import Sink


def main(argv: list[str]) -> int:
    """0, or 1 with the reason in the second descriptor."""
    asking, answering = map(int, argv)
    os.lseek(asking, 0, os.SEEK_SET)
    with open(asking, "rb", closefd=False) as file:
        order = from_json(DumpOrder, file.read())
    sink = Sink(sys.stdout.fileno())
    try:
        said = of_base(order, sink) if order.base else DumpSaid(ok=True, facts=made(order, sink))
    except errors.Failure as error:
        said = DumpSaid(kind=error.kind, message=error.message, hint=error.hint)
    except BrokenPipeError:
        said = DumpSaid(message="restic ended before the dump did.")
    except Exception as error:  # noqa: BLE001 - what it says may hold a secret; its kind does not
        unforeseen = errors.unforeseen(error)
        said = DumpSaid(kind=unforeseen.kind, message=unforeseen.message, hint=unforeseen.hint)
    os.write(answering, to_json(said))
    return 0 if said.ok else 1


def made(order: DumpOrder, sink: Sink) -> DumpFacts:
    """Write a dump; returns what it held. Raises DumpFailed and kin."""
    if order.engine == "postgres":
        from resticwrap.sources.postgres import dump as postgres

        return postgres.made(order, sink)
    from resticwrap.sources.mysql import dump as mysql

    return mysql.made(order, sink)


def of_base(order: DumpOrder, sink: Sink) -> DumpSaid:
    """Write a base backup of the cluster."""
    from resticwrap.sources.postgres import wal

    return wal.produce(order, sink.write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
