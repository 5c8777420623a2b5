"""Every report fits a terminal, is plain in a pipe, and shows the text of others without obeying it."""

import re
from collections.abc import Callable
from datetime import UTC, date, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from resticwrap.errors import Failure
from resticwrap.model.assurance import Gates, RecoveryFile
from resticwrap.model.policy import (
    ColdTier,
    Domain,
    HotTier,
    Keep,
    LocalTarget,
    S3Credentials,
    S3Target,
    ScheduledJob,
    ScheduleFile,
    Tiers,
)
from resticwrap.model.reports import (
    BackupPlan,
    Coverage,
    DoctorReport,
    HistoryDay,
    HistoryReport,
    StatusReport,
    UnlockReport,
)
from resticwrap.model.sources import FilesSource
from resticwrap.report import layout, text
from tests.unit.report import samples
from tests.unit.report.screens import SCREENS, draw

NAMES = sorted(SCREENS)
STYLE = re.compile(r"\x1b\[[0-9;]*m")
BOXES = re.compile(r"[\u2500-\u259f✓✗…]")


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    for line in STYLE.sub("", draw(SCREENS[name], width=width)).splitlines():
        assert layout.cells(line) <= width, line


@pytest.mark.parametrize("name", NAMES)
def test_a_pipe_gets_plain_text(name: str) -> None:
    """No escape sequences, no frames, no signs, nothing left out, no spaces at line ends."""
    shown = draw(SCREENS[name], terminal=False, width=80)
    assert "\x1b" not in shown
    assert not BOXES.search(shown)
    assert all(line == line.rstrip() for line in shown.splitlines())
    if name in ("snapshots", "backup", "plan"):
        assert samples.hexes(2) in shown
    if name in ("ls", "objects", "backup", "restore_bad", "verify_bad"):
        assert samples.LONG in shown


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
@pytest.mark.parametrize("name", NAMES)
def test_colours_can_be_left_out(name: str, variable: str, value: str) -> None:
    """Without colours (and on a dumb terminal without any escape) the words say the same."""
    shown, coloured = draw(SCREENS[name], environ={variable: value}), draw(SCREENS[name])
    for found in STYLE.findall(shown):
        assert not set(found[2:-1].split(";")) & {str(code) for code in range(30, 50)}, found
    if variable == "TERM":
        assert "\x1b" not in shown
        assert not BOXES.search(shown)
    else:
        assert STYLE.sub("", shown) == STYLE.sub("", coloured)


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("name", ["backup", "ls", "objects", "restore_bad", "verify_bad", "manifest", "error"])
def test_the_text_of_others_is_shown_and_not_obeyed(name: str, terminal: bool) -> None:
    """ESC, line ends, direction marks and halves of surrogates are escaped; rich's markup is just text."""
    shown = STYLE.sub("", draw(SCREENS[name], terminal=terminal, width=160))
    assert not set(shown) & set("\x1b\r\u202e\udcff")
    assert r"\x1b[31m" in shown
    if name not in ("error", "verify_bad") or not terminal:
        assert name == "error" or "[bold red]x[/]" in shown
    shown.encode()


def test_an_encoding_without_signs_gets_none() -> None:
    shown = draw(SCREENS["doctor"], encoding="ascii")
    assert STYLE.sub("", shown).isascii()


def test_the_backup_names_what_was_missed() -> None:
    shown = draw(SCREENS["backup"], terminal=False)
    assert "ocr_texts: 31 items could not be read" in shown
    assert "    and 28 more" in shown
    assert "parsed_texts: The repository is locked by restic on school-2.\n  what to do: rw unlock local" in shown
    assert re.search(r"^16 of 18 +complete +260,775 +19\.7 GiB", shown, re.MULTILINE)
    assert "score_sheets: 1 file changed though" in shown
    assert "warning: The clock of the store is 3s ahead." in shown


def test_the_plan_does_not_count_what_it_does_not_know() -> None:
    shown = draw(SCREENS["plan"], terminal=False)
    assert re.search(r"analysis_drafts +P2 +derived +incremental +\? +\?", shown)
    assert "1 domain could not be counted" in shown


def test_the_calendar_differs_without_colours() -> None:
    """Each kind of day has its own letter, the worst of the day counts, days without a job are seen."""
    days = [
        HistoryDay(day=f"2026-07-{day}", domain="exams", jobs=3, failed=failed, partial=partial, full=full, added=1024)
        for day, failed, partial, full in [(27, 0, 0, 0), (28, 0, 0, 1), (29, 0, 1, 1), (31, 1, 1, 1)]
    ]
    report = HistoryReport(target="local", rows=(), days=tuple(days), time_zone="Asia/Shanghai")
    lines = draw(lambda console: text.history(console, report, today=date(2026, 8, 1)), environ={"NO_COLOR": "1"})
    shown = STYLE.sub("", lines).splitlines()
    assert shown[0] == "Calendar of local, 2026-07-27 to 2026-08-01, days in Asia/Shanghai"
    assert shown[2].split() == ["27", "Added"]
    assert shown[3].split() == ["exams", "o", "F", "p", ".", "X", ".", "4.0", "KiB"]
    assert "o ok   F ok, a full   p partial   X failed   . none" in shown[4]
    assert shown[5] == "12 runs: 9 complete, 2 partial, 1 failed; 4.0 KiB added"


def test_the_calendar_shows_the_newest_days_that_fit() -> None:
    shown = STYLE.sub("", draw(SCREENS["history"]))
    assert "2026-07-08 to 2026-08-02 (since 2026-06-17 in all)" in shown
    assert "2026-06-17 to 2026-08-02" in draw(SCREENS["history"], terminal=False)


def test_the_history_of_ten_thousand_rows_is_quick_enough_to_be_streamed() -> None:
    """All rows are there, whole, in a pipe."""
    row = samples.history().rows[0]
    report = HistoryReport(target="local", rows=(row,) * 10_000)
    assert draw(lambda console: text.history(console, report), terminal=False).count("exam_uploads") == 10_000


def test_restores_say_n_of_n() -> None:
    good, bad = draw(SCREENS["restore"], terminal=False), draw(SCREENS["restore_bad"], terminal=False)
    assert "All 4,575 files compared with the backup: identical." in good
    assert f"rw restore --undo {samples.JOB}" in good
    assert re.search(r"exam_uploads .* 1,523 of 1,525", bad)
    assert "compared 4,575 of 4,575 files, 2 mismatches, 1 unreadable." in bad
    assert f"    {samples.LONG}: missing" in bad


def test_damage_comes_with_its_cost_and_the_way_out() -> None:
    shown = draw(SCREENS["verify_bad"], terminal=False)
    assert f"damaged pack {samples.hexes(5)}: costs 41 files in 12 snapshots" in shown
    assert "what to do: rw backup --type full" in shown
    assert "and 38 more" in shown
    assert "covered    41.1 % of the store in the last 30 days (1.1 GiB of 2.8 GiB, 74 of 180 packs)" in shown
    assert "19 of 20 files restored and identical (seed 90210)" in shown


def test_a_verify_that_proved_nothing_says_so() -> None:
    report = msgspec.structs.replace(
        samples.verify(), ok=False, sampled=(), proven=(),
        coverage=Coverage(days=30, bytes_read=0, bytes_total=0, packs_read=0, packs_total=0),
    )  # fmt: skip
    shown = draw(lambda console: text.verify(console, report), terminal=False)
    assert "no file was restored" in shown
    assert "the store has no packs yet" in shown
    assert "Nothing was proven" in shown


@pytest.mark.parametrize("height", [14, 24, 40])
def test_the_status_fits_one_screen(height: int) -> None:
    """Late domains are always shown; those that are well give way and are counted."""
    shown = draw(SCREENS["status"], height=height).splitlines()
    assert len(shown) < height
    whole = STYLE.sub("", "\n".join(shown))
    assert "16 of 18 domains" in whole
    assert "score_sheets" in whole and "NEVER" in whole
    assert "session_index" in whole and "LATE" in whole
    if height == 12:
        assert "more within their objective" in whole


def test_the_status_shows_everything_when_asked() -> None:
    shown = draw(lambda console: text.status(console, samples.status(), zone=UTC, everything=True), height=10)
    assert all(name in shown for name, _, _ in samples.DOMAINS)


def test_init_is_loud_about_the_password() -> None:
    for shown in (
        draw(SCREENS["init"]),
        draw(SCREENS["init"], terminal=False),
        draw(SCREENS["init"], environ={"TERM": "dumb"}),
    ):
        assert "KEEP THIS PASSWORD ELSEWHERE TOO" in shown
        assert "/var/lib/resticwrap/secrets/local.password" in shown
    assert "ELSEWHERE" not in draw(SCREENS["init_again"])


def test_doctor_says_what_to_do() -> None:
    shown = draw(SCREENS["doctor"], terminal=False)
    assert "warn  clock   The store is 95s ahead.\n      what to do: timedatectl set-ntp true" in shown
    assert "local: 4 checks: 2 ok, 1 warning, 1 failed" in shown


def test_a_failure_is_a_sentence_and_a_hint() -> None:
    failure = Failure("The bucket [red]exams[/red] is not there.", hint="rw init --target s3")
    shown = draw(lambda console: text.show_failure(console, failure), terminal=False)
    assert shown == "error: The bucket [red]exams[/red] is not there.\nwhat to do: rw init --target s3\n"
    assert "  policies/targets.yaml:12: targets.oss.endpoint: must be https" in draw(SCREENS["error"], terminal=False)


EMPTY: dict[str, Callable[[Console], None]] = {
    "No snapshots.": lambda console: text.snapshots(console, []),
    "Nothing there.": lambda console: text.ls(console, [], "x"),
    "No objects.": lambda console: text.objects(console, []),
    "No locks on local.": lambda console: text.locks(console, UnlockReport(target="local", locks=())),
    "Nothing was checked.": lambda console: text.doctor(console, DoctorReport(target="local", checks=())),
    "Nothing has been backed up": lambda console: text.history(console, HistoryReport(target="local", rows=())),
    "0 domains, 1 side by side": lambda console: text.plan(
        console, BackupPlan(target="local", type="full", parallel=1, domains=())
    ),
    "No domains.": lambda console: text.status(
        console, StatusReport(target="local", provider="local", at=samples.NOW, domains=(), tiers=())
    ),
}


@pytest.mark.parametrize("sentence", sorted(EMPTY))
@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_said_to_be_nothing(sentence: str, terminal: bool) -> None:
    assert sentence in STYLE.sub("", draw(EMPTY[sentence], terminal=terminal))


def test_huge_numbers_keep_the_table_whole() -> None:
    status = samples.status()
    huge = msgspec.structs.replace(
        status.domains[0], size=10**60, stored=2**80, files=10**15, snapshots=10**9, rpo_lag=10.0**12
    )
    report = msgspec.structs.replace(status, domains=(huge,))
    for width in (60, 80, 120):
        shown = STYLE.sub("", draw(lambda console: text.status(console, report, zone=UTC), width=width))
        assert all(layout.cells(line) <= width for line in shown.splitlines())


def test_policies_are_shown_without_secrets(tmp_path: Path) -> None:
    credentials = S3Credentials.model_validate({"access_key_id": "AKIA-secret", "secret_access_key": "very-secret"})
    job = ScheduledJob(kind="backup", target="s3", type="incremental", every=timedelta(minutes=4))
    keep = Keep(within=timedelta(days=30), daily=7)

    def show(console: Console) -> None:
        text.policy(
            console, default="local",
            targets={
                "local": LocalTarget(provider="local", path=tmp_path),
                "s3": S3Target(provider="s3", bucket="school-backups", credentials=credentials),
            },
            domains={"exams": Domain(layer="raw", priority="P0", source=FilesSource(root=Path("/srv/exams")))},
            tiers=Tiers(hot=HotTier(days=30, keep=keep), cold=ColdTier(days=180, keep=Keep(forever=True))),
            schedule=ScheduleFile(time_zone="Asia/Shanghai", jobs={"often": job}),
            gates=Gates(),
            recovery=RecoveryFile(),
        )  # fmt: skip

    shown = draw(show, terminal=False)
    assert "secret" not in shown
    assert "https://s3.amazonaws.com/school-backups" in shown
    assert "within 30d, daily 7" in shown
    assert "every 4m" in shown
    assert all(layout.cells(line) <= 80 for line in STYLE.sub("", draw(show)).splitlines())
