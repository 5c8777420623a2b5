"""Whose a domain is: of several machines that share a repository, each keeps to its own.

A machine is known by the `host` of its policies, which every snapshot carries, and by the names that it bore
`formerly`. Everything else in the repository is somebody else's, also under the same name of a domain.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

from resticwrap import errors
from resticwrap.model.snapshot import Snapshot


def ours(snapshots: Iterable[Snapshot], hosts: Collection[str]) -> list[Snapshot]:
    """Those of these hosts, in their order."""
    return [one for one in snapshots if one.host in hosts]


def hosts_of(snapshots: Iterable[Snapshot]) -> dict[str, set[str]]:
    """By domain, the hosts that have snapshots of it."""
    found: dict[str, set[str]] = {}
    for one in snapshots:
        if one.domain is not None:
            found.setdefault(one.domain, set()).add(one.host)
    return found


def taken(
    domains: Iterable[str],
    hosts: Collection[str],
    there: Mapping[str, Collection[str]],
    promised: Mapping[str, str],
) -> dict[str, str]:
    """By domain the other host whose it is. `there`: who has snapshots of it, which decides; where nobody has, who
    `promised` it first."""
    found: dict[str, str] = {}
    for domain in domains:
        by = there.get(domain, ())
        if any(host in hosts for host in by):
            continue
        if by:
            found[domain] = min(by)
        elif domain in promised and promised[domain] not in hosts:
            found[domain] = promised[domain]
    return found


def name_taken(domain: str, target: str, owner: str, host: str) -> errors.NameTaken:
    """Two machines under one name would each take the other's snapshots for its own."""
    return errors.NameTaken(
        f"Domain {domain} of target {target} is host {owner}'s, which had it first; these policies are host {host}'s.",
        hint=f"Give it another name in domains.yaml. Only if this machine takes {owner}'s place, or was called so "
        f"before: `formerly: [{owner}]` beside `host` there.",
    )


def elsewhere(domain: str, others: Sequence[Snapshot], host: str) -> errors.NotFound:
    """A domain of which only other hosts have snapshots."""
    names = ", ".join(sorted({one.host for one in others if one.domain == domain}))
    return errors.NotFound(
        f"All snapshots of domain {domain} are of host {names}, and these policies are host {host}'s.",
        hint=f"rw snapshots --domain {domain}, then rw restore --snapshot ID --to FOLDER. If this machine takes that "
        f"one's place: `formerly: [{names}]` in domains.yaml.",
    )


def also_elsewhere(missing: errors.NotFound, domain: str, others: Sequence[Snapshot]) -> errors.NotFound:
    """What is missing of a domain, with the other hosts that have snapshots by its name."""
    names = ", ".join(sorted({one.host for one in others if one.domain == domain}))
    if not names:
        return missing
    return errors.NotFound(
        f"{missing.message} Snapshots of host {names} have that name too.",
        hint=f"{missing.hint}. If they are this machine's, or it takes that one's place: `formerly: [{names}]` in "
        "domains.yaml.",
    )


def of_another(snapshot: Snapshot, host: str) -> errors.RestoreRefused:
    """Another machine's data is not put in the place of this one's."""
    return errors.RestoreRefused(
        f"Snapshot {snapshot.original[:8]} of {snapshot.domain} is of host {snapshot.host}, and these policies are "
        f"host {host}'s.",
        hint=f"Restore it beside: rw restore --snapshot {snapshot.original[:8]} --to FOLDER. If this machine takes its "
        f"place: `formerly: [{snapshot.host}]` in domains.yaml.",
    )
