"""OSS's own signatures, V1 and V4, in the header and in the URL, and the STS tokens that go with them.

V1: https://help.aliyun.com/en/oss/developer-reference/include-signatures-in-the-authorization-header
V4: https://help.aliyun.com/en/oss/developer-reference/recommend-to-use-signature-version-4
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from . import sigv4
from .oss_core import REGION, OssError, Request
from .oss_state import Clock

V4 = "OSS4-HMAC-SHA256"
_SKEW = 15 * 60

# Parameters that V1 signs as part of the resource.
_V1_SIGNED = frozenset(
    "acl append bucketInfo comp continuation-token cors delete encryption lifecycle link live location logging "
    "objectMeta partNumber policy position referer replication requestPayment restore security-token stat symlink "
    "tagging uploadId uploads versionId versioning versions website worm wormExtend wormId x-oss-process "
    "x-oss-traffic-limit response-cache-control response-content-disposition response-content-encoding "
    "response-content-language response-content-type response-expires".split()
)


@dataclass(frozen=True)
class Identity:
    """A key pair; a temporary one has a token and the time (seconds since the epoch) at which it ends."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires: float = 0.0


class Identities:
    """The keys this server knows: the permanent pair of SeaweedFS, and the temporary ones it issued."""

    def __init__(self, clock: Clock, access_key: str, secret_key: str) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known = {access_key: Identity(access_key, secret_key)}

    def issue(self, seconds: float) -> Identity:
        """A temporary identity that ends `seconds` from now (by the server's clock, which tests can advance)."""
        identity = Identity(
            f"STS.{secrets.token_hex(10)}",
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(48),
            self._clock.now() + seconds,
        )
        with self._lock:
            self._known[identity.access_key] = identity
        return identity

    def find(self, access_key: str, token: str) -> Identity:
        """The identity of a request. Raises OssError as OSS does for unknown keys and wrong or ended tokens."""
        with self._lock:
            identity = self._known.get(access_key)
        if identity is None or (identity.token and not token):
            message = "The OSS Access Key Id you provided does not exist in our records."
            raise OssError(403, "InvalidAccessKeyId", message, OSSAccessKeyId=access_key)
        if not hmac.compare_digest(identity.token.encode(), token.encode()):
            raise OssError(403, "InvalidSecurityToken", "The security token you provided is invalid.")
        if identity.token and self._clock.now() >= identity.expires:
            raise OssError(403, "SecurityTokenExpired", "The security token you provided has expired.")
        return identity


def check(request: Request, identities: Identities) -> None:
    """Let a natively signed request through. Raises OssError for everything else."""
    header = request.headers.get("authorization", "")
    parameters = request.parameters
    if header.startswith("OSS "):
        _check_v1_header(request, identities, header)
    elif header.startswith(f"{V4} "):
        _check_v4_header(request, identities, header)
    elif "OSSAccessKeyId" in parameters:
        _check_v1_url(request, identities, parameters)
    elif "x-oss-signature-version" in parameters:
        _check_v4_url(request, identities, parameters)
    elif header:
        raise OssError(400, "InvalidArgument", "Authorization header is invalid.")
    else:
        raise OssError(403, "AccessDenied", "You have no right to access this object because of bucket acl.")


def _check_v1_header(request: Request, identities: Identities, header: str) -> None:
    access_key, _, given = header.removeprefix("OSS ").strip().partition(":")
    identity = identities.find(access_key, request.headers.get("x-oss-security-token", ""))
    date = request.headers.get("x-oss-date", "") or request.headers.get("date", "")
    _check_skew(_http_date(date))
    _compare(identity, given, _v1_signature(request, identity, date))


def _check_v1_url(request: Request, identities: Identities, parameters: dict[str, str]) -> None:
    identity = identities.find(parameters["OSSAccessKeyId"], parameters.get("security-token", ""))
    expires = parameters.get("Expires", "")
    given = parameters.get("Signature", "")
    _compare(identity, given, _v1_signature(request, identity, expires))
    if not expires.isdigit() or int(expires) < datetime.now(UTC).timestamp():
        raise OssError(403, "AccessDenied", "Request has expired.")


def _v1_signature(request: Request, identity: Identity, date: str) -> tuple[str, bytes]:
    """The V1 signature and what was signed."""
    headers = request.headers
    own = sorted((name.lower(), value) for name, value in headers.items() if name.lower().startswith("x-oss-"))
    lines = "".join(f"{name}:{value.strip()}\n" for name, value in own).encode("latin-1")
    resource = f"/{request.bucket}/{request.key}" if request.bucket else "/"
    signed = sorted((name, value) for name, value in request.parameters.items() if name in _V1_SIGNED)
    if signed:
        resource += "?" + "&".join(f"{name}={value}" if value else name for name, value in signed)
    top = [request.method, headers.get("content-md5", ""), headers.get("content-type", ""), date]
    text = "\n".join(top).encode("latin-1") + b"\n" + lines + resource.encode("utf-8", "surrogateescape")
    return base64.b64encode(hmac.digest(identity.secret_key.encode(), text, "sha1")).decode(), text


def _check_v4_header(request: Request, identities: Identities, header: str) -> None:
    fields = dict(part.strip().partition("=")[::2] for part in header.removeprefix(V4).split(","))
    token = request.headers.get("x-oss-security-token", "")
    moment = request.headers.get("x-oss-date", "")
    additional = [name for name in fields.get("AdditionalHeaders", "").split(";") if name]
    payload = request.headers.get("x-oss-content-sha256", sigv4.UNSIGNED)
    identity = _v4_identity(identities, fields.get("Credential", ""), token, moment)
    _check_skew(_compact_date(moment))
    pairs = sigv4.query_pairs(request.query)
    _compare(
        identity, fields.get("Signature", ""), _v4_signature(request, identity, moment, pairs, additional, payload)
    )


def _check_v4_url(request: Request, identities: Identities, parameters: dict[str, str]) -> None:
    moment = parameters.get("x-oss-date", "")
    credential = parameters.get("x-oss-credential", "")
    identity = _v4_identity(identities, credential, parameters.get("x-oss-security-token", ""), moment)
    additional = [name for name in parameters.get("x-oss-additional-headers", "").split(";") if name]
    pairs = [pair for pair in sigv4.query_pairs(request.query) if pair[0] != "x-oss-signature"]
    expected = _v4_signature(request, identity, moment, pairs, additional, sigv4.UNSIGNED)
    _compare(identity, parameters.get("x-oss-signature", ""), expected)
    ends = _compact_date(moment) + float(parameters.get("x-oss-expires", "0"))
    if ends < datetime.now(UTC).timestamp():
        raise OssError(403, "AccessDenied", "Request has expired.")


def _v4_identity(identities: Identities, credential: str, token: str, moment: str) -> Identity:
    parts = credential.split("/")
    if len(parts) != 5 or parts[3:] != ["oss", "aliyun_v4_request"]:
        raise OssError(400, "InvalidArgument", "Invalid credential in the signature.")
    access_key, day, region, _, _ = parts
    identity = identities.find(access_key, token)
    if region != REGION:
        message = f"Invalid signing region in Authorization header, expected {REGION}."
        raise OssError(400, "InvalidArgument", message, ec="0002-00000228")
    if day != moment[:8]:
        raise OssError(400, "InvalidArgument", "Invalid signing date in Authorization header.")
    return identity


def _v4_signature(
    request: Request,
    identity: Identity,
    moment: str,
    pairs: list[tuple[str, str]],
    additional: list[str],
    payload: str,
) -> tuple[str, bytes]:
    """The V4 signature and what was signed."""
    signed = sorted(
        (name.lower(), value.strip())
        for name, value in request.headers.items()
        if name.lower().startswith("x-oss-")
        or name.lower() in ("content-type", "content-md5")
        or name.lower() in additional
    )
    resource = f"/{request.bucket}/{request.key}" if request.bucket else "/"
    path = quote(resource, safe="-_.~/", errors="surrogateescape")
    encoded = sorted((sigv4.uri_encode(name), sigv4.uri_encode(value)) for name, value in pairs)
    query = "&".join(f"{name}={value}" if value else name for name, value in encoded)
    headers = "".join(f"{name}:{value}\n" for name, value in signed)
    names = ";".join(sorted(additional))
    canonical = f"{request.method}\n{path}\n{query}\n{headers}\n{names}\n{payload}".encode("latin-1")
    scope = f"{moment[:8]}/{REGION}/oss/aliyun_v4_request"
    text = "\n".join([V4, moment, scope, hashlib.sha256(canonical).hexdigest()]).encode()
    key = f"aliyun_v4{identity.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, text, "sha256").hex(), text


def _compare(identity: Identity, given: str, expected: tuple[str, bytes]) -> None:
    proof, text = expected
    if not hmac.compare_digest(proof.encode(), given.encode()):
        raise OssError(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method.",
            OSSAccessKeyId=identity.access_key,
            SignatureProvided=given,
            StringToSign=text.decode("utf-8", "replace"),
        )


def _http_date(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError) as error:
        raise OssError(403, "AccessDenied", "OSS authentication requires a valid Date.") from error


def _compact_date(text: str) -> float:
    try:
        return datetime.strptime(text, sigv4.TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise OssError(403, "AccessDenied", "OSS authentication requires a valid Date.") from error


def _check_skew(moment: float) -> None:
    """By the real clock: advancing the server's clock is for storage, not for the wire."""
    if abs(datetime.now(UTC).timestamp() - moment) > _SKEW:
        message = "The difference between the request time and the current time is too large."
        raise OssError(403, "RequestTimeTooSkewed", message)
