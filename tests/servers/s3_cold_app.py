"""What the server of `s3_cold` answers."""

from __future__ import annotations

import hashlib
import http.client
import xml.etree.ElementTree as ET
from collections.abc import Callable
from urllib.parse import quote, unquote, unquote_plus

from . import oss_lifecycle, s3_lifecycle
from .app import App
from .oss_core import OssError, Reply, Request, not_allowed, parse_xml, text_of
from .oss_objects import frozen, version_of
from .oss_s3 import HOP, check_signature, note_write
from .oss_state import DAY, ObjectState
from .upstream import Upstream

_MINIMUM = "x-amz-transition-default-minimum-object-size"
_CLASSES = {name: name for name in s3_lifecycle.CLASSES}
_SHOWN = ("x-amz-storage-class", "x-amz-restore")


class ColdApp(App):
    """S3 with archive classes."""

    software, id_header, default_class = "AmazonS3", "x-amz-request-id", "STANDARD"

    def serve(self, request: Request, upstream: Upstream) -> Reply:
        if "lifecycle" in request.parameters and not request.key:
            return self._lifecycle(request, upstream)
        if "restore" in request.parameters and request.key:
            return self._restore(request, upstream)
        self._check_source(request, upstream)
        headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP]
        response = upstream.send(request.method, request.target, headers, request.body)
        passed = [(name, value) for name, value in response.headers.items() if name.lower() not in HOP]
        if request.method in ("PUT", "POST", "DELETE"):
            body = response.read()
            if response.status < 300:
                note_write(request, self.state, body, response.headers.get("x-amz-version-id"), _CLASSES)
            return Reply(response.status, passed, body)
        if request.key and response.status < 300 and not {"tagging", "uploadId", "acl"} & request.parameters.keys():
            return self._found(request, response, passed, upstream)
        if not request.key and request.method == "GET" and response.status < 300 and self._lists(request):
            return Reply(response.status, passed, self._with_classes(request, response.read(), upstream))
        return Reply(response.status, passed, stream=response)

    def age(self, upstream: Upstream) -> int:
        done = 0
        for name in self.state.names():
            own = self.state.bucket(name)
            if own.lifecycle:
                rules = s3_lifecycle.rules_of(own.lifecycle, own.minimum, self.state.smallest)
                done += oss_lifecycle.run_bucket(self.state, upstream, name, rules, s3_lifecycle.CLASSES)
        return done

    def dialect(self, request: Request) -> str:
        del request
        return "s3"

    def _signed_by(self, request: Request) -> str:
        """The access key of a request, whose signature and body are checked here."""
        settings = self.settings
        known = {settings.access_key: settings.secret_key, settings.second[0]: settings.second[1]}

        def secret_of(key: str) -> str:
            if key not in known:
                raise OssError(403, "InvalidAccessKeyId", "The access key does not exist in our records.")
            return known[key]

        return check_signature(request, secret_of)[0].access_key

    def _body(self, request: Request) -> bytes:
        body, named = request.body.all(), request.headers.get("x-amz-content-sha256", "")
        if len(named) == 64 and named != hashlib.sha256(body).hexdigest():
            raise OssError(400, "XAmzContentSHA256Mismatch", "The provided hash does not match what was computed.")
        return body

    def _lifecycle(self, request: Request, upstream: Upstream) -> Reply:
        if self._signed_by(request) != self.settings.access_key:
            raise OssError(403, "AccessDenied", "Access Denied")
        if not upstream.has_bucket(request.bucket):
            raise OssError(404, "NoSuchBucket", "The specified bucket does not exist", BucketName=request.bucket)
        own = self.state.bucket(request.bucket)
        match request.method:
            case "GET" if not own.lifecycle:
                raise OssError(404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
            case "GET":
                headers = [("Content-Type", "application/xml"), (_MINIMUM, own.minimum)]
                return Reply(200, headers, own.lifecycle.encode())
            case "PUT":
                own.lifecycle = s3_lifecycle.accept(self._body(request))
                own.minimum = request.headers.get(_MINIMUM, s3_lifecycle.DEFAULT_MINIMUM)
                return Reply(200, [(_MINIMUM, own.minimum)])
            case "DELETE":
                own.lifecycle = ""
                return Reply(204)
        raise not_allowed()

    def _restore(self, request: Request, upstream: Upstream) -> Reply:
        """RestoreObject: 202 when it begins, 409 while it runs, 200 when it is thawed already (and prolonged)."""
        if request.method != "POST":
            raise not_allowed()
        self._signed_by(request)
        query = f"versionId={quote(request.parameters['versionId'])}" if "versionId" in request.parameters else ""
        version = version_of(upstream.ask("HEAD", request.bucket, request.key, query))
        own, now = self.state.object(request.bucket, request.key, version), self.state.clock.now()
        phase = own.thaw(now)
        if phase == "none":
            message = "Restore is not allowed for the object's current storage class"
            raise OssError(403, "InvalidObjectState", message, StorageClass=own.storage_class)
        wanted = parse_xml(self._body(request))
        days, tier = text_of(wanted, "Days"), text_of(wanted, "GlacierJobParameters/Tier", "Standard")
        if not days.isdigit() or int(days) < 1 or tier not in ("Expedited", "Standard", "Bulk"):
            raise OssError(400, "MalformedXML", "The XML you provided was not well-formed.")
        if tier == "Expedited" and own.storage_class == "DEEP_ARCHIVE":
            raise OssError(400, "InvalidArgument", "Expedited is not offered for DEEP_ARCHIVE.")
        if phase == "thawing":
            raise OssError(409, "RestoreAlreadyInProgress", "Object restore is already in progress")
        ready = own.thaw_ready if phase == "thawed" else now + self.state.thaw_seconds(own.storage_class)
        thawed = ObjectState(own.storage_class, "", ready, max(ready, now) + int(days) * DAY)
        self.state.put_object(request.bucket, request.key, thawed, version)
        return Reply(200 if phase == "thawed" else 202)

    def _check_source(self, request: Request, upstream: Upstream) -> None:
        """A frozen object cannot be copied."""
        source = request.headers.get("x-amz-copy-source", "")
        if not source:
            return
        path, _, query = source.partition("?")
        bucket, _, key = unquote(path).removeprefix("/").partition("/")
        response = upstream.call("HEAD", bucket, key, query)
        response.read()
        if response.status < 300:
            self._check_readable(self.state.object(bucket, key, version_of(response)))

    def _check_readable(self, own: ObjectState) -> None:
        if own.thaw(self.state.clock.now()) in ("frozen", "thawing"):
            raise frozen()

    def _found(
        self, request: Request, response: http.client.HTTPResponse, passed: list[tuple[str, str]], upstream: Upstream
    ) -> Reply:
        """GetObject and HeadObject."""
        own = self.state.object(request.bucket, request.key, version_of(response))
        if request.method == "GET":
            try:
                self._check_readable(own)
            except OssError:
                upstream.close()
                raise
        passed = [pair for pair in passed if pair[0].lower() not in _SHOWN]
        if own.storage_class != "STANDARD":
            passed.append(("x-amz-storage-class", own.storage_class))
        if restored := own.restore_header(self.state.clock.now()):
            passed.append(("x-amz-restore", restored))
        return Reply(response.status, passed, stream=response)

    def _lists(self, request: Request) -> bool:
        """Whether it is a listing of objects or versions."""
        ours = {"list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "start-after", "versions"}
        ours |= {"continuation-token", "fetch-owner", "key-marker", "version-id-marker", "x-id"}
        return bool(request.bucket) and request.parameters.keys() <= ours

    def _with_classes(self, request: Request, body: bytes, upstream: Upstream) -> bytes:
        """A listing with the classes that we know; all else in it stays."""
        root = ET.fromstring(body)
        space = root.tag[: root.tag.rfind("}") + 1]
        if space:
            ET.register_namespace("", space[1:-1])
        decode: Callable[[str], str] = unquote_plus if root.findtext(f"{space}EncodingType") == "url" else str
        prefix = request.parameters.get("prefix", "")
        current = None
        for item in root:
            if item.tag not in (f"{space}Contents", f"{space}Version"):
                continue
            key = decode(item.findtext(f"{space}Key") or "")
            if item.tag == f"{space}Version":
                own = self.state.object(request.bucket, key, item.findtext(f"{space}VersionId"))
            else:
                current = current or oss_lifecycle.classes(self.state, upstream, request.bucket, prefix)
                own = current(key)
            listed = item.find(f"{space}StorageClass")
            listed = ET.SubElement(item, f"{space}StorageClass") if listed is None else listed
            listed.text = own.storage_class
        return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))
