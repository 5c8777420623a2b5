"""`rw status --all-hosts`: one table of all machines of a catalogue, out of records alone."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby

from resticwrap.clock import CLOCK_SLACK
from resticwrap.model.base import Time
from resticwrap.model.hosts import HostDomainStatus, HostsReport, HostStatus
from resticwrap.ports import Catalog, KnownPromise

DAY = timedelta(days=1)
NOBODY = "No machine has said yet what it promises: each does at the end of its next backup."


def hosts(catalog: Catalog, targets: Sequence[str], domains: Sequence[str], now: Time) -> HostsReport:
    """Every machine that has said what it promises of these targets and domains; of all where none is named."""
    until = now + CLOCK_SLACK
    failures = catalog.failures(now - DAY)
    verifies, drills = (catalog.newest_jobs(kind, until) for kind in ("verify", "drill"))
    wanted = (
        one
        for one in catalog.promises(until)
        if (not targets or one.promise.target in targets) and (not domains or one.promise.domain in domains)
    )
    found = [
        _host(host, target, list(promises), failures, verifies, drills, now)
        for (host, target), promises in groupby(wanted, key=lambda one: (one.promise.host, one.promise.target))
    ]
    found.sort(key=lambda one: (one.within == one.domains, one.host, one.target))
    return HostsReport(at=now, hosts=tuple(found), notes=() if found else (NOBODY,))


def _host(
    host: str,
    target: str,
    promises: Iterable[KnownPromise],
    failures: Mapping[tuple[str, str], int],
    verifies: Mapping[str, tuple[Time, str]],
    drills: Mapping[str, tuple[Time, str]],
    now: Time,
) -> HostStatus:
    # Two looks of one instant are two rows of one domain.
    known = list({one.promise.domain: one for one in promises}.values())
    rows = tuple(_domain(one, now) for one in known)
    worst = max(rows, key=_beyond)
    last = max(known, key=lambda one: (one.looked_at is not None, one.looked_at or now))
    verify, drill = verifies.get(target), drills.get(target)
    return HostStatus(
        host=host,
        target=target,
        domains=len(rows),
        within=sum(row.within for row in rows),
        worst=worst.domain,
        worst_lag=worst.rpo_lag,
        last_job=last.job,
        last_outcome=last.outcome,
        last_at=last.looked_at,
        failed=failures.get((host, target), 0),
        last_verify=verify[0] if verify else None,
        last_verify_ok=verify[1] == "ok" if verify else None,
        last_drill=drill[0] if drill else None,
        last_drill_ok=drill[1] == "ok" if drill else None,
        heard_at=max(one.promise.seen_at for one in known),
        rows=rows,
    )


def _domain(one: KnownPromise, now: Time) -> HostDomainStatus:
    lag = None if one.complete_at is None else (now - one.complete_at).total_seconds()
    return HostDomainStatus(
        domain=one.promise.domain,
        layer=one.promise.layer,
        priority=one.promise.priority,
        rpo=one.promise.rpo,
        rpo_lag=lag,
        within=lag is not None and lag <= one.promise.rpo,
        last_outcome=one.outcome,
        last_looked_at=one.looked_at,
    )


def _beyond(row: HostDomainStatus) -> tuple[bool, float]:
    """How far beyond its objective: what was never backed up is furthest."""
    return (row.rpo_lag is None, (row.rpo_lag or 0) / row.rpo)
