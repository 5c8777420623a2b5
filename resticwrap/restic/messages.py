"""restic's JSON messages as types. Unknown fields and unknown message types are ignored; a wrong type is not.

Source: restic 0.19.1, doc/075_scripting.rst; zero fields are left out by restic, hence the defaults.
"""

from typing import Any, TypeVar, cast

import msgspec

from resticwrap.errors import ResticFailed
from resticwrap.model.base import Time, from_json


class _Message(msgspec.Struct, frozen=True):
    pass


class _Kind(_Message, frozen=True):
    message_type: str = ""


class Status(_Message, frozen=True):
    """`status` of backup and restore."""

    percent_done: float = 0.0
    total_files: int = 0
    files_done: int = 0
    files_restored: int = 0
    total_bytes: int = 0
    bytes_done: int = 0
    bytes_restored: int = 0
    error_count: int = 0
    seconds_remaining: float | None = None
    current_files: list[str] | None = None


class VerboseStatus(_Message, frozen=True):
    """`verbose_status`: of backup one item that is new or modified, where folders end with a slash; of restore one
    that is `restored`."""

    action: str = ""
    item: str = ""
    data_size: int = 0
    size: int = 0


class BackupSummary(_Message, frozen=True):
    """`summary` of backup. `snapshot_id` is missing where `--skip-if-unchanged` skipped."""

    files_new: int = 0
    files_changed: int = 0
    files_unmodified: int = 0
    data_added: int = 0
    data_added_packed: int = 0
    total_files_processed: int = 0
    total_bytes_processed: int = 0
    total_duration: float = 0.0
    snapshot_id: str | None = None
    dry_run: bool = False


class RestoreSummary(_Message, frozen=True):
    """`summary` of restore; counts folders and links too."""

    total_files: int = 0
    files_restored: int = 0
    total_bytes: int = 0
    bytes_restored: int = 0


class CheckSummary(_Message, frozen=True):
    """`summary` of check."""

    num_errors: int
    broken_packs: list[str] | None = None
    suggest_repair_index: bool = False


class Initialized(_Message, frozen=True):
    """`initialized` of init."""

    id: str


class ErrorText(_Message, frozen=True):
    message: str = ""


class ErrorItem(_Message, frozen=True):
    """`error` on stderr: one item that could not be read or restored, or one fault that a check found."""

    error: ErrorText = ErrorText()
    during: str = ""
    item: str = ""
    message: str = ""


class ExitError(_Message, frozen=True):
    """`exit_error` on stderr, the last line of a fatal end."""

    code: int = 1
    message: str = ""


class SnapshotStats(_Message, frozen=True):
    total_files_processed: int = 0
    total_bytes_processed: int = 0
    data_added_packed: int = 0


class SnapshotJson(_Message, frozen=True):
    """One element of `snapshots --json`."""

    time: Time
    tree: str
    id: str = ""
    hostname: str = ""
    paths: list[str] = []
    tags: list[str] | None = None
    parent: str | None = None
    original: str | None = None
    summary: SnapshotStats | None = None


class KeyJson(_Message, frozen=True, rename="camel"):
    """One element of `key list --json`, the one list of restic's in camel case."""

    id: str
    current: bool = False
    user_name: str = ""
    host_name: str = ""
    created: str = ""


class ConfigJson(_Message, frozen=True):
    """`cat config`."""

    version: int
    id: str
    chunker_polynomial: str


class LockJson(_Message, frozen=True):
    """A lock object."""

    time: Time
    hostname: str = ""
    username: str = ""
    pid: int = 0
    exclusive: bool = False


class KeyFile(_Message, frozen=True):
    """What a key object says in clear."""

    hostname: str


M = TypeVar("M", bound=_Message)
_KIND = msgspec.json.Decoder(_Kind)


def message_type(line: bytes) -> str | None:
    """The type of a message; None where the line is not JSON, "" where it has no type."""
    try:
        return _KIND.decode(line).message_type
    except msgspec.MsgspecError:
        return None


def decode(line: bytes, kind: type[M]) -> M:
    """Raises ResticFailed where the line is not such a message; what it says is in neither sentence nor hint."""
    return cast(M, _decoded(line, kind, kind))


def decode_list(data: bytes, kind: type[M]) -> list[M]:
    """A JSON array of messages, empty where restic printed `null`. Raises ResticFailed."""
    return _decoded(data, list[kind] | None, kind) or []  # type: ignore[valid-type]


def _decoded(data: bytes, type: Any, kind: type[_Message]) -> Any:
    try:
        return from_json(type, data)
    except msgspec.MsgspecError as error:
        raise ResticFailed(
            f"restic printed a {kind.__name__} that this version of rw does not understand.",
            hint="rw doctor says which restic is used; another one can be named with RW_RESTIC.",
        ) from error
