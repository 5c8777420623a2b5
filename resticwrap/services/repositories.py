"""`rw init` and `rw unlock`: the two repositories of a target, their pinned identity, their locks."""

from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.job import Pin
from resticwrap.model.reports import InitReport, LockInfo, UnlockReport
from resticwrap.ports import Repository
from resticwrap.services import owners
from resticwrap.services.context import Context

STALE_AFTER = timedelta(minutes=30)
"""restic's own rule: a living holder writes its lock anew every five minutes."""


class Secret(Protocol):
    """The password of a target: called, it is read (WrongPassword where there is none)."""

    def __call__(self) -> str: ...

    def ensure(self) -> tuple[Path | None, bool]:
        """Its file, and whether it had to be generated."""


def init(context: Context, password: Secret) -> InitReport:
    """Make, or adopt, the hot and the cold repository and pin both ids. May be repeated.

    A password is generated only where there is neither one nor a repository that an older one opens. Raises
    WrongPassword, and OtherRepository where another repository than the pinned one answers.
    """
    created: list[str] = []
    adopted: list[str] = []
    context.store.create()
    if any(exists(repository) for repository in context.repositories.values()):
        try:
            password()
        except errors.WrongPassword as error:
            raise errors.WrongPassword(
                f"Target {context.target_name} holds repositories already, and their password is not here.",
                hint=f"Bring the password that they were made with. {error.message}",
            ) from error
    file, generated = password.ensure()
    known = dict(context.state.pins(context.target_name))
    hot = _one(context, context.hot, None, known, created, adopted)
    cold = _one(context, context.cold, context.hot, known, created, adopted)
    if (created or adopted) and context.hot.trees().chunker != context.cold.trees().chunker:
        context.watcher.note("hot and cold cut files differently, so copies between them do not deduplicate")
    context.state.put_pins(context.target_name, {"hot": hot, "cold": cold})
    return InitReport(
        target=context.target_name,
        repositories={"hot": hot.repository_id, "cold": cold.repository_id},
        created=tuple(created),
        adopted=tuple(adopted),
        password_file=str(file) if file else None,
        password_created=generated,
    )


def _one(
    context: Context,
    repository: Repository,
    like: Repository | None,
    known: dict[str, Pin],
    created: list[str],
    adopted: list[str],
) -> Pin:
    tier = repository.tier
    if tier in known:
        return context.check_pin(tier)
    if exists(repository):
        adopted.append(tier)
    else:
        if like is None:
            owners.refuse_new_repository(context)
        repository.init(like)
        created.append(tier)
        _forget(context, tier)
    pin = repository.config()
    # Written at once, so that a crash between hot and cold does not forget hot.
    known[tier] = pin
    context.state.put_pins(context.target_name, known)
    return pin


def _forget(context: Context, tier: str) -> None:
    """Whatever the catalogue knows of this tier was in another repository. The jobs stay in its history."""
    target = context.target_name
    try:
        context.recorder.settle()
        catalog = context.catalog()
        catalog.forget_snapshots(target, tier, list(catalog.snapshots(target, tier)))
        catalog.forget_reads(target, tier)
    except (errors.CatalogUnavailable, errors.DiskFull) as error:
        context.watcher.note(f"{error.message} When it answers again: rw catalog rebuild --target {target}")


def exists(repository: Repository) -> bool:
    """Whether there is a repository, whoever made it."""
    try:
        repository.config_digest()
    except errors.NoRepository:
        return False
    return True


def unlock(context: Context, only: tuple[str, ...] = (), *, stale: bool = False) -> UnlockReport:
    """Remove locks whose holder is known to be gone, one by one, and show all.

    Ours are dead when their lease is free. Somebody else's is removed only with `stale`, or by its id in `only`, and
    only when it was not renewed for half an hour: by its own time, and by the store's clock, for ours or the holder's
    may be wrong. Nothing alive is ever unlocked. Raises Locked where a lock named in `only` may not be removed,
    UsageError for an empty name, which would be every lock's.
    """
    if not all(only):
        raise errors.UsageError("A lock's id cannot be empty.", hint=f"rw unlock --target {context.target_name}")
    now = context.clock.now()
    store_now = context.store.time() or now
    found: list[LockInfo] = []
    for tier in context.pins():
        context.check_pin(tier)
        repository = context.repositories[tier]
        for lock in repository.locks():
            named = any(lock.id.startswith(name) for name in only)
            old = abandoned(lock, now, store_now)
            remove = (lock.state == "dead" and (named or not only)) or (old and (stale or named))
            if named and not remove:
                raise errors.Locked(
                    f"Lock {lock.id[:8]} of {lock.user}@{lock.host} (pid {lock.pid}) is not known to be dead.",
                    hint="Stop its holder; a lock that nobody renews may be removed after 30 minutes.",
                )
            if remove:
                repository.remove_lock(lock.id)
            found.append(msgspec.structs.replace(lock, removed=remove))
    unknown = [name for name in only if not any(lock.id.startswith(name) for lock in found)]
    if unknown:
        raise errors.NotFound(
            f"There is no lock {unknown[0]} on target {context.target_name}.",
            hint=f"rw unlock --target {context.target_name}   (it lists them)",
        )
    return UnlockReport(target=context.target_name, locks=tuple(found))


def abandoned(lock: LockInfo, now: Time, store_now: Time) -> bool:
    """Whether a foreign lock was not renewed for half an hour, by both clocks: either may be wrong."""
    return lock.state == "foreign" and min(now - lock.time, store_now - lock.modified) > STALE_AFTER
