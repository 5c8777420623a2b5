"""Whose a domain is: the repository decides, then who promised it first."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.planning import owners
from tests.unit.catalog.samples import a_snapshot

HOSTS = st.sampled_from(["web1", "web2", "web3", "old"])
DOMAINS = st.sampled_from(["exams", "photos"])


@given(
    st.frozensets(HOSTS, min_size=1),
    st.lists(st.tuples(HOSTS, DOMAINS)),
    st.dictionaries(DOMAINS, HOSTS),
)
def test_a_domain_is_refused_exactly_where_it_is_anothers(
    hosts: frozenset[str], made: list[tuple[str, str]], promised: dict[str, str]
) -> None:
    """Never one of which this machine has a snapshot; always one of which only others have; else by promise. Who is
    named is never this machine."""
    snapshots = [msgspec.structs.replace(a_snapshot(domain=domain), host=host) for host, domain in made]
    found = owners.taken(["exams", "photos"], hosts, owners.hosts_of(snapshots), promised)
    for domain in ("exams", "photos"):
        by = {host for host, name in made if name == domain}
        expected = not by & hosts and (bool(by) or promised.get(domain, min(hosts)) not in hosts)
        assert (domain in found) == expected
    assert not set(found.values()) & hosts
    assert {one.host for one in owners.ours(snapshots, hosts)} == {host for host, _ in made} & hosts


def test_what_is_missing_here_may_be_elsewhere() -> None:
    """The sentence says where, and how to say that it is this machine's."""
    missing = errors.NotFound("Nothing.", hint="rw snapshots")
    assert owners.also_elsewhere(missing, "other", [a_snapshot()]) is missing
    told = owners.also_elsewhere(missing, "exams", [msgspec.structs.replace(a_snapshot(), host="old")])
    assert "host old" in told.message and "formerly: [old]" in told.hint
