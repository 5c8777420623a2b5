"""Which restic to use, and where to get one: `python -m resticwrap.restic.install`.

restic comes from Debian: apt, in folders of our own, checks the signatures; the binary needs libc alone. Nothing of the
system is touched and no root is needed. What was fetched lies in `$XDG_CACHE_HOME/resticwrap/restic/VERSION/restic`.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resticwrap import process
from resticwrap.errors import Failure, Interrupted, ResticMissing

Version = tuple[int, int, int]

MINIMUM: Version = (0, 18, 0)
DEFAULT_SUITE = "trixie"
HINT = "python -m resticwrap.restic.install"

APT_FOLDER = Path("/etc/apt")
KEYRINGS = ("/usr/share/keyrings/debian-archive-keyring.pgp", "/usr/share/keyrings/debian-archive-keyring.gpg")
VERSION_SECONDS = 20.0
APT_SECONDS = 300.0
INHERITED = frozenset({"PATH", "HOME", "TMPDIR", "APT_CONFIG", "http_proxy", "https_proxy", "all_proxy", "no_proxy"})
"""What apt may see of our environment; the proxies in either case."""

APT_CONF = """\
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
APT::Default-Release "";
APT::Sandbox::User "";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
"""Read by apt after the system's own configuration, whose proxies and certificates so stay in force.

Signatures are checked, their age is not: a mirror that lags behind is good enough, for the version is looked at here.
"""


@dataclass(frozen=True, slots=True)
class Mirror:
    """A Debian mirror that this machine is configured to use, and the keyring that its signatures are checked with."""

    uri: str
    keyring: str


def find_restic(env: Mapping[str, str]) -> Path:
    """The restic to use: `$RW_RESTIC`, else the one on `$PATH` if new enough, else the newest in the cache.

    Raises ResticMissing, naming what was found, when none is at least MINIMUM.
    """
    if chosen := env.get("RW_RESTIC"):
        path = Path(chosen)
        _require(path, known_version(path, env))
        return path
    too_old: ResticMissing | None = None
    if found := shutil.which("restic", path=env.get("PATH", os.defpath)):
        path = Path(found)
        try:
            _require(path, known_version(path, env))
            return path
        except ResticMissing as error:
            too_old = error
    for path in reversed(installed(env).values()):
        try:
            _require(path, known_version(path, env))
            return path
        except ResticMissing:  # a cache in a home that machines share may hold another machine's binary
            continue
    raise too_old or ResticMissing(f"No restic was found; at least {dotted(MINIMUM)} is needed.", hint=HINT)


def restic_version(path: Path) -> Version:
    """Ask the binary. Raises ResticMissing when it does not run, or is so old that it does not answer in JSON."""
    try:
        result = process.run([str(path), "version", "--json"], env={"PATH": os.defpath}, timeout=VERSION_SECONDS)
    except Interrupted:
        raise
    except Failure as error:
        raise ResticMissing(f"{path} does not run: {error.message}", hint=HINT) from error
    try:
        version = _parse_version(json.loads(result.stdout)["version"])
    except (ValueError, TypeError, KeyError):
        version = None
    if result.code != 0 or version is None:
        raise ResticMissing(
            f"{path} does not tell its version in JSON, so it is too old; at least {dotted(MINIMUM)} is needed.",
            hint=HINT,
        )
    return version


def installed(env: Mapping[str, str]) -> dict[Version, Path]:
    """What the cache holds, the oldest first."""
    found = {}
    for path in cache_folder(env).glob("*/restic"):
        version = _parse_version(path.parent.name)
        if version is not None and not path.parent.is_symlink():
            found[version] = path
    return dict(sorted(found.items()))


def cache_folder(env: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/resticwrap/restic`, else below `~/.cache`; it may not exist yet."""
    base = Path(env.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # the XDG specification: a relative path is to be ignored
        base = Path(env["HOME"] if env.get("HOME") else Path.home()) / ".cache"
    return base / "resticwrap" / "restic"


def dotted(version: Version) -> str:
    return ".".join(map(str, version))


def install(suite: str, env: Mapping[str, str], *, refresh: bool = False, apt: Path = APT_FOLDER) -> Path:
    """Fetch restic from a Debian suite into the cache; where that was done before, only say where it is.

    `refresh` fetches again; `apt` is the folder of the machine's apt configuration. Raises ResticMissing when there is
    no Debian mirror, or it does not have what is needed.
    """
    cache = cache_folder(env)
    by_suite = cache / "suites" / suite
    if not refresh and (by_suite / "restic").is_file():
        return by_suite.resolve() / "restic"
    mirrors = list(debian_mirrors(apt))
    if not mirrors:
        raise ResticMissing(
            f"No Debian mirror is configured in {apt}, so restic cannot be fetched.",
            hint=f"Install restic {dotted(MINIMUM)} or newer, and set RW_RESTIC to it if it is not on the PATH.",
        )
    by_suite.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for mirror in mirrors:
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=cache) as work:
            try:
                binary = _fetch(mirror, suite, Path(work), env)
            except ResticMissing as error:
                failures.append(error)
                continue
            version = restic_version(binary)
            _require(binary, version)
            placed = _place(binary, cache / dotted(version) / "restic")
            _link(by_suite, Path("..") / dotted(version))
            return placed
    raise failures[0]


def debian_mirrors(apt: Path) -> Iterator[Mirror]:
    """The mirrors of Debian proper in the machine's own apt sources; the likeliest first, each once.

    Security, updates and third parties are left out as far as can be seen; a wrong guess costs a refused signature.
    """
    default = next((keyring for keyring in KEYRINGS if Path(keyring).exists()), KEYRINGS[-1])
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    entries: list[tuple[str, str]] = []
    for file in files:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        text = file.read_text("utf-8", "replace")
        entries += _stanzas(text) if file.suffix == ".sources" else _lines(text)
    entries.sort(key=lambda entry: not entry[0].rstrip("/").endswith("/debian"))
    for uri, keyring in dict(entries).items():
        yield Mirror(uri, keyring or default)


def _stanzas(text: str) -> Iterator[tuple[str, str]]:
    """(address, keyring or nothing) of each deb822 stanza that offers Debian's main."""
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = fields.get(name, "") + " " + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.lower()
                fields[name] = value.strip()
        enabled = fields.get("enabled", "yes").lower() not in ("no", "false", "0", "off", "without", "disable")
        if enabled and _offers_main(fields.get("types", ""), fields.get("suites", ""), fields.get("components", "")):
            for uri in fields.get("uris", "").split():
                yield uri, _keyring(fields.get("signed-by", ""))


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """The same of each one-line entry: `deb [signed-by=…] URI suite component…`."""
    entry = re.compile(
        r"^\s*(?P<type>deb)\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#\n]*)", re.M
    )
    for match in entry.finditer(text):
        options = dict(option.partition("=")[::2] for option in (match["options"] or "").split())
        if _offers_main(match["type"], match["suite"], match["rest"]):
            yield match["uri"], _keyring(options.get("signed-by", ""))


def _offers_main(types: str, suites: str, components: str) -> bool:
    plain = [suite for suite in suites.split() if suite.isalpha()]  # not bookworm-security, stable/updates, ./
    return "deb" in types.split() and "main" in components.split() and bool(plain)


def _keyring(value: str) -> str:
    return value if value.startswith("/") and " " not in value else ""


def _fetch(mirror: Mirror, suite: str, work: Path, env: Mapping[str, str]) -> Path:
    """Download the package with apt and unpack it. Raises ResticMissing with apt's own complaint."""
    for folder in ("state/lists/partial", "cache/archives/partial", "package"):
        (work / folder).mkdir(parents=True)
    (work / "state" / "status").touch()
    (work / "sources.list").write_text(f"deb [signed-by={mirror.keyring}] {mirror.uri} {suite} main\n")
    (work / "apt.conf").write_text(APT_CONF.format(work=work))
    apt = ["apt-get", "-q", "-c", str(work / "apt.conf")]
    _child([*apt, "update"], work, env, suite)
    _child([*apt, "download", "restic"], work, env, suite)
    packages = list(work.glob("restic_*.deb"))
    if len(packages) != 1:
        raise ResticMissing(f"apt brought no restic from Debian {suite}.", hint=f"{HINT} --suite sid")
    _child(["dpkg", "-x", str(packages[0]), str(work / "package")], work, env, suite)
    return work / "package" / "usr" / "bin" / "restic"


def _child(argv: Sequence[str], work: Path, env: Mapping[str, str], suite: str) -> None:
    inherited = {name: value for name, value in env.items() if name in INHERITED or name.lower() in INHERITED}
    try:
        result = process.run(argv, env=inherited | {"LC_ALL": "C.UTF-8"}, cwd=work, timeout=APT_SECONDS)
    except Interrupted:
        raise
    except Failure as error:
        raise ResticMissing(
            f"restic could not be fetched from Debian {suite}: {error.message}", hint=error.hint
        ) from error
    if result.code != 0:
        said = result.stderr.strip().splitlines() or [f"{argv[0]} ended with {result.code}"]
        raise ResticMissing(
            f"restic could not be fetched from Debian {suite}: {said[-1]}",
            hint=f"Does `apt-get update` work here? Or set RW_RESTIC to a restic {dotted(MINIMUM)} or newer.",
        )


def _place(binary: Path, destination: Path) -> Path:
    """Move the binary to where it is looked for, whole or not at all."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    binary.chmod(0o755)
    with binary.open("rb") as file:
        os.fsync(file.fileno())
    binary.replace(destination)
    return destination


def _link(link: Path, points_to: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".link-", dir=link.parent) as work:
        new = Path(work) / "new"
        new.symlink_to(points_to)
        new.replace(link)


def _require(path: Path, version: Version) -> None:
    if version < MINIMUM:
        raise ResticMissing(
            f"{path} is restic {dotted(version)}, which is too old; at least {dotted(MINIMUM)} is needed.", hint=HINT
        )


def _parse_version(text: object) -> Version | None:
    """`0.18.0` or `0.19.1-dev (compiled manually)` as three numbers."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)(?!\d)", text) if isinstance(text, str) else None
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def known_version(path: Path, env: Mapping[str, str]) -> Version:
    """`restic_version`, remembered by path, size and mtime, which spares every command 20 ms."""
    try:
        stat = path.stat()
    except OSError as error:
        raise ResticMissing(f"{path} cannot be used as restic: {error.strerror}.", hint=HINT) from error
    identity = [stat.st_size, stat.st_mtime_ns]
    memory = cache_folder(env) / "versions.json"
    known = _remembered(memory)
    match known.get(str(path)):
        case {"identity": seen, "version": [int(major), int(minor), int(patch)]} if seen == identity:
            return major, minor, patch
    version = restic_version(path)
    _remember(memory, known | {str(path): {"identity": identity, "version": list(version)}})
    return version


def _remembered(memory: Path) -> dict[str, object]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, known: Mapping[str, object]) -> None:
    """A cache that cannot be written costs time and nothing else."""
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=memory.parent, prefix=".versions-", delete=False) as file:
            json.dump(known, file)
        Path(file.name).replace(memory)
    except OSError:
        pass


def _found(env: Mapping[str, str]) -> Path | None:
    """The restic that `rw` would use, None where there is none. A wrong `$RW_RESTIC` is not mended by fetching one."""
    try:
        return find_restic(env)
    except ResticMissing:
        if env.get("RW_RESTIC"):
            raise
        return None


def main(arguments: Iterable[str] | None = None) -> int:
    """`python -m resticwrap.restic.install`: print where restic lies, one line per suite."""
    import argparse  # 7 ms that every `rw` would pay for otherwise

    parser = argparse.ArgumentParser(prog=HINT, description="Fetch restic from Debian into the user's cache.")
    parser.add_argument(
        "--suite", action="append", help=f"Debian suite to take it from, may be repeated (default: {DEFAULT_SUITE})"
    )
    parser.add_argument("--refresh", action="store_true", help="fetch again even if the cache has it")
    parser.add_argument("--if-missing", action="store_true", help="fetch only where no restic is new enough")
    parser.add_argument("--quiet", action="store_true", help="say only what goes wrong")
    options = parser.parse_args(None if arguments is None else list(arguments))
    env = dict(os.environ)
    try:
        if options.if_missing and (found := _found(env)) is not None:
            if not options.quiet:
                print(found)
            return 0
        for suite in options.suite or [DEFAULT_SUITE]:
            path = install(suite, env, refresh=options.refresh)
            if not options.quiet:
                print(path)
    except Failure as error:
        print(f"{error.message}\nHint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
