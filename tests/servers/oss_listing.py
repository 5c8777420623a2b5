"""The listings of a bucket: objects (V1 and V2), versions, multipart uploads."""

from __future__ import annotations

import base64
import binascii
import xml.etree.ElementTree as ET
from collections.abc import Callable
from urllib.parse import quote, unquote_plus, urlencode

from . import oss_lifecycle
from .oss_core import Node, OssError, Reply, Request, parse_xml, text_of
from .oss_state import ObjectState, State
from .upstream import Upstream

OWNER: Node = ("Owner", [("ID", "1000000000000001"), ("DisplayName", "1000000000000001")])
LIST_MAX = 1000


class Listings:
    """Answers for one request at a time; made anew for each."""

    def __init__(self, state: State, upstream: Upstream) -> None:
        self.state, self.upstream = state, upstream

    def list_objects(self, request: Request) -> Reply:
        """ListObjects, and ListObjectsV2 with `list-type=2`."""
        parameters = request.parameters
        second = parameters.get("list-type") == "2"
        asked: dict[str, str] = {
            name: parameters[name] for name in ("prefix", "delimiter", "marker", "start-after") if name in parameters
        }
        asked |= {"max-keys": str(page_limit(parameters)), "encoding-type": "url"}
        if second:
            asked["list-type"] = "2"
            if token := parameters.get("continuation-token"):
                asked["continuation-token"] = _open_token(token)
        page = parse_xml(self.upstream.ask("GET", request.bucket, query=as_query(asked)).body)
        encode = encoder(parameters)
        children: list[Node] = [
            ("Name", request.bucket),
            ("Prefix", encode(parameters.get("prefix", ""))),
            ("MaxKeys", asked["max-keys"]),
            ("Delimiter", encode(parameters.get("delimiter", ""))),
            ("IsTruncated", text_of(page, "IsTruncated", "false")),
        ]
        if "encoding-type" in parameters:
            children.append(("EncodingType", parameters["encoding-type"]))
        children += self._positions(page, parameters, second, encode)
        owner = not second or parameters.get("fetch-owner") == "true"
        own = oss_lifecycle.classes(self.state, self.upstream, request.bucket, parameters.get("prefix", ""))
        for item in page.findall("Contents"):
            key = unquote_plus(item.findtext("Key") or "")
            children.append(("Contents", self._listed(item, key, own(key), encode, owner)))
        for item in page.findall("CommonPrefixes"):
            children.append(("CommonPrefixes", [("Prefix", encode(unquote_plus(item.findtext("Prefix") or "")))]))
        if second:
            count = len(page.findall("Contents")) + len(page.findall("CommonPrefixes"))
            children.append(("KeyCount", str(count)))
        return Reply.document(("ListBucketResult", children))

    def _positions(
        self, page: ET.Element, parameters: dict[str, str], second: bool, encode: Callable[[str], str]
    ) -> list[Node]:
        truncated = text_of(page, "IsTruncated") == "true"
        if second:
            nodes: list[Node] = [("StartAfter", encode(parameters.get("start-after", "")))]
            if token := parameters.get("continuation-token"):
                nodes.append(("ContinuationToken", encode(token)))
            if truncated:
                nodes.append(("NextContinuationToken", encode(_seal_token(text_of(page, "NextContinuationToken")))))
            return nodes
        nodes = [("Marker", encode(parameters.get("marker", "")))]
        if truncated:
            # Not SeaweedFS's own NextMarker, which it leaves unencoded.
            names = [item.findtext("Key") or "" for item in page.findall("Contents")]
            names += [item.findtext("Prefix") or "" for item in page.findall("CommonPrefixes")]
            nodes.append(("NextMarker", encode(max(unquote_plus(name) for name in names))))
        return nodes

    def _listed(
        self, item: ET.Element, key: str, own: ObjectState, encode: Callable[[str], str], owner: bool
    ) -> list[Node]:
        etag = text_of(item, "ETag")
        nodes: list[Node] = [
            ("Key", encode(key)),
            ("LastModified", short_time(text_of(item, "LastModified"))),
            ("ETag", etag.upper()),
            ("Type", "Multipart" if "-" in etag else "Normal"),
            ("Size", text_of(item, "Size", "0")),
            ("StorageClass", own.storage_class),
        ]
        if restored := own.restore_header(self.state.clock.now()):
            nodes.append(("RestoreInfo", restored))
        return [*nodes, OWNER] if owner else nodes

    def list_versions(self, request: Request) -> Reply:
        """ListObjectVersions. SeaweedFS leaves names unencoded here, whatever it is asked."""
        parameters = request.parameters
        names = ("prefix", "delimiter", "key-marker", "version-id-marker")
        asked: dict[str, str] = {name: parameters[name] for name in names if name in parameters}
        asked |= {"versions": "", "max-keys": str(page_limit(parameters))}
        page = parse_xml(self.upstream.ask("GET", request.bucket, query=as_query(asked)).body)
        encode = encoder(parameters)
        children: list[Node] = [("Name", request.bucket), ("Prefix", encode(parameters.get("prefix", "")))]
        children += [("KeyMarker", encode(parameters.get("key-marker", "")))]
        children += [("VersionIdMarker", parameters.get("version-id-marker", ""))]
        children += [("Delimiter", encode(parameters.get("delimiter", "")))]
        children += [("MaxKeys", asked["max-keys"]), ("IsTruncated", text_of(page, "IsTruncated", "false"))]
        if "encoding-type" in parameters:
            children.append(("EncodingType", parameters["encoding-type"]))
        if text_of(page, "IsTruncated") == "true":
            marker = page.findtext("NextKeyMarker") or ""
            children += [("NextKeyMarker", encode(marker))]
            children += [("NextVersionIdMarker", text_of(page, "NextVersionIdMarker"))]
        for item in page:
            if item.tag in ("Version", "DeleteMarker"):
                nodes: list[Node] = [("VersionId", text_of(item, "VersionId"))]
                nodes += [("IsLatest", text_of(item, "IsLatest"))]
                key = item.findtext("Key") or ""
                own = self.state.object(request.bucket, key, text_of(item, "VersionId"))
                listed = self._listed(item, key, own, encode, owner=True)
                marks = ("Key", "LastModified", "Owner")
                nodes += [node for node in listed if item.tag == "Version" or node[0] in marks]
                children.append((item.tag, nodes))
            elif item.tag == "CommonPrefixes":
                children.append(("CommonPrefixes", [("Prefix", encode(item.findtext("Prefix") or ""))]))
        return Reply.document(("ListVersionsResult", children))

    def list_uploads(self, request: Request) -> Reply:
        """ListMultipartUploads."""
        parameters = request.parameters
        names = ("prefix", "delimiter", "key-marker", "upload-id-marker", "max-uploads")
        asked: dict[str, str] = {name: parameters[name] for name in names if name in parameters} | {"uploads": ""}
        page = parse_xml(self.upstream.ask("GET", request.bucket, query=as_query(asked)).body)
        encode = encoder(parameters)
        children: list[Node] = [("Bucket", request.bucket), ("IsTruncated", text_of(page, "IsTruncated", "false"))]
        if "encoding-type" in parameters:
            children.append(("EncodingType", parameters["encoding-type"]))
        children += [("NextKeyMarker", encode(page.findtext("NextKeyMarker") or ""))]
        children += [("NextUploadIdMarker", text_of(page, "NextUploadIdMarker"))]
        for item in page.findall("Upload"):
            upload: list[Node] = [
                ("Key", encode(item.findtext("Key") or "")),
                ("UploadId", text_of(item, "UploadId")),
                ("StorageClass", "Standard"),
                ("Initiated", short_time(text_of(item, "Initiated"))),
            ]
            children.append(("Upload", upload))
        return Reply.document(("ListMultipartUploadsResult", children))


def page_limit(parameters: dict[str, str]) -> int:
    """How many results a page has. Raises OssError."""
    text = parameters.get("max-keys", "100")
    if not text.isdigit() or not 1 <= int(text) <= LIST_MAX:
        raise OssError(400, "InvalidArgument", "Argument max-keys must be an integer between 1 and 1000.")
    return int(text)


def encoder(parameters: dict[str, str]) -> Callable[[str], str]:
    """How names stand in an answer: as they are, or encoded with `encoding-type=url`. Raises OssError."""
    if "encoding-type" not in parameters:
        return str
    if parameters["encoding-type"] != "url":
        raise OssError(400, "InvalidArgument", "Invalid encoding type.")
    return lambda text: quote(text, safe="")


def as_query(asked: dict[str, str]) -> str:
    """A query string."""
    return urlencode(asked, quote_via=quote, safe="")


def _seal_token(token: str) -> str:
    return base64.urlsafe_b64encode(token.encode()).decode()


def _open_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OssError(400, "InvalidArgument", "The continuation-token is invalid.") from error


def short_time(text: str) -> str:
    """OSS's form of a time: seconds, `.000Z`."""
    return f"{text[:19]}.000Z"


def boolean(value: bool) -> str:
    """As XML has it."""
    return "true" if value else "false"
