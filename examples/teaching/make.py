#!/usr/bin/env python3
"""A school's data, made from the real answers of 1,525 people: `make.py FOLDER`, then `make.py FOLDER --change 1`.

Always the same tree: the same names, bytes, modes and times. Every class sits one exam for each of the four factors;
the manifests, profiles and workspaces are objects of their first schema, which did not name its version yet.
"""

import argparse
import csv
import io
import json
import os
import random
import struct
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

ANSWERS = Path(__file__).resolve().parent.parent / "data" / "iqitems.csv"
FACTOR_KEYS = {
    "reason": {4: 4, 16: 4, 17: 4, 19: 6},
    "letter": {7: 6, 33: 3, 34: 4, 58: 4},
    "matrix": {45: 5, 46: 2, 47: 2, 55: 4},
    "rotate": {3: 3, 4: 2, 6: 6, 8: 7},
}
"""Factor → number of the item → the right alternative, as published with the data."""
KEY = {f"{factor}.{number}": right for factor, keys in FACTOR_KEYS.items() for number, right in keys.items()}
FACTORS = tuple(FACTOR_KEYS)
CLASS_SIZE = 25
TEACHERS = 24
FIRST_DAY = datetime(2012, 8, 8, 7, 30, tzinfo=UTC)  # the answers were collected from 8 to 31 August 2012
DAYS = 24
SHEET_WIDTH, SHEET_HEIGHT = 300, 240
PAGE_WIDTH, PAGE_HEIGHT, PAGES = 1240, 1754, 2

Answers = Mapping[str, int | None]


@dataclass(frozen=True)
class Person:
    """One person's answers: item → the chosen alternative, nothing where it was not answered."""

    id: str
    answers: Answers

    def points(self, factor: str) -> int:
        return sum(self.answers[item] == KEY[item] for item in items_of(factor))


@dataclass(frozen=True)
class Exam:
    """One class's exam on one factor."""

    id: str
    class_name: str
    factor: str
    people: Sequence[Person]
    teacher: str
    held: datetime


class Tree:
    """Writes files with fixed modes and times, and at the end the times of the folders that it touched."""

    def __init__(self, root: Path, now: datetime) -> None:
        self.root = root
        self.count = 0
        self._now = now
        self._folders: dict[Path, datetime] = {}

    def write(self, name: str, content: bytes | str, when: datetime | None = None) -> None:
        path = self.root / name
        self.folder(path.parent, when)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        path.chmod(0o644)
        # Seconds apart by name, as if somebody had saved one after the other.
        _set_time(path, (when or self._now) + timedelta(seconds=zlib.crc32(name.encode()) % 3600))
        self.count += 1

    def json(self, name: str, content: object, when: datetime | None = None) -> None:
        self.write(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n", when)

    def table(self, name: str, rows: Sequence[Sequence[object]], when: datetime | None = None) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.write(name, text.getvalue(), when)

    def link(self, name: str, points_to: str) -> None:
        path = self.root / name
        self.folder(path.parent)
        path.symlink_to(points_to)
        _set_time(path, self._now)
        self.count += 1

    def delete(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)
        self.folder((self.root / name).parent)

    def folder(self, path: Path, when: datetime | None = None) -> None:
        """Make a folder, and remember the latest time of what is put into it."""
        time = when or self._now
        new = path not in self._folders
        self._folders[path] = max(time, self._folders.get(path, time))
        if new and not path.exists():
            if path != self.root:
                self.folder(path.parent, when)
            path.mkdir(parents=path == self.root)
            path.chmod(0o755)

    def finish(self) -> None:
        for path, when in self._folders.items():
            _set_time(path, when)


def _set_time(path: Path, when: datetime) -> None:
    seconds = when.timestamp()
    os.utime(path, (seconds, seconds), follow_symlinks=False)


def items_of(factor: str) -> list[str]:
    return [item for item in KEY if item.startswith(factor + ".")]


def read_people() -> list[Person]:
    """The real answers; 0 (seen, not answered) and NA (missing) are both nothing."""
    with ANSWERS.open(newline="") as file:
        rows = csv.DictReader(file)
        return [
            Person(
                f"S{int(row['']):05}",
                {item: int(row[item]) if row[item] not in ("0", "NA") else None for item in KEY},
            )
            for row in rows
        ]


def make_exams(people: Sequence[Person]) -> list[Exam]:
    """Classes of 25 in the order of the data, and four exams for each."""
    exams = []
    for start in range(0, len(people), CLASS_SIZE):
        number = start // CLASS_SIZE
        class_name = f"{5 + number // 8}{'abcdefgh'[number % 8]}"
        for index, factor in enumerate(FACTORS):
            exams.append(
                Exam(
                    id=f"E{number * 4 + index + 1:03}",
                    class_name=class_name,
                    factor=factor,
                    people=people[start : start + CLASS_SIZE],
                    teacher=f"T{(number * 4 + index) % TEACHERS + 1:02}",
                    held=FIRST_DAY + timedelta(days=(number * 7 + index * 5) % DAYS),
                )
            )
    return exams


def generate(root: Path) -> int:
    """Write the whole tree into `root`, which must be empty or absent. Returns the number of files."""
    people = read_people()
    exams = make_exams(people)
    tree = Tree(root, FIRST_DAY)
    tree.folder(root)
    root.chmod(0o755)
    for exam in exams:
        write_exam(tree, exam)
    for exam in exams[:: len(FACTORS)]:  # once for each class
        write_class(tree, exam)
    write_shared(tree, people, exams)
    write_workspaces(tree, exams)
    write_awkward(tree, exams[0])
    tree.finish()
    return tree.count


def write_exam(tree: Tree, exam: Exam) -> None:
    """From the upload over the scores to what the platform serves."""
    items = items_of(exam.factor)
    rows = [[person.id, *(person.answers[item] for item in items)] for person in exam.people]
    marked = {person.id: [person.answers[item] == KEY[item] for item in items] for person in exam.people}
    points = {person.id: person.points(exam.factor) for person in exam.people}
    where, day = f"{exam.class_name}/{exam.id}", exam.held
    tree.table(f"raw/exam_uploads/{where}.csv", [["student", *items], *rows], day)
    text = "\n".join(f"{row[0]}  " + "  ".join(f"{n}) {a or '-'}" for n, a in enumerate(row[1:], 1)) for row in rows)
    tree.write(f"raw/ocr_texts/{where}.txt", f"{exam.id} {exam.factor.upper()} {exam.class_name}\n{text}\n", day)
    tree.json(f"raw/parsed_texts/{where}.json", {row[0]: dict(zip(items, row[1:], strict=True)) for row in rows}, day)
    tree.table(f"raw/score_sheets/{where}.csv", [["student", "points", "of"], *([*p, 4] for p in points.items())], day)

    later = day + timedelta(hours=6)
    scored = {"exam_id": exam.id, "analyzer_version": 1, "key": {item: KEY[item] for item in items}, "right": marked}
    tree.json(f"derived/responses_scored/{where}.json", scored, later)
    manifest = {
        "exam_id": exam.id,
        "title": f"{exam.factor.capitalize()}, class {exam.class_name}",
        "factor": exam.factor,
        "class": exam.class_name,
        "date": f"{day:%d.%m.%Y}",
        "items": items,
        "students": [person.id for person in exam.people],
        "mean_points": round(sum(points.values()) / len(points), 2),
    }
    tree.json(f"serving/exam_manifests/{exam.id}.json", manifest, later)
    meta = {"assignment_id": f"A{exam.id[1:]}", "exam": exam.id, "teacher": exam.teacher, "max": 4, "state": "graded"}
    tree.json(f"serving/assignment_meta/{exam.id}/meta.json", meta, later)
    requirements = {"assignment_id": meta["assignment_id"], "minutes": 20, "must_answer": items, "aids": "none"}
    tree.json(f"serving/assignment_meta/{exam.id}/requirements.json", requirements, later)


def write_class(tree: Tree, exam: Exam) -> None:
    """Of each student the scanned sheet and the profile; of each class the sessions."""
    for person in exam.people:
        image = answer_sheet(person.answers, seed=person.id)
        tree.write(f"raw/answer_images/{exam.class_name}/{person.id}.png", image, exam.held)
        tree.json(f"serving/student_profiles/{exam.class_name}/{person.id}.json", profile(person, exam), exam.held)
    sessions = {
        person.id: f"{exam.held + timedelta(minutes=n):%Y-%m-%dT%H:%M:%SZ}" for n, person in enumerate(exam.people)
    }
    tree.json(f"serving/session_index/{exam.class_name}.json", sessions, exam.held)


def profile(person: Person, exam: Exam) -> dict[str, object]:
    return {
        "student_id": person.id,
        "class": exam.class_name,
        "scores": {factor: person.points(factor) for factor in FACTORS},
        "answered": sum(answer is not None for answer in person.answers.values()),
        "resits": [],
    }


def write_shared(tree: Tree, people: Sequence[Person], exams: Sequence[Exam]) -> None:
    """What belongs to the school as a whole."""
    end = FIRST_DAY + timedelta(days=DAYS)
    for item, right in KEY.items():
        chosen = [person.answers[item] for person in people]
        counts = {str(option): chosen.count(option) for option in range(1, 9)}
        share = round(chosen.count(right) / len(people), 4)
        question = {"item": item, "factor": item.split(".")[0], "key": right, "chosen": counts, "share_right": share}
        tree.json(f"derived/question_bank/{item}.json", question, end)
    for number, exam in enumerate(exams[::8], 1):
        histogram = [sum(person.points(exam.factor) == points for person in exam.people) for points in range(5)]
        bars = "\n".join(f"{points} points: {'#' * count}" for points, count in enumerate(histogram))
        tree.write(f"derived/analysis_drafts/draft-{number:02}.md", f"# {exam.id}, {exam.factor}\n\n{bars}\n", end)
    for factor in FACTORS:
        tree.write(f"raw/answer_images/booklets/booklet-{factor}.pgm", booklet(factor), FIRST_DAY)
    tree.json("serving/tenant_config/tenant.json", {"tenant": "school-1", "language": "en", "classes": len(exams) // 4})
    tree.write("serving/tenant_config/features.yaml", "ocr: true\nreplay: false\n")
    for name in ("nightly-scores", "nightly-index", "weekly-report"):
        tree.json(f"serving/job_state/{name}.json", {"job": name, "last_run": f"{end:%Y-%m-%d}", "runs": DAYS}, end)
    log = "".join(json.dumps({"exam": exam.id, "applied": []}) + "\n" for exam in exams)
    tree.write("serving/migration_log/2012-08.jsonl", log, end)
    for exam in exams[:60]:
        tree.json(f"cache/previews/{exam.id}.json", {"exam": exam.id, "students": len(exam.people)}, end)


def write_workspaces(tree: Tree, exams: Sequence[Exam]) -> None:
    for number in range(1, TEACHERS + 1):
        own = [exam for exam in exams if exam.teacher == f"T{number:02}"]
        where = f"serving/teacher_workspaces/T{number:02}"
        classes = sorted({exam.class_name for exam in own})
        workspace = {"teacher": f"T{number:02}", "classes": classes, "exams": [exam.id for exam in own], "notes": []}
        tree.json(f"{where}/workspace.json", workspace, own[-1].held)
        for exam in own[:4]:
            mean = sum(person.points(exam.factor) for person in exam.people) / len(exam.people)
            tree.write(f"{where}/notes/{exam.id}.md", f"{exam.class_name}: {mean:.2f} of 4 points.\n", exam.held)


def write_awkward(tree: Tree, exam: Exam) -> None:
    """What every real tree has somewhere."""
    tree.table("raw/exam_uploads/late uploads/Antwortbögen (Klasse 5a) – Kopie.csv", [["student"], [exam.people[0].id]])
    tree.table("raw/exam_uploads/late uploads/答题卡 '5a' & more.csv", [["student"], [exam.people[1].id]])
    tree.link("raw/exam_uploads/newest", f"{exam.class_name}/{exam.id}.csv")
    tree.write("serving/job_state/nightly-scores.lock", b"")
    tree.folder(tree.root / "serving/migration_log/pending")


def answer_sheet(answers: Answers, seed: str) -> bytes:
    """A scan of the sheet as a grey PNG: for each item a row of eight boxes, the chosen one filled; grainy paper."""
    grain = random.Random(seed).randbytes(SHEET_WIDTH * SHEET_HEIGHT).translate(_GRAIN)
    rows = [bytearray(grain[y * SHEET_WIDTH : (y + 1) * SHEET_WIDTH]) for y in range(SHEET_HEIGHT)]
    for line, item in enumerate(KEY):
        top = 8 + line * 14
        for option in range(1, 9):
            left = 20 + option * 30
            ink = b"\x20" * 10
            for y in range(top, top + 10):
                if answers[item] == option or y in (top, top + 9):
                    rows[y][left : left + 10] = ink
                else:
                    rows[y][left] = rows[y][left + 9] = 0x20
    header = struct.pack(">IIBBBBB", SHEET_WIDTH, SHEET_HEIGHT, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


_GRAIN = bytes(255 if value < 240 else value for value in range(256))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def booklet(factor: str) -> bytes:
    """A scanned booklet of some pages, several MB: grey PGM images one after the other, as the format allows."""
    source = random.Random(f"booklet {factor}")
    paper = bytes(224 + value % 32 for value in range(256))
    head = f"P5\n{PAGE_WIDTH} {PAGE_HEIGHT}\n255\n".encode()
    return b"".join(head + source.randbytes(PAGE_WIDTH * PAGE_HEIGHT).translate(paper) for _ in range(PAGES))


def change(root: Path, day: int) -> int:
    """One day, counted from 1: a class resits an exam, its profiles change, a draft is deleted.

    Doing the same day twice changes nothing more. Returns the number of files written.
    """
    people = read_people()
    exams = make_exams(people)
    first = exams[(day * 37) % len(exams)]
    now = FIRST_DAY + timedelta(days=DAYS + 10 + day)
    resit = Exam(f"E{len(exams) + day:03}", first.class_name, first.factor, first.people, first.teacher, now)
    tree = Tree(root, now)
    write_exam(tree, resit)
    for person in resit.people:
        image = answer_sheet(person.answers, seed=f"{person.id} {resit.id}")
        tree.write(f"raw/answer_images/{resit.class_name}/{resit.id}-{person.id}.png", image)
        name = f"serving/student_profiles/{resit.class_name}/{person.id}.json"
        known = json.loads((root / name).read_text())
        tree.json(name, known | {"resits": sorted({*known["resits"], resit.id})})
    name = f"serving/teacher_workspaces/{resit.teacher}/workspace.json"
    workspace = json.loads((root / name).read_text())
    note = f"{now:%Y-%m-%d}: class {resit.class_name} sat {first.id} again as {resit.id}."
    tree.json(name, workspace | {"exams": sorted({*workspace["exams"], resit.id}), "notes": [note]})
    tree.delete(f"derived/analysis_drafts/draft-{day:02}.md")
    tree.finish()
    return tree.count


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a school's data out of real answers.")
    parser.add_argument("folder", type=Path, help="where to put it: empty or absent, unless --change is given")
    parser.add_argument("--change", type=int, metavar="DAY", help="apply what changes on that day (1 to 30) instead")
    options = parser.parse_args()
    root: Path = options.folder
    if options.change is not None:
        if not (root / "serving").is_dir() or not 1 <= options.change <= 30:
            parser.error("--change takes a day from 1 to 30 and a folder that was made before")
        print(f"{change(root, options.change)} files written, 1 deleted in {root}")
        return 0
    if root.exists() and any(root.iterdir()):
        parser.error(f"{root} is not empty")
    print(f"{generate(root)} files made in {root}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
