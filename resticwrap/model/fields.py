"""The kinds of text in a policy: durations, paths, endpoints, cron expressions, names, secrets.

Messages say what is wanted and never what was given, which may be a secret.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from resticwrap.model.snapshot import NAME

PROM = ".prom"
"""What the names of files for node_exporter's textfile collector end in."""
UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
SIZE = r"^([0-9]+(\.[0-9]+)?) ?([KMGTP]i?B|B|)$"
SHARE = r"^1(/([1-9]\d?|1\d\d|2[0-4]\d|25[0-6]))?$"
WINDOW = r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"
LONGEST = timedelta(days=36525)
DURATION = r"^([0-9]+[smhdw])+$"


def parse_duration(value: Any) -> Any:
    """`90s`, `4m`, `6h`, `30d`, `2w` and sums such as `1h30m` as a timedelta; other types pass through.

    Raises ValueError for anything else, for nothing at all (`0s`) and for more than a hundred years.
    """
    if not isinstance(value, str):
        return value
    if not re.fullmatch(DURATION, text := value.strip()) or len(text) > 40:
        raise ValueError("must be a duration such as 90s, 4m, 6h, 30d or 1h30m")
    seconds = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", text))
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError("must be longer than nothing and shorter than a hundred years")
    return timedelta(seconds=seconds)


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as this value, in whole seconds."""
    rest = int(value.total_seconds())
    parts = []
    for unit, seconds in UNITS.items():
        if unit == "w" and rest % seconds:
            continue  # 30d is plainer than 4w2d
        number, rest = divmod(rest, seconds)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: Any) -> Any:
    """`500MiB`, `2 TiB`, `10GB` or a number of bytes as an int; other types pass through. Raises ValueError."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(SIZE, value.strip())
    if match is None:
        raise ValueError("must be a size such as 500MiB, 20GiB or 1TB")
    unit = match[3].upper()
    base = 1024 if unit.endswith("IB") else 1000
    return int(float(match[1]) * base ** " KMGTP".index(unit[:1] if len(unit) > 1 else " "))


def is_prom(file: Path) -> bool:
    """Whether node_exporter's textfile collector would read a file of this name."""
    return file.name.endswith(PROM) and file.name != PROM


def absolute_path(value: Path) -> Path:
    """With `~` expanded, from `/`, and without `..`, so that paths can be compared by their text."""
    text = os.path.expanduser(value)
    if "\0" in text or text.startswith("~"):
        raise ValueError("must be a path; write it from / where there is no home directory")
    return Path(os.path.normpath(Path(text).absolute()))


def one_line(value: SecretStr) -> SecretStr:
    """A key with a line break in it is a broken copy, and would end up in an HTTP header."""
    if not value.get_secret_value().isprintable() or value.get_secret_value() != value.get_secret_value().strip():
        raise ValueError("must be one line without spaces around it")
    return value


def check_endpoint(value: str) -> str:
    """A URL with its scheme (https where none is given) and nothing after the host and port."""
    url = value.rstrip("/") if "://" in value else f"https://{value.rstrip('/')}"
    if "@" in url:
        raise ValueError("must not hold a user or a password: they belong under `credentials`")
    if not re.fullmatch(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?", url):
        raise ValueError("must be a host, or http(s)://host[:port], and nothing after it")
    return url


CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("weekday", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)


def check_cron(value: str) -> str:
    """Five fields of numbers, names, ranges, steps and lists. Raises ValueError that names the field."""
    fields = value.lower().split()
    if len(fields) != len(CRON_FIELDS):
        raise ValueError("must have five fields: minute hour day month weekday, such as 30 3 * * 0")
    for text, (name, low, high, names) in zip(fields, CRON_FIELDS, strict=True):
        for part in text.split(","):
            span, slash, step = part.partition("/")
            ends = [str(low), str(high)] if span == "*" else span.split("-")
            numbers = [names.index(end) + low if end in names else int(end) if _digits(end) else -1 for end in ends]
            if len(numbers) > 2 or not low <= numbers[0] <= numbers[-1] <= high or (slash and not _step(step)):
                raise ValueError(f"the {name} must be *, or {low} to {high}, as a number, a-b, */n or a list of them")
    return value


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 2


def _step(text: str) -> bool:
    return _digits(text) and int(text) > 0


K = TypeVar("K")
V = TypeVar("V")


def _read_only(value: Mapping[K, V]) -> Mapping[K, V]:
    return MappingProxyType(dict(value))


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=DURATION)]),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    Field(examples=["4m", "6h", "30d"]),
]
Size = Annotated[
    int,
    Field(ge=1),
    BeforeValidator(parse_size, json_schema_input_type=int | Annotated[str, Field(pattern=SIZE)]),
]
Name = Annotated[str, Field(pattern=NAME)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$", max_length=200)]
AbsolutePath = Annotated[Path, AfterValidator(absolute_path)]
Secret = Annotated[SecretStr, AfterValidator(one_line)]
Endpoint = Annotated[str, AfterValidator(check_endpoint)]
Cron = Annotated[str, AfterValidator(check_cron)]
# A frozen model may still hold a dict that anybody can change, so its mappings are proxies.
ReadOnly = (AfterValidator(_read_only), PlainSerializer(dict))

WORDS = {
    NAME: "must be a name: up to 64 lower-case letters, digits, _ and -, a letter first",
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$": "must be names of letters, digits, . _ and -, "
    "joined by /",
    r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$": "must be a bucket's name: 3 to 63 lower-case letters, digits, . and -",
    r"^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$": "must be a host name: up to 63 letters, digits, . and -",
    CLOCK: "must be a time of the day such as 08:00",
    WINDOW: "must be two times of the day such as 01:00-05:00",
    r"^([0-9]{1,2}%|unlimited)$": "must be a share such as 5%, or unlimited",
    SHARE: "must be a share such as 1/12: from 1/1 to 1/256",
}
"""What a pattern asks for, in words."""
