"""Sizes, durations, shares and names as people read them."""

import re
import stat
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resticwrap.report import format as fmt

SIZE = re.compile(r"-?(\d+ B|\d{1,2}\.\d [KMGTPEZYRQ]iB|\d{3,4} [KMGTPEZYRQ]iB|[\d,]+ QiB)")
DURATION = re.compile(r"-?(\d+ms|\d\.\ds|\d+s|\d+m( \d\ds)?|\d+h( \d\dm)?|[\d,]+d( \d+h)?)|unknown")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (102_348, "99.9 KiB"),
        (102_350, "100 KiB"), (1024 * 1024 - 1, "1.0 MiB"), (5 * 2**40, "5.0 TiB"), (2**63, "8.0 EiB"),
        (10**400, None), (-2048, "-2.0 KiB"),
    ],
)  # fmt: skip
def test_size(count: int, text: str | None) -> None:
    assert text is None or fmt.size(count) == text
    assert SIZE.fullmatch(fmt.size(count))


UNIT = {"B": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4, "PiB": 5, "EiB": 6, "ZiB": 7, "YiB": 8, "RiB": 9, "QiB": 10}


@given(st.integers(min_value=0, max_value=10**33))
def test_size_reads_back_within_its_rounding(count: int) -> None:
    """What is shown is within 6 per cent (half a digit of `1.0`) of what is meant, and is never wider than 8."""
    number, unit = fmt.size(count).split()
    assert abs(float(number) * 1024 ** UNIT[unit] - count) <= 0.06 * count
    assert len(fmt.size(count)) <= 8


@given(st.integers(min_value=0, max_value=10**33), st.integers(min_value=0, max_value=10**33))
def test_size_keeps_order(one: int, other: int) -> None:
    """A larger count is never shown as a smaller size."""
    small, large = sorted((one, other))
    shown = [float(text.split()[0]) * 1024 ** UNIT[text.split()[1]] for text in (fmt.size(small), fmt.size(large))]
    assert shown[0] <= shown[1]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (0.0004, "0s"), (0.0851, "85ms"), (0.9996, "1s"), (4.24, "4.2s"), (9.96, "10s"), (59.6, "1m"),
        (192, "3m 12s"), (3599.7, "1h"), (7500, "2h 05m"), (86_399, "1d"), (273_600, "3d 4h"), (-192, "-3m 12s"),
        (float("inf"), "unknown"), (float("nan"), "unknown"),
    ],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert fmt.duration(seconds) == text


@given(st.floats())
def test_every_duration_has_a_shape(seconds: float) -> None:
    assert DURATION.fullmatch(fmt.duration(seconds))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0s"), (42, "42s"), (18_720, "5h 12m"), (2 * 86_400, "2 days"), (60.9 * 86_400, "60 days"),
        (200 * 86_400, "6 months"), (1200 * 86_400, "3 years"), (float("inf"), "unknown"),
    ],
)  # fmt: skip
def test_age(seconds: float, text: str) -> None:
    assert fmt.age(seconds) == text


def test_a_share_is_whole_only_when_it_is() -> None:
    assert [fmt.percent(share) for share in (0, 0.5, 0.99999, 1.0)] == ["0.0 %", "50.0 %", "99.9 %", "100 %"]


@given(st.text())
def test_clean_text_prints_as_itself(text: str) -> None:
    """Nothing is left that a terminal would act on, and cleaning twice changes nothing."""
    shown = fmt.clean(text)
    assert all(char.isprintable() or char.isspace() for char in shown)
    assert not set(shown) & set("\x1b\n\r\t\x00\x07\x9b\u202e\u2028\u2029\x85")
    assert fmt.clean(shown) == shown
    shown.encode()


def test_clean_keeps_names_of_all_languages() -> None:
    assert fmt.clean("成绩　表 ñandú 🎓.json") == "成绩　表 ñandú 🎓.json"


def test_times_have_their_zone() -> None:
    time = datetime(2026, 7, 31, 14, 3, 5, tzinfo=UTC)
    shanghai = ZoneInfo("Asia/Shanghai")
    assert fmt.stamp(time, shanghai) == "2026-07-31 22:03"
    assert fmt.iso(time, shanghai) == "2026-07-31T22:03:05+08:00"
    assert fmt.zone_name([time], shanghai) == "+08:00"
    assert fmt.zone_name([], shanghai) == "Asia/Shanghai"
    assert fmt.zone_name([time], UTC) == "UTC"
    winter = time + timedelta(days=180)
    assert fmt.zone_name([time, winter], ZoneInfo("Europe/Berlin")) == "Europe/Berlin"
    assert fmt.iso(datetime.min.replace(tzinfo=UTC), timezone(timedelta(hours=-8))).startswith("0001-01-01T00:00")
    assert fmt.stamp(None, UTC) == "-"


def test_mode_takes_bits_of_posix_and_of_go() -> None:
    assert fmt.mode("dir", 0o755) == "drwxr-xr-x"
    assert fmt.mode("file", 0o4755) == fmt.mode("file", 0o755 | 1 << 23) == "-rwsr-xr-x"
    assert fmt.mode("dir", 0o777 | 1 << 20) == "drwxrwxrwt"
    assert fmt.mode("file", stat.S_IFREG | 0o640) == "-rw-r-----"
