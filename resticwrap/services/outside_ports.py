"""What handing the schedule to systemd or cron needs of this machine."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from pathlib import Path
from typing import Literal, Protocol

Loose = Literal["", "readable", "writable"]


class Keepers(Protocol):
    """systemd and cron of this machine, and the files that they read. Whatever cannot be read or written raises
    Failure."""

    @property
    def root(self) -> bool: ...

    @property
    def home(self) -> Path: ...

    @property
    def rw(self) -> tuple[str, ...]:
        """The words that call this very `rw`, the first one an absolute path."""

    def zone(self) -> tuple[str, tzinfo]:
        """The time zone of this machine, by its name where it has one."""

    def runs_systemd(self, *, user: bool) -> bool:
        """Whether systemd runs here, and listens to us."""

    def systemctl(self, words: Sequence[str], *, user: bool) -> None:
        """Raises Failure with what systemd says."""

    def files(self, folder: Path, pattern: str) -> Mapping[str, str]:
        """What lies in a folder, by path; nothing where it is not there."""

    def read(self, path: Path) -> str: ...

    def write(self, path: Path, text: str) -> None:
        """Whole or not at all, readable by everybody; makes the folder."""

    def remove(self, path: Path) -> None:
        """One that is not there is no error."""

    def crontab(self) -> str:
        """The crontab of who runs this; empty where there is none."""

    def put_crontab(self, text: str) -> None: ...

    def make(self, folder: Path) -> None:
        """A private folder, where it is not there."""

    def loose(self, path: Path) -> Loose:
        """What others than owner and group may do; "" for neither, or where it is not there."""
