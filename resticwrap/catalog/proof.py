"""Evidence, and when objects were last drilled: the part of the catalogue that proves."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from sqlalchemy import delete, insert, select

from resticwrap.catalog.aging import batches
from resticwrap.catalog.database import Database
from resticwrap.catalog.rows import from_micros, to_micros
from resticwrap.catalog.tables import drilled, evidence
from resticwrap.model.base import from_json, to_json
from resticwrap.model.drill import Drilled
from resticwrap.model.evidence import Evidence


class ProofTables:
    """What `SqlCatalog` knows of evidence and drilled objects."""

    database: Database

    def put_evidence(self, records: Iterable[Evidence | bytes], *, target: str | None = None) -> None:
        """Remember records; one that is known stays as it was first."""
        for batch in batches(records):
            read = [(given, from_json(Evidence, given) if isinstance(given, bytes) else given) for given in batch]
            with self.database.writing(*{target or one.target for _, one in read}) as connection:
                for given, one in read:
                    key = (
                        evidence.c.target == (target or one.target),
                        evidence.c.installation == one.installation,
                        evidence.c.seq == one.seq,
                    )
                    if connection.execute(select(evidence.c.seq).where(*key)).first() is None:
                        row = {
                            "target": target or one.target,
                            "installation": one.installation,
                            "seq": one.seq,
                            "at": to_micros(one.event.at),
                            "kind": one.event.kind,
                            "record": (given if isinstance(given, bytes) else to_json(given)).decode(),
                        }
                        connection.execute(insert(evidence), [row])

    def evidence(self, target: str, *, kind: str | None = None, limit: int | None = None) -> Sequence[Evidence]:
        """Newest first."""
        query = select(evidence.c.record).where(evidence.c.target == target)
        if kind is not None:
            query = query.where(evidence.c.kind == kind)
        query = query.order_by(evidence.c.at.desc(), evidence.c.installation, evidence.c.seq.desc()).limit(limit)
        with self.database.reading() as connection:
            records = [record for (record,) in connection.execute(query)]
        try:
            return [from_json(Evidence, record.encode()) for record in records]
        except (msgspec.DecodeError, UnicodeError) as error:
            raise self.database.damaged("a record of evidence cannot be read") from error

    def evidence_digests(self, target: str) -> Mapping[tuple[str, int], str]:
        """sha256 of the records as they were put."""
        query = select(evidence.c.installation, evidence.c.seq, evidence.c.record).where(evidence.c.target == target)
        with self.database.reading() as connection:
            return {
                (row.installation, row.seq): hashlib.sha256(row.record.encode()).hexdigest()
                for row in connection.execute(query)
            }

    def put_drilled(self, target: str, objects: Iterable[Drilled]) -> None:
        """The last time of each is kept."""
        for batch in batches(objects):
            last = {(one.domain, one.path): one for one in batch}
            with self.database.writing(target) as connection:
                for one in last.values():
                    key = (drilled.c.target == target, drilled.c.domain == one.domain, drilled.c.path == one.path)
                    connection.execute(delete(drilled).where(*key))
                    row = {
                        "target": target,
                        "domain": one.domain,
                        "path": one.path,
                        "at": to_micros(one.at),
                        "ok": one.ok,
                    }
                    connection.execute(insert(drilled), [row])

    def drilled(self, target: str, domain: str) -> Mapping[bytes, Drilled]:
        """By path."""
        query = select(drilled).where(drilled.c.target == target, drilled.c.domain == domain)
        with self.database.reading() as connection:
            return {
                row.path: Drilled(domain=domain, path=row.path, at=from_micros(row.at), ok=row.ok)
                for row in connection.execute(query)
            }
