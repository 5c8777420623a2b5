"""Two machines at work on one repository at once, with one catalogue: each does its work or says whose lock it meets,
and neither loses anything."""

import pytest
from sqlalchemy import make_url

from tests.conftest import MakeLab
from tests.faults.machine import paused, sound
from tests.integration.test_machines import machine
from tests.lab import Lab, tree
from tests.servers.postgres import Postgres


@pytest.fixture
def two(make_lab: MakeLab, postgres_url: str) -> tuple[Lab, Lab]:
    """web1 and web2, each with a backup; neither waits long for a lock."""
    web1 = machine(make_lab, "web1", postgres_url)
    web2 = machine(make_lab, "web2", postgres_url, like=web1)
    for lab in (web1, web2):
        del lab.domains["exams"]
        lab.target["lock_wait"] = "2s"
        lab.domains = {name: {**domain} for name, domain in lab.domains.items()}
        host = next(iter(lab.domains))
        lab.write_policies()
        _named(lab, host)
        lab.rw("backup")
    return web1, web2


def _named(lab: Lab, host: str) -> None:
    file = lab.folder / "policies" / "domains.yaml"
    file.write_text(file.read_text().replace("host: lab", f"host: {host}"))


def test_a_long_read_of_one_keeps_the_others_prune_away(two: tuple[Lab, Lab]) -> None:
    """A backup of the other goes on beside it, and so does another verify; forget and prune say who is reading."""
    web1, web2 = two
    with paused(web1, "check", "verify", "--share", "1") as verify:
        web2.write("web2/new", "new")
        assert web2.json("backup")["job"]["outcome"] == "ok"
        for command in (["prune", "--now", "--tier", "hot"], ["forget"]):
            said = web2.rw(*command, code=None)
            assert said.code in (1, 11) and f"process {verify.pid} on" in said.out + said.err, said
        web2.rw("verify", "--share", "1")
    out, err = verify.communicate(timeout=60)
    assert verify.returncode == 0, (out + err).decode()
    for lab, name in ((web1, "web1"), (web2, "web2")):
        sound(lab)
        lab.rw("forget")
        lab.rw("prune", "--now")
        lab.rw("restore", "--to", "back")
        assert tree(lab.folder / "back" / name) == tree(lab.data / name)


def test_a_lock_that_is_lost_in_the_middle_removes_nothing(
    two: tuple[Lab, Lab], postgres_server: Postgres, postgres_url: str
) -> None:
    """The server falls over between a prune's lock and its first step: it ends, and the other one's read is safe."""
    web1, web2 = two
    before = tree(web1.store)
    with web1.house() as house:
        context = house.context
        with context.locks.hold(f"maintenance {context.hot.url}"):
            postgres_server.break_all(make_url(postgres_url).database or "")
            with pytest.raises(Exception, match="nothing is removed"):
                context.hot.prune(max_unused="0", cacheable_only=False, deadline=60)
            with pytest.raises(Exception, match="nothing is removed"):
                context.hot.forget([one.id for one in context.hot.snapshots()])
    assert tree(web1.store) == before
    web2.rw("verify", "--share", "1")
