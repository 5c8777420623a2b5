"""Lifecycle rules as OSS checks and runs them.

https://help.aliyun.com/en/oss/developer-reference/putbucketlifecycle
https://help.aliyun.com/en/oss/user-guide/lifecycle-rules-based-on-the-last-modified-time
"""

from __future__ import annotations

import itertools
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from .oss_core import OssError, parse_xml, text_of
from .oss_state import CLASSES, DAY, ObjectState, State
from .upstream import Upstream

_MAX_RULES = 1000
_MAX_ID = 255


@dataclass(frozen=True)
class Rule:
    """One rule, as far as this server runs it. Ages in days; `transitions` from warm to cold."""

    id: str
    prefix: str
    tags: tuple[tuple[str, str], ...]
    enabled: bool
    transitions: tuple[tuple[int, str], ...]
    expiration_days: int | None
    kinds: frozenset[str]
    by_date: bool
    smaller_than: int | None
    larger_than: int | None
    minimum: tuple[tuple[str, int], ...] = ()

    def too_small(self, size: int, storage_class: str) -> bool:
        """Whether an object of this size is not worth moving to that class (S3's default below 128 KiB)."""
        return size < dict(self.minimum).get(storage_class, 0)


def accept(body: bytes, *, allow_overlap: bool) -> str:
    """Check a configuration and return it as it will be given back: byte for byte, but where ids were missing.
    Raises OssError."""
    root = parse_xml(body)
    elements = root.findall("Rule")
    if root.tag != "LifecycleConfiguration" or not elements:
        raise OssError(400, "MalformedXML", "The XML you provided did not validate against our published schema.")
    if len(elements) > _MAX_RULES:
        raise OssError(400, "InvalidArgument", f"A lifecycle configuration has at most {_MAX_RULES} rules.")
    given = True
    for element in elements:
        if not text_of(element, "ID"):
            given = False
            for empty in element.findall("ID"):
                element.remove(empty)
            identifier = ET.Element("ID")
            identifier.text = secrets.token_hex(16)
            element.insert(0, identifier)
    rules = [_rule(element) for element in elements]
    if len({rule.id for rule in rules}) != len(rules):
        raise OssError(400, "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule.")
    for one, other in itertools.combinations(rules, 2):
        _check_pair(one, other, allow_overlap)
    return body.decode() if given else ET.tostring(root, encoding="unicode")


def _rule(element: ET.Element) -> Rule:
    status = text_of(element, "Status")
    transitions = [
        (_days(found, "Days") if found.find("Days") is not None else -1, text_of(found, "StorageClass"))
        for found in element.findall("Transition")
    ]
    expiration = element.find("Expiration")
    days = _days(expiration, "Days") if expiration is not None and expiration.find("Days") is not None else None
    kinds = {f"Transition:{name}" for _, name in transitions}
    for kind in ("Expiration", "NoncurrentVersionExpiration", "AbortMultipartUpload"):
        if element.find(kind) is not None:
            kinds.add(kind)
    kinds |= {
        f"Noncurrent:{text_of(found, 'StorageClass')}" for found in element.findall("NoncurrentVersionTransition")
    }
    rule = Rule(
        id=text_of(element, "ID"),
        prefix=element.findtext("Prefix") or "",
        tags=tuple((text_of(tag, "Key"), text_of(tag, "Value")) for tag in element.findall("Tag")),
        enabled=status == "Enabled",
        transitions=tuple(transitions),
        expiration_days=days,
        kinds=frozenset(kinds),
        by_date=element.find(".//CreatedBeforeDate") is not None,
        smaller_than=_size(element, "Filter/ObjectSizeLessThan"),
        larger_than=_size(element, "Filter/ObjectSizeGreaterThan"),
    )
    if status not in ("Enabled", "Disabled") or len(rule.id.encode()) > _MAX_ID or not kinds:
        raise OssError(400, "MalformedXML", f"Rule {rule.id[:40]}: wrong Status or ID, or no action.")
    if rule.tags and "AbortMultipartUpload" in kinds:
        raise OssError(400, "InvalidArgument", "AbortMultipartUpload cannot be specified with Tag.")
    _check_order(rule)
    return rule


def _check_order(rule: Rule) -> None:
    """Colder classes need more days, and expiry comes after every transition."""
    for _, name in rule.transitions:
        if name not in CLASSES[1:]:
            raise OssError(400, "InvalidArgument", f"Storage class {name!r} cannot be a transition's target.")
    ordered = sorted(rule.transitions, key=lambda item: CLASSES.index(item[1]))
    for (days, _), (later, _) in itertools.pairwise(ordered):
        if 0 <= later <= days:
            message = "The transition to a colder storage class must come after that to a warmer one."
            raise OssError(400, "InvalidArgument", message, ec="0014-00000082")
    if rule.expiration_days is not None and any(days >= rule.expiration_days for days, _ in rule.transitions):
        raise OssError(400, "InvalidArgument", "Days in the Expiration action must be greater than in Transition.")


def _check_pair(one: Rule, other: Rule, allow_overlap: bool) -> None:
    """Rules of the same or of overlapping prefixes, told apart by tags only."""
    if one.tags != other.tags:
        return
    if not (one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)):
        return
    if "AbortMultipartUpload" in one.kinds & other.kinds:
        message = "Overlap for same action type AbortMultipartUpload"
        raise OssError(400, "InvalidArgument", message, ec="0014-00000084")
    if allow_overlap:
        return
    if one.prefix == other.prefix:
        raise OssError(400, "InvalidArgument", f"Overlap for same prefix {one.prefix}", ec="0014-00000085")
    if one.by_date != other.by_date:
        raise OssError(400, "InvalidArgument", "Overlap mixes Days and CreatedBeforeDate", ec="0014-00000080")
    for kind in sorted(one.kinds & other.kinds):
        action, _, target = kind.partition(":")
        number = "0014-00000079" if target else "0014-00000084"
        raise OssError(400, "InvalidArgument", f"Overlap for same action type {action}", ec=number)


def _days(element: ET.Element, name: str) -> int:
    text = text_of(element, name)
    if not text.isdigit() or int(text) < 1:
        raise OssError(400, "InvalidArgument", f"'{name}' must be a positive integer.")
    return int(text)


def _size(element: ET.Element, path: str) -> int | None:
    text = text_of(element, path)
    return int(text) if text.isdigit() else None


def run(state: State, upstream: Upstream) -> int:
    """Do what the rules of all buckets ask for now. Returns how many objects were moved or deleted."""
    done = 0
    for name in state.names():
        if text := state.bucket(name).lifecycle:
            rules = [_rule(element) for element in parse_xml(text.encode()).findall("Rule")]
            done += run_bucket(state, upstream, name, rules, CLASSES)
    return done


def run_bucket(state: State, upstream: Upstream, bucket: str, rules: Sequence[Rule], order: Sequence[str]) -> int:
    """Do what these rules ask for now in a bucket, if it is there; `order` has all classes from warm to cold."""
    if not upstream.has_bucket(bucket):
        return 0
    done, rules = 0, [rule for rule in rules if rule.enabled]
    for found in objects(state, upstream, bucket):
        age = (state.clock.now() - found.modified) / DAY
        matching = [rule for rule in rules if _matches(rule, upstream, bucket, found.key, found.size)]
        if any(rule.expiration_days is not None and age >= rule.expiration_days for rule in matching):
            upstream.ask("DELETE", bucket, found.key)
            done += 1
            continue
        due = [
            name
            for rule in matching
            for days, name in rule.transitions
            if 0 <= days <= age and not rule.too_small(found.size, name)
        ]
        current = state.object(bucket, found.key, found.version)
        coldest = max(due, key=order.index, default=current.storage_class)
        if order.index(coldest) > order.index(current.storage_class):
            state.put_object(bucket, found.key, ObjectState(coldest, current.crc64), found.version)
            done += 1
    return done


def _matches(rule: Rule, upstream: Upstream, bucket: str, key: str, size: int) -> bool:
    if not key.startswith(rule.prefix):
        return False
    if rule.smaller_than is not None and size >= rule.smaller_than:
        return False
    if rule.larger_than is not None and size <= rule.larger_than:
        return False
    if not rule.tags:
        return True
    found = parse_xml(upstream.ask("GET", bucket, key, "tagging=").body).iter("Tag")
    return set(rule.tags) <= {(text_of(tag, "Key"), text_of(tag, "Value")) for tag in found}


@dataclass(frozen=True)
class Found:
    """One object that a plain listing shows: `modified` in seconds since the epoch, `size` in bytes."""

    key: str
    version: str
    modified: float
    size: int


def objects(state: State, upstream: Upstream, bucket: str, prefix: str = "") -> Iterator[Found]:
    """Every object of a bucket; its version is told where the bucket has such."""
    versioned = state.bucket(bucket).versioned
    asked = {"versions": ""} if versioned else {"list-type": "2"}
    more: dict[str, str] = {}
    while True:
        query = urlencode({**asked, "prefix": prefix, **more}, quote_via=quote, safe="")
        page = parse_xml(upstream.ask("GET", bucket, query=query).body)
        for item in page.findall("Version" if versioned else "Contents"):
            if text_of(item, "IsLatest", "true") == "true":
                modified = datetime.fromisoformat(text_of(item, "LastModified")).timestamp()
                size = int(text_of(item, "Size", "0"))
                yield Found(item.findtext("Key") or "", text_of(item, "VersionId"), modified, size)
        if text_of(page, "IsTruncated") != "true":
            return
        if versioned:
            more = {"key-marker": page.findtext("NextKeyMarker") or ""}
            more["version-id-marker"] = text_of(page, "NextVersionIdMarker")
        else:
            more = {"continuation-token": text_of(page, "NextContinuationToken")}


def classes(state: State, upstream: Upstream, bucket: str, prefix: str) -> Callable[[str], ObjectState]:
    """By key: the state of what a plain listing shows."""
    if not state.bucket(bucket).versioned:
        return lambda key: state.object(bucket, key)
    current = {found.key: found.version for found in objects(state, upstream, bucket, prefix)}
    return lambda key: state.object(bucket, key, current.get(key))
