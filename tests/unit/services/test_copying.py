"""Which copies of a database over another are refused; engines are stand-ins."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from resticwrap import errors
from resticwrap.services.choosing import Wish
from resticwrap.services.context import Context
from resticwrap.services.databases import copying


def engine(name: str | None) -> Any:
    """One domain of a server that has `app` and `test`: its database, or all of it."""
    server = SimpleNamespace(place="here", databases=lambda: ("app", "test"), identity=lambda name: f"here/{name}")
    return SimpleNamespace(engine="postgres", name=name, live=lambda: server)


@pytest.mark.parametrize(("only", "refused"), [("app", False), ("test", True), (None, True)])
def test_one_database_of_a_server_over_another(
    monkeypatch: pytest.MonkeyPatch, only: str | None, refused: bool
) -> None:
    """A dump of a whole server holds the one that is gone over too: that one alone may not be meant."""
    monkeypatch.setattr(copying, "engine_of", lambda _, domain: engine("test" if domain == "test" else None))
    monkeypatch.setattr(copying, "preview", lambda _context, _wish, into, **_: into)

    def planned() -> object:
        return copying.copy(cast(Context, None), Wish(("whole",)), "test", only=only, dry_run=True)

    if refused:
        with pytest.raises(errors.UsageError):
            planned()
    else:
        into = cast(Any, planned())
        assert (into.name, into.only, into.server) == ("test", "app", "test")
