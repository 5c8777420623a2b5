"""OSS's calls on the service and on buckets, done with S3 calls to SeaweedFS and the state that S3 lacks."""

from __future__ import annotations

import base64
import hashlib
import secrets
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from xml.sax.saxutils import escape

from . import oss_lifecycle
from .oss_core import (
    INTERNAL_DOMAIN,
    LOCATION,
    REGION,
    Node,
    OssError,
    Reply,
    Request,
    not_allowed,
    not_implemented,
    parse_xml,
    subresource,
    text_of,
)
from .oss_listing import LIST_MAX, OWNER, Listings, boolean, encoder, page_limit, short_time
from .oss_state import CLASSES
from .weed import OSS_DOMAIN


class Buckets(Listings):
    """Answers for one request at a time; made anew for each."""

    def service(self, request: Request) -> Reply:
        """ListBuckets."""
        if request.method != "GET":
            raise not_allowed()
        parameters = request.parameters
        prefix, marker = parameters.get("prefix", ""), parameters.get("marker", "")
        limit = page_limit(parameters)
        found = parse_xml(self.upstream.ask("GET").body).findall("Buckets/Bucket")
        names = sorted(found, key=lambda item: text_of(item, "Name"))
        wanted = [item for item in names if text_of(item, "Name").startswith(prefix) and text_of(item, "Name") > marker]
        page, more = wanted[:limit], len(wanted) > limit
        children: list[Node] = [OWNER, ("IsTruncated", boolean(more)), ("Prefix", prefix), ("Marker", marker)]
        if more:
            children.append(("NextMarker", text_of(page[-1], "Name")))
        children.append(("Buckets", [("Bucket", self._facts(item)) for item in page]))
        return Reply.document(("ListAllMyBucketsResult", children))

    def answer(self, request: Request) -> Reply:
        """A call on a bucket, told apart by method and sub-resource."""
        calls: dict[tuple[str, str], Callable[[Request], Reply]] = {
            ("GET", ""): self.list_objects,
            ("GET", "bucketInfo"): self.info,
            ("GET", "stat"): self.stat,
            ("GET", "location"): self.location,
            ("GET", "versions"): self.list_versions,
            ("GET", "uploads"): self.list_uploads,
            ("GET", "lifecycle"): self.get_lifecycle,
            ("PUT", "lifecycle"): self.put_lifecycle,
            ("DELETE", "lifecycle"): self.delete_lifecycle,
            ("GET", "versioning"): self.get_versioning,
            ("PUT", "versioning"): self.put_versioning,
            ("GET", "encryption"): self.get_encryption,
            ("PUT", "encryption"): self.put_encryption,
            ("DELETE", "encryption"): self.delete_encryption,
            ("GET", "acl"): self.get_acl,
            ("PUT", "acl"): self.put_acl,
            ("GET", "worm"): self.get_worm,
            ("POST", "worm"): self.begin_worm,
            ("POST", "wormId"): self.complete_worm,
            ("PUT", ""): self.create,
            ("DELETE", ""): self.delete,
            ("POST", "delete"): self.delete_objects,
        }
        call = calls.get((request.method, "wormId" if "wormId" in request.parameters else subresource(request)))
        if call is None:
            raise not_implemented()
        if call != self.create:
            self._require(request.bucket)
        return call(request)

    def _require(self, bucket: str) -> None:
        if not self.upstream.has_bucket(bucket):
            raise OssError(404, "NoSuchBucket", "The specified bucket does not exist.", BucketName=bucket)

    def _facts(self, item: ET.Element) -> list[Node]:
        name = text_of(item, "Name")
        created = short_time(text_of(item, "CreationDate"))
        return [
            ("Name", name),
            ("CreationDate", created),
            ("Location", LOCATION),
            ("Region", REGION),
            ("ExtranetEndpoint", OSS_DOMAIN),
            ("IntranetEndpoint", INTERNAL_DOMAIN),
            ("StorageClass", self.state.bucket(name).storage_class),
        ]

    def create(self, request: Request) -> Reply:
        """PutBucket; making one's own bucket again is no error."""
        body = request.body.all()
        wanted = text_of(parse_xml(body), "StorageClass", "Standard") if body.strip() else "Standard"
        if wanted not in CLASSES:
            raise OssError(400, "InvalidStorageClass", "The storage class you specified is invalid.")
        existed = self.upstream.has_bucket(request.bucket)
        if not existed:
            self.upstream.ask("PUT", request.bucket)
            self.state.forget(request.bucket)
            self.state.bucket(request.bucket).storage_class = wanted
        self.state.bucket(request.bucket).acl = request.headers.get("x-oss-acl", "private")
        return Reply(200, [("Location", f"/{request.bucket}")])

    def delete(self, request: Request) -> Reply:
        """DeleteBucket, refused while it holds anything."""
        versions = parse_xml(self.upstream.ask("GET", request.bucket, query="max-keys=1&versions=").body)
        uploads = parse_xml(self.upstream.ask("GET", request.bucket, query="uploads=").body)
        if (
            any(versions.find(name) is not None for name in ("Version", "DeleteMarker"))
            or uploads.find("Upload") is not None
        ):
            raise OssError(409, "BucketNotEmpty", "The bucket you tried to delete is not empty.")
        self.upstream.ask("DELETE", request.bucket)
        self.state.forget(request.bucket)
        return Reply(204)

    def info(self, request: Request) -> Reply:
        """GetBucketInfo."""
        listed = parse_xml(self.upstream.ask("GET").body).findall("Buckets/Bucket")
        item = next(found for found in listed if text_of(found, "Name") == request.bucket)
        own = self.state.bucket(request.bucket)
        status = self._versioning(request.bucket)
        children: list[Node] = [
            *self._facts(item),
            OWNER,
            ("DataRedundancyType", "LRS"),
            ("AccessControlList", [("Grant", own.acl)]),
            ("Comment", ""),
            ("BlockPublicAccess", "true"),
        ]
        children += [("Versioning", status)] if status else []
        rule = ET.fromstring(own.encryption) if own.encryption else None
        algorithm = text_of(rule, "ApplyServerSideEncryptionByDefault/SSEAlgorithm") if rule is not None else "None"
        children.append(("ServerSideEncryptionRule", [("SSEAlgorithm", algorithm)]))
        return Reply.document(("BucketInfo", [("Bucket", children)]))

    def stat(self, request: Request) -> Reply:
        """GetBucketStat. Real OSS is up to an hour behind; this is exact."""
        counts: Counter[str] = Counter()
        latest = 0.0
        for found in oss_lifecycle.objects(self.state, self.upstream, request.bucket):
            name = self.state.object(request.bucket, found.key, found.version).storage_class
            counts[f"{name}.count"] += 1
            counts[name] += found.size
            latest = max(latest, found.modified)
        uploads = parse_xml(self.upstream.ask("GET", request.bucket, query="uploads=").body).findall("Upload")
        children: list[Node] = [
            ("Storage", str(sum(counts[name] for name in CLASSES))),
            ("ObjectCount", str(sum(counts[f"{name}.count"] for name in CLASSES))),
            ("MultipartUploadCount", str(len(uploads))),
            ("LiveChannelCount", "0"),
            ("LastModifiedTime", str(int(latest))),
        ]
        for name in CLASSES:
            label = "InfrequentAccess" if name == "IA" else name
            children += [(f"{label}Storage", str(counts[name])), (f"{label}ObjectCount", str(counts[f"{name}.count"]))]
            if name != "Standard":
                children.append((f"{label}RealStorage", str(counts[name])))
        return Reply.document(("BucketStat", children))

    def location(self, request: Request) -> Reply:
        """GetBucketLocation."""
        return Reply.document(("LocationConstraint", LOCATION))

    def delete_objects(self, request: Request) -> Reply:
        """DeleteMultipleObjects."""
        body = request.body.all()
        given = request.headers.get("content-md5", "")
        digest = hashlib.md5(body, usedforsecurity=False).digest()
        if not given or given != base64.b64encode(digest).decode():
            raise OssError(400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
        wanted = parse_xml(body)
        items = wanted.findall("Object")
        if not 1 <= len(items) <= LIST_MAX:
            raise OssError(400, "MalformedXML", "A request deletes 1 to 1000 objects.")
        quiet = text_of(wanted, "Quiet") == "true"
        lines = [
            f"<Object><Key>{escape(item.findtext('Key') or '')}</Key>"
            + (
                f"<VersionId>{escape(text_of(item, 'VersionId'))}</VersionId>"
                if item.find("VersionId") is not None
                else ""
            )
            + "</Object>"
            for item in items
        ]
        sent = f"<Delete>{''.join(lines)}</Delete>".encode()
        checksum = base64.b64encode(hashlib.md5(sent, usedforsecurity=False).digest()).decode()
        answer = self.upstream.ask(
            "POST", request.bucket, query="delete=", headers={"content-md5": checksum}, body=sent
        )
        if quiet:
            return Reply(200)
        encode = encoder(request.parameters)
        children: list[Node] = []
        if "encoding-type" in request.parameters:
            children.append(("EncodingType", "url"))
        for item in parse_xml(answer.body).findall("Deleted"):
            nodes: list[Node] = [("Key", encode(item.findtext("Key") or ""))]
            for name in ("VersionId", "DeleteMarker", "DeleteMarkerVersionId"):
                nodes += [(name, text_of(item, name))] if item.find(name) is not None else []
            children.append(("Deleted", nodes))
        return Reply.document(("DeleteResult", children))

    def get_lifecycle(self, request: Request) -> Reply:
        """GetBucketLifecycle."""
        text = self.state.bucket(request.bucket).lifecycle
        if not text:
            raise OssError(404, "NoSuchLifecycle", "No Row found in Lifecycle Table.", BucketName=request.bucket)
        return Reply(200, [("Content-Type", "application/xml")], text.encode())

    def put_lifecycle(self, request: Request) -> Reply:
        """PutBucketLifecycle: replaces everything."""
        allow = request.headers.get("x-oss-allow-same-action-overlap", "").lower() == "true"
        self.state.bucket(request.bucket).lifecycle = oss_lifecycle.accept(request.body.all(), allow_overlap=allow)
        return Reply(200)

    def delete_lifecycle(self, request: Request) -> Reply:
        """DeleteBucketLifecycle: no error when there is none."""
        self.state.bucket(request.bucket).lifecycle = ""
        return Reply(204)

    def _versioning(self, bucket: str) -> str:
        return text_of(parse_xml(self.upstream.ask("GET", bucket, query="versioning=").body), "Status")

    def get_versioning(self, request: Request) -> Reply:
        """GetBucketVersioning: no Status for a bucket that never had it."""
        status = self._versioning(request.bucket)
        return Reply.document(("VersioningConfiguration", [("Status", status)] if status else []))

    def put_versioning(self, request: Request) -> Reply:
        """PutBucketVersioning."""
        status = text_of(parse_xml(request.body.all()), "Status")
        if status not in ("Enabled", "Suspended"):
            raise OssError(400, "MalformedXML", "Status must be Enabled or Suspended.")
        body = f"<VersioningConfiguration><Status>{status}</Status></VersioningConfiguration>".encode()
        self.upstream.ask("PUT", request.bucket, query="versioning=", body=body)
        return Reply(200)

    def get_encryption(self, request: Request) -> Reply:
        """GetBucketEncryption."""
        text = self.state.bucket(request.bucket).encryption
        if not text:
            message = "The server side encryption configuration was not found."
            raise OssError(404, "NoSuchServerSideEncryptionRule", message)
        return Reply(200, [("Content-Type", "application/xml")], text.encode())

    def put_encryption(self, request: Request) -> Reply:
        """PutBucketEncryption: remembered, not done."""
        rule = parse_xml(request.body.all())
        self.state.bucket(request.bucket).encryption = ET.tostring(rule, encoding="unicode")
        return Reply(200)

    def delete_encryption(self, request: Request) -> Reply:
        """DeleteBucketEncryption."""
        self.state.bucket(request.bucket).encryption = ""
        return Reply(204)

    def get_acl(self, request: Request) -> Reply:
        """GetBucketAcl."""
        grant: Node = ("AccessControlList", [("Grant", self.state.bucket(request.bucket).acl)])
        return Reply.document(("AccessControlPolicy", [OWNER, grant]))

    def put_acl(self, request: Request) -> Reply:
        """PutBucketAcl: remembered, not enforced."""
        self.state.bucket(request.bucket).acl = request.headers.get("x-oss-acl", "private")
        return Reply(200)

    def get_worm(self, request: Request) -> Reply:
        """GetBucketWorm."""
        worm = self.state.bucket(request.bucket).worm
        if not worm:
            raise OssError(404, "NoSuchWORMConfiguration", "The WORM Configuration does not exist.")
        return Reply.document(("WormConfiguration", list(worm.items())))

    def begin_worm(self, request: Request) -> Reply:
        """InitiateBucketWorm. Told, not enforced: objects can still be deleted here."""
        days = text_of(parse_xml(request.body.all()), "RetentionPeriodInDays")
        own = self.state.bucket(request.bucket)
        if not days.isdigit() or not 1 <= int(days) <= 70 * 365:
            raise OssError(400, "InvalidArgument", "The retention period is 1 day to 70 years.")
        if own.worm:
            raise OssError(409, "WORMConfigurationLocked", "The WORM Configuration exists.")
        began = datetime.fromtimestamp(self.state.clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        identifier = secrets.token_hex(16).upper()
        own.worm = {"WormId": identifier, "State": "InProgress", "RetentionPeriodInDays": days, "CreationDate": began}
        return Reply(200, [("x-oss-worm-id", identifier)])

    def complete_worm(self, request: Request) -> Reply:
        """CompleteBucketWorm: from now on it cannot be undone."""
        own = self.state.bucket(request.bucket)
        if not own.worm or own.worm["WormId"] != request.parameters["wormId"]:
            raise OssError(404, "NoSuchWORMConfiguration", "The WORM Configuration does not exist.")
        own.worm["State"] = "Locked"
        return Reply(200)
