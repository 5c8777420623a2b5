"""The S3 dialect of the OSS server: passed through to SeaweedFS, which checks the signature itself.

Host, path and query stay byte for byte what was signed. Requests with a session token are the exception: SeaweedFS does
not know those keys, so they are checked here and sent on under the permanent ones.
https://help.aliyun.com/en/oss/developer-reference/compatibility-with-amazon-s3
"""

from __future__ import annotations

import hmac
import http.client
import io
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from . import sigv4
from .oss_auth import Identities
from .oss_core import Body, OssError, Reply, Request, not_implemented, parse_xml, text_of
from .oss_objects import frozen
from .oss_state import ObjectState, State
from .upstream import Upstream

# S3 has these and OSS's S3 dialect does not list them. Lifecycle it lists, but this server has it in OSS's only.
_REFUSED = frozenset(
    "accelerate analytics attributes cors encryption intelligent-tiering inventory legal-hold lifecycle metrics "
    "notification object-lock ownershipControls policy policyStatus publicAccessBlock replication requestPayment "
    "restore retention select select-type tagging torrent versioning versions website".split()
)
# How OSS maps S3's names to its classes is our reading.
_CLASSES = {"STANDARD_IA": "IA", "GLACIER": "Archive"}
_NAMES = {"Standard": "STANDARD", "IA": "STANDARD_IA"}
HOP = frozenset(("connection", "proxy-connection", "keep-alive", "te", "upgrade", "proxy-authorization", "expect"))


def speaks(request: Request) -> bool:
    """Whether a request is of the S3 dialect."""
    return request.headers.get("authorization", "").startswith("AWS") or "x-amz-signature" in request.query.lower()


def answer(request: Request, state: State, upstream: Upstream, identities: Identities) -> Reply:
    """Pass a request on, with OSS's limits around it. Raises OssError."""
    if _REFUSED & request.parameters.keys():
        raise not_implemented()
    payload = request.headers.get("x-amz-content-sha256", "")
    chunked = "aws-chunked" in request.headers.get("content-encoding", "")
    if (chunked or payload.startswith("STREAMING-")) and payload != sigv4.STREAMING:
        message = "aws-chunked encoding is not supported with the specified x-amz-content-sha256 value."
        raise OssError(400, "InvalidArgument", message, ec="0017-00000804")
    if "x-amz-security-token" in request.headers:
        response = _send_with_token(request, upstream, identities)
    else:
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        response = upstream.send(request.method, request.target, headers, request.body)
    version = response.headers.get("x-amz-version-id")
    own = state.object(request.bucket, request.key, version)
    reads = request.method == "GET" and bool(request.key) and "uploadId" not in request.parameters
    if reads and response.status < 300 and own.thaw(state.clock.now()) in ("frozen", "thawing"):
        upstream.close()
        raise frozen()
    passed = [(name, value) for name, value in response.headers.items() if name.lower() not in HOP]
    if reads or request.method == "HEAD":
        passed = [pair for pair in passed if pair[0].lower() != "x-amz-storage-class"]
        if own.storage_class != "Standard":
            passed.append(("x-amz-storage-class", _NAMES.get(own.storage_class, "GLACIER")))
    if request.method in ("PUT", "POST", "DELETE"):
        body = response.read()
        if response.status < 300:
            note_write(request, state, body, version, _CLASSES)
        return Reply(response.status, passed, body)
    return Reply(response.status, passed, stream=response)


def note_write(request: Request, state: State, body: bytes, version: str | None, classes: Mapping[str, str]) -> None:
    """Keep the class of what was written; `classes` says what each of S3's names means."""
    if not request.key:
        if request.method == "DELETE" and not request.query:
            state.forget(request.bucket)
        return
    home = state.bucket(request.bucket)
    wanted = classes.get(request.headers.get("x-amz-storage-class", ""), home.storage_class)
    parameters = request.parameters
    if "uploads" in parameters:
        home.uploads[text_of(parse_xml(body), "UploadId")] = wanted
    elif request.method == "POST" and "uploadId" in parameters:
        wanted = home.uploads.pop(parameters["uploadId"], home.storage_class)
        state.put_object(request.bucket, request.key, ObjectState(wanted), version)
    elif request.method == "PUT" and not {"uploadId", "acl", "tagging", "retention", "legal-hold"} & parameters.keys():
        state.put_object(request.bucket, request.key, ObjectState(wanted), version)


def _send_with_token(request: Request, upstream: Upstream, identities: Identities) -> http.client.HTTPResponse:
    """Check a request that was signed with temporary keys, and send it on signed with the permanent ones."""
    headers, payload = request.headers, request.headers.get("x-amz-content-sha256", sigv4.UNSIGNED)
    given, secret = check_signature(
        request, lambda key: identities.find(key, headers["x-amz-security-token"]).secret_key
    )
    moment = headers.get("x-amz-date", "")
    kept = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower().startswith(("x-amz-", "content-", "if-", "range", "cache-control", "expires"))
    }
    for name in ("x-amz-security-token", "x-amz-date", "x-amz-content-sha256", "content-length"):
        kept.pop(name, None)
    body = request.body
    if payload == sigv4.STREAMING:
        key = sigv4.signing_key(secret, given.scope)
        pieces = _chunks(request.body, key, given, moment)
        body = Body(
            io.BufferedReader(_Pieces(pieces)), int(kept.pop("x-amz-decoded-content-length", "0")), chunked=False
        )
        if kept.get("content-encoding") == "aws-chunked":
            del kept["content-encoding"]
    return upstream.call(request.method, request.bucket, request.key, request.query, kept, body)


def check_signature(request: Request, secret_of: Callable[[str], str]) -> tuple[sigv4.Authorization, str]:
    """What the header of a request says, and the secret that it is signed with. Raises OssError where it is not."""
    headers = request.headers
    given = sigv4.Authorization.parse(headers.get("authorization", ""))
    if given is None:
        raise OssError(400, "InvalidArgument", "Authorization header is invalid.")
    secret, moment = secret_of(given.access_key), headers.get("x-amz-date", "")
    expected = sigv4.signature(
        secret,
        given.scope,
        moment,
        method=request.method,
        path=request.path,
        query=sigv4.query_pairs(request.query),
        headers={name: headers.get(name, "") for name in given.signed_headers},
        payload=headers.get("x-amz-content-sha256", sigv4.UNSIGNED),
    )
    _check_date(moment, given.scope)
    if not hmac.compare_digest(expected, given.signature):
        message = "The request signature we calculated does not match the signature you provided."
        raise OssError(403, "SignatureDoesNotMatch", message, OSSAccessKeyId=given.access_key)
    return given, secret


def _check_date(moment: str, scope: sigv4.Scope) -> None:
    try:
        sent = datetime.strptime(moment, sigv4.TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise OssError(403, "AccessDenied", "AWS authentication requires a valid Date.") from error
    if abs((datetime.now(UTC) - sent).total_seconds()) > 900 or scope.day != moment[:8]:
        message = "The difference between the request time and the current time is too large."
        raise OssError(403, "RequestTimeTooSkewed", message)


def _chunks(body: Body, key: bytes, given: sigv4.Authorization, moment: str) -> Iterator[bytes]:
    """The plain bytes of an aws-chunked body, each chunk checked against the signature before it.

    A chunk is `HEX-SIZE;chunk-signature=HEX\\r\\n`, its bytes, `\\r\\n`; one of size 0 ends the body.
    """
    reader = io.BufferedReader(_Pieces(iter(body.read, b"")))
    previous = given.signature
    while True:
        size, _, proof = reader.readline().decode("ascii").strip().partition(";chunk-signature=")
        chunk = reader.read(int(size or "0", 16))
        reader.readline()
        expected = sigv4.chunk_signature(key, given.scope, moment, previous, chunk)
        if not hmac.compare_digest(expected, proof):
            raise OssError(403, "SignatureDoesNotMatch", "A chunk's signature does not match.")
        if not chunk:
            return
        previous = proof
        yield chunk


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a readable file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces, self._rest = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
