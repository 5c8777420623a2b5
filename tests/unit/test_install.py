"""Which restic is used, and how one is fetched, with stand-ins for restic and apt that fail where told."""

import json
import stat
from pathlib import Path

import pytest

from resticwrap import errors
from resticwrap.restic import install as installing

KEYRING = "/usr/share/keyrings/of-this-test.gpg"

APT_GET = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
*update) {update} ;;
*"download restic") touch restic_1_all.deb ;;
esac
"""
DPKG = """#!/bin/sh
mkdir -p "$3/usr/bin" && cp "$(dirname "$0")/packaged" "$3/usr/bin/restic"
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def restic(path: Path, version: str, *, tells: str = "/dev/null") -> Path:
    """A program that answers `version --json` as restic does, and notes in `tells` that it was asked."""
    answer = json.dumps({"message_type": "version", "version": version, "go_os": "linux"})
    return program(path, f"#!/bin/sh\necho asked >> {tells}\necho '{answer}'\n")


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    return {"HOME": str(tmp_path / "home"), "PATH": f"{tmp_path / 'bin'}"}


@pytest.fixture
def apt(tmp_path: Path, env: dict[str, str]) -> Path:
    """An apt configuration with one mirror, and an apt that brings restic 0.18.0."""
    env["PATH"] += ":/usr/bin:/bin"
    program(tmp_path / "bin" / "apt-get", APT_GET.format(update="true"))
    program(tmp_path / "bin" / "dpkg", DPKG)
    restic(tmp_path / "bin" / "packaged", "0.18.0")
    folder = tmp_path / "apt"
    folder.mkdir()
    (folder / "sources.list").write_text("deb http://mirror.invalid/debian bookworm main contrib # ours\n")
    return folder


def apt_calls(apt: Path) -> list[str]:
    calls = apt.parent / "bin" / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def test_the_chosen_restic_comes_first(tmp_path: Path, env: dict[str, str]) -> None:
    restic(tmp_path / "bin" / "restic", "0.19.1")
    chosen = restic(tmp_path / "mine", "0.18.0")
    assert installing.find_restic(env | {"RW_RESTIC": str(chosen)}) == chosen


def test_a_chosen_restic_is_never_replaced_by_another(tmp_path: Path, env: dict[str, str]) -> None:
    restic(tmp_path / "bin" / "restic", "0.19.1")
    with pytest.raises(errors.ResticMissing, match="No such file"):
        installing.find_restic(env | {"RW_RESTIC": str(tmp_path / "none")})


def test_the_path_comes_before_the_cache(tmp_path: Path, env: dict[str, str]) -> None:
    on_path = restic(tmp_path / "bin" / "restic", "0.18.0")
    restic(installing.cache_folder(env) / "0.19.1" / "restic", "0.19.1")
    assert installing.find_restic(env) == on_path


def test_an_old_restic_on_the_path_gives_way_to_the_newest_in_the_cache(tmp_path: Path, env: dict[str, str]) -> None:
    restic(tmp_path / "bin" / "restic", "0.17.3")
    restic(installing.cache_folder(env) / "0.9.6" / "restic", "0.9.6")
    restic(installing.cache_folder(env) / "0.18.0" / "restic", "0.18.0")
    newest = restic(installing.cache_folder(env) / "0.100.0" / "restic", "0.100.0")
    assert installing.find_restic(env) == newest


def test_a_binary_in_the_cache_that_does_not_run_is_passed_over(env: dict[str, str]) -> None:
    program(installing.cache_folder(env) / "0.19.1" / "restic", "\x7fELF of another machine")
    good = restic(installing.cache_folder(env) / "0.18.0" / "restic", "0.18.0")
    assert installing.find_restic(env) == good


def test_too_old_is_told_with_version_path_and_minimum(tmp_path: Path, env: dict[str, str]) -> None:
    old = restic(tmp_path / "bin" / "restic", "0.17.3")
    with pytest.raises(errors.ResticMissing) as caught:
        installing.find_restic(env)
    assert all(part in caught.value.message for part in (str(old), "0.17.3", "0.18.0"))
    assert caught.value.hint == "python -m resticwrap.restic.install"


def test_a_restic_that_does_not_speak_json_is_too_old(tmp_path: Path, env: dict[str, str]) -> None:
    program(tmp_path / "bin" / "restic", "#!/bin/sh\necho restic 0.14.0 compiled with go1.19.8 on linux/amd64\n")
    with pytest.raises(errors.ResticMissing, match="too old"):
        installing.find_restic(env)


def test_no_restic_at_all_says_how_to_get_one(env: dict[str, str]) -> None:
    with pytest.raises(errors.ResticMissing) as caught:
        installing.find_restic(env)
    assert caught.value.hint == "python -m resticwrap.restic.install"


@pytest.mark.parametrize("text", ['{"version": 18}', '["0.18.0"]', '{"version": "0.18"}', "{}", "", "[" * 99])
def test_an_answer_that_is_no_version_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(errors.ResticMissing):
        installing.restic_version(program(tmp_path / "restic", f"#!/bin/sh\necho '{text}'\n"))


def test_a_development_version_counts_as_its_release(tmp_path: Path) -> None:
    path = restic(tmp_path / "restic", "0.19.1-dev (compiled manually)")
    assert installing.restic_version(path) == (0, 19, 1)


def test_the_version_is_asked_once_until_the_binary_changes(tmp_path: Path, env: dict[str, str]) -> None:
    asked = tmp_path / "asked"
    path = restic(tmp_path / "bin" / "restic", "0.18.0", tells=str(asked))
    for _ in range(3):
        assert installing.find_restic(env) == path
    assert asked.read_text().count("asked") == 1
    restic(path, "0.17.10", tells=str(asked))
    with pytest.raises(errors.ResticMissing, match=r"0\.17\.10"):
        installing.find_restic(env)


@pytest.mark.parametrize("memory", [b"", b"[]", b"\xff", b'{"PATH": {"identity": 7}}', b'{"PATH": "0.18.0"}'])
def test_a_broken_version_cache_is_ignored(tmp_path: Path, env: dict[str, str], memory: bytes) -> None:
    path = restic(tmp_path / "bin" / "restic", "0.18.0")
    cache = installing.cache_folder(env)
    cache.mkdir(parents=True)
    (cache / "versions.json").write_bytes(memory.replace(b"PATH", str(path).encode()))
    assert installing.find_restic(env) == path


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path, env: dict[str, str]) -> None:
    path = restic(tmp_path / "bin" / "restic", "0.18.0")
    (tmp_path / "home").write_text("not a folder")
    assert installing.find_restic(env) == path


def test_a_relative_cache_home_is_ignored(env: dict[str, str]) -> None:
    expected = Path(env["HOME"]) / ".cache" / "resticwrap" / "restic"
    assert installing.cache_folder(env | {"XDG_CACHE_HOME": "cache"}) == expected
    assert installing.cache_folder(env | {"XDG_CACHE_HOME": "/c"}) == Path("/c/resticwrap/restic")


def test_fetched_once_and_then_found(apt: Path, env: dict[str, str]) -> None:
    path = installing.install("trixie", env, apt=apt)
    assert path == installing.cache_folder(env) / "0.18.0" / "restic"
    assert stat.S_IMODE(path.stat().st_mode) == 0o755
    assert installing.installed(env) == {(0, 18, 0): path}
    assert installing.find_restic(env) == path
    calls = apt_calls(apt)
    assert installing.install("trixie", env, apt=apt) == path
    assert apt_calls(apt) == calls
    assert not list(installing.cache_folder(env).glob(".*"))
    installing.install("trixie", env, apt=apt, refresh=True)
    assert len(apt_calls(apt)) == 2 * len(calls)


def test_apt_touches_nothing_of_the_system(apt: Path, env: dict[str, str]) -> None:
    installing.install("trixie", env, apt=apt)
    for call in apt_calls(apt):
        options = call.split()
        assert options[options.index("-c") + 1].startswith(str(installing.cache_folder(env)))


def test_what_apt_complains_about_is_told(apt: Path, env: dict[str, str]) -> None:
    program(apt.parent / "bin" / "apt-get", APT_GET.format(update="echo E: no such mirror >&2; exit 100"))
    with pytest.raises(errors.ResticMissing, match="E: no such mirror"):
        installing.install("trixie", env, apt=apt)
    assert not installing.installed(env)


def test_a_package_that_is_too_old_is_not_kept(apt: Path, env: dict[str, str]) -> None:
    restic(apt.parent / "bin" / "packaged", "0.16.4")
    with pytest.raises(errors.ResticMissing, match=r"0\.16\.4"):
        installing.install("bookworm", env, apt=apt)
    assert not installing.installed(env)


def test_a_machine_without_debian_mirrors_is_told_so(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(errors.ResticMissing, match="No Debian mirror"):
        installing.install("trixie", env, apt=tmp_path)


def test_mirrors_are_read_from_both_kinds_of_sources(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://commented.invalid/debian bookworm main\n"
        "deb-src http://source.invalid/debian bookworm main\n"
        f"deb [arch=amd64 signed-by={KEYRING}] http://line.invalid/debian/ bookworm main contrib\n"
        "deb http://line.invalid/debian-security bookworm-security main\n"
        "deb http://tool.invalid/linux/debian bookworm stable\n"
    )
    (parts / "other.sources").write_text(
        f"Types: deb deb-src\n# a comment\nURIs: http://tool.invalid/repo\n http://second.invalid/debian\n"
        f"Suites: trixie trixie-updates\nComponents: main\nSigned-By: {KEYRING}\n"
        "\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: trixie\nComponents: main\nEnabled: no\n"
        "\nTypes: deb\nURIs: http://inline.invalid/debian\nSuites: sid\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n"
    )
    (parts / "old.sources.disabled").write_text(
        "Types: deb\nURIs: http://old.invalid/\nSuites: sid\nComponents: main\n"
    )
    found = list(installing.debian_mirrors(tmp_path))
    assert [mirror.uri for mirror in found] == [
        "http://line.invalid/debian/",
        "http://second.invalid/debian",
        "http://inline.invalid/debian",
        "http://tool.invalid/repo",
    ]
    assert [mirror.keyring == KEYRING for mirror in found] == [True, True, False, True]
    assert found[2].keyring in installing.KEYRINGS


def test_the_command_prints_where_restic_lies_and_its_errors(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = restic(installing.cache_folder(env) / "0.18.0" / "restic", "0.18.0")
    (installing.cache_folder(env) / "suites").mkdir()
    (installing.cache_folder(env) / "suites" / "trixie").symlink_to("../0.18.0")
    monkeypatch.setenv("HOME", env["HOME"])
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert installing.main([]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    monkeypatch.setenv("PATH", env["PATH"])
    assert installing.main(["--suite", "sid"]) == 1
    shown = capsys.readouterr().err
    assert "could not be" in shown or "No Debian mirror" in shown
    assert "Traceback" not in shown
