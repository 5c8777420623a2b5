"""A repository that was lost vouches for nothing: not in the records either, once another one stands in its place."""

import shutil
from typing import Any

from tests.conftest import MakeLab
from tests.lab import Lab, template


def proven(lab: Lab) -> None:
    """Backed up and verified whole."""
    lab.fill("exams", 3)
    lab.write("profiles/anna.json", "{}")
    lab.rw("backup")
    lab.rw("verify", "--share", "1")


def lost(lab: Lab) -> None:
    """The repositories are gone, and their pins are removed as `rw backup` says."""
    shutil.rmtree(lab.store / lab.namespace)
    (lab.state / "pins" / "main.json").unlink()


def told(lab: Lab) -> tuple[Any, ...]:
    """What status says of every domain, and of hot."""
    status = lab.json("status")
    (hot, _) = status["tiers"]
    domains = [(one["within"], one["rpo_lag"] is None, one["snapshots"], one["proven_at"]) for one in status["domains"]]
    return domains, (hot["snapshots"], hot["stored"], hot["last_verify"], hot["last_verify_ok"], hot["coverage"])


def test_a_new_one(lab: Lab) -> None:
    """After `rw init` nothing of the old one counts, and its jobs stay in the history; then all begins anew."""
    proven(lab)
    jobs = [row["job"] for row in lab.json("history")["rows"]]
    lost(lab)
    lab.rw("init")
    assert told(lab) == ([(False, True, 0, None)] * 2, (0, 0, None, None, None))
    assert [row["job"] for row in lab.json("history")["rows"]] == jobs
    with lab.house() as built:
        assert built.catalog.reads("main", "hot") == {}
    lab.rw("backup", "--domain", "exams")
    domains, _ = told(lab)
    assert [within for within, *_ in domains] == [True, False]


def test_another_one_is_adopted(lab: Lab, make_lab: MakeLab) -> None:
    """One that was there before, and holds nothing of what was backed up, vouches for no more than a new one."""
    other = make_lab("local", ready=False)
    other.rw("init")
    proven(lab)
    lost(lab)
    (other.store / other.namespace).rename(lab.store / lab.namespace)
    lab.rw("init")
    assert told(lab) == ([(False, True, 0, None)] * 2, (0, 0, None, None, None))
    with lab.house() as built:
        assert built.catalog.reads("main", "hot") == {}


def test_an_older_copy_of_it(lab: Lab) -> None:
    """Brought back as it was before: looks at what it does not hold do not count, once a rebuild has looked."""
    proven(lab)
    shutil.rmtree(lab.store / lab.namespace)
    shutil.copytree(template(lab.restic), lab.store / lab.namespace)
    lab.rw("catalog", "rebuild", code=None)
    domains, hot = told(lab)
    assert domains == [(False, True, 0, None)] * 2 and hot[0] == 0


def test_the_same_one_again(lab: Lab) -> None:
    """Where only the pins were lost, everything still counts."""
    proven(lab)
    domains, hot = told(lab)
    (lab.state / "pins" / "main.json").unlink()
    lab.rw("init")
    assert told(lab) == (domains, hot)
    assert all(within for within, *_ in domains) and hot[4]["packs_read"] > 0
