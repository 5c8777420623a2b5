"""The questions of the doctor, each with its verdict and what to do."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest

from resticwrap import errors
from resticwrap.model.policy import Domain
from resticwrap.model.reports import Check, LockInfo
from resticwrap.services import doctor

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_clock_of_the_catalogues_server() -> None:
    """Told where there is a server; a failure where machines could not be compared by it."""
    assert doctor.server_clock(NOW, None) == []
    assert [one.verdict for one in doctor.server_clock(NOW, NOW - timedelta(seconds=600))] == ["ok"]
    assert [one.verdict for one in doctor.server_clock(NOW, NOW + timedelta(seconds=601))] == ["fail"]


def domain(root: Path) -> Domain:
    """A domain of files."""
    return Domain.model_validate({"layer": "raw", "priority": "P0", "source": {"root": str(root)}})


def lock(state: Literal["alive", "dead", "foreign"], age: timedelta) -> LockInfo:
    return LockInfo(
        id="1" * 64, time=NOW - age, modified=NOW - age, exclusive=False, host="h", user="u", pid=1, state=state
    )


def test_locks() -> None:
    """Those that nobody will ever remove are told, with the command for them; the living and the young are not."""
    young, old = timedelta(minutes=1), timedelta(hours=1)
    for locks, verdict, hint in (
        ([], "ok", ""),
        ([lock("alive", old), lock("foreign", young)], "ok", ""),
        ([lock("dead", young), lock("alive", old)], "warn", "rw unlock --target main"),
        ([lock("foreign", old)], "warn", "rw unlock --target main --stale"),
    ):
        (check,) = doctor.locks(locks, NOW, NOW, "main")
        assert (check.verdict, check.hint) == (verdict, hint), locks


def test_every_question_is_asked() -> None:
    """One that cannot be answered fails with its own sentence and hint, and does not hide the next."""

    def unreachable() -> Iterable[Check]:
        yield doctor.ok("half", "an answer before the trouble")
        raise errors.TargetUnreachable("Nobody answers.", hint="Look at the cable.")

    def policies() -> Iterable[Check]:
        raise errors.PolicyError(
            [errors.Problem("a.yaml", 1, "x", "is wrong"), errors.Problem("a.yaml", 2, "y", "too")]
        )

    report = doctor.examine(
        "main", [("target", unreachable), ("policies", policies), ("clock", lambda: [doctor.ok("clock", "fine")])]
    )
    assert report.target == "main" and not report.ok
    assert [(check.name, check.verdict) for check in report.checks][-4:] == [
        ("target", "fail"), ("policies", "fail"), ("policies", "fail"), ("clock", "ok")
    ]  # fmt: skip
    failed = [check for check in report.checks if check.verdict == "fail"]
    assert failed[0].detail == "Nobody answers." and failed[0].hint == "Look at the cable."
    assert failed[1].detail == "a.yaml:1: x: is wrong" and failed[1].hint == "rw policy check"


def test_warnings_do_not_fail() -> None:
    """Only what would stop a backup makes the doctor exit 1."""
    warn = Check(name="disk", verdict="warn", detail="d", hint="h")
    assert doctor.examine("main", [("disk", lambda: [warn])]).ok


@pytest.mark.parametrize(("off", "verdict"), [(0, "ok"), (600, "ok"), (601, "fail"), (-601, "fail"), (-5, "ok")])
def test_clock(off: int, verdict: str) -> None:
    """Ten minutes off is the limit, either way."""
    check = doctor.clock(NOW, NOW + timedelta(seconds=off))
    assert check.verdict == verdict and bool(check.hint) == (verdict == "fail")
    assert f"{abs(off)} seconds" in check.detail
    assert doctor.clock(NOW, None).verdict == "ok"


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(0, "fail"), (doctor.LOW - 1, "fail"), (doctor.LOW, "warn"), (doctor.WANTED - 1, "warn"), (doctor.WANTED, "ok")],
)
def test_space(free: int, verdict: str) -> None:
    """By place, with what to do where there is little."""
    (check,) = doctor.space({"cache": (Path("/c"), free)})
    assert (check.name, check.verdict, bool(check.hint)) == ("space: cache", verdict, verdict != "ok")


def test_sources(tmp_path: Path) -> None:
    """There, not there, and where nobody can look."""
    (tmp_path / "there").mkdir()
    (check,) = doctor.sources({"a": domain(tmp_path / "there")})
    assert (check.verdict, check.name) == ("ok", "sources") and check.detail.startswith("1 ")
    (gone,) = doctor.sources({"a": domain(tmp_path / "there"), "b": domain(tmp_path / "gone")})
    assert (gone.verdict, gone.name) == ("fail", "source: b") and gone.hint
    # A path that cannot even be looked at is a failure in words, like a folder that may not be entered.
    (strange,) = doctor.sources({"c": domain(tmp_path / ("x" * 300))})
    assert strange.verdict == "fail" and strange.hint


def test_an_unreadable_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said with the user who cannot read it (root can read everything, so the answer is forced)."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (check,) = doctor.sources({"a": domain(tmp_path)})
    assert check.verdict == "fail" and f"user {os.geteuid()}" in check.detail and check.hint.startswith("ls -ld ")


def test_other_disk(tmp_path: Path) -> None:
    """A backup beside what it protects is warned of; the domains are named, up to three."""
    roots = {name: domain(tmp_path / name) for name in "abcd"}
    for name in roots:
        (tmp_path / name).mkdir()
    devices = dict.fromkeys([tmp_path / name for name in "ab"], 1)
    (warn,) = doctor.other_disk(Path("/t"), roots, lambda path: 1 if path == Path("/t") else devices.get(path, 2))
    assert warn.verdict == "warn" and "2 of the domains" in warn.detail and "(a, b)" in warn.detail and warn.hint
    (all_same,) = doctor.other_disk(Path("/t"), roots, lambda path: 1)
    assert "(a, b, c …)" in all_same.detail
    (fine,) = doctor.other_disk(Path("/t"), roots, lambda path: len(str(path)) == 2)
    assert fine.verdict == "ok"
    (absent,) = doctor.other_disk(Path("/t"), {"x": domain(tmp_path / ("x" * 300))}, lambda path: 1)
    assert absent.verdict == "ok"


@pytest.mark.parametrize(("mode", "verdict"), [(0o700, "ok"), (0o600, "ok"), (0o750, "warn"), (0o604, "warn")])
def test_private(mode: int, verdict: str, tmp_path: Path) -> None:
    """What only its owner should read."""
    place = tmp_path / "secret"
    place.mkdir()
    place.chmod(mode)
    check = doctor.private("state", place)
    place.chmod(0o700)
    assert check.verdict == verdict and (check.hint == (f"chmod go= {place}" if verdict == "warn" else ""))
    assert doctor.private("state", tmp_path / "not-yet").verdict == "ok"
    assert doctor.private("state", tmp_path / ("x" * 300)).verdict == "fail"
