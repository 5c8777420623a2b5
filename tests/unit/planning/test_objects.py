"""From a key to a path."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap.planning.objects import find, literal, under

PATHS = [
    "a.json",
    "a",
    "a/x.json",
    "deep/exam_1.tar.gz",
    "deep/exam_2.json",
    "other/exam_2.txt",
    ".hidden",
    "b[1].json",
]


def found(key: str, pattern: str | None = None) -> list[str]:
    """What is found among PATHS, of which only `a` is a folder."""
    listed = [(path.encode(), path == "a") for path in PATHS]
    return [path.decode() for path in find(pattern, key, listed).paths]


@pytest.mark.parametrize(
    ("key", "pattern", "paths"),
    [
        ("a", None, ["a"]),  # the very name rather than one without its extension; what is inside comes with it
        ("a.json", None, ["a.json"]),
        ("exam_1.tar", None, ["deep/exam_1.tar.gz"]),
        ("exam_2", None, ["deep/exam_2.json", "other/exam_2.txt"]),
        (".hidden", None, [".hidden"]),
        ("b[1]", None, ["b[1].json"]),
        ("exam_2", "*/{key}.json", ["deep/exam_2.json"]),
        ("exam_2", "**/{key}.txt", ["other/exam_2.txt"]),
        ("a", "{key}.json", ["a.json"]),
        ("x", "*/{key}.json", ["a/x.json"]),
        ("*", "*/{key}.json", []),
    ],
)
def test_find(key: str, pattern: str | None, paths: list[str]) -> None:
    assert found(key, pattern) == paths


def test_what_is_like_it() -> None:
    """Names that may have been meant, nearest first."""
    listed = [(path.encode(), False) for path in PATHS]
    assert find(None, "exam_3", listed).like[0] in ("exam_1.tar", "exam_2")
    assert find("*/{key}.json", "exam_3", listed).like == ("exam_2",)


def test_patterns() -> None:
    assert literal("x/{key}.json", "k") == "x/k.json" and literal("*/{key}", "k") is None
    assert (under("classes/2026/*/{key}"), under("{key}.json"), under("x/{key}/y")) == ("classes/2026", "", "x")


@settings(max_examples=60)
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8))
def test_any_name_is_found_by_itself(name: str) -> None:
    """Whatever signs are in it."""
    listed = [(b"zz/q", False), (f"d/{name}".encode(), False)]
    assert f"d/{name}".encode() in find(None, name, listed).paths
    assert find("d/{key}", name, listed).paths == (f"d/{name}".encode(),)
