"""One restic repository: each verb runs one restic command and returns what its typed messages say."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Generic, cast

from resticwrap import errors
from resticwrap.model.job import Pin
from resticwrap.model.kit import RepositoryKey
from resticwrap.model.objects import Entry
from resticwrap.model.reports import LockInfo
from resticwrap.model.snapshot import Snapshot, TierName
from resticwrap.model.swap import OWN_PREFIXES
from resticwrap.ports import BackupRequest, BackupResult, CheckResult, Lost, Progress, RestoreResult, Trees
from resticwrap.ports import Repository as RepositoryPort
from resticwrap.restic import exits, find, locks, messages, packfile, tags
from resticwrap.restic.crypto import MasterKey, chunker_fingerprint
from resticwrap.restic.halfmade import clear_half_made
from resticwrap.restic.repofiles import CacheThenStore, RepositoryFiles, StoreFiles
from resticwrap.restic.runner import NO_ROOM, Runner, Setting, Source
from resticwrap.restic.trees import TreeReader

OWN_STAGING = tuple(f"{prefix}*" for prefix in OWN_PREFIXES)
"""What restores put beside live data, or into a folder that they fill; never part of a backup."""
GLOB = frozenset(b"\\*?[")
INIT_WAIT = 60.0
IDS_AT_ONCE = 1000
VERBOSE = b'{"message_type":"verbose_status"'
"""How a line begins that is told of every file."""


class ResticRepository:
    """The `Repository` port over the restic binary."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._once = threading.Lock()
        self._chunker = ""
        self._runner = Runner(setting, on_locked=lambda: bool(self.clear_dead_locks()))

    @property
    def url(self) -> str:
        return self._setting.url

    @property
    def tier(self) -> str:
        return self._setting.tier

    def init(self, chunker_from: RepositoryPort | None = None) -> str:
        copying = [] if chunker_from is None else ["--copy-chunker-params"]
        with self._setting.locks.hold(f"init {self.url}", wait=INIT_WAIT):
            if self._made_meanwhile():
                return self.config().repository_id
            clear_half_made(self._setting)
            result, _ = self._runner.run(
                ["init", *copying], source=None if chunker_from is None else _source(chunker_from)
            )
        return messages.decode(result.stdout, messages.Initialized).id

    def _made_meanwhile(self) -> bool:
        """Wait for a restic that outlived a killed `rw init`, and say whether it made the repository.

        Two at once would mix one's key with the other's config. Raises Locked where it goes on and on.
        """
        setting = self._setting
        until = setting.clock.monotonic() + INIT_WAIT
        while held := [lease.pid for lease in setting.locks.leases(self.url) if lease.held]:
            setting.cancel.check()
            if setting.clock.monotonic() > until:
                raise errors.Locked(
                    f"A restic of an earlier command is still at work on {self.url}.",
                    hint=f"Wait for it, or stop it: kill {' '.join(str(pid) for pid in held if pid)}",
                )
            setting.clock.sleep(0.2)
        try:
            self.config_digest()
        except errors.NoRepository:
            return False
        return True

    def config_digest(self) -> str:
        try:
            return hashlib.sha256(self._setting.store.get(f"{self._setting.prefix}/config")).hexdigest()
        except errors.ObjectMissing:
            raise exits.failure(10, command="cat", url=self.url, target=self._setting.target, said="") from None

    def config(self) -> Pin:
        self.config_digest()
        self.__dict__.pop("_config", None)
        return self._config

    def open(self) -> None:
        _ = self._config

    def backup(self, request: BackupRequest, on_progress: Callable[[Progress], None]) -> BackupResult:
        stream = _Stream("backup", messages.BackupSummary, on_progress)
        result, heard = self._runner.run(
            _backup_command(request),
            accept=frozenset({exits.OK, exits.PARTIAL}),
            on_line=stream.line,
            cwd=request.cwd,
            fds=request.fds,
        )
        summary = stream.summary()
        return BackupResult(
            complete=result.code == exits.OK,
            snapshot=None if request.dry_run else summary.snapshot_id,
            missed=tuple(heard.missed),
            missed_count=heard.missed_count or heard.plain * (result.code == exits.PARTIAL),
            files=summary.total_files_processed,
            size=summary.total_bytes_processed,
            added=summary.data_added_packed,
            files_new=summary.files_new,
            files_changed=summary.files_changed,
            duration=summary.total_duration,
            would_read=(stream.new_files, stream.new_bytes),
        )

    def snapshots(self, *, no_lock: bool = True, no_cache: bool = False) -> Sequence[Snapshot]:
        command = ["snapshots", *(["--no-lock"] if no_lock else []), *(["--no-cache"] if no_cache else [])]
        result, _ = self._runner.run(command)
        found = [
            _snapshot(item, item.id) for item in messages.decode_list(result.stdout or b"null", messages.SnapshotJson)
        ]
        return sorted(found, key=lambda snapshot: (snapshot.time, snapshot.id))

    def restore(
        self,
        snapshot: str,
        to: Path,
        include: Sequence[bytes] = (),
        *,
        no_cache: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
        on_file: Callable[[bytes], None] | None = None,
    ) -> RestoreResult:
        command: list[str | bytes] = ["restore", "--target", str(to)]
        if on_file is not None:
            command.append("-vv")
        if no_cache:
            command.append("--no-cache")
        for path in include:
            command += ["--include", b"/" + _literal(path)]
        stream = _Stream("restore", messages.RestoreSummary, on_progress or (lambda _: None), on_file)
        result, heard = self._runner.run(
            [*command, snapshot], accept=frozenset({0, 1}), on_line=stream.line, leisurely=on_file is not None
        )
        if result.code != exits.OK:
            if self._setting.free(to) < NO_ROOM:
                raise errors.DiskFull(
                    f"There is no room left at {to} for what is being restored.", hint="Make room there, or elsewhere."
                )
            if not heard.missed:
                raise self._runner.failure(command, result.code, heard)
        summary = stream.summary() if result.code == exits.OK else stream.last or messages.RestoreSummary()
        return RestoreResult(files=summary.files_restored, size=summary.bytes_restored, failed=tuple(heard.missed))

    def dump(self, snapshot: str, path: bytes, to: int) -> None:
        self._runner.run(["dump", "--no-lock", snapshot, b"/" + path], stdout=to)

    def check(self, *, bucket: int | None, parts: int) -> CheckResult:
        command = ["check", "--no-lock"]
        if bucket is not None:
            command.append("--read-data" if parts == 1 else f"--read-data-subset={bucket}/{parts}")
        stream = _Stream("check", messages.CheckSummary, lambda _: None)
        result, heard = self._runner.run(command, accept=frozenset({0, 1}), on_line=stream.line)
        if stream.last is None:
            if result.code != exits.OK:
                raise self._runner.failure(command, result.code, heard)
            stream.summary()
        summary = stream.summary()
        return CheckResult(
            errors=max(summary.num_errors, int(result.code != exits.OK)),
            broken_packs=tuple(summary.broken_packs or ()),
            messages=tuple(item.message for item in heard.missed),
        )

    def repair_index(self, wait: float) -> bool:
        try:
            self._runner.run(["repair", "index"], wait=wait)
        except errors.Locked:
            return False
        return True

    def repair_packs(self, packs: Sequence[str], place: Path) -> None:
        for some in _arguments(packs):
            self._still_alone()
            self._runner.run(["repair", "packs", *some], cwd=place)

    def cut_snapshots(self, snapshots: Sequence[str]) -> None:
        for some in _arguments(snapshots):
            self._still_alone()
            self._runner.run(["repair", "snapshots", "--forget", *some])

    def pack_blobs(self, pack: str) -> frozenset[str]:
        self.open()
        return packfile.sound(self._key, pack, self._pack(pack))

    def readable_blobs(self, pack: str) -> frozenset[str]:
        self.open()
        return packfile.readable(self._key, self._pack(pack))

    def _pack(self, pack: str) -> bytes:
        return self._setting.store.get(f"{self._setting.prefix}/data/{pack[:2]}/{pack}")

    def copy(self, source: RepositoryPort, snapshots: Sequence[str]) -> None:
        if snapshots:
            self._runner.run(["copy", *snapshots], source=_source(source))

    def retag(self, snapshots: Sequence[str], *, add: Sequence[str], remove: Sequence[str]) -> None:
        command = ["tag", *(f"--add={tag}" for tag in add), *(f"--remove={tag}" for tag in remove)]
        for some in _arguments(snapshots):
            self._still_alone()
            self._runner.run([*command, *some])

    def forget(self, snapshots: Sequence[str]) -> bool:
        whole = True
        for some in _arguments(snapshots):
            self._still_alone()
            result, _ = self._runner.run(["forget", *some], accept=frozenset({exits.OK, exits.PARTIAL}))
            whole = whole and result.code == exits.OK
        return whole

    def prune(
        self,
        *,
        max_unused: str,
        cacheable_only: bool,
        deadline: float,
        max_repack: int | None = None,
        dry_run: bool = False,
    ) -> Sequence[str]:
        command = ["prune", f"--max-unused={max_unused}"]
        command += ["--repack-cacheable-only"] if cacheable_only else []
        command += [] if max_repack is None else [f"--max-repack-size={max_repack}"]
        if not dry_run:
            self._still_alone()
        result, _ = self._runner.run([*command, *(["--dry-run", "--no-lock"] if dry_run else [])], deadline=deadline)
        return result.stdout.decode("utf-8", "replace").splitlines()

    def locks(self) -> Sequence[LockInfo]:
        return locks.judged(self._setting, self._key)

    def remove_lock(self, lock: str) -> None:
        self._setting.store.delete(f"{self._setting.prefix}/locks/{lock}")

    def clear_dead_locks(self) -> Sequence[LockInfo]:
        dead = [lock for lock in self.locks() if lock.state == "dead"]
        for lock in dead:
            self.remove_lock(lock.id)
        return dead

    def list_keys(self, password: str | None = None) -> Sequence[RepositoryKey]:
        result, _ = self._runner.run(["key", "list", "--no-lock"], password=password)
        listed = {key.id: key for key in messages.decode_list(result.stdout or b"null", messages.KeyJson)}
        # restic up to 0.16 shortens ids, and some say which key is whose differently: the store has the whole names.
        prefix = f"{self._setting.prefix}/keys/"
        names = sorted(found.key.removeprefix(prefix) for found in self._setting.store.list(prefix))
        whole = [(name, key) for name in names for key in listed.values() if name.startswith(key.id)]
        return [
            RepositoryKey(
                tier=cast(TierName, self.tier),
                id=name,
                user=key.user_name,
                host=key.host_name,
                created=key.created,
                current=key.current,
            )
            for name, key in whole
        ]

    def add_key(self, new: str, password: str | None = None) -> str:
        before = {key.id for key in self.list_keys(password)}
        self._runner.run(["key", "add"], password=password, new_password=new)
        added = [key.id for key in self.list_keys(new) if key.current]
        if not added or added[0] in before:
            raise errors.ResticFailed("restic added no key that the new password opens.", hint="rw key list")
        return added[0]

    def remove_key(self, key: str, password: str | None = None) -> None:
        if any(one.id == key for one in self.list_keys(password)):
            self._still_alone()
            self._runner.run(["key", "remove", key], password=password)

    def _still_alone(self) -> None:
        """Before anything is removed. Raises LockLost where another machine may be at work here by now."""
        self._setting.locks.check()

    def trees(self, *, no_cache: bool = False) -> Trees:
        self.open()
        return TreeReader(self._files(no_cache), self._key, self._chunker)

    def snapshot(self, snapshot: str) -> Snapshot:
        for sealed in self._files(no_cache=False).copies("snapshots", snapshot):
            if hashlib.sha256(sealed).hexdigest() == snapshot:
                return _snapshot(
                    messages.decode(b"".join(self._key.open_file(sealed)), messages.SnapshotJson), snapshot
                )
        raise errors.Damaged(f"Snapshot {snapshot[:8]} is damaged.", hint=f"rw verify --target {self._setting.target}")

    def holds(self, snapshot: str) -> bool:
        try:
            self._setting.store.get(f"{self._setting.prefix}/snapshots/{snapshot}", 0, 1)
        except errors.ObjectMissing:
            return False
        return True

    def entries(
        self, snapshot: str, tree: str, under: bytes = b"", *, lost: Lost | None = None, trees: Trees | None = None
    ) -> Iterator[Entry]:
        count, last = 0, b""
        try:
            for entry in (self.trees() if trees is None else trees).walk(tree, under, lost=lost):
                count, last = count + 1, entry.path
                yield entry
            return
        except errors.Damaged as error:
            problem = error
        self._setting.note(f"{problem.message} Asking restic itself instead.")
        try:
            # Both go through a tree in the same order, so the rest is what comes after as many.
            theirs = self.entries_by_find(snapshot, under)
            known = list(islice(theirs, count))[-1:]
            if [entry.path for entry in known] != [last][:count]:
                raise problem
            yield from theirs
        except (errors.ResticFailed, errors.Frozen):
            raise problem from None

    def entries_by_find(self, snapshot: str, under: bytes = b"") -> Iterator[Entry]:
        """The same list out of restic's own `find` and `ls`: slower, without link targets, and no reader of ours.

        Raises Frozen where a pack cannot be read before it is thawed: restic would try each for a quarter of an hour.
        """
        packs = [name for name, _ in self._files(no_cache=False).names("data")]
        for pack in packs:
            self._setting.cancel.check()
            self._setting.store.get(f"{self._setting.prefix}/data/{pack[:2]}/{pack}", 0, 1)
        found, _ = self._runner.run(find.find_arguments(snapshot, packs))
        listed, _ = self._runner.run(["ls", snapshot])
        for entry in find.entries_from_find(found.stdout, listed.stdout):
            if not under or entry.path == under or entry.path.startswith(under + b"/"):
                yield entry

    def _files(self, no_cache: bool) -> RepositoryFiles:
        setting = self._setting
        if no_cache:
            return StoreFiles(setting.store, setting.prefix)
        return CacheThenStore(setting.cache_dir / self._config.repository_id, setting.store, setting.prefix)

    @cached_property
    def _key(self) -> MasterKey:
        """The master key, in memory for as long as this object lives."""
        with self._once:
            if "_key" in self.__dict__:
                return cast(MasterKey, self.__dict__["_key"])
            result, _ = self._runner.run(["cat", "masterkey", "--no-lock"])
            return MasterKey.from_json(result.stdout)

    @cached_property
    def _config(self) -> Pin:
        """Who the repository is, read by our own client and opened with the master key."""
        sealed = self._setting.store.get(f"{self._setting.prefix}/config")
        return self._pin(b"".join(self._key.open_file(sealed)), sealed)

    def _pin(self, config: bytes, sealed: bytes) -> Pin:
        read = messages.decode(config, messages.ConfigJson)
        self._chunker = chunker_fingerprint(read.chunker_polynomial)
        return Pin(
            tier=self.tier,
            repository_id=read.id,
            config_digest=hashlib.sha256(sealed).hexdigest(),
            chunker=self._key.fingerprint(read.chunker_polynomial),
        )


class _Stream(Generic[messages.M]):
    """Reads a streaming command's stdout: progress on the way, and the summary without which it has failed."""

    def __init__(
        self,
        command: str,
        kind: type[messages.M],
        on_progress: Callable[[Progress], None],
        on_file: Callable[[bytes], None] | None = None,
    ) -> None:
        self._command, self._kind, self._on_progress, self._on_file = command, kind, on_progress, on_file
        self.last: messages.M | None = None
        self.new_files = 0
        self.new_bytes = 0

    def line(self, line: bytes) -> None:
        if self._on_file is not None and line.startswith(VERBOSE):
            item = messages.decode(line, messages.VerboseStatus)
            # Folders, links and second names come with no size, once all files have their bytes.
            if item.action == "restored" and item.size:
                self._on_file(item.item.lstrip("/").encode())
            return
        match messages.message_type(line):
            case "status":
                self._on_progress(_progress(messages.decode(line, messages.Status)))
            case "verbose_status":
                item = messages.decode(line, messages.VerboseStatus)
                if item.action in ("new", "modified") and not item.item.endswith("/"):
                    self.new_files += 1
                    self.new_bytes += item.data_size
            case "summary":
                self.last = messages.decode(line, self._kind)
                # A quick run ends before it has told of any progress.
                self._on_progress(_end(self.last))
            case _:
                pass

    def summary(self) -> messages.M:
        if self.last is None:
            raise errors.ResticFailed(
                f"restic {self._command} ended without its summary, so nothing that it did can be relied on.",
                hint="Run it again with -v; if it happens again, check restic's version with `rw doctor`.",
            )
        return self.last


def _end(summary: object) -> Progress:
    """All is done that was to be done."""
    match summary:
        case messages.BackupSummary(total_files_processed=files, total_bytes_processed=size):
            return Progress(bytes_done=size, bytes_total=size, files_done=files, files_total=files)
        case messages.RestoreSummary(files_restored=files, bytes_restored=size):
            return Progress(bytes_done=size, bytes_total=size, files_done=files, files_total=files)
        case _:
            return Progress()


def _progress(status: messages.Status) -> Progress:
    return Progress(
        bytes_done=status.bytes_done or status.bytes_restored,
        bytes_total=status.total_bytes or None,
        files_done=status.files_done or status.files_restored,
        files_total=status.total_files or None,
        seconds_left=status.seconds_remaining,
        errors=status.error_count,
        current=status.current_files[0] if status.current_files else "",
    )


def _backup_command(request: BackupRequest) -> list[str | bytes]:
    command: list[str | bytes] = ["backup", "--host", request.host]
    for tag in tags.tags_for(request.tags):
        command += ["--tag", tag]
    if request.parent:
        command += ["--parent", request.parent]
    if request.force or not request.parent:
        command.append("--force")
    elif request.skip_if_unchanged:
        command.append("--skip-if-unchanged")
    if request.dry_run:
        # Verbose, since only so it says which files it would read.
        command += ["--dry-run", "--verbose"]
    for pattern in (*OWN_STAGING, *request.excludes):
        command += ["--exclude", pattern]
    if request.command:
        # restic stores nothing where the command fails; of one that is fed by a pipe it would store what came.
        return [*command, "--stdin-filename", request.name, "--stdin-from-command", "--", *request.command]
    return [*command, "--", *(request.parts or (request.name,))]


def _source(repository: RepositoryPort) -> Source:
    return Source(repository.url, lambda: bool(repository.clear_dead_locks()))


def _arguments(snapshots: Sequence[str]) -> Iterator[Sequence[str]]:
    """Ids, as many as one command line may hold."""
    for at in range(0, len(snapshots), IDS_AT_ONCE):
        yield snapshots[at : at + IDS_AT_ONCE]


def _literal(path: bytes) -> bytes:
    """A path as a restic pattern that matches it alone."""
    return b"".join(b"\\" + bytes([byte]) if byte in GLOB else bytes([byte]) for byte in path)


def _snapshot(item: messages.SnapshotJson, id: str) -> Snapshot:
    stats = item.summary
    return Snapshot(
        id=id,
        original=item.original or id,
        time=item.time,
        tree=item.tree,
        host=item.hostname,
        paths=tuple(item.paths),
        tags=tags.parse_tags(item.tags or []),
        raw_tags=tuple(item.tags or ()),
        parent=item.parent,
        files=stats.total_files_processed if stats else None,
        size=stats.total_bytes_processed if stats else None,
        added=stats.data_added_packed if stats else None,
    )
