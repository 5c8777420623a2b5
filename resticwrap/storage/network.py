"""Endpoints, proxies and certificates, read out of the policy and of the environment that we are given.

Both clients would read `os.environ` by themselves, and restic reads its own: one reading serves all three.
"""

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def host_of(url: str) -> str:
    """The host of an endpoint, lower case, without port and without anything in front of `@`."""
    return (urlsplit(url).hostname or "").lower()


def shown(url: str) -> str:
    """An endpoint as it may be shown: scheme, host and port, never a user or a password."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def is_plain_address(host: str) -> bool:
    """Whether a bucket cannot be put in front of this host: IP addresses and `localhost`."""
    return host == "localhost" or _address(host) is not None


def proxies_for(url: str, env: Mapping[str, str]) -> dict[str, str]:
    """The proxy for this URL as `{scheme: proxy}`, empty where it is to be reached directly.

    The rules are those of restic (Go's `httpproxy`), so that both take the same way: upper case names win, loopback
    is never proxied, `NO_PROXY` holds `*`, hosts with their subdomains, `.domain`, addresses and networks, each
    with an optional port.
    """
    parts = urlsplit(url)
    proxy = _variable(env, f"{parts.scheme}_PROXY")
    if not proxy or _bypassed(host_of(url), parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0), env):
        return {}
    return {parts.scheme: proxy if "://" in proxy else f"http://{proxy}"}


def proxy_env(env: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables that a child must have to take the same way."""
    return {name: value for name in PROXY_VARIABLES if (value := _variable(env, name))}


def proxy_secrets(env: Mapping[str, str]) -> tuple[str, ...]:
    """Passwords of proxies."""
    passwords = (urlsplit(value).password for name, value in proxy_env(env).items() if name != "NO_PROXY")
    return tuple(password for password in passwords if password)


def certificates(ca_file: Path | None, env: Mapping[str, str], *names: str) -> Path | None:
    """The file of trusted certificates: the policy's, else the first of these variables that is set."""
    if ca_file is not None:
        return ca_file
    return next((Path(env[name]) for name in names if env.get(name)), None)


def byte_range(offset: int, length: int | None) -> str:
    """The value of a `Range` header; `length` is at least 1."""
    return f"bytes={offset}-" if length is None else f"bytes={offset}-{offset + length - 1}"


def _variable(env: Mapping[str, str], name: str) -> str:
    return env.get(name.upper()) or env.get(name.lower()) or ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bypassed(host: str, port: int, env: Mapping[str, str]) -> bool:
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(rule.strip().lower(), host, port) for rule in _variable(env, "NO_PROXY").split(",") if rule)


def _matches(rule: str, host: str, port: int) -> bool:
    """Whether one entry of NO_PROXY names this host."""
    if rule == "*":
        return True
    address = _address(host)
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, colon, wanted = rule.rpartition(":")
    if colon and wanted.isdigit() and _address(rule) is None:
        if int(wanted) != port:
            return False
        rule = name
    rule = rule.strip("[]").removeprefix("*")
    if not rule:
        return False
    if address is not None:
        return _address(rule) == address
    return host.endswith(rule) if rule.startswith(".") else host == rule or host.endswith(f".{rule}")
