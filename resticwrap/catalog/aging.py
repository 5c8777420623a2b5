"""Pins of snapshots and what is known of single packs: the part of the catalogue that ages data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec
from sqlalchemy import bindparam, delete, func, insert, select, update

from resticwrap.catalog.database import Database
from resticwrap.catalog.rows import from_micros, to_micros
from resticwrap.catalog.tables import packs, pins
from resticwrap.model.aging import KnownPack, SnapshotPin
from resticwrap.model.base import from_json, to_json

BATCH = 500
"""How many rows one transaction writes: no transaction is held while the caller fetches the next ones."""
FACTS = ("proven_at", "how", "labelled_at")
T = TypeVar("T")


class AgingTables:
    """What `SqlCatalog` knows of pins and packs."""

    database: Database

    def put_pin(self, pin: SnapshotPin) -> None:
        """Record a pin, or what became of it."""
        row = {
            "id": pin.id,
            "target": pin.target,
            "created_at": to_micros(pin.created_at),
            "record": to_json(pin).decode(),
        }
        with self.database.writing(pin.target) as connection:
            connection.execute(delete(pins).where(pins.c.id == pin.id))
            connection.execute(insert(pins), [row])

    def pins(self, target: str) -> Sequence[SnapshotPin]:
        """All of them, released ones too, oldest first."""
        query = select(pins.c.record).where(pins.c.target == target).order_by(pins.c.created_at, pins.c.id)
        with self.database.reading() as connection:
            records = [record for (record,) in connection.execute(query)]
        try:
            return [from_json(SnapshotPin, record.encode()) for record in records]
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.database.damaged("the record of a pin cannot be read") from error

    def put_packs(self, target: str, tier: str, known: Iterable[KnownPack]) -> None:
        """Record what is known of packs; what is None of one that is known stays as it was."""
        for batch in batches(known):
            rows = [_pack_values(pack) for pack in {pack.pack: pack for pack in batch}.values()]
            with self.database.writing(target) as connection:
                there = set(
                    connection.execute(
                        select(packs.c.pack).where(*_of(target, tier), packs.c.pack.in_([row["pack"] for row in rows]))
                    ).scalars()
                )
                if new := [row for row in rows if row["pack"] not in there]:
                    connection.execute(insert(packs), [{"target": target, "tier": tier, **row} for row in new])
                if old := [row for row in rows if row["pack"] in there]:
                    query = (
                        update(packs)
                        .where(*_of(target, tier), packs.c.pack == bindparam("new_pack"))
                        .values({name: func.coalesce(bindparam(f"new_{name}"), packs.c[name]) for name in FACTS})
                    )
                    connection.execute(query, [{f"new_{name}": row[name] for name in ("pack", *FACTS)} for row in old])

    def packs(self, target: str, tier: str) -> Mapping[str, KnownPack]:
        """By id."""
        with self.database.reading() as connection:
            return {
                row.pack: KnownPack(
                    pack=row.pack,
                    proven_at=None if row.proven_at is None else from_micros(row.proven_at),
                    how=row.how,
                    labelled_at=None if row.labelled_at is None else from_micros(row.labelled_at),
                )
                for row in connection.execute(select(packs).where(*_of(target, tier)))
            }

    def withdraw(self, target: str, tier: str, damaged: Iterable[str]) -> None:
        """These were found damaged: whatever was known of them, they are proven no more, and have no label."""
        for batch in batches(damaged):
            rows = [
                {"target": target, "tier": tier, **_pack_values(KnownPack(pack=pack, how="damaged"))} for pack in batch
            ]
            with self.database.writing(target) as connection:
                connection.execute(delete(packs).where(*_of(target, tier), packs.c.pack.in_(batch)))
                connection.execute(insert(packs), rows)

    def forget_packs(self, target: str, tier: str, gone: Iterable[str]) -> None:
        """These are no longer there. Ones that are not known are no error."""
        for batch in batches(gone):
            with self.database.writing(target) as connection:
                connection.execute(delete(packs).where(*_of(target, tier), packs.c.pack.in_(batch)))


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """The items, as many together as one transaction may write."""
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        yield batch


def _of(target: str, tier: str) -> list[Any]:
    return [packs.c.target == target, packs.c.tier == tier]


def _pack_values(pack: KnownPack) -> dict[str, Any]:
    return {
        "pack": pack.pack,
        "proven_at": None if pack.proven_at is None else to_micros(pack.proven_at),
        "how": pack.how,
        "labelled_at": None if pack.labelled_at is None else to_micros(pack.labelled_at),
    }
