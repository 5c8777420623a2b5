"""OSS's calls on objects, done with S3 calls to SeaweedFS and the state that S3 lacks."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import escape

import crcmod

from .oss_core import Node, OssError, Reply, Request, not_implemented, parse_xml, subresource, text_of
from .oss_state import CLASSES, DAY, ObjectState, State
from .upstream import Answer, Upstream

_PLAIN = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires")
_CONDITIONS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")
_ANSWERED = ("content-length", "content-range", "accept-ranges", "last-modified", *_PLAIN)
_RENAMED = {
    "x-amz-version-id": "x-oss-version-id",
    "x-amz-delete-marker": "x-oss-delete-marker",
    "x-amz-tagging-count": "x-oss-tagging-count",
}


def crc64() -> Any:
    """A fresh CRC64 as OSS computes it (ECMA-182, reflected). crcmod comes with oss2 and has no types."""
    return crcmod.Crc(0x142F0E1EBA9EA3693, initCrc=0, rev=True, xorOut=0xFFFFFFFFFFFFFFFF)


class Objects:
    """Answers for one request at a time; made anew for each."""

    def __init__(self, state: State, upstream: Upstream) -> None:
        self.state, self.upstream = state, upstream

    def answer(self, request: Request) -> Reply:
        """A call on an object, told apart by method and sub-resource."""
        parameters = request.parameters
        part = "uploadId" if "uploadId" in parameters else subresource(request)
        calls: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", ""): self.get,
            ("HEAD", ""): self.head,
            ("HEAD", "objectMeta"): self.head,
            ("PUT", ""): self.copy if "x-oss-copy-source" in request.headers else self.put,
            ("DELETE", ""): self.delete,
            ("GET", "tagging"): self.get_tagging,
            ("PUT", "tagging"): self.put_tagging,
            ("DELETE", "tagging"): self.delete_tagging,
            ("POST", "restore"): self.restore,
            ("POST", "uploads"): self.begin_upload,
            ("PUT", "uploadId"): self.put_part,
            ("POST", "uploadId"): self.complete_upload,
            ("GET", "uploadId"): self.list_parts,
            ("DELETE", "uploadId"): self.abort_upload,
        }
        call = calls.get((request.method, part))
        if call is None:
            raise not_implemented()
        return call(request)

    def put(self, request: Request) -> Reply:
        """PutObject."""
        storage_class = self._wanted_class(request)
        headers = _sent_headers(request)
        headers.setdefault("content-type", "application/octet-stream")
        checksum = crc64()
        try:
            answer = self.upstream.ask(
                "PUT", request.bucket, request.key, headers=headers, body=request.body, watch=checksum.update
            )
        except OssError as error:
            raise _exists(request, error) from error
        crc = str(checksum.crcValue)
        self.state.put_object(request.bucket, request.key, ObjectState(storage_class, crc), version_of(answer))
        return Reply(200, [_etag(answer), ("x-oss-hash-crc64ecma", crc), *_renamed(answer.headers)])

    def get(self, request: Request) -> Reply:
        """GetObject. A range that cannot be met gives the whole object, as OSS does unless asked otherwise."""
        query = _version(request)
        headers = {name: request.headers[name] for name in ("range", *_CONDITIONS) if name in request.headers}
        response = self.upstream.call("GET", request.bucket, request.key, query, headers)
        if response.status == 416 and request.headers.get("x-oss-range-behavior", "") != "standard":
            response.read()
            del headers["range"]
            response = self.upstream.call("GET", request.bucket, request.key, query, headers)
        if response.status >= 300:
            raise self.upstream.error(Answer(response.status, response.headers, response.read()), request.bucket)
        own = self.state.object(request.bucket, request.key, version_of(response))
        if own.thaw(self.state.clock.now()) in ("frozen", "thawing"):
            self.upstream.close()
            raise frozen()
        overrides = {
            name.removeprefix("response-"): value
            for name, value in request.parameters.items()
            if name.startswith("response-")
        }
        return Reply(response.status, self._found(response, own, overrides), stream=response)

    def head(self, request: Request) -> Reply:
        """HeadObject and GetObjectMeta."""
        headers = {name: request.headers[name] for name in _CONDITIONS if name in request.headers}
        answer = self.upstream.ask("HEAD", request.bucket, request.key, _version(request), headers)
        own = self.state.object(request.bucket, request.key, version_of(answer))
        return Reply(answer.status, self._found(answer, own, {}))

    def _found(
        self, answer: Answer | http.client.HTTPResponse, own: ObjectState, overrides: dict[str, str]
    ) -> list[tuple[str, str]]:
        headers = answer.headers
        kind = "Multipart" if "-" in headers.get("etag", "") else "Normal"
        listed = [(name, overrides.get(name, headers[name])) for name in _ANSWERED if name in headers]
        listed += [_etag(answer), ("x-oss-object-type", kind), ("x-oss-storage-class", own.storage_class)]
        if own.crc64:
            listed.append(("x-oss-hash-crc64ecma", own.crc64))
        if restored := own.restore_header(self.state.clock.now()):
            listed.append(("x-oss-restore", restored))
        return listed + _renamed(headers)

    def copy(self, request: Request) -> Reply:
        """CopyObject. Onto itself it changes class or metadata and, as everywhere, sets the time of change anew."""
        bucket, key, query = self._source(request)
        origin = self.upstream.ask("HEAD", bucket, key, query)
        source = self.state.object(bucket, key, version_of(origin))
        if source.thaw(self.state.clock.now()) in ("frozen", "thawing"):
            raise frozen()
        if _forbids_overwrite(request) and self._has(request.bucket, request.key):
            raise _already_exists()
        headers = _sent_headers(request)
        headers["x-amz-copy-source"] = quote(f"/{bucket}/{key}", safe="/") + (f"?{query}" if query else "")
        replace = request.headers.get("x-oss-metadata-directive", "COPY").upper() == "REPLACE"
        if not replace and (bucket, key) == (request.bucket, request.key):
            # S3 refuses a copy onto itself that changes nothing: send the same metadata as if it were new.
            kept = {name: origin.headers[name] for name in _PLAIN if name in origin.headers}
            kept |= {name: value for name, value in origin.headers.items() if name.lower().startswith("x-amz-meta-")}
            headers, replace = {**kept, "x-amz-copy-source": headers["x-amz-copy-source"]}, True
        headers["x-amz-metadata-directive"] = "REPLACE" if replace else "COPY"
        storage_class = self._wanted_class(request)
        answer = self.upstream.ask("PUT", request.bucket, request.key, headers=headers)
        self.state.put_object(request.bucket, request.key, ObjectState(storage_class, source.crc64), version_of(answer))
        document = parse_xml(answer.body)
        nodes: list[Node] = [
            ("LastModified", f"{text_of(document, 'LastModified')[:19]}.000Z"),
            ("ETag", text_of(document, "ETag").upper()),
        ]
        headers_out = _renamed(answer.headers)
        if source.crc64:
            headers_out.append(("x-oss-hash-crc64ecma", source.crc64))
        return Reply.document(("CopyObjectResult", nodes), headers=headers_out)

    def delete(self, request: Request) -> Reply:
        """DeleteObject: no error when there is none."""
        answer = self.upstream.ask("DELETE", request.bucket, request.key, _version(request))
        return Reply(204, _renamed(answer.headers))

    def get_tagging(self, request: Request) -> Reply:
        """GetObjectTagging."""
        answer = self.upstream.ask("GET", request.bucket, request.key, _version(request, "tagging="))
        tags: list[Node] = [
            ("Tag", [("Key", tag.findtext("Key") or ""), ("Value", tag.findtext("Value") or "")])
            for tag in parse_xml(answer.body).iter("Tag")
        ]
        return Reply.document(("Tagging", [("TagSet", tags)]))

    def put_tagging(self, request: Request) -> Reply:
        """PutObjectTagging: does not touch the time of change."""
        lines = [
            f"<Tag><Key>{escape(tag.findtext('Key') or '')}</Key>"
            f"<Value>{escape(tag.findtext('Value') or '')}</Value></Tag>"
            for tag in parse_xml(request.body.all()).iter("Tag")
        ]
        if len(lines) > 10:
            raise OssError(400, "InvalidTag", "An object has at most 10 tags.")
        body = f"<Tagging><TagSet>{''.join(lines)}</TagSet></Tagging>".encode()
        answer = self.upstream.ask("PUT", request.bucket, request.key, _version(request, "tagging="), body=body)
        return Reply(200, _renamed(answer.headers))

    def delete_tagging(self, request: Request) -> Reply:
        """DeleteObjectTagging."""
        self.upstream.ask("DELETE", request.bucket, request.key, _version(request, "tagging="))
        return Reply(204)

    def restore(self, request: Request) -> Reply:
        """RestoreObject: 202 when it begins, 409 while it runs, 200 when it is thawed already (and prolonged)."""
        version = version_of(self.upstream.ask("HEAD", request.bucket, request.key, _version(request)))
        own = self.state.object(request.bucket, request.key, version)
        now = self.state.clock.now()
        phase = own.thaw(now)
        if phase == "none":
            raise OssError(400, "OperationNotSupported", "The operation is not supported for this resource.")
        if phase == "thawing":
            raise OssError(409, "RestoreAlreadyInProgress", "The restore operation is in progress.")
        body = request.body.all()
        days = int(text_of(parse_xml(body), "Days", "1")) if body.strip() else 1
        if not 1 <= days <= (7 if own.storage_class == "Archive" else 365):
            raise OssError(400, "InvalidArgument", "Days is out of range for the storage class.")
        ready = own.thaw_ready if phase == "thawed" else now + self.state.thaw_seconds(own.storage_class)
        thawed = ObjectState(own.storage_class, own.crc64, ready, max(ready, now) + days * DAY)
        self.state.put_object(request.bucket, request.key, thawed, version)
        return Reply(200 if phase == "thawed" else 202)

    def begin_upload(self, request: Request) -> Reply:
        """InitiateMultipartUpload."""
        storage_class = self._wanted_class(request)
        answer = self.upstream.ask("POST", request.bucket, request.key, "uploads=", _sent_headers(request))
        upload = text_of(parse_xml(answer.body), "UploadId")
        self.state.bucket(request.bucket).uploads[upload] = storage_class
        return Reply.document(
            (
                "InitiateMultipartUploadResult",
                [("Bucket", request.bucket), ("Key", self._encode(request, request.key)), ("UploadId", upload)],
            )
        )

    def put_part(self, request: Request) -> Reply:
        """UploadPart and UploadPartCopy."""
        parameters = request.parameters
        query = f"partNumber={quote(parameters.get('partNumber', ''))}&uploadId={quote(parameters['uploadId'])}"
        if "x-oss-copy-source" in request.headers:
            bucket, key, _ = self._source(request)
            headers = {"x-amz-copy-source": quote(f"/{bucket}/{key}", safe="/")}
            if piece := request.headers.get("x-oss-copy-source-range"):
                headers["x-amz-copy-source-range"] = piece
            document = parse_xml(self.upstream.ask("PUT", request.bucket, request.key, query, headers).body)
            etag, modified = text_of(document, "ETag").upper(), f"{text_of(document, 'LastModified')[:19]}.000Z"
            return Reply.document(("CopyPartResult", [("LastModified", modified), ("ETag", etag)]))
        checksum = crc64()
        headers = {"content-md5": request.headers["content-md5"]} if "content-md5" in request.headers else {}
        answer = self.upstream.ask(
            "PUT", request.bucket, request.key, query, headers, body=request.body, watch=checksum.update
        )
        return Reply(200, [_etag(answer), ("x-oss-hash-crc64ecma", str(checksum.crcValue))])

    def complete_upload(self, request: Request) -> Reply:
        """CompleteMultipartUpload. Gives no CRC64 of the whole, which SDKs take as unknown."""
        if _forbids_overwrite(request) and self._has(request.bucket, request.key):
            raise _already_exists()
        upload = request.parameters["uploadId"]
        lines = [
            f"<Part><PartNumber>{text_of(part, 'PartNumber')}</PartNumber>"
            f"<ETag>{escape(text_of(part, 'ETag').lower())}</ETag></Part>"
            for part in parse_xml(request.body.all()).findall("Part")
        ]
        body = f"<CompleteMultipartUpload>{''.join(lines)}</CompleteMultipartUpload>".encode()
        answer = self.upstream.ask("POST", request.bucket, request.key, f"uploadId={quote(upload)}", body=body)
        etag = text_of(parse_xml(answer.body), "ETag").upper()
        home = self.state.bucket(request.bucket)
        storage_class = home.uploads.pop(upload, home.storage_class)
        self.state.put_object(request.bucket, request.key, ObjectState(storage_class), version_of(answer))
        nodes: list[Node] = [
            ("Bucket", request.bucket),
            ("Key", self._encode(request, request.key)),
            ("ETag", etag),
        ]
        return Reply.document(
            ("CompleteMultipartUploadResult", nodes), headers=[("ETag", etag), *_renamed(answer.headers)]
        )

    def list_parts(self, request: Request) -> Reply:
        """ListParts."""
        parameters = request.parameters
        query = f"uploadId={quote(parameters['uploadId'])}"
        for name in ("max-parts", "part-number-marker"):
            query += f"&{name}={quote(parameters[name])}" if name in parameters else ""
        page = parse_xml(self.upstream.ask("GET", request.bucket, request.key, query).body)
        nodes: list[Node] = [
            ("Bucket", request.bucket),
            ("Key", self._encode(request, request.key)),
            ("UploadId", parameters["uploadId"]),
            ("IsTruncated", text_of(page, "IsTruncated", "false")),
            ("NextPartNumberMarker", text_of(page, "NextPartNumberMarker", "0")),
        ]
        if "encoding-type" in parameters:
            nodes.append(("EncodingType", "url"))
        for part in page.findall("Part"):
            listed: list[Node] = [
                ("PartNumber", text_of(part, "PartNumber")),
                ("LastModified", f"{text_of(part, 'LastModified')[:19]}.000Z"),
                ("ETag", text_of(part, "ETag").upper()),
                ("Size", text_of(part, "Size")),
            ]
            nodes.append(("Part", listed))
        return Reply.document(("ListPartsResult", nodes))

    def abort_upload(self, request: Request) -> Reply:
        """AbortMultipartUpload."""
        upload = request.parameters["uploadId"]
        self.upstream.ask("DELETE", request.bucket, request.key, f"uploadId={quote(upload)}")
        self.state.bucket(request.bucket).uploads.pop(upload, None)
        return Reply(204)

    def _wanted_class(self, request: Request) -> str:
        wanted = request.headers.get("x-oss-storage-class") or self.state.bucket(request.bucket).storage_class
        if wanted not in CLASSES:
            raise OssError(400, "InvalidArgument", "The storage class you specified is invalid.")
        return wanted

    def _has(self, bucket: str, key: str) -> bool:
        try:
            self.upstream.ask("HEAD", bucket, key)
        except OssError as error:
            if error.status == 404 and error.code == "NoSuchKey":
                return False
            raise
        return True

    def _source(self, request: Request) -> tuple[str, str, str]:
        path, _, query = request.headers["x-oss-copy-source"].partition("?")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        if not bucket or not key:
            raise OssError(400, "InvalidArgument", "Copy Source must mention the source bucket and key.")
        return bucket, key, query

    def _encode(self, request: Request, key: str) -> str:
        return quote(key, safe="") if request.parameters.get("encoding-type") == "url" else key


def version_of(answer: Answer | http.client.HTTPResponse) -> str:
    """The version that an answer is about, empty where the bucket has none."""
    return answer.headers.get("x-amz-version-id") or ""


def frozen() -> OssError:
    """The object must be thawed first."""
    return OssError(403, "InvalidObjectState", "The operation is not valid for the object's state")


def _forbids_overwrite(request: Request) -> bool:
    return request.headers.get("x-oss-forbid-overwrite", "").lower() == "true"


def _already_exists() -> OssError:
    return OssError(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.")


def _exists(request: Request, error: OssError) -> OssError:
    """S3's failed If-None-Match in OSS's words."""
    return _already_exists() if _forbids_overwrite(request) and error.status == 412 else error


def _sent_headers(request: Request) -> dict[str, str]:
    """The headers of a write, in S3's names."""
    sent = {name: request.headers[name] for name in (*_PLAIN, "content-md5") if name in request.headers}
    for name, value in request.headers.items():
        lower = name.lower()
        if lower.startswith("x-oss-meta-"):
            sent[f"x-amz-meta-{lower.removeprefix('x-oss-meta-')}"] = value
    if tags := request.headers.get("x-oss-tagging"):
        sent["x-amz-tagging"] = tags
    if _forbids_overwrite(request) and "x-oss-copy-source" not in request.headers and request.method == "PUT":
        # SeaweedFS decides, so that of two writers at once one loses.
        sent["if-none-match"] = "*"
    return sent


def _version(request: Request, query: str = "") -> str:
    version = request.parameters.get("versionId")
    parts = [part for part in (query, f"versionId={quote(version)}" if version else "") if part]
    return "&".join(parts)


def _etag(answer: Answer | http.client.HTTPResponse) -> tuple[str, str]:
    return "ETag", answer.headers.get("etag", "").upper()


def _renamed(headers: http.client.HTTPMessage) -> list[tuple[str, str]]:
    """Metadata and version headers in OSS's names."""
    renamed: list[tuple[str, str]] = []
    pairs: Iterable[tuple[str, str]] = headers.items()
    for name, value in pairs:
        lower = name.lower()
        if lower.startswith("x-amz-meta-"):
            renamed.append((f"x-oss-meta-{lower.removeprefix('x-amz-meta-')}", value))
        elif lower in _RENAMED:
            renamed.append((_RENAMED[lower], value))
    return renamed
