"""YAML with its lines: what is wrong with its shape is said with the line, and never with what it says."""

from pathlib import Path

import pytest

from resticwrap.settings.tree import Item, dotted, locate, parse, read


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse("f.yaml", text)[1]]


def values(item: Item | None) -> object:
    """The tree without its lines."""
    if item is None:
        return None
    if isinstance(item.value, dict):
        return {key: values(child) for key, child in item.value.items()}
    if isinstance(item.value, list):
        return [values(child) for child in item.value]
    return item.value


def test_scalars_stay_what_was_written() -> None:
    """What a text means is for its field to say; only an empty place and ~ are nothing."""
    tree, wrong = parse("f.yaml", "a: 012\nb: no\nc: 12:30\nd:\ne: ~\nf: ''\ng: 2026-01-01\nh: '~'\n")
    assert not wrong
    told = {"a": "012", "b": "no", "c": "12:30", "d": None, "e": None, "f": "", "g": "2026-01-01", "h": "~"}
    assert values(tree) == told


def test_lines_are_those_of_the_keys() -> None:
    """Of a list's element it is its own; of what is not there, the nearest thing above it."""
    tree, _ = parse("f.yaml", "\na:\n  b:\n    - x\n    - y\n  c: |\n    long\n")
    assert tree is not None
    paths = [("a",), ("a", "b"), ("a", "b", 1), ("a", "c"), ("a", "nope", "deeper"), ("a", "b", 7)]
    assert [locate(tree, path).line for path in paths] == [2, 3, 5, 6, 2, 3]


def test_a_key_given_twice_is_a_problem_each_time() -> None:
    """YAML lets the last one win in silence."""
    assert problems("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n") == [
        "f.yaml:4: b.c: is given twice, first in line 3",
        "f.yaml:5: a: is given twice, first in line 1",
    ]


def test_anchors_and_merges_work() -> None:
    """A mapping's own keys win over what it merges, and the first merged one over the next."""
    text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  <<: [*x, *y]\n  a: own\n"
    tree, wrong = parse("f.yaml", text)
    assert not wrong
    assert values(locate(tree or Item(0, None), ("z",))) == {"a": "own", "b": "1", "c": "2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1, 2\nb: 3\n", "f.yaml:2: (the file): is not YAML from here on"),
        ("a: 1\n\tb: 2\n", "f.yaml:2: (the file): is not YAML from here on"),
        ("a: *hunter2\n", "f.yaml:1: (the file): is not one YAML document"),
        ("a: 1\n--- \nb: hunter2\n", "f.yaml:2: (the file): is not one YAML document"),
        ("a: !hunter2 x\n", "f.yaml:1: a: has a YAML tag"),
        ("a: !!python/object:os.system hunter2\n", "f.yaml:1: a: has a YAML tag"),
        ("a: !h!unter2 x\n", "f.yaml:1: (the file): is not YAML from here on"),
        ("a: 1\nb: hunter2\x07\n", "f.yaml:2: (the file): holds a character that YAML does not allow"),
        ("a: &a [*a]\n", "f.yaml:1: a.0: contains itself"),
        ("? [hunter2]\n: 1\n", "f.yaml:1: (the file): has a key that is not a plain text"),
        ("a:\n  <<: hunter2\n", "f.yaml:2: a: merges something with << that is not a mapping"),
        ("[" * 3000, "f.yaml:1: (the file): is nested too deeply"),
        ("[" * 900 + "]" * 900, "f.yaml:1: (the file): is nested too deeply"),
        ("[" * 99_000 + "]" * 99_000, "f.yaml:1: (the file): is nested too deeply"),
    ],
)
def test_what_is_no_policy_is_said_with_its_line(text: str, said: str) -> None:
    """And not with what it says, which may be a secret."""
    found = problems(text)
    assert found and found[0].startswith(said)
    assert "hunter" not in str(found)


def test_a_bomb_of_aliases_is_refused() -> None:
    """Nine lines that mean a billion texts."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "repeats itself too often" in problems("\n".join(lines))[0]


def test_files_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8, far too large."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin").write_bytes(b"a: 1\nb: \xfcber\n")
    (tmp_path / "large").write_bytes(b"#" * (1 << 20) + b"\n")
    said = [str(read(tmp_path, name)[1][0]) for name in ("targets.yaml", "folder", "latin", "large")]
    assert "is missing" in said[0] and "rw policy schema --file targets" in said[0]
    assert said[1].startswith("folder:1: (the file): cannot be read")
    assert said[2] == "latin:2: (the file): is not UTF-8 here"
    assert "larger than 1 MiB" in said[3]


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    """Some editors write one."""
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa: 1\n")
    tree, wrong = read(tmp_path, "f")
    assert not wrong and values(tree) == {"a": "1"}


def test_a_path_repeats_only_what_looks_like_a_key() -> None:
    """A value in a key's place is not shown."""
    assert dotted(("targets", "oss", "domains", 3)) == "targets.oss.domains.3"
    assert dotted(("targets", "LTAI5tFakeFakeFake0000")) == "targets.<key>"
    assert dotted(()) == "(the file)"
