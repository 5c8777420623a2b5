"""The connection from the OSS server to SeaweedFS: bodies pass through in pieces, both ways."""

from __future__ import annotations

import contextlib
import http.client
import select
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import sigv4
from .child import LOOPBACK
from .oss_core import PIECE, Body, OssError, parse_xml, text_of

REGION = "us-east-1"


@dataclass
class Answer:
    """A complete answer of SeaweedFS."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Upstream:
    """One connection to SeaweedFS, kept alive and used by one thread."""

    def __init__(self, port: int, access_key: str, secret_key: str) -> None:
        self._port, self._access_key, self._secret_key = port, access_key, secret_key
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Forget the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def send(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: Body | bytes = b"",
        watch: Callable[[bytes], None] | None = None,
    ) -> http.client.HTTPResponse:
        """Send a request as it stands and return the answer with its body unread.

        `headers` must hold Host and the framing of the body. `watch` sees every piece of the body.
        Raises OssError 503 when SeaweedFS does not answer.
        """
        try:
            connection = self._open()
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value.encode("latin-1"))
            if isinstance(body, bytes):
                connection.endheaders(body or None)
            else:
                connection.endheaders()
                self._pass_on(connection, body, watch)
            return connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if isinstance(body, Body):
                body.drain()
            raise OssError(503, "ServiceUnavailable", "The storage behind this server does not answer.") from error

    def _pass_on(
        self, connection: http.client.HTTPConnection, body: Body, watch: Callable[[bytes], None] | None
    ) -> None:
        while piece := body.read():
            if watch:
                watch(piece)
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if body.chunked else piece
            try:
                connection.send(framed)
            except (BrokenPipeError, ConnectionResetError):
                # An early refusal: the answer is on its way, the rest of the body is not wanted.
                body.drain()
                return
        if body.chunked:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.send(b"0\r\n\r\n")

    def call(
        self,
        method: str,
        bucket: str = "",
        key: str = "",
        query: str = "",
        headers: dict[str, str] | None = None,
        body: Body | bytes = b"",
        watch: Callable[[bytes], None] | None = None,
    ) -> http.client.HTTPResponse:
        """A request of our own, signed, path style; the answer's body is unread."""
        path = "/" + sigv4.uri_encode(f"{bucket}/{key}" if key else bucket, "/")
        sent = {"host": f"{LOOPBACK}:{self._port}", **(headers or {})}
        signed = sigv4.sign(
            self._access_key, self._secret_key, REGION, method=method, path=path, query=query, headers=sent
        )
        if isinstance(body, Body) and body.chunked:
            signed["transfer-encoding"] = "chunked"
        elif method in ("PUT", "POST"):
            signed["content-length"] = str(body.length if isinstance(body, Body) else len(body))
        target = f"{path}?{query}" if query else path
        return self.send(method, target, signed.items(), body, watch)

    def ask(
        self,
        method: str,
        bucket: str = "",
        key: str = "",
        query: str = "",
        headers: dict[str, str] | None = None,
        body: Body | bytes = b"",
        watch: Callable[[bytes], None] | None = None,
    ) -> Answer:
        """As `call`, with the whole answer read. Raises OssError with SeaweedFS's code when the status is an error."""
        response = self.call(method, bucket, key, query, headers, body, watch)
        answer = Answer(response.status, response.headers, response.read())
        if answer.status >= 300:
            raise self.error(answer, bucket)
        return answer

    def error(self, answer: Answer, bucket: str) -> OssError:
        """The OSS error for an error answer; a 404 without document (HEAD) is told apart by asking for the bucket."""
        code, message = "", ""
        if answer.body.lstrip().startswith(b"<"):
            document = parse_xml(answer.body)
            code, message = text_of(document, "Code"), text_of(document, "Message")
        if answer.status == 404 and code in ("", "NoSuchKey") and bucket and not self.has_bucket(bucket):
            code, message = "NoSuchBucket", "The specified bucket does not exist."
        elif answer.status == 404 and not code:
            code, message = "NoSuchKey", "The specified key does not exist."
        elif code in ("BadDigest", "InvalidDigest"):
            return OssError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        names = {304: "NotModified", 412: "PreconditionFailed", 403: "AccessDenied", 405: "MethodNotAllowed"}
        return OssError(answer.status, code or names.get(answer.status, "InternalError"), message)

    def has_bucket(self, bucket: str) -> bool:
        """Whether the bucket exists."""
        response = self.call("HEAD", bucket)
        response.read()
        return response.status == 200

    def _open(self) -> http.client.HTTPConnection:
        """The live connection, or a new one: SeaweedFS closes idle ones, which shows as a readable socket."""
        current = self._connection
        if current and current.sock and not select.select([current.sock], [], [], 0)[0]:
            return current
        self.close()
        self._connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=120, blocksize=PIECE)
        return self._connection
