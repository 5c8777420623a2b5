"""Connections to PostgreSQL that do not wait for ever. The server's own limits do not help where the server itself
stands still, its disk for one: it has taken the question, so neither libpq nor TCP ever gives up."""

import time
from collections.abc import Generator
from typing import Any

import psycopg


class PatientConnection(psycopg.Connection[Any]):
    """Waits `patience` seconds at most for anything; then it is closed, and OperationalError raised."""

    patience = 10.0
    """Until it is set up: what comes first takes moments."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        return super().wait(self._limited(gen), *args, **options)

    def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.patience
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer within {self.patience:.0f} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
