"""Which way requests go, and what of an endpoint may be shown."""

from pathlib import Path

import pytest

from resticwrap.storage.network import certificates, is_plain_address, proxies_for, proxy_env, proxy_secrets, shown

PROXY = "http://proxy.school.example:3128"
ENV = {"HTTPS_PROXY": PROXY}


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxied"),
    [
        ("https://s3.example.com", "", True),
        ("https://127.0.0.1:9000", "", False),
        ("https://localhost:9000", "", False),
        ("https://[::1]:9000", "", False),
        ("https://s3.example.com", "*", False),
        ("https://s3.example.com", "example.com", False),
        ("https://example.com", "example.com", False),
        ("https://notexample.com", "example.com", True),
        ("https://s3.example.com", ".example.com", False),
        ("https://example.com", ".example.com", True),
        ("https://s3.example.com", "*.example.com", False),
        ("https://s3.example.com", "other.org, S3.Example.com", False),
        ("https://s3.example.com:9000", "s3.example.com:9000", False),
        ("https://s3.example.com:9000", "s3.example.com:443", True),
        ("https://s3.example.com", "s3.example.com:443", False),
        ("https://10.1.2.3", "10.0.0.0/8", False),
        ("https://11.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", False),
        ("https://10.1.2.3", "2.3", True),
        ("https://10.1.2.3", "10.0.0.0/99", True),
        ("https://[fd00::1]:9000", "[fd00::1]:9000", False),
        ("https://[fd00::1]", "fd00::1", False),
        ("http://s3.example.com", "", False),
    ],
)
def test_no_proxy(url: str, no_proxy: str, proxied: bool) -> None:
    """The rules of restic's own client, so that both take the same way."""
    assert proxies_for(url, {**ENV, "NO_PROXY": no_proxy}) == ({"https": PROXY} if proxied else {})


def test_names_of_variables() -> None:
    """Upper case wins; a proxy without scheme is an http one; children get the upper case names."""
    env = {"https_proxy": "low:1", "HTTPS_PROXY": "high:2", "no_proxy": "here"}
    assert proxies_for("https://x.example", env) == {"https": "http://high:2"}
    assert proxy_env(env) == {"HTTPS_PROXY": "high:2", "NO_PROXY": "here"}
    assert proxy_secrets({"HTTP_PROXY": "http://me:sesame@p:1"}) == ("sesame",)


def test_shown_hides_who() -> None:
    """A user and a password in an endpoint are never shown."""
    assert shown("https://me:sesame@s3.example.com:9000/path") == "https://s3.example.com:9000"
    assert shown("http://[::1]:9000") == "http://[::1]:9000"


def test_plain_addresses() -> None:
    assert all(is_plain_address(host) for host in ("127.0.0.1", "10.0.0.1", "::1", "localhost"))
    assert not any(is_plain_address(host) for host in ("s3.example.com", "localhost.example.com"))


def test_certificates_of_the_policy_win() -> None:
    env = {"B": "/b", "C": "/c"}
    assert certificates(Path("/a"), env, "B") == Path("/a")
    assert certificates(None, env, "A", "B", "C") == Path("/b")
    assert certificates(None, {}, "A") is None
