"""`rw db copy`: what one domain's snapshot holds goes over another's database, as a restore goes over what is live."""

from resticwrap import errors
from resticwrap.model.dbreports import DbRestoreReport
from resticwrap.services.choosing import Wish
from resticwrap.services.context import Context
from resticwrap.services.database_ports import Engine
from resticwrap.services.databases.restoring import Into, engine_of, preview, restore


def copy(
    context: Context, wish: Wish, to: str, *, only: str | None = None, force: bool = False, dry_run: bool = False
) -> DbRestoreReport:
    """Load what is wished of one domain over the database of another. Raises UsageError where that cannot be meant."""
    (source,) = wish.domains
    one, other = engine_of(context, source), engine_of(context, to)
    if one.engine != other.engine:
        raise errors.UsageError(
            f"{source} is {one.engine} and {to} is {other.engine}: the one does not load the other."
        )
    if source == to or _same(one, other, only):
        raise errors.UsageError(
            f"{to} is the very database that {source} is a backup of.", hint=f"rw db restore {source} --replace"
        )
    into = Into(name=other.name, over=True, only=only, server=to)
    return (preview if dry_run else restore)(context, wish, into, force=force)


def _same(one: Engine, other: Engine, only: str | None) -> bool:
    """Whether what would be gone over is the live database of the one that is copied, by whatever address."""
    here, there = one.live(), other.live()
    name = other.name or one.name or next(iter(there.databases()), "")
    if (one.name or only) not in (None, name):
        return False
    if here.place == there.place:
        return True
    found = there.identity(name)
    try:
        return bool(found) and found == here.identity(name)
    except (errors.DatabaseUnavailable, errors.DatabaseRefused):
        return False  # the other answers, so it is not that one
