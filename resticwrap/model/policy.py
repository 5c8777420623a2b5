"""What an operator writes in `policies/`: targets, domains, tiers, schedule. Frozen once read.

`settings` reads the files into these models; `rw policy schema` prints their JSON Schema. Messages of validators say
what is wanted and never what was given, which may be a secret.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from resticwrap.model.fields import (
    SHARE,
    WINDOW,
    AbsolutePath,
    Cron,
    Duration,
    Endpoint,
    Key,
    Name,
    ReadOnly,
    Secret,
    Size,
    is_prom,
)
from resticwrap.model.frozen import Frozen
from resticwrap.model.snapshot import CANARY
from resticwrap.model.sources import DATABASES, FilesSource, SecretsSource, Source


class S3Credentials(Frozen):
    """Keys, a profile, or nothing at all (then the machine's own role); `role_arn` is assumed on top of either."""

    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    profile: str | None = Field(default=None, description="a profile of ~/.aws/config, instead of keys")
    role_arn: str | None = Field(
        default=None, description="a role to assume with the keys, the profile or the machine's role"
    )
    external_id: Secret | None = None
    role_session_name: str = "resticwrap"
    sts_endpoint: Endpoint | None = None

    @model_validator(mode="after")
    def _whole(self) -> "S3Credentials":
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token needs access_key_id and secret_access_key")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("give a profile or keys, not both")
        if self.external_id is not None and self.role_arn is None:
            raise ValueError("external_id needs role_arn")
        return self


class OssCredentials(Frozen):
    """An access key, with `security_token` where it came from STS."""

    access_key_id: Secret
    access_key_secret: Secret
    security_token: Secret | None = None


class Quota(Frozen):
    """Upper bounds. A P0 domain is backed up whatever they say."""

    max_bytes: Size | None = Field(default=None, description="what may be stored, such as 500GiB")
    max_snapshots: Annotated[int, Field(ge=1)] | None = Field(default=None, description="snapshots in both tiers")
    keep_last: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="so many newest snapshots of each domain stay; without a maximum, the others go"
    )

    @model_validator(mode="after")
    def _something(self) -> "Quota":
        if self.max_bytes is None and self.max_snapshots is None and self.keep_last is None:
            raise ValueError("must bound something: max_bytes, max_snapshots or keep_last")
        return self


class TargetBase(Frozen):
    """What every target has, whatever its provider."""

    namespace: Key = Field(default="resticwrap", description="the folder of both repositories and of the manifests")
    environment: Key | None = Field(
        default=None, description="`{env}` of the manifests' place; the namespace where not given"
    )
    password_file: AbsolutePath | None = Field(default=None, description="a file that holds the repositories' password")
    password_command: str | None = Field(default=None, description="a command that prints the password", repr=False)
    compression: Literal["auto", "off", "fastest", "better", "max"] = Field(
        default="auto", description="`fastest` and `better` need restic 0.19"
    )
    limit_upload: Annotated[int, Field(ge=1)] | None = Field(default=None, description="KiB/s")
    limit_download: Annotated[int, Field(ge=1)] | None = Field(default=None, description="KiB/s")
    pack_size: Annotated[int, Field(ge=4, le=128)] | None = Field(default=None, description="MiB")
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    parallel: Annotated[int, Field(ge=1, le=32)] | None = Field(default=None, description="domains side by side")
    deadline: Duration = Field(default=timedelta(hours=12), description="a run that takes longer is stopped")
    lock_wait: Duration = Field(
        default=timedelta(minutes=30), description="how long somebody else's lock is waited for"
    )
    grace: Duration = Field(
        default=timedelta(minutes=1), description="how long the target may be silent before a run is given up"
    )
    manifests: Literal["sealed", "plain"] = Field(
        default="sealed", description="`plain` publishes file names in the bucket"
    )
    quota: Quota | None = None

    @model_validator(mode="after")
    def _one_password(self) -> "TargetBase":
        if self.password_file is not None and self.password_command is not None:
            raise ValueError("give password_file or password_command, not both")
        return self


class LocalTarget(TargetBase):
    """A folder of this machine, or a disk mounted on it."""

    provider: Literal["local"]
    path: AbsolutePath


class BucketTarget(TargetBase):
    """What S3 and OSS share."""

    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: str | None = None
    addressing: Literal["auto", "path", "dns"] = "auto"
    ca_file: AbsolutePath | None = Field(default=None, description="the certificate authority of a server of one's own")
    connections: Annotated[int, Field(ge=1, le=64)] | None = None


class S3Target(BucketTarget):
    """Amazon S3, or a server that speaks its dialect."""

    provider: Literal["s3"]
    endpoint: Endpoint = "https://s3.amazonaws.com"
    credentials: S3Credentials = Field(default_factory=S3Credentials)


class OssTarget(BucketTarget):
    """Alibaba Cloud OSS: administered in its own dialect, written by restic in its S3 dialect."""

    provider: Literal["oss"]
    endpoint: Endpoint
    credentials: OssCredentials
    insecure_http: bool = Field(default=False, description="allow http, which the real OSS refuses for uploads")

    @model_validator(mode="after")
    def _https(self) -> "OssTarget":
        if self.endpoint.startswith("http://") and not self.insecure_http:
            raise ValueError("endpoint must be https: OSS refuses the uploads that restic sends over http")
        return self

    @model_validator(mode="before")
    @classmethod
    def _region(cls, data: Any) -> Any:
        """OSS signs for `cn-hangzhou`, which people know as `oss-cn-hangzhou` and the public endpoints tell."""
        if not isinstance(data, dict):
            return data
        region, endpoint = data.get("region"), data.get("endpoint")
        if region is None and isinstance(endpoint, str):
            told = re.fullmatch(r"(?:https?://)?(oss-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com/?", endpoint)
            region = told[1] if told else None
        return {**data, "region": region.removeprefix("oss-") if isinstance(region, str) else region}


Target = Annotated[LocalTarget | S3Target | OssTarget, Field(discriminator="provider")]


class Schema(Frozen):
    """Which kind of object a domain holds, and the version its objects are written in."""

    kind: Name
    version: Annotated[int, Field(ge=1)] = 1


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict | Schema) else value


class Keep(Frozen):
    """What stays in a tier, in the words of `restic forget`."""

    last: Annotated[int, Field(ge=1)] | None = None
    within: Duration | None = None
    within_hourly: Duration | None = None
    within_daily: Duration | None = None
    within_weekly: Duration | None = None
    within_monthly: Duration | None = None
    hourly: Annotated[int, Field(ge=1)] | None = None
    daily: Annotated[int, Field(ge=1)] | None = None
    weekly: Annotated[int, Field(ge=1)] | None = None
    monthly: Annotated[int, Field(ge=1)] | None = None
    forever: bool = False

    @model_validator(mode="after")
    def _something(self) -> "Keep":
        if not self.forever and not any(value for key, value in self if key != "forever"):
            raise ValueError("must keep something: an empty rule would remove everything")
        return self


class TierOverride(Frozen):
    """What a domain wants of a tier instead of what the tier says."""

    days: Annotated[int, Field(ge=1, le=36525)] | None = None
    keep: Keep | None = None

    @model_validator(mode="after")
    def _something(self) -> "TierOverride":
        if self.days is None and self.keep is None:
            raise ValueError("must say something: days or keep")
        return self


class Retention(Frozen):
    """The tiers as one domain wants them."""

    hot: TierOverride | None = None
    cold: TierOverride | None = None


class Guard(Frozen):
    """What is so unusual that nothing of a domain is forgotten until a person has looked."""

    changed: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="the share of a domain's files that changed or went in one backup"
    )
    shrunk: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.5, description="the share of a domain's bytes or files that went in one backup"
    )
    least: Annotated[int, Field(ge=1)] = Field(default=20, description="domains of fewer files are not looked at")


class Domain(Frozen):
    """A named set of data. `excludes` are restic's patterns."""

    layer: Literal["raw", "derived", "serving"]
    priority: Literal["P0", "P1", "P2"]
    source: Source
    description: str = ""
    excludes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    schemas: Annotated[tuple[Schema, ...], BeforeValidator(_as_list, json_schema_input_type=Schema | list[Schema])] = (
        Field(default=(), alias="schema", description="one kind of object, or a list of them")
    )
    object: Annotated[str, Field(pattern=r"\{key\}")] | None = Field(
        default=None,
        description="where one object lies, such as `{key}.json` or `classes/*/{key}`, for `rw restore object`",
    )
    allow_empty: bool = Field(default=False, description="an empty root is right, and not one that is not mounted")
    rpo: Duration = Field(default=timedelta(minutes=5), description="how much time of data may be lost")
    rto: Duration = Field(default=timedelta(minutes=30), description="how long it may take to get it back")
    guard: Guard | None = Field(default=None, description="instead of what tiers.yaml says, for one that changes much")
    retention: Retention | None = Field(default=None, description="instead of what tiers.yaml says")
    quota: Quota | None = None

    @model_validator(mode="after")
    def _kinds_once(self) -> "Domain":
        if len(self.schema_versions) != len(self.schemas):
            raise ValueError("schema names a kind twice")
        return self

    @model_validator(mode="after")
    def _fits(self) -> "Domain":
        if not isinstance(self.source, FilesSource) and self.excludes:
            raise ValueError("excludes belong to a source of files")
        if self.is_database and self.layer == "raw":
            raise ValueError("layer must be serving or derived: a database is not a set of facts that only grows")
        return self

    @property
    def is_database(self) -> bool:
        return isinstance(self.source, DATABASES)

    @property
    def is_secret(self) -> bool:
        return isinstance(self.source, SecretsSource)

    @property
    def schema_(self) -> Schema | None:
        """The first kind that it holds, or None."""
        return self.schemas[0] if self.schemas else None

    @property
    def schema_versions(self) -> dict[str, int]:
        """The version by kind, of all kinds that it holds."""
        return {schema.kind: schema.version for schema in self.schemas}


def roots_of(domains: Mapping[str, Domain]) -> dict[str, Path]:
    """Where the data of domains lies on this machine; those whose data is not a path are left out."""
    return {name: domain.source.root for name, domain in domains.items() if domain.source.root is not None}


S3_CLASSES = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
"""From warm to cold: lifecycle rules only ever lead down this list."""
OSS_CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
"""From warm to cold."""
INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE", "Archive", "ColdArchive", "DeepColdArchive"})
"""Classes that must be thawed before they can be read."""


class S3Transition(Frozen):
    """`days` after an object was written, the bucket moves it to a class of S3."""

    days: Annotated[int, Field(ge=0, le=36500)]
    storage_class: Literal["STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"]


class OssTransition(Frozen):
    """`days` after an object was written, the bucket moves it to a class of OSS."""

    days: Annotated[int, Field(ge=1, le=36500)]
    storage_class: Literal["IA", "Archive", "ColdArchive", "DeepColdArchive"]


class Transitions(Frozen):
    """Where the bucket moves the labelled data packs of cold, and when: each provider has classes of its own."""

    s3: tuple[S3Transition, ...] = ()
    oss: tuple[OssTransition, ...] = ()

    @model_validator(mode="after")
    def _colder(self) -> "Transitions":
        both: tuple[tuple[str, Sequence[S3Transition | OssTransition], Sequence[str]], ...] = (
            ("s3", self.s3, S3_CLASSES),
            ("oss", self.oss, OSS_CLASSES),
        )
        for provider, moves, order in both:
            for before, after in pairwise(moves):
                if before.days >= after.days or order.index(before.storage_class) >= order.index(after.storage_class):
                    raise ValueError(f"{provider}: every step needs more days and a colder class than the one before")
        since = None
        for move in self.s3:
            if move.storage_class in INFREQUENT and move.days < 30:
                raise ValueError(f"s3: {move.storage_class} takes objects after 30 days at the earliest")
            if since is not None and move.days < since + 30:
                raise ValueError("s3: an object stays in STANDARD_IA or ONEZONE_IA for 30 days at least")
            since = move.days if move.storage_class in INFREQUENT else None
        return self


class HotTier(Frozen):
    """The repository that backups go to: always in the class that is read at once."""

    days: Annotated[int, Field(ge=1, le=36525)]
    keep: Keep
    storage_class: Literal["standard"] = Field(default="standard", description="hot is always read at once")


class ColdTier(Frozen):
    """The repository that keeps what hot may forget. Copies are written in the standard class and proven; then the
    bucket's own rules move their labelled data packs to the classes of `transitions`."""

    days: Annotated[int, Field(ge=1, le=36525)]
    keep: Keep
    transitions: Transitions = Field(default_factory=Transitions)
    read_back: Annotated[str, Field(pattern=SHARE)] = Field(
        default="1", description="how many of the new packs a copy reads back: 1 for all, or 1/N and the size of all"
    )


class PruneRule(Frozen):
    """When unused data may be cleaned out, and how much of it may stay. Times are in the schedule's time zone."""

    window: Annotated[str, Field(pattern=WINDOW)] | None = Field(
        default=None, description="the quiet hours, such as 01:00-05:00; at any time where not given"
    )
    deadline: Duration = Field(default=timedelta(hours=3), description="after that long it is interrupted, cleanly")
    max_unused: Annotated[str, Field(pattern=r"^([0-9]{1,2}%|unlimited)$")] = Field(
        default="5%", description="unused data that may stay in hot, since cleaning all of it costs more than it saves"
    )


class LifecycleRule(Frozen):
    """The rules besides the transitions that `rw lifecycle apply` puts into the bucket. In days."""

    abort_uploads: Annotated[int, Field(ge=1)] = Field(default=7, description="unfinished uploads are ended")
    noncurrent: Annotated[int, Field(ge=1)] = Field(
        default=30, description="old versions of a bucket that keeps them go; until then recover-deleted brings back"
    )


class Tiers(Frozen):
    """Both tiers. Cold must outlast hot: it is where hot goes."""

    hot: HotTier
    cold: ColdTier

    @model_validator(mode="after")
    def _order(self) -> "Tiers":
        if self.cold.days < self.hot.days:
            raise ValueError("cold.days must not be less than hot.days")
        return self


def tier_of(tiers: Tiers, domain: Domain | None, name: Literal["hot", "cold"]) -> tuple[int, Keep]:
    """For how many days a tier keeps a domain's snapshots, and what of them: the domain's own wish first. `domain` is
    None where the policy does not know it any more. Secrets stay forever where it says nothing."""
    tier = tiers.hot if name == "hot" else tiers.cold
    wish = getattr(domain.retention, name) if domain and domain.retention else None
    keep = Keep(forever=True) if domain is not None and domain.is_secret else tier.keep
    return (wish and wish.days) or tier.days, (wish and wish.keep) or keep


class ScheduledJob(Frozen):
    """When a job runs: `every` a duration or at the times of a `cron` expression."""

    kind: Literal["backup", "verify", "copy", "forget", "prune", "drill"]
    target: Name = Field(description="each job names the one target that it works on")
    type: Literal["incremental", "full"] | None = None
    level: Literal["l1", "l2", "l3"] | None = None
    domains: tuple[Name, ...] = Field(default=(), description="all where not given")
    excepted: tuple[Name, ...] = Field(default=(), alias="except", description="all domains but these")
    every: Duration | None = None
    cron: Cron | None = Field(default=None, description="minute hour day month weekday, in `time_zone`")
    enabled: bool = True
    max_run: Duration | None = Field(
        default=None, description="a run is stopped after that long; its kind has a limit of its own where not given"
    )

    @model_validator(mode="after")
    def _when(self) -> "ScheduledJob":
        if (self.every is None) == (self.cron is None):
            raise ValueError("give either `every` or `cron`")
        if (self.kind == "backup") != (self.type is not None):
            raise ValueError("`type` belongs to a backup, and a backup needs it")
        if (self.kind == "drill") != (self.level is not None):
            raise ValueError("`level` belongs to a drill, and a drill needs it")
        if self.domains and self.excepted:
            raise ValueError("give either `domains` or `except`")
        return self

    @property
    def named(self) -> str:
        """Its domains in words; empty for all. With `except` the settings have filled `domains` in."""
        return f"all but {', '.join(self.excepted)}" if self.excepted else ", ".join(self.domains)


class VerifyRule(Frozen):
    """How much one verify reads back: one `share` of the packs, and a `sample` of files restored and compared."""

    share: Annotated[str, Field(pattern=SHARE)] = "1/12"
    sample: Annotated[int, Field(ge=1, le=10_000)] = 20

    @property
    def parts(self) -> int:
        """Into how many parts the packs are divided, 1 to 256."""
        return int(self.share.partition("/")[2] or 1)


class MetricsRule(Frozen):
    """Where the metrics go. `listen`: the scheduler answers `/metrics` there. `textfile`: it writes them into this
    file, for the textfile collector of node_exporter."""

    listen: Annotated[str, Field(pattern=r"^[^\s:]+:[0-9]{1,5}$|^\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}$")] | None = Field(
        default=None, description="ADDRESS:PORT, such as 127.0.0.1:9823; nobody is asked for a password there"
    )
    textfile: AbsolutePath | None = Field(default=None, description="it ends in .prom")

    @field_validator("listen")
    @classmethod
    def _port(cls, value: str | None) -> str | None:
        if value is not None and not 0 < int(value.rpartition(":")[2]) < 65536:
            raise ValueError("must end in a port from 1 to 65535")
        return value

    @field_validator("textfile")
    @classmethod
    def _prom(cls, value: Path | None) -> Path | None:
        if value is not None and not is_prom(value):
            raise ValueError("must be a file that ends in .prom: node_exporter reads no others")
        return value


class TargetsIndex(Frozen):
    """`targets.yaml` without what is inside the targets: that is looked at when one is used."""

    default: Name | None = None
    targets: Annotated[Mapping[Name, Any], Field(min_length=1), *ReadOnly]


class TargetsFile(Frozen):
    """`targets.yaml`"""

    default: Name | None = Field(default=None, description="the target of commands that name none")
    targets: Annotated[Mapping[Name, Target], Field(min_length=1), *ReadOnly]


HostName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$")]


class DomainsFile(Frozen):
    """`domains.yaml`"""

    host: HostName = Field(
        description="the host name that every snapshot carries, whatever the machine or container is called"
    )
    formerly: tuple[HostName, ...] = Field(
        default=(), description="host names under which this machine, or the one whose place it takes, backed up before"
    )
    domains: Annotated[Mapping[Name, Domain], Field(min_length=1), *ReadOnly]

    @field_validator("domains")
    @classmethod
    def _not_ours(cls, value: Mapping[str, Domain]) -> Mapping[str, Domain]:
        if CANARY in value:
            raise ValueError(f"{CANARY} is rw's own: drills are tried on it")
        return value


class TiersFile(Frozen):
    """`tiers.yaml`"""

    tiers: Tiers
    guard: Guard = Field(default_factory=Guard)
    prune: PruneRule = Field(default_factory=PruneRule)
    lifecycle: LifecycleRule = Field(default_factory=LifecycleRule)


class ScheduleFile(Frozen):
    """`schedule.yaml`"""

    time_zone: str = "UTC"
    verify: VerifyRule = Field(default_factory=VerifyRule)
    metrics: MetricsRule = Field(default_factory=MetricsRule)
    jobs: Annotated[Mapping[Name, ScheduledJob], *ReadOnly] = Field(default_factory=dict)

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            zone_of(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("must be a time zone such as Asia/Shanghai or UTC that the package tzdata knows") from None
        return value

    @property
    def zone(self) -> tzinfo:
        """The time zone in which days and cron expressions count."""
        return zone_of(self.time_zone)


def zone_of(name: str) -> tzinfo:
    """UTC needs no tzdata, which a slim container lacks. Raises KeyError, ValueError or OSError."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo

    return ZoneInfo(name)
