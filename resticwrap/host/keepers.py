"""systemd and cron of this machine: the port `Keepers`."""

import os
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from resticwrap import errors, process
from resticwrap.services.outside_ports import Loose

SECONDS = 60.0
ALLOWED = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "LANG", "USER", "LOGNAME")


class HostKeepers:
    """What runs on this machine. `local_time` is the file that says its time zone."""

    def __init__(self, env: Mapping[str, str], *, local_time: Path = Path("/etc/localtime")) -> None:
        self._env = {"PATH": os.defpath, **{name: env[name] for name in ALLOWED if name in env}}
        self._local_time = local_time

    @property
    def root(self) -> bool:
        return os.geteuid() == 0

    @property
    def home(self) -> Path:
        return Path(self._env.get("HOME") or Path.home())

    @property
    def rw(self) -> tuple[str, ...]:
        # The interpreter is not resolved: a virtual environment is known by where its link lies.
        script = Path(sys.executable).with_name("rw")
        return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "resticwrap")

    def zone(self) -> tuple[str, tzinfo]:
        from zoneinfo import ZoneInfo

        if not self._local_time.exists():
            return "UTC", UTC
        _, found, name = os.path.realpath(self._local_time).partition("zoneinfo/")
        try:
            if found:
                return name, ZoneInfo(name)
            with self._local_time.open("rb") as stream:
                return "local time", ZoneInfo.from_file(stream)
        except (KeyError, ValueError, OSError):
            return "local time", datetime.now().astimezone().tzinfo or UTC

    def runs_systemd(self, *, user: bool) -> bool:
        if not user:
            return Path("/run/systemd/system").is_dir() and shutil.which("systemctl") is not None
        runtime = self._env.get("XDG_RUNTIME_DIR")
        return runtime is not None and Path(runtime, "systemd/private").exists()

    def systemctl(self, words: Sequence[str], *, user: bool) -> None:
        self._run("systemctl", *(("--user",) if user else ()), "--no-ask-password", *words)

    def files(self, folder: Path, pattern: str) -> Mapping[str, str]:
        return {str(path): self.read(path) for path in sorted(folder.glob(pattern)) if path.is_file()}

    def read(self, path: Path) -> str:
        try:
            with path.open(encoding="utf-8", errors="surrogateescape", newline="") as stream:
                return stream.read()
        except OSError as error:
            raise _cannot("read", error) from error

    def write(self, path: Path, text: str) -> None:
        # A dot in front: neither cron nor systemd takes it for one of theirs.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("w", encoding="utf-8", errors="surrogateescape") as out:
                out.write(text)
                out.flush()
                os.fchmod(out.fileno(), 0o644)
                os.fsync(out.fileno())
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise _cannot("written", error) from error

    def remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _cannot("removed", error) from error

    def crontab(self) -> str:
        # Where there is none it says so in words, and ends with 1 as it does for what is a failure; then to write one
        # fails as well.
        result = process.run(["crontab", "-l"], env=self._env, timeout=SECONDS)
        text = result.stdout.decode("utf-8", "surrogateescape") if result.code == 0 else ""
        return text + "\n" if text else ""

    def put_crontab(self, text: str) -> None:
        fd = os.memfd_create("crontab", os.MFD_CLOEXEC)
        try:
            os.write(fd, text.encode("utf-8", "surrogateescape"))
            os.lseek(fd, 0, os.SEEK_SET)
            self._run("crontab", "-", stdin=fd)
        finally:
            os.close(fd)

    def make(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        except OSError as error:
            raise _cannot("made", error) from error

    def loose(self, path: Path) -> Loose:
        try:
            mode = path.stat().st_mode
        except OSError:
            return ""
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return "writable"
        return "readable" if mode & stat.S_IROTH else ""

    def _run(self, *words: str, stdin: int | None = None) -> None:
        result = process.run(words, env=self._env, timeout=SECONDS, stdin=stdin)
        if result.code != 0:
            said = result.stderr.strip().splitlines()
            raise errors.Failure(
                f"{words[0]} failed with exit code {result.code}{f': {said[-1]}' if said else '.'}",
                hint=f"Try it by hand: {process.shown(words)}",
            )


def _cannot(what: str, error: OSError) -> errors.Failure:
    return errors.Failure(
        f"{error.filename} cannot be {what}: {error.strerror}.",
        hint="Run it as root, with --user for yourself alone, or with --output FOLDER.",
    )
