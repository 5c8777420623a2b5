"""What every part of the OSS server shares: requests, replies, errors, XML."""

from __future__ import annotations

import base64
import http.client
import io
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import unquote
from xml.sax.saxutils import escape

from . import sigv4
from .weed import OSS_DOMAIN

REGION = "cn-test"  # what a V4 signature names
LOCATION = f"oss-{REGION}"  # what bucket info says
INTERNAL_DOMAIN = OSS_DOMAIN.replace(".invalid", "-internal.invalid")
PIECE = 256 * 1024

# A node is a name with text or with child nodes.
Node: TypeAlias = "tuple[str, str | Sequence[Node]]"


def xml(node: Node) -> bytes:
    """Render a document."""

    def render(name: str, content: str | Sequence[Node]) -> str:
        inner = escape(content) if isinstance(content, str) else "".join(render(*child) for child in content)
        return f"<{name}>{inner}</{name}>"

    return f'<?xml version="1.0" encoding="UTF-8"?>\n{render(*node)}'.encode()


def parse_xml(body: bytes) -> ET.Element:
    """Parse a document and drop its namespaces. Raises OssError MalformedXML."""
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        raise OssError(400, "MalformedXML", "The XML you provided was not well-formed.") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def text_of(element: ET.Element, path: str, default: str = "") -> str:
    """The stripped text at `path`, or the default when there is none."""
    return (element.findtext(path) or default).strip()


@dataclass
class Reply:
    """Status, headers and either bytes or a response of the upstream that is passed on piece by piece."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: http.client.HTTPResponse | None = None

    @classmethod
    def document(cls, node: Node, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> Reply:
        """An XML answer."""
        return cls(status, [("Content-Type", "application/xml"), *headers], xml(node))


class OssError(Exception):
    """An answer that is an error: HTTP status, OSS code, message, and the EC where a public page names one."""

    def __init__(self, status: int, code: str, message: str, *, ec: str = "", **extra: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.ec, self.extra = status, code, message, ec, extra

    def reply(self, request_id: str, host: str, method: str) -> Reply:
        """The XML document; for HEAD it travels in the `x-oss-err` header, base64."""
        children: list[Node] = [("Code", self.code), ("Message", self.message), ("RequestId", request_id)]
        children += [("HostId", host), *self.extra.items()]
        headers = []
        if self.ec:
            children.append(("EC", self.ec))
            headers.append(("x-oss-ec", self.ec))
        document = Reply.document(("Error", children), self.status, headers)
        if method == "HEAD":
            packed = base64.b64encode(document.body).decode()
            return Reply(self.status, [*headers, ("x-oss-err", packed), ("Content-Length", "0")])
        return document


class Body:
    """The body of a request: known length, or chunked transfer encoding."""

    def __init__(self, source: io.BufferedIOBase, length: int | None, chunked: bool) -> None:
        self._source = source
        self.length = None if chunked else (length or 0)
        self.chunked = chunked
        self._left = self.length or 0
        self._ended = not chunked and not self._left

    def read(self, size: int = PIECE) -> bytes:
        """The next bytes, at most `size`, empty at the end. Raises ConnectionError when the client goes away."""
        if self._ended:
            return b""
        if self.chunked and not self._left:
            self._left = int(self._source.readline().split(b";")[0] or b"0", 16)
            if not self._left:
                while self._source.readline().strip():
                    pass
                self._ended = True
                return b""
        piece = self._source.read(min(size, self._left))
        if not piece:
            raise ConnectionError("the client closed the connection inside a body")
        self._left -= len(piece)
        if not self._left:
            if self.chunked:
                self._source.readline()
            else:
                self._ended = True
        return piece

    def all(self) -> bytes:
        """The rest in one piece; for XML documents."""
        return b"".join(iter(self.read, b""))

    def drain(self) -> None:
        """Read the rest away, so that the connection can carry the next request."""
        while self.read():
            pass


@dataclass
class Request:
    """One request. `bucket` and `key` are decoded; `path` is as it came on the wire, without scheme and host."""

    method: str
    host: str
    path: str
    query: str
    headers: Message
    body: Body
    bucket: str
    key: str
    virtual: bool
    id: str = field(default_factory=lambda: secrets.token_hex(12).upper())

    @property
    def parameters(self) -> dict[str, str]:
        """The decoded query."""
        return dict(sigv4.query_pairs(self.query))

    @property
    def target(self) -> str:
        """Path and query as on the wire."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @classmethod
    def of(cls, method: str, target: str, headers: Message, body: Body) -> Request:
        """Take a request line apart, in origin form or (for a proxy) absolute form.

        Raises OssError for path style at the endpoint's own name, and for hosts that are not this server's.
        """
        host = headers.get("host", "")
        if "://" in target:
            host, slash, rest = target.partition("://")[2].partition("/")
            target = f"{slash or '/'}{rest}"
        path, _, query = target.partition("?")
        name = host.partition(":")[0].lower()
        decoded = unquote(path, errors="surrogateescape")
        for domain in (OSS_DOMAIN, INTERNAL_DOMAIN):
            if name.endswith(f".{domain}"):
                bucket = name.removesuffix(f".{domain}")
                return cls(method, host, path, query, headers, body, bucket, decoded[1:], virtual=True)
        bucket, _, key = decoded[1:].partition("/")
        request = cls(method, host, path, query, headers, body, bucket, key, virtual=False)
        if name in (OSS_DOMAIN, INTERNAL_DOMAIN):
            if bucket:
                message = "The bucket you are attempting to access must be addressed using OSS third level domain."
                raise OssError(403, "SecondLevelDomainForbidden", message)
        elif name not in ("127.0.0.1", "localhost"):
            raise OssError(502, "BadGateway", "This server is a proxy for its own domain only.")
        return request


def reason(status: int) -> str:
    """The standard phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


_SUBRESOURCES = (
    "acl append bucketInfo callback comp cors delete encryption inventory lifecycle location logging metaQuery "
    "objectMeta policy publicAccessBlock referer replication requestPayment resourceGroup restore stat style symlink "
    "tagging transferAcceleration uploads versioning versions website worm wormExtend"
).split()


def subresource(request: Request) -> str:
    """Which of OSS's sub-resources a query names, empty for none."""
    return next((name for name in _SUBRESOURCES if name in request.parameters), "")


def not_allowed() -> OssError:
    """The method does not exist here."""
    return OssError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")


def not_implemented() -> OssError:
    """Real OSS has it, this server does not."""
    return OssError(501, "NotImplemented", "A header or query you provided implies functionality this server lacks.")
