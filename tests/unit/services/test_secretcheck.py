"""Files of secrets that are open to others."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from resticwrap.model.policy import Domain
from resticwrap.services import secretcheck


@pytest.fixture
def secret() -> Iterator[Path]:
    """In a folder that everybody may enter, unlike pytest's own: that is what is to be found out here."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        path = Path(made).resolve() / "app/.env"
        path.parent.mkdir()
        path.write_text("hush")
        path.chmod(0o640)
        yield path


def said(path: Path, tree: Path | None = None) -> list[tuple[str, str]]:
    return [
        (one.detail.removeprefix(f"{path} (it) "), one.hint) for one in secretcheck.check({path: "it"}, lambda _: tree)
    ]


def test_a_private_file_is_well(secret: Path) -> None:
    """A service's group may read it. What is not there is another check's."""
    checks = secretcheck.check({secret: "it", secret.with_name("gone"): "it"}, lambda _: None)
    assert [(one.verdict, one.detail) for one in checks] == [
        ("ok", "1 files of secrets are private, and git tracks none of them")
    ]


def test_modes_and_folders(secret: Path) -> None:
    """Who may write to the folder may put another file there; who may not enter it reads nothing in it."""
    secret.chmod(0o646)
    assert said(secret) == [("may be read and written by everybody (mode 646)", f"chmod o= {secret}")]
    secret.parent.chmod(0o770)
    assert "private" in said(secret)[0][0]
    secret.parent.chmod(0o777)
    secret.chmod(0o600)
    ((why, hint),) = said(secret)
    assert "everybody may put another" in why and hint == f"chmod o-w {secret.parent}"
    secret.parent.chmod(0o1777)
    assert "private" in said(secret)[0][0]


def test_git(secret: Path) -> None:
    """What is tracked stays in the history; what cannot be known is said."""
    ((why, hint),) = said(secret, secret.parent)
    assert why == f"is tracked by git in {secret.parent}" and f"rm --cached {secret.name} " in hint

    def broken(path: Path) -> Path | None:
        raise ValueError("cut off")

    (one,) = secretcheck.check({secret: "it"}, broken)
    assert one.verdict == "warn" and "cannot be read here: cut off" in one.detail


def test_files_beside_the_policies(secret: Path) -> None:
    """Files of variables there and above, but for those that are made to be published."""
    policies = secret.parent / "policies"
    policies.mkdir()
    for name in (".env.example", ".env.prod"):
        (policies / name).write_text("")
    found = secretcheck.beside(policies, [secret.parent / "password"])
    assert set(found) == {secret, policies / ".env.prod", secret.parent / "password"}


def test_a_secret_in_a_domain_of_files() -> None:
    """It is told where no pattern keeps it out."""

    def domain(source: dict[str, object], *excludes: str) -> Domain:
        return Domain.model_validate(
            {"layer": "serving", "priority": "P0", "source": source, "excludes": list(excludes)}
        )

    config = domain({"type": "secrets", "root": "/srv/app", "files": [".env", "conf/key"]})
    found = secretcheck.elsewhere({"config": config, "app": domain({"root": "/srv/app"}, ".env"),
                                   "other": domain({"root": "/srv/other"})})  # fmt: skip
    ((detail, hint),) = [(one.detail, one.hint) for one in found]
    assert detail == "/srv/app/conf/key (of domain config) is in the backups of domain app as well"
    assert hint == "excludes: [/srv/app/conf/key] for app in domains.yaml"
