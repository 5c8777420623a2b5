"""A schedule that is handed to systemd or cron: which files that takes, and what became of them."""

from typing import Literal

from resticwrap.model.base import Value

Keeper = Literal["systemd", "cron"]
FileAction = Literal["add", "change", "remove", "keep"]


class OutsideJob(Value, frozen=True):
    """A job as systemd or cron keeps it. `when` are their own expressions, `command` the words that they run."""

    name: str
    kind: str
    target: str
    when: tuple[str, ...]
    command: tuple[str, ...]


class OutsideFile(Value, frozen=True):
    """One file of ours: `content` as it should be ("" where it goes), `diff` what that changes."""

    path: str
    action: FileAction
    content: str = ""
    diff: str = ""


class OutsideReport(Value, frozen=True):
    """What was written or taken away, or would be (`planned`). `next` are the commands that are left to a person."""

    keeper: Keeper
    mode: Literal["planned", "installed", "removed"]
    folder: str
    jobs: tuple[OutsideJob, ...]
    files: tuple[OutsideFile, ...]
    next: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
