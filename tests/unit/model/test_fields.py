"""The kinds of text in a policy: each says what it wants and never what it was given."""

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from resticwrap.model.fields import (
    UNITS,
    absolute_path,
    check_cron,
    check_endpoint,
    format_duration,
    one_line,
    parse_duration,
)


@given(st.integers(min_value=1, max_value=3_155_000_000))
def test_durations_round_trip(seconds: int) -> None:
    """What is shown is read back as the same duration."""
    duration = timedelta(seconds=seconds)
    assert parse_duration(format_duration(duration)) == duration


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("smhdw")), min_size=1, max_size=5))
def test_a_sum_of_durations_is_their_sum(parts: list[tuple[int, str]]) -> None:
    """Each part counts, in any order; nothing at all is refused."""
    seconds = sum(number * UNITS[unit] for number, unit in parts)
    text = "".join(f"{number}{unit}" for number, unit in parts)
    if seconds:
        assert parse_duration(text) == timedelta(seconds=seconds)
    else:
        with pytest.raises(ValueError, match="longer than nothing"):
            parse_duration(text)


@given(st.text())
def test_no_text_breaks_the_parser_of_durations(text: str) -> None:
    """It gives a duration or a ValueError that does not repeat the text."""
    try:
        said = format_duration(parse_duration(text))
    except ValueError as error:
        said = str(error)
    assert said.startswith("must be") or parse_duration(said) == parse_duration(text)


@pytest.mark.parametrize("text", ["", "5", "m", "4 m", "-4m", "1.5h", "4M", "٣m", "0s", "99999999999w", "9" * 50 + "s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """No unit, no number, a sign, a fraction, foreign digits, nothing and for ever."""
    with pytest.raises(ValueError, match="must be"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["* * * * *", "30 3 * * 0", "*/5 0-6,22 1-31/2 jan,Mar-dec MON-fri", "0 0 1 1 7"])
def test_cron_expressions_are_accepted(text: str) -> None:
    """Numbers, names, ranges, steps, lists."""
    assert check_cron(text) == text


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("* * * *", "five fields"),
        ("@daily", "five fields"),
        ("60 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 0 * *", "day"),
        ("* * * 13 *", "month"),
        ("* * * foo *", "month"),
        ("* * * * 8", "weekday"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1/ * * * *", "minute"),
        ("1-2-3 * * * *", "minute"),
        ("1,, * * * *", "minute"),
        ("²  * * * *", "minute"),
    ],
)
def test_a_wrong_cron_expression_names_the_field(text: str, field: str) -> None:
    """The message says which of the five it is."""
    with pytest.raises(ValueError, match=field):
        check_cron(text)


def test_endpoints_get_their_scheme_and_nothing_after_the_host() -> None:
    """A bare host means https."""
    assert check_endpoint("oss-cn-hangzhou.aliyuncs.com") == "https://oss-cn-hangzhou.aliyuncs.com"
    assert check_endpoint("http://127.0.0.1:8333/") == "http://127.0.0.1:8333"
    assert check_endpoint("https://[::1]:9000") == "https://[::1]:9000"


@pytest.mark.parametrize("text", ["https://me:hunter2@host", "https://host/bucket", "ftp://host", "", "https://a b"])
def test_a_wrong_endpoint_is_refused_without_repeating_it(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match="must") as caught:
        check_endpoint(text)
    assert "hunter2" not in str(caught.value)


def test_paths_are_made_comparable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Home expanded, from the root, without detours."""
    monkeypatch.setenv("HOME", "/home/somebody")
    assert absolute_path(Path("~/data/../data/x/")) == Path("/home/somebody/data/x")
    assert absolute_path(Path("x")) == Path.cwd() / "x"
    for wrong in ("~nobody-of-that-name/x", "/a\0b"):
        with pytest.raises(ValueError, match="must be a path"):
            absolute_path(Path(wrong))


@pytest.mark.parametrize("text", ["a\nb", " a", "a ", "a\tb", "a\0"])
def test_a_broken_copy_of_a_key_is_refused(text: str) -> None:
    """It would end up in an HTTP header."""
    with pytest.raises(ValueError, match="one line"):
        one_line(SecretStr(text))
