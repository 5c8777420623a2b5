"""Whose a domain, and a target, is where machines share a repository or a catalogue."""

from collections.abc import Iterable, Mapping, Sequence

from resticwrap import errors
from resticwrap.model.unattended import HostDomain
from resticwrap.planning import owners as planning
from resticwrap.ports import Catalog
from resticwrap.services.context import Context, Records


def taken(context: Context, domains: Sequence[str], *, claim: bool = False) -> Mapping[str, str]:
    """By domain the other host whose it is. `claim`: what nobody has is this host's from now on.

    Asked once for each domain: of what this machine has backed up before, its own state directory knows. The repository
    decides; before the first snapshot, who promised it first in the catalogue, where that answers.
    """
    latest = context.latest()
    known = latest.domains if latest else {}
    unknown = [name for name in domains if name not in known or not known[name].host]
    if not unknown:
        return {}
    try:
        promised = promise(context) if claim else _promised(context)
    except (errors.CatalogUnavailable, errors.DiskFull):
        promised = {}
    prefix = f"{context.target.namespace}/hot/snapshots/"
    there = any(True for _ in context.store.list(prefix))
    hosts = planning.hosts_of(context.hot.snapshots()) if there else {}
    return planning.taken(unknown, context.settings.hosts, hosts, promised)


def _promised(context: Context) -> Mapping[str, str]:
    """By domain the other host that promised it."""
    found = context.catalog().host_domains(context.target_name)
    return {one.domain: one.host for one in found if one.host not in context.settings.hosts}


def promise(context: Context) -> Mapping[str, str]:
    """Tell the catalogue what this machine promises of the target; what others promised first is left to them and
    returned, by domain. Raises CatalogUnavailable."""
    settings, now = context.settings, context.clock.now()
    promised = [
        HostDomain(
            host=settings.host,
            target=context.target_name,
            domain=name,
            layer=domain.layer,
            priority=domain.priority,
            rpo=domain.rpo.total_seconds(),
            rto=domain.rto.total_seconds(),
            seen_at=now,
            repository=context.pins()["hot"].repository_id,
        )
        for name, domain in settings.domains.items()
    ]
    return context.catalog().claim_domains(promised, settings.formerly)


def refuse_other_repository(catalog: Catalog, records: Records) -> None:
    """Raises CatalogUnavailable where another machine calls another repository by the name of this target: what one
    knows of its snapshots would be taken for the other's."""
    pin = records.state.pins(records.target_name).get("hot")
    others = _elsewhere(catalog.host_domains(records.target_name), records.settings.hosts)
    if pin and (wrong := sorted({(one.host, one.repository) for one in others if one.repository != pin.repository_id})):
        host, repository = wrong[0]
        raise errors.CatalogUnavailable(
            f"Target {records.target_name} is repository {repository[:8]} of host {host} in this catalogue, and "
            f"{pin.repository_id[:8]} here.",
            hint="Give the target another name in targets.yaml: machines that share a catalogue call one repository by "
            "one name.",
        )


def refuse_new_repository(context: Context) -> None:
    """Before one is made: raises OtherRepository where other machines have one by this target's name already."""
    try:
        others = _elsewhere(context.catalog().host_domains(context.target_name), context.settings.hosts)
    except (errors.CatalogUnavailable, errors.DiskFull):
        return
    if others:
        raise errors.OtherRepository(
            f"In this catalogue target {context.target_name} is repository {others[0].repository[:8]} of host "
            f"{others[0].host}, and where this one points to there is none.",
            hint="Look where it points to: rw policy show. If it is another place, give the target another name in "
            "targets.yaml.",
        )


def _elsewhere(promised: Iterable[HostDomain], hosts: frozenset[str]) -> list[HostDomain]:
    return [one for one in promised if one.host not in hosts and one.repository]
