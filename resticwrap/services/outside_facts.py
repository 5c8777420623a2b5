"""What systemd and cron are told of this installation, and what they must not be told: no secret leaves its file."""

from collections.abc import Mapping
from pathlib import Path

from resticwrap import errors, settings
from resticwrap.model.policy import LocalTarget, roots_of
from resticwrap.planning import outside
from resticwrap.planning.outside import Facts
from resticwrap.services.outside import Wish
from resticwrap.services.outside_ports import Keepers
from resticwrap.settings.used import Named, named, used

USUAL = Path("/etc/resticwrap/env")
PLAIN = frozenset(
    {
        "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_REGION",
        "AWS_SHARED_CREDENTIALS_FILE", "BACKUP_NAMESPACE", "BACKUP_TARGET_DEFAULT", "NO_PROXY", "SSL_CERT_FILE",
        "TMPDIR", "no_proxy",
    }
)  # fmt: skip
"""Variables that are read beside those of the policies, and hold no secret."""
SECRET = frozenset(
    {
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HTTPS_PROXY", "HTTP_PROXY",
        "OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SECURITY_TOKEN", "RESTIC_PASSWORD",
        "RESTIC_PASSWORD_COMMAND", "RW_CATALOG_URL", "RW_KIT_PASSPHRASE", "http_proxy", "https_proxy",
    }
)  # fmt: skip
"""Variables that are read as well, and may hold one."""
OWN = frozenset({"HOME", "LANG", "PATH", "RESTIC_CACHE_DIR", "RW_POLICIES", "RW_RESTIC", "RW_STATE_DIR"})
"""What the units say of themselves."""


def gather(read: settings.Settings, keepers: Keepers, wish: Wish, restic: Path, env_file: Path | None) -> Facts:
    """The facts. The policies are looked at again with just the variables that a job will have. Raises Failure where
    others may change or read what they must not, PolicyError where a variable will lack."""
    _private(read, keepers)
    file, inside = _env_file(keepers, wish, env_file)
    outer = {name: value for name, value in read.env.items() if value and name not in inside and name not in OWN}
    plain, credentials = _sorted(outer, named(read.folder))
    environment = {
        "PATH": outside.PATH,
        "HOME": str(keepers.home),
        "LANG": "C.UTF-8",
        "RW_STATE_DIR": str(read.state_dir),
        "RESTIC_CACHE_DIR": str(read.cache_dir),
        "RW_RESTIC": str(restic.absolute()),
        **plain,
    }
    files = {name: str(path) for name, path in credentials.items()}
    whole = {**environment, **files, **inside}
    then = settings.load(read.folder, whole)
    jobs = {name: job for name, job in then.schedule.jobs.items() if job.enabled}
    targets = {}
    for name in dict.fromkeys(job.target for job in jobs.values()):
        if problems := then.problems_of_target(name):
            raise errors.PolicyError(problems, hint=f"Set what lacks in {file or 'a file'}: --env-file FILE names it")
        target = then.target(name)
        if isinstance(target, LocalTarget):
            targets[name] = target.path
    written = [then.state_dir, then.cache_dir]
    if whole.get("TMPDIR"):
        written.append(Path(whole["TMPDIR"]))
    if wish.daemon and then.schedule.metrics.textfile is not None:
        written.append(then.schedule.metrics.textfile.parent)
    return Facts(
        name=wish.name,
        rw=keepers.rw,
        policies=read.folder,
        environment={name: value for name, value in environment.items() if name not in inside},
        env_file=file,
        credentials=credentials,
        writes=tuple(written),
        targets=targets,
        roots=tuple(roots_of(then.domains).values()),
        zone=then.schedule.time_zone,
        user=wish.user,
        starts=then.recovery.system.health is not None,
        jobs=jobs,
    )


def _private(read: settings.Settings, keepers: Keepers) -> None:
    """What runs by itself, as root, is decided by whoever may write there."""
    for path in (read.folder, *sorted(read.folder.glob("*.yaml"))):
        if keepers.loose(path) == "writable":
            raise errors.Failure(
                f"Everybody may write to {path}, and so decide what runs by itself.", hint=f"chmod o-w {path}"
            )
    targets = read.folder / "targets.yaml"
    if keepers.loose(targets) and keepers.loose(read.folder) and used(read.folder, {}, "").literal:
        raise errors.Failure(f"Everybody may read {targets}, which holds credentials.", hint=f"chmod o-r {targets}")


def _env_file(keepers: Keepers, wish: Wish, asked: Path | None) -> tuple[Path | None, dict[str, str]]:
    """The file of variables and what it sets. Its values are for checking alone, and are never shown."""
    usual = keepers.home / ".config/resticwrap/env" if wish.user else USUAL
    if asked is None and not usual.is_file():
        return None, {}
    file = (asked or usual).absolute()
    try:
        inside = outside.variables(keepers.read(file))
    except outside.Misread as error:
        raise errors.Failure(
            f"Line {error.line} of {file} is not read alike by systemd and by a shell.",
            hint="Write NAME='value', without `export`, and comments on lines of their own.",
        ) from None
    if keepers.loose(file):
        raise errors.Failure(f"Others may read {file}, which holds secrets.", hint=f"chmod 600 {file}")
    return file, inside


def _sorted(env: Mapping[str, str], names: Named) -> tuple[dict[str, str], dict[str, Path]]:
    """What of this environment the units may say, and the files that hold the rest. Raises Failure for a value that may
    be a secret and is nowhere but here."""
    plain: dict[str, str] = {}
    credentials: dict[str, Path] = {}
    lost = []
    for name, value in env.items():
        stem = name.removesuffix("_FILE")
        if name != stem and stem in names.all | SECRET and name not in PLAIN:
            credentials[name] = Path(value).absolute()
        elif name in PLAIN or name in names.plain:
            plain[name] = value
        elif name in names.all | SECRET:
            if _hides(name, value):
                lost.append(name)
            else:
                plain[name] = value
    if lost:
        raise errors.Failure(
            f"{', '.join(sorted(lost))} may hold a secret, which no unit and no crontab may say, and stands in this"
            " shell alone.",
            hint="Write NAME='value' into a file that only root may read: --env-file FILE names it",
        )
    return plain, credentials


def _hides(name: str, value: str) -> bool:
    """Addresses hold a secret only where they name who logs in."""
    return "@" in value if name == "RW_CATALOG_URL" or name.lower().endswith("_proxy") else True
