"""What came of a database that was loaded to see whether it can be."""

from resticwrap.model.base import Value


class Loaded(Value, frozen=True):
    """A dump that was loaded into a server of its own: how much of it, how many queries of the policy were asked, and
    the seconds of both. `failures` are sentences that name nothing: what was not as the dump said, or did not give
    what it should."""

    databases: int = 0
    tables: int = 0
    rows: int = 0
    queries: int = 0
    load: float = 0.0
    query: float = 0.0
    failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.failures
