"""`rw restore object` and `rw restore window`: from keys, and from a time, to what a restore is asked for."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from resticwrap import errors
from resticwrap.model.base import Time
from resticwrap.model.objects import show_path
from resticwrap.model.snapshot import TierName
from resticwrap.planning import objects as planning
from resticwrap.planning.objects import Found
from resticwrap.planning.restore import inside
from resticwrap.services import choosing
from resticwrap.services.choosing import Choice, Wish
from resticwrap.services.context import Context
from resticwrap.services.looks import Looks, by_original, policy_domains


def wish_of_keys(context: Context, domain: str, keys: Sequence[str], wish: Wish) -> Wish:
    """The wish for these objects of one snapshot, which is fixed: what is found is what is restored.

    Raises UsageError where a key may mean several, NotFound (with what is like it) where it means nothing.
    """
    context.settings.select_domains([domain])
    (choice,) = choosing.choose(context, replace(wish, domains=(domain,), paths=()))
    pattern = context.settings.domains[domain].object
    paths = tuple(os.fsdecode(_one(domain, key, choice, _find(context, choice, pattern, key))) for key in keys)
    return replace(
        wish,
        domains=(domain,),
        paths=tuple(dict.fromkeys(paths)),
        snapshot=choice.snapshot.id,
        at=None,
        tier=choice.tier,
        notes=choice.notes,
    )


def _find(context: Context, choice: Choice, pattern: str | None, key: str) -> Found:
    repository = context.repositories[choice.tier]
    snapshot, root = choice.snapshot, choice.root
    if not key.strip("/") or ".." in key.split("/"):
        raise errors.UsageError(f"{key!r} is no key.", hint=f"rw ls --domain {choice.domain}")
    if pattern and (path := planning.literal(pattern, key)) is not None:
        there = inside(root, path)
        if next(iter(repository.entries(snapshot.id, snapshot.tree, there)), None) is not None:
            return Found((there[len(root) :].lstrip(b"/"),))
    if not pattern and "/" in key:
        raise errors.UsageError(
            f"{key} is a path and no key.", hint=f"rw restore {key} --domain {choice.domain}   (it takes paths)"
        )
    base = inside(root, planning.under(pattern) if pattern else "")

    def paths() -> Iterator[tuple[bytes, bool]]:
        for entry in repository.entries(snapshot.id, snapshot.tree, base):
            context.heed()
            if path := entry.path[len(root) :].lstrip(b"/"):
                yield path, entry.kind == "dir"

    return planning.find(pattern, key, paths())


def _one(domain: str, key: str, choice: Choice, found: Found) -> bytes:
    name = choice.snapshot.original[:8]
    if not found.paths:
        like = f"Like it: {', '.join(found.like)}. " if found.like else ""
        raise errors.NotFound(
            f"Snapshot {name} of {domain} has no object {key}.",
            hint=f"{like}rw ls --domain {domain} --snapshot {name} lists what it has.",
        )
    if len(found.paths) > 1 or found.more:
        listed = planning.shown([show_path(path) for path in found.paths], found.more)
        raise errors.UsageError(
            f"{key} may be any of these in {domain}: {listed}.",
            hint=f"rw restore PATH --domain {domain} --snapshot {name}   (with one of them as PATH)",
        )
    return found.paths[0]


def wish_of_time(context: Context, domains: Sequence[str], at: Time, tier: TierName | None) -> Wish:
    """Every domain of the policy (or these) as it stood at a time, consistent as far as that can be had.

    Raises NotFound where no domain has a complete snapshot of then."""
    if at > context.clock.now():
        raise errors.UsageError(f"{at:%Y-%m-%d %H:%M:%S %Z} has not come yet.", hint="Give a time in the past: --at")
    names = policy_domains(context, domains)
    among = choosing.both(context) if tier is None else choosing.stock(context, [tier])
    looks = Looks(context, among, at)
    window = looks.window(names)
    if not window.looks:
        raise errors.NotFound(
            f"Target {context.target_name} holds no complete snapshot at or before {at:%Y-%m-%d %H:%M:%S %Z}.",
            hint="rw snapshots   (on a new machine first: rw catalog rebuild)",
        )
    snapshots = by_original(among)
    notes = [*among.notes, *([looks.note] if looks.note else []), window.why]
    for name in names:
        look = window.looks.get(name)
        if look is None:
            notes.append(f"{name} has no complete snapshot at or before that time, so it is left out.")
        else:
            notes.append(f"{name}: as it was looked at {look.at:%Y-%m-%d %H:%M:%S %Z}, snapshot {look.snapshot[:8]}.")
    exact = {name: snapshots[window.looks[name].snapshot].id for name in names if name in window.looks}
    return Wish(domains=tuple(exact), exact=exact, tier=tier, notes=tuple(notes))
