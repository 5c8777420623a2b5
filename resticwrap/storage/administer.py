"""What the administrative sides of the buckets share: words for refusals, and the parts of answers that both have."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from resticwrap import errors
from resticwrap.model.bucket import ObjectVersion, Thaw
from resticwrap.storage.retry import Place, Row

MOST_TAGS = 10
"""How many tags an object can have, of S3 as of OSS."""


def asking(place: Place, doing: str, permission: str, rows: Mapping[str, Row] | None = None) -> Place:
    """The place in the words of one call: `doing` stands behind "does not let us", `permission` is its name at the
    provider. `rows` are of this call alone."""
    denied = Row(
        errors.TargetRefused, f"{{where}} does not let us {doing}.", f"Allow the user of {{key_from}} {permission}."
    )
    lacking = Row(
        errors.NoSuchCall,
        f"{{where}} has no call to {doing} ({{answer}}).",
        f"The store must offer {permission}; not every one that speaks this dialect does.",
    )
    own = {"AccessDenied": denied, "NotImplemented": lacking, "MethodNotAllowed": lacking, **(rows or {})}
    return replace(place, rows={**place.rows, **own})


NOT_ACCEPTED = Row(
    errors.Failure,
    "{where} does not accept these lifecycle rules ({answer}); those that it had are as they were.",
    "rw lifecycle plan   (it shows them; the provider's page on its rules says which go together)",
)
REFUSED_RULES: Mapping[str, Row] = dict.fromkeys(
    ("InvalidArgument", "InvalidRequest", "MalformedXML", "InvalidStorageClass"), NOT_ACCEPTED
)


def with_tag(tags: Mapping[str, str], key: str, name: str, value: str) -> dict[str, str] | None:
    """The tags with this one added, None where it is among them. Raises Failure where there is no room for it."""
    if tags.get(name) == value:
        return None
    merged = {**tags, name: value}
    if len(merged) > MOST_TAGS:
        raise errors.Failure(
            f"The object {key!r} has {len(tags)} tags, and no room for the tag {name!r}.",
            hint=f"An object has at most {MOST_TAGS} tags: remove one that nothing needs.",
        )
    return merged


@dataclass(frozen=True)
class VersionsPage:
    """One page of a listing of versions; `more` is the key and version that the next one begins behind."""

    found: list[ObjectVersion]
    more: tuple[str, str] | None


def read_versions(document: bytes, decode: Callable[[str], str], default_class: str) -> VersionsPage:
    """Read a listing out of its XML, which is of one form with S3 and OSS. The clients give versions and markers as two
    lists, and so lose which came first within one second. Raises ParseError or ValueError where it is none."""
    root = ET.fromstring(document)
    space = root.tag[: root.tag.rfind("}") + 1]
    name = decode if root.findtext(f"{space}EncodingType") == "url" else str
    found = []
    for item in root:
        kind = item.tag.removeprefix(space)
        if kind in ("Version", "DeleteMarker"):
            text = {child.tag.removeprefix(space): child.text or "" for child in item}
            version = ObjectVersion(
                key=name(text["Key"]),
                version=text["VersionId"],
                modified=datetime.fromisoformat(text["LastModified"]).astimezone(UTC),
                size=int(text["Size"]) if kind == "Version" else 0,
                latest=text["IsLatest"] == "true",
                marker=kind == "DeleteMarker",
                storage_class="" if kind == "DeleteMarker" else text.get("StorageClass") or default_class,
            )
            found.append(version)
    if root.findtext(f"{space}IsTruncated") != "true":
        return VersionsPage(found, None)
    more = name(root.findtext(f"{space}NextKeyMarker") or ""), root.findtext(f"{space}NextVersionIdMarker") or ""
    return VersionsPage(found, more)


def check_marker(version: ObjectVersion, marker: ObjectVersion | None) -> None:
    """Raises UsageError where removing the marker would not bring the version back, or would destroy another one."""
    if version.marker:
        raise errors.UsageError(f"{version.key!r}: a delete marker cannot be brought back.")
    if marker is not None and not (marker.marker and marker.key == version.key):
        raise errors.UsageError(f"{version.key!r}: what lies on the version is no delete marker of it.")


def thaw_of(header: str | None) -> Thaw:
    """The state of an object of a frozen class, by its restore header: `ongoing-request="false", expiry-date="…"`."""
    said = dict(re.findall(r'([a-z-]+)="([^"]*)"', header or ""))
    match said.get("ongoing-request"):
        case "true":
            return Thaw(state="thawing")
        case "false":
            return Thaw(state="thawed", until=_time(said.get("expiry-date")))
    return Thaw(state="frozen")


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except ValueError:
        return None
