"""From a folder to settings, or to every reason why not."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resticwrap.errors import PolicyError, UsageError
from resticwrap.model.policy import tier_of
from resticwrap.model.snapshot import TIERS
from resticwrap.planning import rhythm
from resticwrap.settings import check, find_folder, load
from resticwrap.settings.loading import cache_dir, state_dir
from resticwrap.settings.view import show
from tests.unit.settings.samples import DOMAINS, SCHEDULE, TARGETS, policies

NOTHING_SET: Mapping[str, str] = MappingProxyType({})
OSS = {"OSS_ACCESS_KEY_ID": "0123456", "OSS_ACCESS_KEY_SECRET": "hush"}
ALWAYS_ONE = "must be 1 or not set: a job works on exactly one target, and nothing turns that off"
SHIPPED = Path(__file__).parents[3] / "policies"


def said(folder: Path, env: Mapping[str, str] = NOTHING_SET, targets: list[str] | None = None) -> list[str]:
    return [str(problem) for problem in check(folder, env, targets)]


def test_good_policies_load(tmp_path: Path) -> None:
    """With their types, their defaults and what variables say."""
    read = load(policies(tmp_path), {"BACKUP_HOT_DAYS": "7", **OSS})
    assert (read.host, read.tiers.hot.days, read.tiers.cold.days) == ("school", 7, 180)
    assert read.target_names == ("here", "oss") and list(read.domains) == ["exams", "profiles"]
    target = read.target("oss")
    assert target.provider == "oss" and target.credentials.security_token is None
    assert target.credentials.access_key_id.get_secret_value() == "0123456"  # no number was made of it
    assert read.target("oss") is target
    assert not check(tmp_path, OSS)


def test_a_variable_of_a_target_is_missed_only_when_it_is_used(tmp_path: Path) -> None:
    """The other targets work."""
    read = load(policies(tmp_path), {})
    assert read.target().provider == "local"
    with pytest.raises(PolicyError) as caught:
        read.target("oss")
    assert [str(problem) for problem in caught.value.problems] == [
        "targets.yaml:11: targets.oss.credentials.access_key_id: variable OSS_ACCESS_KEY_ID is not set",
        "targets.yaml:12: targets.oss.credentials.access_key_secret: variable OSS_ACCESS_KEY_SECRET is not set",
    ]
    assert read.problems_of_target("oss") == caught.value.problems
    assert not read.problems_of_target("here")
    assert said(tmp_path, {}, ["here"]) == [] and len(said(tmp_path, {}, ["oss"])) == 2
    assert said(tmp_path) == [], "nothing uses it"
    by_default, by_job = TARGETS.replace("default: here", "default: oss"), SCHEDULE.replace("here", "oss")
    assert len(said(policies(tmp_path, targets=by_default))) == len(said(policies(tmp_path, schedule=by_job))) == 2
    off = SCHEDULE.replace("here", "oss") + "    enabled: false\n"
    assert said(policies(tmp_path, schedule=off)) == []
    wrong = TARGETS.replace("bucket: a-bucket", "buckets: a-bucket")
    assert [line.split(":")[2] for line in said(policies(tmp_path, targets=wrong))] == [
        " targets.oss.bucket", " targets.oss.buckets"
    ], "what is wrong in itself is told of every target"  # fmt: skip


def test_the_problems_of_the_wanted_target_come_with_the_others(tmp_path: Path) -> None:
    """Not only once everything else is mended."""
    folder = policies(tmp_path, tiers="tiers:\n  hot:\n    days: many\n    keep: {}\n")

    def told(env: Mapping[str, str], target: str | None) -> int:
        with pytest.raises(PolicyError) as caught:
            load(folder, env, target)
        return len(caught.value.problems)

    alone = told({}, None)
    assert (
        told({}, "oss") == told({"BACKUP_TARGET_DEFAULT": "oss"}, None) == alone + 2 == len(said(folder, {}, ["oss"]))
    )
    assert told({}, "nowhere") == alone


def test_every_problem_of_every_file_is_reported_at_once(tmp_path: Path) -> None:
    """With file, line and path, in the order of the files."""
    folder = policies(
        tmp_path,
        targets="defalt: here\ntargets:\n  here: {provider: local, path: /b, nice: fast}\n  x: {provider: ftp}\n",
        domains="host: a b\ndomains:\n  exams:\n    layer: rare\n    source: /srv\n    excludes: '*.tmp'\n",
        tiers="tiers:\n  hot:\n    days: many\n    keep: {}\n",
        schedule="jobs:\n  often: {kind: backup, type: full, every: 4}\n  other: {kind: verify, target: gone,\n"
        "    cron: 99 * * * *}\n",
    )
    assert said(folder, {"BACKUP_SINGLE_TARGET_ENFORCED": "0"}) == [
        f"environment: BACKUP_SINGLE_TARGET_ENFORCED: {ALWAYS_ONE}",
        "targets.yaml:1: defalt: is not a known key; did you mean `default`?",
        "targets.yaml:3: targets.here.nice: must be a whole number",
        "targets.yaml:4: targets.x.provider: must be local, s3 or oss",
        "domains.yaml:1: host: must be a host name: up to 63 letters, digits, . and -",
        "domains.yaml:3: domains.exams.priority: is required",
        "domains.yaml:4: domains.exams.layer: must be 'raw', 'derived' or 'serving'",
        "domains.yaml:5: domains.exams.source: must be a mapping, which is indented lines of `key: value`",
        "domains.yaml:6: domains.exams.excludes: must be a list",
        "tiers.yaml:1: tiers.cold: is required",
        "tiers.yaml:3: tiers.hot.days: must be a whole number",
        "tiers.yaml:4: tiers.hot.keep: must keep something: an empty rule would remove everything",
        "schedule.yaml:2: jobs.often.target: is required: each job names the one target that it works on",
        "schedule.yaml:2: jobs.often.every: must be a duration such as 90s, 4m, 6h, 30d or 1h30m",
        "schedule.yaml:4: jobs.other.cron: the minute must be *, or 0 to 59, as a number, a-b, */n or a list of them",
    ]
    with pytest.raises(PolicyError):
        load(folder, {})


def test_files_are_checked_against_each_other(tmp_path: Path) -> None:
    """Names must exist, and two domains are not one folder."""
    folder = policies(
        tmp_path,
        targets=TARGETS.replace("default: here", "default: there"),
        domains=DOMAINS.replace("/srv/profiles", "/srv/x/../exams/"),
        schedule=SCHEDULE.replace("target: here", "target: gone").replace("[exams]", "\n    - exams\n    - nope"),
    )
    assert said(folder, OSS) == [
        "targets.yaml:1: default: names no target; there are here, oss",
        "domains.yaml:11: domains.profiles.source.root: is the same folder as the root of domain exams",
        "schedule.yaml:5: jobs.often.target: names no target; there are here, oss",
        "schedule.yaml:9: jobs.often.domains.1: names no domain of domains.yaml",
    ]


def test_a_job_may_leave_domains_out(tmp_path: Path) -> None:
    """It then names all others, whichever there are; the exceptions stay to be seen."""
    loaded = load(policies(tmp_path, schedule=SCHEDULE.replace("domains: [exams]", "except: [exams]")), OSS)
    job = loaded.schedule.jobs["often"]
    assert (job.domains, job.excepted, job.named) == (("profiles",), ("exams",), "all but exams")
    assert show(loaded)["schedule"]["jobs"]["often"]["except"] == ["exams"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("except: [nope]", "schedule.yaml:7: jobs.often.except.0: names no domain of domains.yaml"),
        (
            "except: [exams, profiles]",
            "schedule.yaml:7: jobs.often.except: leaves no domain of domains.yaml to work on",
        ),
        ("{except: [exams], domains: [exams]}", "schedule.yaml:2: jobs.often: give either `domains` or `except`"),
    ],
)
def test_exceptions_are_checked(tmp_path: Path, given: str, problem: str) -> None:
    text = SCHEDULE.replace("domains: [exams]", given.strip("{}").replace(", domains", "\n    domains"))
    assert said(policies(tmp_path, schedule=text), OSS) == [problem]


def test_a_job_on_what_could_not_be_read_is_not_blamed(tmp_path: Path) -> None:
    """One cause, one problem."""
    folder = policies(tmp_path, domains="host: [\n")
    assert [text.partition(":")[0] for text in said(folder, OSS)] == ["domains.yaml"]


@pytest.mark.parametrize(
    ("path", "excludes", "wrong"),
    [
        ("/srv/exams/backups", "[]", "lies inside the root of domain exams"),
        ("/srv/exams", "['*']", "lies inside the root of domain exams"),
        ("/srv/exams/a/backups", "[other]", "lies inside"),
        ("/srv/exams/a/backups", "[backups]", ""),
        ("/srv/exams/a/backups", "[a]", ""),
        ("/srv/exams/a/backups", "[/srv/exams/a]", ""),
        ("/srv/exams/a/backups", "['/srv/**/backups']", ""),
        ("/srv/exams/a/backups", "['b?ck*']", ""),
        ("/srv/exams/a/backups", "[a, '!a']", "lies inside"),
        ("/srv/exams/a/backups", "[/a]", "lies inside"),
        ("/srv", "[]", "contains the root of domain exams"),
        ("/srv/exams-backups", "[]", ""),
    ],
)
def test_a_local_target_lies_apart_from_what_it_protects(tmp_path: Path, path: str, excludes: str, wrong: str) -> None:
    """Unless an exclude keeps it out, it would back itself up."""
    targets = TARGETS.replace("/backups", path)
    domains = DOMAINS.replace("/srv/exams", f"/srv/exams\n    excludes: {excludes}")
    found = said(policies(tmp_path, targets=targets, domains=domains), {}, ["here"])
    if wrong:
        assert found[0].startswith("targets.yaml:5: targets.here.path: ") and wrong in found[0]
    else:
        assert not found


def test_missing_files_and_folders_are_problems(tmp_path: Path) -> None:
    """Each with what would help."""
    folder = policies(tmp_path / "p", tiers="# nothing yet\n")
    (folder / "schedule.yaml").unlink()
    found = said(folder, OSS)
    assert found[0] == "tiers.yaml:1: (the file): is empty"
    assert "is missing in the policies folder" in found[1] and "rw policy schema --file schedule" in found[1]
    assert "is not there" in said(tmp_path / "gone")[0]


def test_a_target_is_chosen_in_a_fixed_order(tmp_path: Path) -> None:
    """The option, the variable, the policy's default, the only one; never a guess."""
    read = load(policies(tmp_path), {"BACKUP_TARGET_DEFAULT": "oss"})
    assert (read.target_name("here"), read.target_name(), read.default_target) == ("here", "oss", "here")
    assert load(tmp_path, {}).target_name() == "here"
    with pytest.raises(UsageError, match="no target 'nope'") as caught:
        read.target("nope")
    assert "here, oss" in caught.value.hint
    with pytest.raises(UsageError, match="BACKUP_TARGET_DEFAULT"):
        load(tmp_path, {"BACKUP_TARGET_DEFAULT": "hunter2"}).target()
    without = TARGETS.replace("default: here\n", "")
    with pytest.raises(UsageError, match="No target is named"):
        load(policies(tmp_path, targets=without), {}).target()
    only = without[: without.index("  oss:")]
    assert load(policies(tmp_path, targets=only), {}).target().provider == "local"
    with pytest.raises(UsageError):
        check(tmp_path, {}, ["nope"])


def test_domains_are_selected_in_the_order_of_the_policies(tmp_path: Path) -> None:
    """All of them where none is named."""
    read = load(policies(tmp_path), {})
    assert list(read.select_domains(["profiles", "exams", "exams"])) == ["exams", "profiles"]
    assert list(read.select_domains([])) == ["exams", "profiles"]
    with pytest.raises(UsageError, match=r"'nope', 'gone'") as caught:
        read.select_domains(["exams", "nope", "gone"])
    assert "exams, profiles" in caught.value.hint


def test_settings_show_no_secret_and_never_change(tmp_path: Path) -> None:
    """Not the environment they were read with either."""
    read = load(policies(tmp_path, targets=TARGETS + "      # literal\n"), {**OSS, "OTHER": "hunter2"})
    read.target("oss")
    assert "hush" not in repr(read) and "hunter2" not in repr(read)
    for mapping in (read.env, read.domains):
        with pytest.raises(TypeError):
            mapping["x"] = "y"  # type: ignore[index]


def test_the_policies_folder_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, the variable, ./policies; what was asked for and is not there is not passed over."""
    monkeypatch.chdir(tmp_path)
    here, there = policies(tmp_path / "policies"), policies(tmp_path / "there")
    assert find_folder(None, {}) == here
    assert find_folder(None, {"RW_POLICIES": "there"}) == there
    assert find_folder(Path("there"), {"RW_POLICIES": "gone"}) == there
    for option, env in ((Path("gone"), {}), (None, {"RW_POLICIES": "gone"})):
        with pytest.raises(UsageError, match="gone"):
            find_folder(option, env)


def test_places_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours first, then the XDG standard, then root's or the user's own."""
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    home = {"HOME": "/h"}
    assert state_dir({**home, "RW_STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}) == Path("/s")
    assert state_dir({**home, "XDG_STATE_HOME": "/x"}) == Path("/x/resticwrap")
    assert state_dir({**home, "XDG_STATE_HOME": "relative"}) == Path("/h/.local/state/resticwrap")
    assert cache_dir({**home, "RESTIC_CACHE_DIR": "/c"}) == Path("/c")
    assert cache_dir({**home, "XDG_CACHE_HOME": "/x"}) == Path("/x/restic")
    assert cache_dir(home) == Path("/h/.cache/restic")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert state_dir(home) == Path("/var/lib/resticwrap")
    assert cache_dir(home) == Path("/h/.cache/restic")
    assert cache_dir({}) == Path("/var/cache/restic")


def test_the_state_directory_has_its_variable(tmp_path: Path) -> None:
    """So `rw`'s own state can be a domain wherever it lies."""
    domains = DOMAINS.replace("/srv/exams", "${RW_STATE_DIR}")
    read = load(policies(tmp_path, domains=domains), {"XDG_STATE_HOME": "/x"})
    assert read.domains["exams"].source.root == Path("/x/resticwrap") == read.state_dir


SECRET = "Zq9-" + "hunter2hunter2"
SPOILERS = [
    "${S}",
    "'${S}'",
    "[${S}]",
    "{x: '${S}'}",
    "{'${S}': 1}",
    SECRET,
    f"[{SECRET}]",
    f"{{a: {SECRET}}}",
    f"!{SECRET}",
    f"*{SECRET}",
    f"&{SECRET}",
    f"'{SECRET}",
    f"[{SECRET}",
    f"{SECRET}: : x",
    f"%{SECRET}",
    f"@{SECRET}",
    f"`{SECRET}",
    f"${{S:-{SECRET}",
    f"${{{SECRET}}}",
    f"|{SECRET}",
    f'"\\{SECRET}"',
    f"\t{SECRET}",
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_problem_ever_repeats_a_value(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever value is spoilt, by itself or through a variable, in whatever file."""
    texts = {}
    for name in ("targets", "domains", "tiers", "schedule"):
        lines = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        places = [at for at, line in enumerate(lines) if ":" in line and not line.lstrip().startswith("#")]
        for at in data.draw(st.sets(st.sampled_from(places), max_size=4)):
            key = lines[at].partition(":")[0]
            spoiler = data.draw(st.sampled_from(SPOILERS))
            lines[at] = f"{key}: {spoiler}" if data.draw(st.booleans()) else f"{key}:{spoiler}"
        texts[name] = "\n".join(lines) + "\n"
    env = {"S": SECRET, "S3_BUCKET": SECRET, "OSS_ENDPOINT": f"https://u:{SECRET}@h", "AWS_ACCESS_KEY_ID_FILE": SECRET}
    found = check(policies(tmp_path, **texts), env)
    assert SECRET not in "\n".join(map(str, found))
    assert "hunter2hunter2" not in "\n".join(map(str, found))


def test_the_shipped_policies_hold() -> None:
    """With nothing set for the local target; with keys for the others."""
    assert check(SHIPPED, {}, ["local"]) == []
    env = {
        "S3_BUCKET": "a-bucket",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "OSS_BUCKET": "a-bucket",
        "OSS_ENDPOINT": "oss-cn-hangzhou.aliyuncs.com",
        "OSS_ACCESS_KEY_ID": "a",
        "OSS_ACCESS_KEY_SECRET": "b",
    }
    assert check(SHIPPED, env) == []
    read = load(SHIPPED, {**env, "TEACHING_ROOT": "/data/t", "BACKUP_TARGET_DEFAULT": "oss"})
    assert read.domains["exam_uploads"].source.root == Path("/data/t/raw/exam_uploads")
    assert {job.target for job in read.schedule.jobs.values()} == {"oss"}
    assert {domain.priority for domain in read.domains.values()} == {"P0", "P1", "P2"}
    kinds = {kind for domain in read.domains.values() for kind in domain.schema_versions}
    assert kinds == {
        "exam_manifest",
        "assignment_meta",
        "assignment_requirements",
        "student_profile",
        "teacher_workspace",
    }
    s3 = read.target("s3")
    assert s3.provider == "s3" and s3.credentials.session_token is None and s3.region is None


def test_the_example_with_databases_holds() -> None:
    """Each domain is backed up by some job, in the rhythm that it needs, and as many stay as its rule says."""
    urls = {f"{name}_DB_URL": f"postgresql://u:hush@h/{name.lower()}" for name in ("PRODUCTION", "LEDGER")}
    loaded = load(SHIPPED.parent / "examples/databases", {**urls, "SHOP_DB_PASSWORD": "hush"})
    jobs = [job for job in loaded.schedule.jobs.values() if job.kind == "backup"]
    assert {name for job in jobs for name in job.domains} == set(loaded.domains)
    rhythms = {name: [job.every is not None for job in jobs if name in job.domains] for name in loaded.domains}
    assert rhythms["production"] == rhythms["test"] == [False] and True in rhythms["config"] + rhythms["ledger"]
    now = datetime(2026, 11, 28, 12, tzinfo=UTC)
    for name, keep in (("production", 7), ("test", 4)):
        for tier in TIERS:
            days, rule = tier_of(loaded.tiers, loaded.domains[name], tier)
            assert rhythm.at_most([job for job in jobs if name in job.domains], days, rule, UTC, now) == keep
