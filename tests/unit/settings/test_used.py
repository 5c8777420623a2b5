"""What of the policies is a secret, so that a kit that only refers to credentials holds none."""

from pathlib import Path

import pytest

from resticwrap.settings.used import named, used

POLICY = """
targets:
  main: {{provider: s3, credentials: {{access_key_id: "${{KEY}}", secret_access_key: "{main}"}}}}
  second: {{provider: s3, bucket: "${{OTHER}}", credentials: {{secret_access_key: "{second}"}}}}
"""


@pytest.mark.parametrize(
    ("main", "second"), [("${SECRET}", "${SECOND}"), ("plain", "${SECOND}"), ("${SECRET}", "plain")]
)
def test_literal_credentials(tmp_path: Path, main: str, second: str) -> None:
    """Credentials that stand in the policies are told of, be it another target's, whose variables stay out."""
    (tmp_path / "targets.yaml").write_text(POLICY.format(main=main, second=second))
    found = used(tmp_path, {"KEY": "k", "SECRET": "s", "SECOND": "t", "OTHER": "o"}, "main")
    assert found.literal == ("plain" in (main, second))
    assert not {"SECOND", "OTHER"} & found.values.keys() and "KEY" in found.secret


def test_where_a_secret_can_stand(tmp_path: Path) -> None:
    """A variable is plain where all its uses are: not in credentials, nor in a password command, nor in recovery."""
    (tmp_path / "targets.yaml").write_text(
        "targets: {a: {path: '${PLACE}', password_command: 'echo ${WORD}', credentials: {key: '${KEY}${PLACE_TOO}'}}}\n"
    )
    (tmp_path / "domains.yaml").write_text("host: ${HOST_NAME:-x}\ndescription: ${PLACE_TOO} $$ ${PLACE}\n")
    (tmp_path / "recovery.yaml").write_text("system: {environment: {TOKEN: '${TOKEN}'}}\n")
    found = named(tmp_path)
    assert found.plain == {"PLACE", "HOST_NAME"}
    assert found.all == {"PLACE", "HOST_NAME", "WORD", "KEY", "PLACE_TOO", "TOKEN"}


@pytest.mark.parametrize(
    ("source", "literal", "secret"),
    [
        ("{type: postgres, url: '${APP_DB_URL}'}", False, {"APP_DB_URL"}),
        ("{type: postgres, url: 'postgresql://rw@db/app', password: '${APP_DB_PASSWORD}'}", False, {"APP_DB_PASSWORD"}),
        ("{type: postgres, url: 'postgresql:///app?host=/run/postgresql'}", False, set()),
        ("{type: postgres, url: 'postgresql://rw:plain@db/app'}", True, set()),
        ("{type: postgres, url: 'postgresql://rw@db/app?password=plain'}", True, set()),
        ("{type: mysql, container: {name: db}, database: app, password: plain}", True, set()),
        ("{type: files, root: '${APP_DB_URL}'}", False, set()),
    ],
)
def test_databases(tmp_path: Path, source: str, literal: bool, secret: set[str]) -> None:
    """What leads into a database is a secret as the credentials of the target are."""
    (tmp_path / "domains.yaml").write_text(f"domains: {{app_db: {{source: {source}}}}}\n")
    found = used(tmp_path, {"APP_DB_URL": "postgresql://rw:x@db/app", "APP_DB_PASSWORD": "x"}, "main")
    assert (found.literal, set(found.secret)) == (literal, secret)
