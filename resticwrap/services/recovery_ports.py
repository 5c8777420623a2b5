"""What recovery needs of the outside: secrets, a seal, another installation, commands that are started."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from resticwrap.model.kit import Kit

if TYPE_CHECKING:
    from resticwrap.services.context import Context


class Secrets(Protocol):
    """What opens a target. Asked for only where it goes into a kit, or is exchanged."""

    def password(self) -> str:
        """The repositories' password. Raises WrongPassword."""

    @property
    def file(self) -> Path | None:
        """The file that the password is in; None where it comes from a command or a variable."""

    def credentials(self) -> Mapping[str, str]:
        """What lets the storage client in, by the names of the policy's fields; nothing where the machine itself is let
        in, or where it will end soon. Raises as a store does."""


class Sealing(Protocol):
    """Encrypts with a passphrase."""

    def seal(self, plain: bytes, passphrase: str) -> bytes: ...

    def open(self, sealed: bytes, passphrase: str) -> bytes:
        """Raises WrongPassword where the passphrase is another one, Damaged where the bytes are not what was sealed."""


class Running(Protocol):
    """What a start command began."""

    def ended(self) -> int | None:
        """The exit code of the command, None while it runs. What it started may go on after it."""

    def stop(self) -> None:
        """End it and everything that it started. Raises Failure where something is left. May be repeated."""


class Commands(Protocol):
    """Starts the policy's commands, by which a restored system is started and asked.

    With `confined` they may write below that folder and nowhere else, cannot reach Docker, and end with us. Raises
    RestoreRefused, before anything is started, where this machine cannot do that.
    """

    def refusal(self, words: Sequence[str]) -> str:
        """Why this command cannot be confined here, as a sentence; empty where it can."""

    def start(
        self, words: Sequence[str], *, place: Path, env: Mapping[str, str], log: Path, confined: Path | None
    ) -> Running:
        """Start it in `place` and return at once. It outlives us unless it is `confined`."""

    def ask(
        self, words: Sequence[str], *, place: Path, env: Mapping[str, str], timeout: float, confined: Path | None
    ) -> tuple[int, str]:
        """Run it to its end: its exit code and the end of what it said."""


@dataclass(frozen=True)
class Recovery:
    """All of it. `elsewhere` is the installation that a kit makes below a folder, with nothing of this one's in it."""

    secrets: Secrets
    sealing: Callable[[], Sealing]
    commands: Commands
    elsewhere: Callable[[Kit, Path], AbstractContextManager["Context"]]
