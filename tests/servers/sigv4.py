"""AWS signature version 4, as S3 uses it: to sign requests to SeaweedFS, and to check requests with a session token.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
TIME_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Scope:
    """Where a signature counts: day (YYYYMMDD), region, service."""

    day: str
    region: str
    service: str = "s3"

    def __str__(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def signing_key(secret: str, scope: Scope) -> bytes:
    """The key derived for one day, region and service."""
    key = f"AWS4{secret}".encode()
    for part in (scope.day, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def uri_encode(text: str, safe: str = "") -> str:
    """Percent-encode as AWS and OSS do: all but letters, digits and -_.~"""
    return quote(text, safe=f"-_.~{safe}")


def query_pairs(query: str) -> list[tuple[str, str]]:
    """Split a raw query string; `a` and `a=` both give an empty value, and `+` is a space (a plus travels as `%2B`)."""
    pairs = (part.partition("=") for part in query.split("&") if part)
    return [(unquote_plus(name), unquote_plus(value)) for name, _, value in pairs]


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    """Sorted and encoded; a name without value keeps its equals sign."""
    return "&".join(sorted(f"{uri_encode(name)}={uri_encode(value)}" for name, value in pairs))


def signature(
    secret: str,
    scope: Scope,
    moment: str,
    *,
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    payload: str,
) -> str:
    """The hexadecimal signature of a request.

    `path` is the raw, encoded path; `headers` are exactly the signed ones, with lower-case names.
    """
    names = sorted(headers)
    lines = [f"{name}:{' '.join(headers[name].split())}\n" for name in names]
    request = "\n".join([method, path, canonical_query(query), "".join(lines), ";".join(names), payload])
    text = "\n".join([ALGORITHM, moment, str(scope), hashlib.sha256(request.encode()).hexdigest()])
    return hmac.new(signing_key(secret, scope), text.encode(), "sha256").hexdigest()


def sign(
    access_key: str,
    secret: str,
    region: str,
    *,
    method: str,
    path: str,
    query: str = "",
    headers: Mapping[str, str],
    payload: str = UNSIGNED,
) -> dict[str, str]:
    """The headers to send: those given (they must hold `host`) and the date, payload and authorization headers."""
    moment = datetime.now(UTC).strftime(TIME_FORMAT)
    signed = {name.lower(): value for name, value in headers.items()}
    signed["x-amz-date"] = moment
    signed["x-amz-content-sha256"] = payload
    scope = Scope(moment[:8], region)
    covered = {name: value for name, value in signed.items() if name == "host" or name.startswith("x-amz-")}
    proof = signature(
        secret,
        scope,
        moment,
        method=method,
        path=path,
        query=query_pairs(query),
        headers=covered,
        payload=payload,
    )
    names = ";".join(sorted(covered))
    signed["authorization"] = f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={proof}"
    return signed


@dataclass(frozen=True)
class Authorization:
    """The parts of an `AWS4-HMAC-SHA256` authorization header."""

    access_key: str
    scope: Scope
    signed_headers: tuple[str, ...]
    signature: str

    @classmethod
    def parse(cls, header: str) -> Authorization | None:
        """None when the header does not have that form."""
        scheme, _, rest = header.partition(" ")
        fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
        credential = fields.get("Credential", "").split("/")
        if scheme != ALGORITHM or len(credential) != 5 or not fields.get("Signature"):
            return None
        access_key, day, region, service, _ = credential
        names = tuple(fields.get("SignedHeaders", "").split(";"))
        return cls(access_key, Scope(day, region, service), names, fields["Signature"])


def chunk_signature(key: bytes, scope: Scope, moment: str, previous: str, chunk: bytes) -> str:
    """The signature of one chunk of a body sent as `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`."""
    text = "\n".join(
        [f"{ALGORITHM}-PAYLOAD", moment, str(scope), previous, EMPTY_SHA256, hashlib.sha256(chunk).hexdigest()]
    )
    return hmac.new(key, text.encode(), "sha256").hexdigest()
