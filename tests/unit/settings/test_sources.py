"""What is wrong with a source is told by file, line and key, in words that help, and never with what stands there."""

from pathlib import Path

import pytest

from resticwrap.errors import PolicyError
from resticwrap.settings import check, load
from resticwrap.settings.used import named
from resticwrap.settings.view import json_schema, show
from tests.unit.settings.samples import DOMAINS, policies

KEYS = {"OSS_ACCESS_KEY_ID": "0123456", "OSS_ACCESS_KEY_SECRET": "hush"}
HOST = "domains.yaml:11: domains.profiles.source"
URL = "must be a URL such as postgresql://user@host:port/database; in a password write % / : @"


def written(folder: Path, source: str) -> Path:
    return policies(folder, domains=DOMAINS.replace("{root: /srv/profiles}", source))


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{type: oracle}", ": must be files, secrets, postgres, mysql or sqlite"),
        ("{root: /srv/x, files: [a]}", ".files: is not a known key; known: root, type"),
        ("{type: secrets, root: /srv/x}", ".files: is required: paths relative to root"),
        ("{type: secrets, root: /srv/x, files: []}", ".files: must not be empty"),
        ("{type: secrets, root: /srv/x, files: [../hush]}", ".files: must be paths below root"),
        ("{type: secrets, root: /srv/x, files: [/hush]}", ".files: must be paths below root"),
        ("{type: secrets, root: /srv/x, files: [.env, ./.env]}", ".files: names a file twice"),
        ("{type: secrets, root: /, files: [.env]}", ".root: must be something with a name, not the root of the file"),
        ("{type: postgres}", ": give either url or container"),
        ("{type: postgres, url: 'postgresql://h/hush', container: {name: db}}", ": give either url or container"),
        ("{type: postgres, url: 'postgresql://u:hush@h/'}", ": give either a database or `all: true`"),
        ("{type: postgres, url: 'postgresql://u:hush@h/db', all: true}", ": give either a database or `all: true`"),
        ("{type: postgres, url: 'postgresql://u:hush@h/db', password: hush}", ": give the password in the URL or as"),
        ("{type: postgres, url: hush}", f".url: {URL}"),
        ("{type: postgres, url: 'mysql://u:hush@h/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://u:hu/sh@h/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://u:12/hush@h/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://u:hu@sh@h/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://u:hu#sh@h/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://u:hush@h:port/db'}", f".url: {URL}"),
        ("{type: postgres, url: 'postgresql://[hush/db'}", f".url: {URL}"),
        ("{type: postgres, ulr: hush}", ".ulr: is not a known key; did you mean `url`?"),
        ("{type: postgres, container: {name: db, service: x}, all: true}", ".container: give either name or service"),
        ("{type: postgres, container: {service: x}, all: true}", ".container: service and project go together"),
        ("{type: postgres, url: 'postgresql://h/db', mode: wall}", ".mode: must be 'dump' or 'wal'"),
        ("{type: postgres, url: 'postgresql://h/db', wal: {slot: Hush}}", ".wal.slot: must match"),
        ("{type: postgres, url: 'postgresql://h/db', wal: {slot: hush}}", ": wal is for mode: wal"),
        (
            "{type: postgres, url: 'postgresql://h/db', mode: wal, scratch: {image: hush}}",
            ": mode: wal is recovered by",
        ),
        ("{type: postgres, url: 'postgresql://h/db', scratch: {by: local, image: x}}", ".scratch: image is for a cont"),
        ("{type: postgres, url: 'postgresql://h/db', scratch: {by: container, bin: /x}}", ".scratch: bin is for progr"),
        ("{type: mysql, url: 'mysql://h/db', scratch: {by: container}}", ": MySQL is loaded by programs of this mach"),
        ("{type: postgres, url: 'postgresql://h/db', queries: [{sql: hush}]}", ".queries.0: must expect something"),
        ("{type: postgres, url: 'postgresql://h/db', scratch: {by: docker}}", ".scratch.by: must be 'auto', 'local'"),
        ("{type: mysql, url: 'postgresql://u:hush@h/db'}", ".url: must be a URL such as mysql://user@host"),
        ("{type: mysql, url: 'mysql://u:hush@h/db', mode: wal}", ".mode: is not a known key; known: all, bin"),
        ("{type: sqlite}", ".path: is required"),
        ("{type: sqlite, path: /hush.db, root: /hush}", ".root: is not a known key; known: path, queries, type"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, source: str, problem: str) -> None:
    (said,) = [str(one) for one in check(written(tmp_path, source), KEYS)]
    assert said.startswith(HOST + problem)
    assert "hush" not in said


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("{type: postgres, url: 'postgresql://u:hu%2Fsh@h:5433/db%20one'}", "postgres://h:5433/db one"),
        ("{type: postgres, url: 'postgres://u@a:1,b:2/db?password=hush'}", "postgres://a:1,b:2/db"),
        ("{type: postgres, url: 'postgresql:///db?host=%2Frun%2Fpostgresql'}", "postgres:///run/postgresql/db"),
        ("{type: postgres, url: 'postgresql://u@[::1]:5432', all: true}", "postgres://[::1]:5432/*"),
        ("{type: mysql, url: 'mariadb://u:hush@localhost/db?socket=/run/x.sock'}", "mysql://localhost/db"),
        ("{type: postgres, container: {service: db, project: /srv/app}, database: x}", "postgres in /srv/app:db/x"),
        ("{type: sqlite, path: /srv/x.db}", "/srv/x.db"),
    ],
)
def test_places_hold_no_secret(tmp_path: Path, source: str, place: str) -> None:
    """They stand in plans, errors and reports."""
    loaded = load(written(tmp_path, source), KEYS)
    assert loaded.domains["profiles"].source.place == place
    assert "hush" not in str(show(loaded)) + repr(loaded.domains)


def test_an_address_may_come_out_of_a_file(tmp_path: Path) -> None:
    """As Docker's secrets do it; a file that is not there is told by its variable, and never falls back."""
    folder = written(tmp_path / "policies", "{type: postgres, url: '${APP_DB_URL}'}")
    (tmp_path / "secret").write_text("postgresql://u:hush@h/db\n")
    loaded = load(folder, {**KEYS, "APP_DB_URL_FILE": str(tmp_path / "secret")})
    assert loaded.domains["profiles"].source.place == "postgres://h/db"
    for env, problem in (
        ({"APP_DB_URL_FILE": "/gone"}, "variable APP_DB_URL_FILE names a file that cannot be read"),
        ({}, "variable APP_DB_URL is not set"),
    ):
        with pytest.raises(PolicyError) as caught:
            load(folder, {**KEYS, **env})
        (said,) = map(str, caught.value.problems)
        assert said.startswith(f"{HOST}.url: {problem}")


def test_what_a_source_is_let_in_by_is_a_secret(tmp_path: Path) -> None:
    """So no unit and no crontab says it; where a file is, they may say."""
    folder = written(tmp_path, "{type: postgres, url: 'postgresql://${WHO}@h/db', password: '${PASS}', bin: '${BIN}'}")
    found = named(folder)
    assert {"WHO", "PASS", "BIN"} <= found.all
    assert "BIN" in found.plain and not {"WHO", "PASS"} & found.plain


def test_the_schema_knows_every_kind_of_source() -> None:
    definitions = json_schema("domains")["$defs"]
    for kind in ("Files", "Secrets", "Postgres", "Mysql", "Sqlite"):
        assert f"{kind}Source" in definitions
    assert "schemes" not in definitions["PostgresSource"]["properties"]


def test_secrets_stay_forever_where_nothing_else_is_said(tmp_path: Path) -> None:
    """A wish of the domain's own comes first."""
    from resticwrap.model.policy import tier_of

    source = "{type: secrets, root: /srv/x, files: [.env]}"
    for text, keep in ((source, True), (f"{source}\n    retention: {{hot: {{keep: {{last: 7}}}}}}", False)):
        loaded = load(written(tmp_path, text), KEYS)
        assert tier_of(loaded.tiers, loaded.domains["profiles"], "hot")[1].forever is keep
        assert tier_of(loaded.tiers, loaded.domains["profiles"], "cold")[1].forever
