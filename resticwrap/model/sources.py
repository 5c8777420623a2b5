"""What an operator writes of where a domain's data is: a folder, files of secrets, a database.

Every source has a `root`, the path where it lies on this machine (None: it is not a path), and a `place`, which says
where it is and holds no secret.
"""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote, urlsplit

from pydantic import Discriminator, Field, SecretStr, Tag, field_validator, model_validator

from resticwrap.model.fields import AbsolutePath, Duration, Secret
from resticwrap.model.frozen import Frozen

CONTAINER = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$"
DATABASE = r"^[^\x00/\\]{1,63}$"


def named(value: Path) -> Path:
    """A path whose last part is a name, so that it can be backed up by it."""
    if not value.name:
        raise ValueError("must be something with a name, not the root of the file system")
    return value


class FilesSource(Frozen):
    """Files below one root, which is backed up by its name from its parent directory."""

    type: Literal["files"] = "files"
    root: AbsolutePath

    _named = field_validator("root")(named)

    @property
    def place(self) -> str:
        return str(self.root)


class SecretsSource(Frozen):
    """Files that hold secrets, such as `.env.prod`: these alone of what lies below `root`."""

    type: Literal["secrets"]
    root: AbsolutePath
    files: Annotated[tuple[str, ...], Field(min_length=1, description="paths relative to root")]
    in_kit: bool = Field(default=False, description="they are in the recovery kit too, as they are when it is made")

    _named = field_validator("root")(named)

    @field_validator("files")
    @classmethod
    def _inside(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            path = Path(text)
            if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in text:
                raise ValueError("must be paths below root")
        clean = tuple(str(Path(text)) for text in value)
        if len(set(clean)) != len(clean):
            raise ValueError("names a file twice")
        return clean

    @property
    def place(self) -> str:
        return str(self.root)


class Query(Frozen):
    """What a drill asks the restored database: one value, and what it must be."""

    sql: Annotated[str, Field(min_length=1, description="a query that gives one value")]
    database: Annotated[str, Field(pattern=DATABASE)] | None = Field(
        default=None, description="which one, where a domain has several"
    )
    equals: str | int | float | bool | None = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _something(self) -> "Query":
        if self.equals is None and self.at_least is None and self.at_most is None:
            raise ValueError("must expect something: equals, at_least or at_most")
        if self.equals is not None and (self.at_least is not None or self.at_most is not None):
            raise ValueError("give equals, or bounds, not both")
        return self


class Container(Frozen):
    """Where the server runs in a container: by its name, or as a service of a compose project."""

    name: Annotated[str, Field(pattern=CONTAINER)] | None = None
    service: Annotated[str, Field(pattern=CONTAINER)] | None = None
    project: AbsolutePath | None = Field(default=None, description="the folder with the compose file, for `service`")

    @model_validator(mode="after")
    def _one(self) -> "Container":
        if (self.name is None) == (self.service is None):
            raise ValueError("give either name or service")
        if (self.service is None) != (self.project is None):
            raise ValueError("service and project go together")
        return self

    @property
    def place(self) -> str:
        return self.name or f"{self.project}:{self.service}"


class Scratch(Frozen):
    """The server that a drill loads the database into, and takes down again."""

    by: Literal["auto", "local", "container"] = Field(
        default="auto", description="local: programs of this machine; auto: these where they are there"
    )
    image: str | None = Field(default=None, description="for a container; that of the live one where not given")
    bin: AbsolutePath | None = Field(default=None, description="the folder of the server's programs")

    @model_validator(mode="after")
    def _of_one_kind(self) -> "Scratch":
        if self.by == "local" and self.image is not None:
            raise ValueError("image is for a container, not for by: local")
        if self.by == "container" and self.bin is not None:
            raise ValueError("bin is for programs of this machine, not for by: container")
        return self

    @property
    def contained(self) -> bool:
        """Whether a container is asked for."""
        return self.by == "container" or self.image is not None


class WalRule(Frozen):
    """How the write-ahead log is kept, for restores to a moment."""

    slot: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,63}$")] = Field(
        default="resticwrap", description="the replication slot that keeps what was not fetched yet"
    )
    max_age: Duration | None = Field(default=None, description="a base backup that is older is followed by a new one")


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    """Whether it is a URL of one of these schemes that everybody reads alike: a sign of a password that was not encoded
    would end the password, and what follows be taken for a host or a database, which are shown. libpq takes several
    hosts with commas."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    hosts = parts.netloc.rpartition("@")[2].split(",")
    return (
        parts.scheme in schemes
        and text.startswith(f"{parts.scheme}://")
        and not parts.fragment
        and not re.search(r"[/@]", parts.path[1:])
        and parts.netloc.count("@") < 2
        and all(re.fullmatch(r"(\[[0-9A-Fa-f:.%a-z]*\]|[^:\[\]]*)(:[0-9]{0,5})?", host) for host in hosts)
    )


class ServerSource(Frozen):
    """What the sources of database servers share."""

    schemes: ClassVar[tuple[str, ...]] = ()

    url: Secret | None = Field(default=None, description="where the server is, with its user", repr=False)
    password: Secret | None = Field(default=None, description="instead of one in the URL")
    container: Container | None = None
    user: str | None = Field(default=None, description="the server's user, where there is no URL")
    database: Annotated[str, Field(pattern=DATABASE)] | None = Field(
        default=None, description="which one; that of the URL where not given"
    )
    all: bool = Field(default=False, description="every database of the server")
    exclude_data: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="tables of which only the definition is kept"
    )
    bin: AbsolutePath | None = Field(default=None, description="the folder of the client's programs")
    scratch: Scratch = Field(default_factory=Scratch)
    queries: tuple[Query, ...] = ()

    @property
    def root(self) -> None:
        return None

    @field_validator("url")
    @classmethod
    def _address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _is_address(value.get_secret_value(), cls.schemes):
            raise ValueError(
                f"must be a URL such as {cls.schemes[0]}://user@host:port/database; "
                "in a password write % / : @ ? # [ ] as %25 %2F %3A %40 %3F %23 %5B %5D"
            )
        return value

    @model_validator(mode="after")
    def _where(self) -> "ServerSource":
        if (self.url is None) == (self.container is None):
            raise ValueError("give either url or container")
        if self.password is not None and self.url is not None and urlsplit(self.url.get_secret_value()).password:
            raise ValueError("give the password in the URL or as `password`, not both")
        if self.all == bool(self.database or self._of_url()):
            raise ValueError("give either a database or `all: true`")
        return self

    def _of_url(self) -> str:
        return urlsplit(self.url.get_secret_value()).path.lstrip("/") if self.url else ""

    @property
    def name(self) -> str | None:
        """The one database that is backed up; None: all of them."""
        return self.database or unquote(self._of_url()) or None

    @property
    def place(self) -> str:
        kind: str = getattr(self, "type", "database")
        if self.container:
            return f"{kind} in {self.container.place}/{self.name or '*'}"
        assert self.url is not None
        parts = urlsplit(self.url.get_secret_value())
        socket = re.search(r"(?:^|&)(?:host|socket|unix_socket)=([^&]+)", parts.query)
        host = parts.netloc.rpartition("@")[2] or (unquote(socket[1]) if socket else "")
        return f"{kind}://{host}/{self.name or '*'}"


class PostgresSource(ServerSource):
    """A PostgreSQL server, one database of it or all. `url` is libpq's: `postgresql://user@host/db`, or
    `postgresql:///db?host=/run/postgresql` for a local socket."""

    schemes: ClassVar[tuple[str, ...]] = ("postgresql", "postgres")

    type: Literal["postgres"]
    mode: Literal["dump", "wal"] = Field(
        default="dump", description="wal: a base backup and the log, for restores to a moment"
    )
    wal: WalRule = Field(default_factory=WalRule)

    @model_validator(mode="after")
    def _log_by_url(self) -> "PostgresSource":
        if self.mode == "wal" and self.url is None:
            raise ValueError("mode: wal needs a url: the log is received on this machine, not in the container")
        if self.mode == "wal" and self.exclude_data:
            raise ValueError("exclude_data is for mode: dump: a base backup holds all of the cluster")
        if self.mode == "wal" and self.scratch.contained:
            raise ValueError("mode: wal is recovered by programs of this machine: no container for scratch")
        if self.mode == "dump" and "wal" in self.model_fields_set:
            raise ValueError("wal is for mode: wal")
        return self


class MysqlSource(ServerSource):
    """A MySQL or MariaDB server: `mysql://user@host/db`, or `mysql://user@localhost/db?socket=/run/mysqld/mysqld.sock`."""

    schemes: ClassVar[tuple[str, ...]] = ("mysql", "mariadb")

    type: Literal["mysql"]

    @model_validator(mode="after")
    def _loaded_here(self) -> "MysqlSource":
        if self.scratch.contained:
            raise ValueError("MySQL is loaded by programs of this machine: no container for scratch")
        return self


class SqliteSource(Frozen):
    """A SQLite file, copied by its own online backup while others write."""

    type: Literal["sqlite"]
    path: AbsolutePath
    queries: tuple[Query, ...] = ()

    _named = field_validator("path")(named)

    @property
    def root(self) -> Path:
        return self.path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def place(self) -> str:
        return str(self.path)


def _kind(value: Any) -> str:
    found = value.get("type", "files") if isinstance(value, dict) else getattr(value, "type", "files")
    return found if isinstance(found, str) else ""


Source = Annotated[
    Annotated[FilesSource, Tag("files")]
    | Annotated[SecretsSource, Tag("secrets")]
    | Annotated[PostgresSource, Tag("postgres")]
    | Annotated[MysqlSource, Tag("mysql")]
    | Annotated[SqliteSource, Tag("sqlite")],
    Discriminator(
        _kind,
        custom_error_type="source_type",
        custom_error_message="must be files, secrets, postgres, mysql or sqlite",
    ),
]
DATABASES = (PostgresSource, MysqlSource, SqliteSource)


def secret_of(value: SecretStr | None) -> str:
    """Its text; empty where there is none."""
    return value.get_secret_value() if value is not None else ""
