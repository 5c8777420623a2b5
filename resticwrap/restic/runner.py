"""Starts restic: its environment, its password, its lease, its deadline, and an eye on the target while it retries.

restic retries a wrong secret, a missing bucket or a dead endpoint for a quarter of an hour in silence. So whenever it
says something that is no message, and once a minute besides, the target is asked by its own client, whose typed answer
decides: a refusal ends the run at once, silence after the grace of the policy.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from resticwrap import errors, process
from resticwrap.cancel import Cancel
from resticwrap.clock import Clock
from resticwrap.ports import HostLocks, Lease, MissedItem, ResticAccess, Store
from resticwrap.restic import exits, messages

INHERITED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "TZ",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GOMAXPROCS",
    "GOMEMLIMIT",
)
"""All that a child gets of our environment: an inherited password or repository would be used without anyone asking."""

LEFT_NO_LOCK = frozenset({0, 3, 10, 11, 12})
"""Exit codes after which restic has removed its lock, or never had one, unless it complained: the lease may go."""
LOCK_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
PROBE_AFTER = 5.0
STILL_AFTER = 5.0
STILL_SHARE = 0.05
"""A child that used less than this share of a processor for so many seconds stands still."""
PROBE_EVERY = 60.0
MISSED_KEPT = 1000
SCAN = "scan"
"""The pass that only counts: what it cannot read is told of again by the one that stores, if that cannot either."""
NO_ROOM = 1 << 20
"""Below this many free bytes nothing that restic does succeeds."""
LOW_SPACE = 64 << 20
"""Below this many free bytes a failed run is put down to the full disk: restic removes its unfinished file."""


@dataclass(frozen=True)
class Limits:
    """How restic may use machine and network, in seconds and KiB/s; see `Target` in the policy."""

    compression: str = "auto"
    upload: int | None = None
    download: int | None = None
    pack_size: int | None = None
    nice: int = 0
    deadline: float = 12 * 3600
    lock_wait: float = 1800
    grace: float = 60


@dataclass(frozen=True)
class Setting:
    """All that one repository's restic needs. `password` and `access` are asked before each child."""

    binary: Path
    target: str
    tier: str
    url: str
    prefix: str
    access: Callable[[], ResticAccess] = field(repr=False)
    password: Callable[[], str] = field(repr=False)
    cache_dir: Path
    store: Store = field(repr=False)
    locks: HostLocks = field(repr=False)
    clock: Clock
    cancel: Cancel
    env: Mapping[str, str] = field(repr=False)
    limits: Limits = Limits()
    write_places: tuple[Path, ...] = ()
    free: Callable[[Path], int] = lambda _: LOW_SPACE
    note: Callable[[str], None] = lambda _: None


@dataclass(frozen=True)
class Source:
    """The repository that restic reads from beside its own. `on_locked` as in `Runner`."""

    url: str
    on_locked: Callable[[], bool]


@dataclass
class Heard:
    """What a child said: missed items (bounded), how many, and its last word."""

    missed: list[MissedItem] = field(default_factory=list)
    missed_count: int = 0
    said: str = ""
    plain: int = 0


class Runner:
    """Runs one restic command at a time for one repository; several threads may do so at once."""

    def __init__(self, setting: Setting, on_locked: Callable[[], bool]) -> None:
        """`on_locked` is called when restic met a lock; True when one of our own dead ones was removed."""
        self.setting = setting
        self._on_locked = on_locked

    def run(
        self,
        command: Sequence[str | bytes],
        *,
        accept: frozenset[int] = frozenset({0}),
        on_line: Callable[[bytes], None] | None = None,
        cwd: bytes | Path | None = None,
        wait: float | None = None,
        source: "Source | None" = None,
        deadline: float | None = None,
        password: str | None = None,
        new_password: str | None = None,
        leisurely: bool = False,
        stdout: int | None = None,
        fds: Sequence[int] = (),
    ) -> tuple[process.Result, Heard]:
        """Run `restic COMMAND` and return its result when its exit code is in `accept`; else raise its typed error.

        A lock of somebody else is waited for, `wait` seconds or the policy's; our own dead locks are removed, those of
        the `source` too. `deadline`: seconds for all of it, waiting too, instead of the policy's for a child.
        `password` stands for the target's; `new_password` is handed to `key add`, by a descriptor as well.
        `leisurely` and `stdout` are as for `process.run`; `fds` are descriptors that restic hands to a command of its
        own.
        """
        setting = self.setting
        started = setting.clock.monotonic()
        wait = setting.limits.lock_wait if wait is None else wait
        wait = wait if deadline is None else min(wait, deadline)
        pauses = iter(LOCK_PAUSES)
        while True:
            left = None if deadline is None else max(started + deadline - setting.clock.monotonic(), 0.0)
            result, heard = self._once(
                command,
                on_line=on_line,
                cwd=cwd,
                source=source,
                deadline=left,
                password=password,
                new_password=new_password,
                leisurely=leisurely,
                stdout=stdout,
                fds=fds,
            )
            if result.code in accept:
                return result, heard
            if result.code != exits.LOCKED:
                raise self.failure(command, result.code, heard)
            if self._on_locked() or (source is not None and source.on_locked()):
                continue
            patience = wait - (setting.clock.monotonic() - started)
            if patience <= 0:
                raise self.failure(command, result.code, heard)
            setting.note(f"{setting.tier} repository is locked by somebody else; waiting up to {patience:.0f} s more")
            self._pause(min(next(pauses, LOCK_PAUSES[-1]), patience))

    def _pause(self, seconds: float) -> None:
        until = self.setting.clock.monotonic() + seconds
        while (left := until - self.setting.clock.monotonic()) > 0:
            self.setting.cancel.check()
            self.setting.clock.sleep(min(left, 0.5))

    def _once(
        self,
        command: Sequence[str | bytes],
        *,
        on_line: Callable[[bytes], None] | None,
        cwd: bytes | Path | None,
        source: "Source | None",
        deadline: float | None,
        password: str | None = None,
        new_password: str | None = None,
        leisurely: bool = False,
        stdout: int | None = None,
        fds: Sequence[int] = (),
    ) -> tuple[process.Result, Heard]:
        setting, heard = self.setting, Heard()
        password = password or setting.password()
        watch, access = _Watch(setting), setting.access()

        def on_stderr(line: bytes) -> None:
            if _hear(line, heard):
                watch.trouble()

        urls = [setting.url, *([source.url] if source else [])]
        with descriptor(password.encode()) as fd, ExitStack() as stack:
            # One for each repository that it locks: a lock is judged by the lease of its own repository.
            leases = [stack.enter_context(held(setting.locks.lease(url))) for url in urls]
            own, secrets = [fd], [password, *access.secrets]
            if new_password is not None:
                own.append(stack.enter_context(descriptor(new_password.encode())))
                secrets.append(new_password)
                command = [*command, "--new-password-file", f"/dev/fd/{own[-1]}"]

            def on_start(pid: int) -> None:
                for lease in leases:
                    lease.started(pid)
                watch.started(pid)

            result = process.run(
                [str(setting.binary), *self._global_options(access), *command],
                env=self._env(access, f"/dev/fd/{fd}", source.url if source else None),
                timeout=setting.limits.deadline if deadline is None else deadline,
                grace=min(process.GRACE_SECONDS, setting.limits.grace),
                cwd=cwd,
                stdout=stdout,
                pass_fds=(*own, *fds, *(lease.fd for lease in leases)),
                nice=setting.limits.nice,
                secrets=secrets,
                cancel=setting.cancel,
                clock=setting.clock,
                on_start=on_start,
                on_stdout=on_line,
                on_stderr=on_stderr,
                on_tick=watch.tick,
                leisurely=leisurely,
            )
            if result.code in LEFT_NO_LOCK and not heard.plain:
                for lease in leases:
                    lease.remove()
        heard.said = process.mask(heard.said, secrets)
        return result, heard

    def _global_options(self, access: ResticAccess) -> list[str]:
        setting, limits = self.setting, self.setting.limits
        options = ["-r", setting.url, "--json", "--cache-dir", str(setting.cache_dir)]
        for option in access.options:
            options += ["-o", option]
        if access.ca_file:
            options += ["--cacert", str(access.ca_file)]
        if limits.upload:
            options += ["--limit-upload", str(limits.upload)]
        if limits.download:
            options += ["--limit-download", str(limits.download)]
        return options

    def _env(self, access: ResticAccess, password_file: str, from_repository: str | None) -> dict[str, str]:
        setting = self.setting
        source = {"RESTIC_FROM_REPOSITORY": from_repository, "RESTIC_FROM_PASSWORD_FILE": password_file}
        inherited = {key: setting.env[key] for key in INHERITED if key in setting.env}
        return {
            "PATH": os.defpath,
            **inherited,
            **access.env,
            "RESTIC_PASSWORD_FILE": password_file,
            **{key: value for key, value in source.items() if from_repository and value},
            "RESTIC_COMPRESSION": setting.limits.compression,
            "RESTIC_PROGRESS_FPS": "2",
            **({"RESTIC_PACK_SIZE": str(setting.limits.pack_size)} if setting.limits.pack_size else {}),
        }

    def failure(self, command: Sequence[str | bytes], code: int, heard: Heard) -> errors.Failure:
        """The typed error of a failed run: its exit code's own, else a full disk, else what the target itself says."""
        setting = self.setting
        # An exit code that says what was wrong is believed first.
        if exits.unexplained(code):
            if full := disk_full(setting, LOW_SPACE):
                return full
            try:
                setting.store.probe()
            except errors.Failure as error:
                return error
        said = heard.said.strip().splitlines()[0] if heard.said.strip() else ""
        return exits.failure(
            code,
            command=os.fsdecode(command[0]),
            url=setting.url,
            target=setting.target,
            said=said.removeprefix("Fatal: "),
        )


def disk_full(setting: Setting, below: int) -> errors.DiskFull | None:
    """The failure to raise where one of the places that are written to has less than so many bytes left."""
    for place in setting.write_places:
        free = setting.free(place)
        if free < below:
            return errors.DiskFull(
                f"There is no room left at {place}: {free >> 20} MiB are free.",
                hint=f"Make room there, then run the same command again. rw doctor --target {setting.target}",
            )
    return None


class _Watch:
    """Asks the target with its own client when restic gets into trouble; raises what it answers.

    restic also retries for a quarter of an hour where its cache is full, 0.18.0 without a word: so room is looked at
    whenever it stands still.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._soon = min(PROBE_AFTER, setting.limits.grace)
        self._every = min(PROBE_EVERY, setting.limits.grace)
        self._next = setting.clock.monotonic() + self._every
        self._lost: float | None = None
        self._pid: int | None = None
        self._worked = 0.0
        self._looked = setting.clock.monotonic()

    def started(self, pid: int) -> None:
        self._pid = pid

    def trouble(self) -> None:
        if self._lost is None:
            self._next = min(self._next, self._setting.clock.monotonic() + self._soon)

    def tick(self) -> None:
        now = self._setting.clock.monotonic()
        if now - self._looked >= STILL_AFTER:
            if self._stands_still(now - self._looked) and (full := disk_full(self._setting, NO_ROOM)):
                raise full
            self._looked = now
        if now < self._next:
            return
        try:
            self._setting.store.probe()
        except errors.TargetUnreachable:
            if self._lost is None:
                self._lost = now
                self._setting.note(f"target {self._setting.target} does not answer; restic goes on trying")
            # An endpoint that says nothing at all has used up part of its grace while it was asked.
            if self._setting.clock.monotonic() - self._lost > self._setting.limits.grace:
                raise
            self._next = self._setting.clock.monotonic() + self._soon
        else:
            self._lost = None
            self._next = self._setting.clock.monotonic() + self._every

    def _stands_still(self, seconds: float) -> bool:
        """Whether the child has done hardly anything in this time."""
        before, self._worked = self._worked, process.processor_seconds(self._pid) if self._pid else 0.0
        return self._worked - before < STILL_SHARE * seconds


def _hear(line: bytes, heard: Heard) -> bool:
    """Take in a line of stderr; True when it is no message, which is how restic tells of its retries."""
    kind = messages.message_type(line)
    if kind is None:
        if text := line.decode("utf-8", "replace").strip():
            heard.plain += 1
            heard.said = text
            return True
        return False
    if kind == "exit_error":
        heard.said = messages.decode(line, messages.ExitError).message
    elif kind == "error":
        item = messages.decode(line, messages.ErrorItem)
        if item.during == SCAN:
            return False
        heard.missed_count += 1
        if len(heard.missed) < MISSED_KEPT:
            heard.missed.append(
                MissedItem(item=item.item, message=item.error.message or item.message, during=item.during)
            )
    return False


@contextmanager
def held(lease: Lease) -> Iterator[Lease]:
    """A lease of which our own copy is closed in the end; a child that outlives us still holds it."""
    try:
        yield lease
    finally:
        lease.close()


@contextmanager
def descriptor(content: bytes) -> Iterator[int]:
    """An anonymous file in memory that a child can read as /dev/fd/N, any number of times."""
    fd = os.memfd_create("resticwrap", 0)
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)
