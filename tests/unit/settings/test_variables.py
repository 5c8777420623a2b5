"""Variables in the texts of policies."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.settings.tree import parse
from resticwrap.settings.variables import NOT_GIVEN, Expander, Variables, expand_text


def expand(text: str, **env: str) -> str:
    """The expansion of a text in which nothing is wrong."""
    expanded, wrong = expand_text(text, Variables(env, {}))
    assert not wrong
    return expanded


def wrong_with(text: str, **env: str) -> list[str]:
    return expand_text(text, Variables(env, {}))[1]


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${A}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${B:-}", ""),
        ("${EMPTY:-two}", "two"),
        ("${B:-${A}}", "${A}"),
        ("${A:-${B}}", "one"),
        ("${B:-a:-b$$}", "a:-b$$"),
        ("$${A}", "${A}"),
        ("$$$$", "$$"),
        ("$$${A}", "$one"),
        ("$A $ ~$*", "$A $ ~$*"),
        ("${CODE}", "${A} $$ : - {x: 1}\n"),
    ],
)
def test_references_are_replaced_and_nothing_else(text: str, expanded: str) -> None:
    """What comes out of a variable or a default is not looked at again."""
    assert expand(text, A="one", EMPTY="", CODE="${A} $$ : - {x: 1}\n") == expanded


@pytest.mark.parametrize("text", ["${", "${A", "${}", "${1}", "${A-b}", "${A:b}", "${A:?b}", "${A:-{b}", "${ A }"])
def test_what_is_no_reference_is_said(text: str) -> None:
    """Rather than passed on as it stands, or replaced by nothing."""
    assert "unfinished" in wrong_with(text, A="hunter2")[0]
    assert "hunter2" not in str(wrong_with(text, A="hunter2"))


def test_a_missing_variable_is_named() -> None:
    """Every one of them; an empty one counts as missing."""
    assert wrong_with("${A}${B}${C}", B="", C="x") == ["variable A is not set", "variable B is not set"]


@given(st.text())
def test_a_text_that_is_escaped_comes_out_as_it_was(text: str) -> None:
    """`$$` for each dollar says any text."""
    assert expand(text.replace("$", "$$")) == text


@given(value=st.text(min_size=1), before=st.text(), after=st.text())
def test_a_variable_comes_out_whole(value: str, before: str, after: str) -> None:
    """Whatever is in it and around it."""
    quoted = [part.replace("$", "$$") for part in (before, after)]
    assert expand(f"{quoted[0]}${{A}}{quoted[1]}", A=value) == before + value + after


@given(st.text(alphabet="${}AB:-", max_size=30))
def test_no_text_breaks_the_expansion(text: str) -> None:
    """It expands, or something is said of it."""
    expanded, wrong = expand_text(text, Variables({"A": "secret"}, {}))
    assert "secret" not in " ".join(wrong)
    assert wrong or "${" not in text.replace("$$", "") or "A" in text or expanded != text


def test_a_secret_may_lie_in_a_file(tmp_path: Path) -> None:
    """As Docker hands it over; the variable itself wins, and line ends are not part of it."""
    secret = tmp_path / "secret"
    secret.write_bytes(b" two words \r\n\n")
    assert expand("${A}", A_FILE=str(secret)) == " two words "
    assert expand("${A:-x}", A_FILE=str(secret)) == " two words "
    assert expand("${A}", A="", A_FILE=str(secret)) == " two words "
    assert expand("${A}", A="one", A_FILE=str(secret)) == "one"
    assert expand("${A:-x}", A_FILE="") == "x"


def test_a_broken_file_is_a_problem_even_with_a_default(tmp_path: Path) -> None:
    """Its name is not repeated: somebody may have put the secret there."""
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    os.mkfifo(tmp_path / "pipe")
    said = {}
    for name in ("empty", "binary", "large", "pipe", "missing", "nul\0"):
        (said[name],) = wrong_with("${A:-x}", A_FILE=f"{tmp_path}/{name}")
        assert said[name].startswith("variable A_FILE names") and str(tmp_path) not in said[name]
    assert "No such file" in said["missing"]
    assert "not a file" in said["pipe"]


def test_what_expands_to_nothing_is_left_out() -> None:
    """Keys and elements; but a thing with a name that says nothing is kept, to be complained about."""
    text = "domains:\n  x: ${N:-}\na: ${N:-}\nb: '${N:-}'\nc: ${N:-null}\nd: '${N:-null}'\ne: ['${N:-}', z]\nf: ''\n"
    tree, _ = parse("f.yaml", text)
    assert tree is not None
    expander = Expander("f.yaml", Variables({}, {}))
    assert expander.expand(tree, ()) == {"domains": {"x": None}, "d": "null", "e": ["z"], "f": ""}
    assert NOT_GIVEN is not None
