"""Evidence: what was proven, decided and found, as a chain of records that nobody can quietly edit."""

import hashlib
from typing import Any, Literal

from resticwrap.model.base import Time, Value, to_json

EvidenceKind = Literal[
    "genesis", "verify", "drill", "gate", "override", "upgrade", "raw_changed", "repair", "kit", "key", "recover"
]


class Event(Value, frozen=True):
    """Something that becomes evidence. `body` is what its kind says, in plain JSON values, without names of files and
    without secrets: it lies in the target in clear. `by` is the user, `host` the machine."""

    id: str
    kind: EvidenceKind
    at: Time
    by: str
    host: str
    job: str = ""
    versions: dict[str, str] = {}
    body: dict[str, Any] = {}


class Evidence(Value, frozen=True):
    """One record of a chain: `backups/{env}/evidence/{installation}/{seq}.json`, counted from 0.

    `previous` is the digest of the record before (empty for the first): the sha256 of its very bytes. So a record
    vouches for all that came before it, and whoever remembers the newest one knows them all.
    """

    installation: str
    target: str
    seq: int
    previous: str
    event: Event
    evidence_version: int = 1

    def digest(self) -> str:
        """sha256 (64 hex digits) of the record as this version writes it; of one that lies somewhere already, its own
        bytes count."""
        return hashlib.sha256(to_json(self)).hexdigest()


class Head(Value, frozen=True):
    """The newest record of a chain. It is repeated where the chain itself is not: in every manifest, the catalogue, the
    state directory, the recovery kit, the daily summary."""

    installation: str
    seq: int
    digest: str
    at: Time

    @property
    def words(self) -> str:
        """As `rw audit verify --head` takes it."""
        return f"{self.installation}:{self.seq}:{self.digest}"


class Chain(Value, frozen=True):
    """`evidence/{target}.json` of the state directory: which chain this installation writes, and how far it is."""

    installation: str
    head: Head | None = None
    event: str = ""
    """The id of the head's event, which a crash may have left among those that wait."""
