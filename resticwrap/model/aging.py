"""What keeps a snapshot, and what is known of the packs of the cold repository."""

from typing import Literal

from resticwrap.model.base import Time, Value

PinKind = Literal["manual", "upgrade", "migration", "incident"]
ReadHow = Literal["read", "sampled"]


class SnapshotPin(Value, frozen=True):
    """Somebody or something wants these snapshots (original ids) kept, in whichever tier they are.

    It lies in the catalogue and in the bucket (`backups/{env}/pins/{id}.json`). A released one stays as a record.
    """

    id: str
    target: str
    snapshots: tuple[str, ...]
    reason: str
    by: str
    created_at: Time
    kind: PinKind = "manual"
    until: Time | None = None
    released_at: Time | None = None
    pin_version: int = 1

    def holds(self, now: Time) -> bool:
        """Whether it keeps its snapshots now."""
        return self.released_at is None and (self.until is None or now < self.until)


class KnownPack(Value, frozen=True):
    """A pack of a repository, by id. `proven_at`: it was read back and hashed to its name (`how` "read"), or it was
    there with its size among a sample that was ("sampled"). `labelled_at`: the bucket has its tag since."""

    pack: str
    proven_at: Time | None = None
    how: ReadHow | None = None
    labelled_at: Time | None = None
