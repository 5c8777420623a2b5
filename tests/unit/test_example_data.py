"""The example data is the same tree every time, and true to the answers that it is made from."""

import csv
import hashlib
import json
import os
from collections import Counter
from pathlib import Path

import pytest

from examples.teaching import make

DOMAINS = {
    "raw": {"exam_uploads", "answer_images", "ocr_texts", "parsed_texts", "score_sheets"},
    "derived": {"responses_scored", "question_bank", "analysis_drafts"},
    "serving": {
        "student_profiles",
        "teacher_workspaces",
        "exam_manifests",
        "assignment_meta",
        "session_index",
        "tenant_config",
        "job_state",
        "migration_log",
    },
    "cache": {"previews"},
}


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "school"
    make.generate(root)
    return root


def picture(root: Path) -> dict[str, tuple[object, ...]]:
    """Of every entry the kind, mode, time and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        state = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (state.st_mode, state.st_mtime_ns, content)
    return found


def test_two_runs_and_two_changes_give_the_same_tree(
    school: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the time zone, the umask, and whether the folder was there."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    before = os.umask(0o077)
    try:
        make.generate(tmp_path)
    finally:
        os.umask(before)
    fresh = picture(tmp_path)
    assert fresh == picture(school)

    make.change(tmp_path, 1)
    changed = picture(tmp_path)
    gone = fresh.keys() - changed.keys()
    assert gone == {"derived/analysis_drafts/draft-01.md"}
    profiles = [
        name for name in fresh.keys() & changed.keys() if fresh[name] != changed[name] and name.endswith(".json")
    ]
    assert sum("student_profiles" in name for name in profiles) == make.CLASS_SIZE
    make.change(tmp_path, 1)
    assert picture(tmp_path) == changed


def test_the_tree_has_every_domain_and_about_five_thousand_files(school: Path) -> None:
    assert {layer.name: {domain.name for domain in layer.iterdir()} for layer in school.iterdir()} == DOMAINS
    files = [path for path in school.rglob("*") if path.is_file()]
    assert 4_500 <= len(files) <= 5_500
    assert sum(path.stat().st_size for path in files) < 60_000_000
    assert sum(path.stat().st_size > 3_000_000 for path in files) == 4


def test_the_tree_has_what_real_trees_have(school: Path) -> None:
    assert any(path.is_symlink() for path in school.rglob("*"))
    assert any(path.is_dir() and not any(path.iterdir()) for path in school.rglob("*"))
    assert any(path.is_file() and path.stat().st_size == 0 for path in school.rglob("*"))
    assert any(not path.name.isascii() and " " in path.name for path in school.rglob("*"))


def test_answers_and_scores_are_those_of_the_data(school: Path) -> None:
    with make.ANSWERS.open(newline="") as file:
        rows = {f"S{int(row['']):05}": row for row in csv.DictReader(file)}
    uploaded: Counter[str] = Counter()
    for sheet in school.glob("raw/exam_uploads/*/E*.csv"):
        with sheet.open(newline="") as file:
            for row in csv.DictReader(file):
                student = row.pop("student")
                uploaded[student] += len(row)
                assert all((answer or "0") == rows[student][item].replace("NA", "0") for item, answer in row.items())
    assert uploaded == dict.fromkeys(rows, 16)

    for profile in school.glob("serving/student_profiles/*/*.json"):
        known = json.loads(profile.read_text())
        right = Counter(
            item.split(".")[0] for item, key in make.KEY.items() if rows[known["student_id"]][item] == str(key)
        )
        assert known["scores"] == {factor: right[factor] for factor in make.FACTORS}


def test_the_objects_of_the_first_schema_do_not_name_a_version(school: Path) -> None:
    for path in (school / "serving").rglob("*.json"):
        assert "schema_version" not in json.loads(path.read_text())
