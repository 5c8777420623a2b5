"""How MySQL's clients are told where the server is, and what their complaints mean."""

import pytest

from resticwrap import errors
from resticwrap.model.sources import MysqlSource
from resticwrap.sources.mysql.access import PASSWORD, access_of, failure


def source(url: str, **more: str) -> MysqlSource:
    return MysqlSource.model_validate({"type": "mysql", "url": url, **more})


def test_by_address() -> None:
    """The password is in the environment and nowhere else."""
    access = access_of(source("mysql://back%40up:s%2Fcret@db.example:3307/shop"))
    assert access.arguments == ("--host=db.example", "--port=3307", "--user=back@up")
    assert access.env[PASSWORD] == "s/cret" and access.secrets == ("s/cret",)
    assert "s/cret" not in repr(access) + " ".join(access.command(("true",)))


def test_by_socket() -> None:
    """A socket takes the place of host and port."""
    access = access_of(source("mysql://me@localhost:3306/shop?socket=/run/x.sock&ssl-ca=/ca.pem", password="word"))
    assert access.arguments == ("--user=me", "--socket=/run/x.sock", "--ssl-ca=/ca.pem")
    assert access.secrets == ("word",)


def test_a_parameter_that_is_unknown() -> None:
    """It is told by its name, and which are known."""
    with pytest.raises(errors.UsageError, match="charset") as caught:
        access_of(source("mysql://me@localhost/shop?charset=secret"))
    assert "socket" in caught.value.hint and "secret" not in str(caught.value)


def test_a_program_that_is_missing() -> None:
    """The hint says what to install."""
    with pytest.raises(errors.ClientMissing) as caught:
        access_of(source("mysql://me@localhost/shop", bin="/nowhere")).client()
    assert "mariadb-client" in caught.value.hint


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR 1045 (28000): Access denied for user 'x'@'y'", errors.DatabaseRefused),
        ('mariadb-dump: Got error: 1045: "Access denied" when trying to connect', errors.DatabaseRefused),
        ("mariadb-dump: Couldn't execute 'show events': Access denied (1044)", errors.DatabaseRefused),
        ("ERROR 2002 (HY000): Can't connect to local server through socket", errors.DatabaseUnavailable),
        ("mariadb-dump: Error 2013: Lost connection to server during query", errors.DatabaseUnavailable),
        ("ERROR 1049 (42000): Unknown database 'x'", errors.DatabaseUnavailable),
        ("--------------\nSELECT 1045\n--------------\n\nERROR 1064 (42000) at line 3: You have", errors.LoadFailed),
        ("", errors.LoadFailed),
    ],
)
def test_what_a_complaint_means(said: str, kind: type[errors.Failure]) -> None:
    """Its number decides, not its words."""
    assert type(failure(said, "here", errors.LoadFailed)) is kind
