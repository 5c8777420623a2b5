"""Numbers, times and names as people read them. Pure: time and zone are arguments."""

import math
import stat
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB", "RiB", "QiB")
MINUTE, HOUR, DAY = 60, 3600, 86400
ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def size(count: int) -> str:
    """Bytes in IEC units, three to four digits: `0 B`, `1023 B`, `1.5 KiB`, `12.3 GiB`, `512 TiB`."""
    if count < 0:
        return "-" + size(-count)
    if count < 1024:
        return f"{count} B"
    for power, unit in enumerate(UNITS, start=1):
        # Integers before the division: a count may be larger than a float holds.
        tenths = (count * 10 + 1024**power // 2) // 1024**power
        if tenths < 1000:
            return f"{tenths // 10}.{tenths % 10} {unit}"
        if (whole := (tenths + 5) // 10) < 1024:
            return f"{whole} {unit}"
    return f"{count // 1024 ** len(UNITS):,} {UNITS[-1]}"


def rate(per_second: float) -> str:
    return f"{size(round(per_second))}/s" if math.isfinite(per_second) and per_second >= 0 else "?"


def count(number: int) -> str:
    return f"{number:,}"


def plural(number: int, noun: str, many: str = "") -> str:
    """`1 file`, `1,525 files`; `many` where the plural is not noun + s."""
    return f"{number:,} {noun if number == 1 else many or noun + 's'}"


def percent(share: float) -> str:
    """A share of 1 as per cent, rounded down, so that `100 %` always means all of it."""
    if share >= 1:
        return "100 %"
    tenths = max(0, math.floor(share * 1000))
    return f"{tenths // 10}.{tenths % 10} %"


def duration(seconds: float) -> str:
    """`0s`, `85ms`, `4.2s`, `7s`, `42s`, `3m 12s`, `2h 05m`, `3d 4h`."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0:
        return "-" + duration(-seconds)
    if seconds < 0.9995:
        return f"{round(seconds * 1000)}ms" if seconds >= 0.0005 else "0s"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    if (whole := round(seconds)) < HOUR:
        minutes, rest = divmod(whole, MINUTE)
        return f"{rest}s" if not minutes else f"{minutes}m {rest:02}s" if rest else f"{minutes}m"
    if (whole := round(seconds / MINUTE)) < DAY // MINUTE:
        hours, rest = divmod(whole, 60)
        return f"{hours}h {rest:02}m" if rest else f"{hours}h"
    days, rest = divmod(round(seconds / HOUR), 24)
    return f"{days:,}d {rest}h" if rest else f"{days:,}d"


def age(seconds: float) -> str:
    """How long ago, ever coarser: `42s`, `3m 12s`, `5h 12m`, `2 days`, `7 months`, `3 years`."""
    if not math.isfinite(seconds) or seconds < 2 * DAY:
        return duration(seconds) if abs(seconds) >= 1 or not math.isfinite(seconds) else "0s"
    days = int(seconds // DAY)
    if days < 61:
        return plural(days, "day")
    return plural(int(days / 30.44), "month") if days < 731 else plural(int(days / 365.25), "year")


def local(time: datetime, zone: tzinfo | None) -> datetime:
    """In `zone`, in the machine's own where that is None. What no zone can hold (the year 1) stays as it is."""
    try:
        return time.astimezone(zone)
    except (OverflowError, ValueError, OSError):
        return time


def stamp(time: datetime | None, zone: tzinfo | None, missing: str = "-") -> str:
    """To the minute and without its zone: the heading of the column or the title says that."""
    return missing if time is None else f"{local(time, zone):%Y-%m-%d %H:%M}"


def iso(time: datetime | None, zone: tzinfo | None, missing: str = "-") -> str:
    return missing if time is None else local(time, zone).isoformat(timespec="seconds")


def zone_name(times: Iterable[datetime | None], zone: tzinfo | None) -> str:
    """What to call a zone beside these times: `UTC`, their common offset (`+08:00`), else the name of the zone."""
    if zone is UTC or (key := getattr(zone, "key", "")) == "UTC":
        return "UTC"
    offsets = {f"{local(time, zone):%z}" for time in times if time is not None}
    if len(offsets) == 1 and (offset := offsets.pop()):
        return f"{offset[:3]}:{offset[3:5]}" if offset.strip("+-0") else "UTC"
    return str(key) or "local time"


def clean(text: str) -> str:
    """Text of others made harmless: whatever is not printed as itself (controls, ESC, line ends, direction marks,
    halves of surrogates) stands as a backslash escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or unicodedata.category(c) == "Zs" else _escape(c) for c in text)


def _escape(char: str) -> str:
    code = ord(char)
    return ESCAPES.get(char) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


KINDS = {
    "file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK, "dev": stat.S_IFBLK,
    "chardev": stat.S_IFCHR, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK,
}  # fmt: skip
# The repository holds modes as Go writes them: permission bits as in POSIX, these three far above.
GO_SETUID, GO_SETGID, GO_STICKY = 1 << 23, 1 << 22, 1 << 20


def mode(kind: str, bits: int) -> str:
    """`drwxr-xr-x`; takes POSIX bits and Go's."""
    posix = bits & 0o7777
    for go, own in ((GO_SETUID, stat.S_ISUID), (GO_SETGID, stat.S_ISGID), (GO_STICKY, stat.S_ISVTX)):
        posix |= own if bits & go else 0
    return stat.filemode(KINDS.get(kind, 0) | posix)
