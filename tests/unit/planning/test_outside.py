"""Files of systemd and cron: whose they are, what they say, and that they say no secret and nothing ambiguous."""

import shlex
import string
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.model.policy import ScheduledJob
from resticwrap.planning import cronfile, outside, units
from resticwrap.planning.calendar import crontab
from resticwrap.planning.cronfile import Line
from resticwrap.planning.outside import Facts

POLICIES = Path("/etc/resticwrap/policies")


def job(**more: Any) -> ScheduledJob:
    return ScheduledJob.model_validate({"kind": "verify", "target": "main", "cron": "0 2 * * *", **more})


FACTS = Facts(
    name="resticwrap",
    rw=("/opt/rw/bin/rw",),
    policies=POLICIES,
    environment={"RW_STATE_DIR": "/var/lib/resticwrap"},
    env_file=Path("/etc/resticwrap/env"),
    credentials={"RESTIC_PASSWORD_FILE": Path("/root/password")},
    writes=(Path("/var/lib/resticwrap"),),
    targets={"main": Path("/backups")},
    roots=(Path("/srv/exams"),),
    zone="Asia/Shanghai",
    jobs={
        "full": job(kind="backup", type="full", domains=("exams",), max_run="90m"),
        "odd": job(cron=None, every="7m"),
    },
)


FULL = "backup --type full --target main --domain exams --policies /etc/resticwrap/policies --quiet"


def lines(text: str) -> set[str]:
    return set(text.splitlines())


def test_a_service_and_its_timer() -> None:
    """What runs, when, for how long, with which variables; the secret's file is handed over as a credential."""
    files = units.units(FACTS)
    assert set(files) == {"resticwrap.target"} | {
        f"resticwrap-{job}.{kind}" for job in ("full", "odd") for kind in ("service", "timer")
    }
    assert lines(files["resticwrap-full.service"]) >= {
        f"ExecStart=/opt/rw/bin/rw {FULL}",
        'Environment="RW_STATE_DIR=/var/lib/resticwrap"',
        "LoadCredential=RESTIC_PASSWORD_FILE:/root/password",
        "Environment=RESTIC_PASSWORD_FILE=%d/RESTIC_PASSWORD_FILE",
        "EnvironmentFile=/etc/resticwrap/env",
        "TimeoutStartSec=5400",
        "KillSignal=SIGINT",
        "ReadWritePaths=-/var/lib/resticwrap -/backups",
        "PrivateTmp=yes",
    }
    assert lines(files["resticwrap-full.timer"]) >= {"OnCalendar=*-*-* 02:00:00 Asia/Shanghai", "Persistent=true"}
    odd = lines(files["resticwrap-odd.timer"])
    assert "OnUnitActiveSec=420s" in odd and "Persistent=true" not in odd
    assert units.enabled(files) == ("resticwrap.target", "resticwrap-full.timer", "resticwrap-odd.timer")


def test_a_job_may_do_what_it_needs() -> None:
    """Files are handed back only by what restores; an L3 that starts the system confines it by itself; no private
    /tmp where something that is needed lies there."""

    def service(facts: Facts = FACTS, **more: Any) -> str:
        return units.units(replace(facts, jobs={"one": job(**more)}))["resticwrap-one.service"]

    assert "CAP_SETFCAP" in service() and "CAP_SETFCAP" not in service(kind="forget")
    starts = replace(FACTS, starts=True)
    assert "SystemCallFilter" not in service(starts, kind="drill", level="l3")
    assert "SystemCallFilter" in service(starts, kind="drill", level="l1")
    assert "PrivateTmp" not in service(replace(FACTS, roots=(Path("/tmp/exams"),)))
    assert "ReadOnlyPaths=-/backups/data" in service(replace(FACTS, roots=(Path("/backups/data"),)))
    assert "ProtectSystem" not in service(replace(FACTS, user=True))


def test_the_scheduler_as_a_service() -> None:
    (text,) = units.daemon(FACTS).values()
    assert "ExecStart=/opt/rw/bin/rw schedule run --policies /etc/resticwrap/policies" in lines(text)
    assert units.enabled(units.daemon(FACTS)) == ("resticwrap.service",)


def test_a_crontab() -> None:
    """Variables and a mail address in front, a line for each time; the percent sign means itself."""
    facts = replace(FACTS, rw=("/opt/100%/rw",), jobs={"full": FACTS.jobs["full"]})
    text = cronfile.cronfile(facts, [Line("full", facts.jobs["full"], ("0 2 * * *", "0 3 * * 1"))], mailto="a@b")
    assert lines(text) >= {"MAILTO=a@b", "RESTIC_PASSWORD_FILE=/root/password", "RW_STATE_DIR=/var/lib/resticwrap"}
    command = rf"set -a; . /etc/resticwrap/env; set +a; exec timeout -s INT -k 90 5400 /opt/100\%/rw {FULL}"
    assert lines(text) >= {f"0 2 * * * root {command}", f"0 3 * * 1 root {command}"}
    assert not cronfile.too_long(text) and cronfile.too_long(text + "x" * 1000)
    assert cronfile.unspeakable(replace(FACTS, environment={"A": "\"'", "B": "\n", "C": "it's", "D": "\\"})) == [
        "A",
        "B",
        "D",
    ]


def test_reasons_are_given_once() -> None:
    found = {"a": crontab(job(), None), "b": crontab(job(), None), "c": crontab(job(cron=None, every="7m"), 0)}
    one, two = cronfile.refusals({**found, "d": crontab(job(), 0)})
    assert one.startswith("a, b: cron knows no time zone") and two.startswith("c: ") and two.endswith("6m or 10m")


TEXT = st.text(st.sampled_from(string.printable.translate({10: None, 13: None, 11: None, 12: None})), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), TEXT, max_size=3), TEXT.map("/opt/{}".format))
def test_lines_of_a_user_stand_for_themselves(values: dict[str, str], place: str) -> None:
    """Whatever is in a value or a path, the shell hands it to rw unchanged, once cron has taken its backslashes off."""
    facts = replace(FACTS, user=True, environment=values, credentials={}, env_file=None, policies=Path(place))
    line = cronfile.shell(facts, job()).replace("\\%", "%")
    sets, _, runs = line.removeprefix("export ").rpartition("; exec timeout ")
    assert shlex.split(sets) == [f"{name}={value}" for name, value in sorted(values.items())]
    assert shlex.split(runs)[-2] == str(Path(place))


@settings(max_examples=60)
@given(TEXT)
def test_a_word_of_systemd_stands_for_itself(text: str) -> None:
    """Read back as systemd.syntax(7) says: quotes, then specifiers, then variables."""
    word = units._exec(text)
    assert not {"$", "%"} & set(word.replace("$$", "").replace("%%", ""))
    read = word
    if read.startswith('"'):
        read = read[1:-1].replace('\\"', '"').replace("\\\\", "\\") if "\\" in read else read[1:-1]
    assert read.replace("%%", "%").replace("$$", "$") == text


def whose(text: str, **more: Any) -> str:
    return outside.whose(text, **{"name": "resticwrap", "policies": POLICIES, **more})


@settings(max_examples=40)
@given(TEXT, st.data())
def test_whose_a_file_is(body: str, data: st.DataObject) -> None:
    """Any change of what we wrote is seen; other policies and other names are others."""
    text = outside.marked(FACTS, f"{body}\n")
    assert whose(text) == "ours" and whose(body) == "nobody"
    assert whose(text, name="other") == whose(text, policies=Path("/other")) == "other"
    start = len(text) - len(body) - 1
    at = data.draw(st.integers(start, len(text)))
    assert whose(text[:at] + "#" + text[at:]) == "edited" and whose(text[:-1]) == "edited"


def changes(wanted: dict[str, str], there: dict[str, str], *, force: bool = False) -> tuple[dict[str, str], int]:
    found = outside.changes(wanted, there, "resticwrap", POLICIES, force=force)
    return {file.path: file.action for file in found.files}, len(found.refused)


def test_what_becomes_of_files() -> None:
    """Ours follow the schedule; what was edited or is not ours is refused; what nobody asked for is left alone."""
    a, b = outside.marked(FACTS, "a\n"), outside.marked(FACTS, "b\n")
    assert changes({"x": a, "y": a}, {}) == ({"x": "add", "y": "add"}, 0)
    assert changes({"x": a, "y": b}, {"x": a, "y": a, "z": a}) == ({"x": "keep", "y": "change", "z": "remove"}, 0)
    assert changes({}, {"x": a, "y": "foreign"}) == ({"x": "remove"}, 0)
    assert changes({}, {"y": "foreign"}, force=True) == ({}, 0)
    for there in (f"{b}edited", "foreign", outside.marked(replace(FACTS, name="other"), "")):
        assert changes({"x": a}, {"x": there})[1] == 1
        assert changes({"x": a}, {"x": there}, force=True) == ({"x": "change"}, 0)
    assert changes({}, {"x": f"{b}edited"})[1] == 1


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["0 1 * * * mine\n", "# a\n", "\n", "MAILTO=me\n"]), max_size=6), st.booleans())
def test_other_lines_of_a_crontab_stay(others: list[str], ends: bool) -> None:
    """Put in, changed and taken out again, wherever it stands, with everything else as it was."""
    facts = replace(FACTS, user=True)
    one, two = (cronfile.cronfile(facts, [Line("full", job(), (f"{n} * * * *",))], mailto="") for n in (1, 2))
    whole = "".join(others).removesuffix("" if ends else "\n")
    before, none, behind = cronfile.split(whole, "resticwrap")
    assert (before, none, behind) == (whole, None, "")
    with_one = cronfile.joined(whole, one, "") + "9 9 * * * later\n"
    before, found, behind = cronfile.split(with_one, "resticwrap")
    assert found == one and behind == "9 9 * * * later\n"
    before, found, behind = cronfile.split(cronfile.joined(before, two, behind), "resticwrap")
    assert found == two
    rest = cronfile.joined(before, None, behind)
    assert rest.splitlines() == [*whole.splitlines(), "9 9 * * * later"]
    with pytest.raises(ValueError, match="no end"):
        cronfile.split(with_one.replace(cronfile.end_of("resticwrap"), ""), "resticwrap")


CHARACTERS = "ab12 _./:@%+=,-#;&|$`\\\"'~*?<>(){}!"
VALUES = st.text(st.sampled_from(CHARACTERS), max_size=12)


def shell_reads(file: Path, name: str) -> str | None:
    run = subprocess.run(
        ["/bin/sh", "-c", f'set -a; . {shlex.quote(str(file))}; printf "%s" "${name}"'],
        env={"PATH": "/nowhere", "HOME": "/nowhere"},
        capture_output=True,
    )
    return run.stdout.decode() if run.returncode == 0 and not run.stderr else None


@settings(max_examples=60, deadline=None)
@given(VALUES, st.sampled_from(["{}", "'{}'", '"{}"']))
def test_a_file_of_variables_is_read_as_a_shell_reads_it(
    tmp_path_factory: pytest.TempPathFactory, value: str, quotes: str
) -> None:
    """What is understood is what a real shell understands; of the rest the line is named, and nothing of it."""
    told, found = "", None
    text = f"# first\n\nSECRET={quotes.format(value)}\n"
    try:
        found, told = outside.variables(text), ""
    except outside.Misread as error:
        found, told = None, str(error)
    if found is None:
        assert told == "line 3"
        return
    file = tmp_path_factory.getbasetemp() / "variables"
    file.write_text(text)
    assert found == {"SECRET": shell_reads(file, "SECRET")}


@pytest.mark.parametrize("text", ["export A=b", "A = b", "A", "1A=b", "A=b c", "A=b # c", 'A="$B"', "A='b'c", "A=~/b"])
def test_what_a_file_of_variables_may_not_say(text: str) -> None:
    with pytest.raises(outside.Misread):
        outside.variables(text)
