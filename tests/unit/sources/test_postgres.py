"""How PostgreSQL is reached, and what its programs mean when they fail."""

import json
import subprocess
import sys
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.cancel import Cancel
from resticwrap.model.sources import PostgresSource
from resticwrap.sources.postgres.access import Access, conninfo, env_of, literal, nearest_binaries
from resticwrap.sources.postgres.domain import PostgresDomain
from resticwrap.sources.postgres.heads import by_hand, creating, head_of
from resticwrap.sources.postgres.server import knows_restrict, restricted
from resticwrap.sources.postgres.trouble import complaints, failure, state_of
from resticwrap.sources.postgres.walrecovery import QUIET

ROW = {
    "datname": 'a{}"b', "datcollate": "C.UTF-8", "datctype": "C.UTF-8", "datconnlimit": 5, "datistemplate": False,
}  # fmt: skip
ANSWER: dict[str, Any] = {
    "encoding": "UTF8", "row": ROW, "owner": "o{}", "comment": None, "tablespace": "pg_default", "acl": None,
    "settings": None, "labels": None,
}  # fmt: skip


def source(**values: Any) -> PostgresSource:
    return PostgresSource(type="postgres", **values)


def test_a_url_becomes_the_environment() -> None:
    """All that libpq knows of a URL; nothing else of ours but what libpq may need; the password by itself wins."""
    ours = {"PATH": "/p", "HOME": "/h", "AWS_SECRET_ACCESS_KEY": "x", "PGPASSWORD": "not this"}
    url = "postgresql://us%40er:p%2Fw@h1:1,[::1]:2/d%20b?sslmode=require&unknown=1"
    found = env_of(source(url=url), ours)
    assert found == {
        "PATH": "/p", "HOME": "/h", "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "10", "PGAPPNAME": "resticwrap",
        "PGHOST": "h1,::1", "PGPORT": "1,2", "PGUSER": "us@er", "PGPASSWORD": "p/w", "PGDATABASE": "d b",
        "PGSSLMODE": "require",
    }  # fmt: skip
    socket = env_of(source(url="postgresql:///db?host=/run/postgresql&port=5433", password="secret"), {})
    assert (socket["PGHOST"], socket["PGPORT"], socket["PGPASSWORD"]) == ("/run/postgresql", "5433", "secret")
    assert "secret" not in repr(Access(socket))


def test_names_are_never_more_than_names() -> None:
    """Of libpq's connection strings and of SQL."""
    assert conninfo("host=x 'y'") == "dbname='host=x \\'y\\''"
    assert literal("it's \\") == "E'it''s \\\\'"
    head = head_of(json.dumps({**ANSWER, "comment": "{} it's", "settings": [{"role": None, "config": ["a.b={}"]}]}))
    assert head.after == (
        'ALTER DATABASE {} OWNER TO U&"o\\007b}"',
        "ALTER DATABASE {} CONNECTION LIMIT 5",
        "COMMENT ON DATABASE {} IS E'\\x7b} it''s'",
        'ALTER DATABASE {} SET "a"."b" TO E\'\\x7b}\'',
    )
    assert creating(head, "n").startswith("CREATE DATABASE \"n\" TEMPLATE template0 ENCODING E'UTF8' LC_COLLATE ")
    assert b'\\connect -reuse-previous=on "dbname=\'a{}""b\'"\n' in by_hand(head)
    with pytest.raises(errors.DumpFailed, match="end of a line"):
        head_of(json.dumps({**ANSWER, "row": {**ROW, "datname": "a\nb"}}))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, ["LC_COLLATE", "LC_CTYPE"]),
        ({"datlocprovider": "c"}, ["LOCALE_PROVIDER", "LC_COLLATE", "LC_CTYPE"]),
        ({"datlocprovider": "i", "daticulocale": "en"}, ["LOCALE_PROVIDER", "LC_COLLATE", "LC_CTYPE", "ICU_LOCALE"]),
        (
            {"datlocprovider": "i", "datlocale": "en", "daticurules": "&a < b"},
            ["LOCALE_PROVIDER", "LC_COLLATE", "LC_CTYPE", "ICU_LOCALE", "ICU_RULES"],
        ),
        (
            {"datlocprovider": "b", "datlocale": "C.UTF-8"},
            ["LOCALE_PROVIDER", "LC_COLLATE", "LC_CTYPE", "BUILTIN_LOCALE"],
        ),
    ],
)
def test_locales_of_every_version(row: dict[str, str], words: list[str]) -> None:
    """PostgreSQL 14 has no provider, 15 a column for ICU, 16 rules, 17 another column and a provider of its own."""
    assert list(head_of(json.dumps({**ANSWER, "row": {**ROW, **row}})).options) == ["ENCODING", *words]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("psql:<stdin>:1: FEHLER:  42P04: Datenbank »x« existiert bereits\nORT:  createdb", errors.LoadFailed),
        ("ОШИБКА:  42501: нет доступа к таблице x", errors.DatabaseRefused),
        ("psql: error: connection failed: FATAL:  password authentication failed", errors.LoadFailed),
        ("FATAL:  28P01: 密码认证失败", errors.DatabaseRefused),
        ("FATAL:  3D000: n'existe pas", errors.NotFound),
        ("FATAL:  57P01: terminating connection", errors.DatabaseUnavailable),
        ("psql:<stdin>:9: NOTICE:  00000: 42501: not this\nHINT:  nor this", errors.LoadFailed),
        ("", errors.LoadFailed),
    ],
)
def test_failures_are_told_by_their_code(said: str, kind: type[errors.Failure]) -> None:
    """In whatever language a server speaks; words decide nothing."""
    assert type(failure(said, "here", errors.LoadFailed)) is kind


def test_complaints_leave_out_what_is_there_already() -> None:
    """And what is no error."""
    said = (
        'psql:<stdin>:1: ERROR:  42710: role "a" already exists\nLOCATION:  x\n'
        'psql:<stdin>:2: NOTICE:  00000: something\npsql:<stdin>:3: ERROR:  42704: role "b" does not exist\n'
    )
    assert complaints(said) == ('role "b" does not exist',)
    assert state_of("pg_dump: error: query failed: it is odd.")[1] == "query failed: it is odd"


def test_programs_of_the_server_s_own_version_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Else those of the next later one: a much later pg_dump writes what the server does not take back."""
    for version in ("9.6", "13", "15", "17"):
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "pg_dump").touch()
    monkeypatch.setattr("resticwrap.sources.postgres.access.PLACES", tmp_path)
    chosen = {
        version: nearest_binaries(version).removeprefix(str(tmp_path)) for version in ("9.6", "12.1", "15.2", "18")
    }
    assert chosen == {"9.6": "/9.6/bin", "12.1": "/13/bin", "15.2": "/15/bin", "18": ""}


def test_what_makes_dumps_starts_at_once() -> None:
    """Without what reads policies, which takes longer to import than a small database to dump."""
    code = "import sys, resticwrap.sources.produce, resticwrap.sources.postgres.dump; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_which_psql_can_be_restricted() -> None:
    """Since a minor version of each, and all later ones; one that says nothing that is understood is not."""
    known = {"15.18": True, "15.13": False, "17.6": True, "17.5": False, "18.0": True, "12.22": False}
    assert {one: knows_restrict(f"psql (PostgreSQL) {one} (Debian {one}-1)\n") for one in known} == known
    assert knows_restrict("psql (PostgreSQL) 18beta1") is False and knows_restrict("") is False


def test_a_dump_is_restricted_once() -> None:
    """One that says so itself is left as it is."""
    own = [b"--\n--\n\n\\restr", b"ict key\n\nSELECT 1;\n\\unrestrict key\n"]
    assert b"".join(restricted(own)) == b"".join(own)
    lines = b"".join(restricted([b"SELECT 1;\n", b"SELECT 2;\n"])).splitlines()
    assert lines[0].startswith(b"\\restrict ") and lines[1:3] == [b"SELECT 1;", b"SELECT 2;"]
    assert lines[-1] == lines[0].replace(b"\\", b"\\un")


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"scratch": {"bin": "/nowhere", "image": "postgres:15"}}, "a container of postgres:15"),
        ({"scratch": {"by": "container", "image": "postgres:15"}}, "a container of postgres:15"),
        ({"scratch": {"bin": "/nowhere"}}, None),
        ({"scratch": {"by": "container"}}, None),
        ({"scratch": {"bin": "/nowhere"}, "mode": "wal"}, None),
    ],
)
def test_what_drills_load_it_by(more: dict[str, Any], found: str | None) -> None:
    """An image where no programs are there, or where the policy wants it; where neither is, what to do about it."""
    engine = PostgresDomain("app_db", source(url="postgresql://h/d", **more), Cancel())
    if found is not None:
        assert engine.scratch_by("15.2") == found
        return
    with pytest.raises(errors.ClientMissing) as caught:
        engine.scratch_by("15.2")
    assert caught.value.hint


def test_a_recovered_copy_does_nothing_by_itself() -> None:
    """Its subscriptions would take from their publishers what the live server has not got yet; jobs would run twice."""
    assert (QUIET["max_logical_replication_workers"], QUIET["cron.launch_active_jobs"]) == ("0", "off")
    assert (QUIET["listen_addresses"], QUIET["archive_mode"], QUIET["autovacuum"]) == ("", "off", "off")
