"""Lifecycle rules as S3 checks them. What it runs of them is what `oss_lifecycle` runs.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html
An element that this server does not know is kept as it came, as one that is newer than a client would be.
"""

from __future__ import annotations

import itertools
import secrets
import xml.etree.ElementTree as ET

from .oss_core import OssError, parse_xml, text_of
from .oss_lifecycle import Rule

CLASSES = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
"""The order in which objects may be moved down."""
DEFAULT_MINIMUM = "all_storage_classes_128K"
_INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
_MEMBERS = ("Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan", "And")
_ACTIONS = (
    "Transition Expiration NoncurrentVersionTransition NoncurrentVersionExpiration AbortIncompleteMultipartUpload"
).split()


def accept(body: bytes) -> str:
    """Check a configuration and return it as it will be given back: byte for byte, but where ids were missing.
    Raises OssError."""
    root = parse_xml(body)
    rules = root.findall("Rule")
    if root.tag != "LifecycleConfiguration" or not 1 <= len(rules) <= 1000:
        raise _malformed("1 to 1000 rules")
    for rule in rules:
        _check(rule)
    given = [text_of(rule, "ID") for rule in rules if text_of(rule, "ID")]
    if len(set(given)) != len(given):
        raise OssError(400, "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
    if len(given) == len(rules):
        return body.decode()
    for rule in rules:
        if not text_of(rule, "ID"):
            for empty in rule.findall("ID"):
                rule.remove(empty)
            ET.SubElement(rule, "ID").text = secrets.token_hex(16)
    return ET.tostring(root, encoding="unicode")


def _check(rule: ET.Element) -> None:
    if len(text_of(rule, "ID")) > 255:
        raise OssError(400, "InvalidArgument", "ID length should not exceed allowed limit of 255")
    acts = any(rule.find(name) is not None for name in _ACTIONS)
    if text_of(rule, "Status") not in ("Enabled", "Disabled") or not acts:
        raise _malformed("Status, and at least one action")
    found = rule.find("Filter")
    if (found is None) == (rule.find("Prefix") is None):
        raise _malformed("either Filter or Prefix")
    if found is not None and len([item for item in found if item.tag in _MEMBERS]) > 1:
        raise _malformed("one member of Filter")
    tags = [text_of(tag, "Key") for tag in rule.iter("Tag")]
    if len(set(tags)) != len(tags):
        raise OssError(400, "InvalidRequest", "Duplicate Tag Keys are not allowed.")
    if tags and rule.find("AbortIncompleteMultipartUpload") is not None:
        raise OssError(400, "InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags.")
    if tags and rule.find("Expiration/ExpiredObjectDeleteMarker") is not None:
        raise OssError(400, "InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags.")
    _check_steps(rule, "Transition", "Days")
    _check_steps(rule, "NoncurrentVersionTransition", "NoncurrentDays")
    steps = _steps(rule, "Transition", "Days")
    if rule.find("Expiration/Days") is not None and any(days >= _number(rule, "Expiration/Days") for days, _ in steps):
        raise OssError(400, "InvalidArgument", "'Days' in the Expiration action must be greater than in Transition")


def _check_steps(rule: ET.Element, action: str, name: str) -> None:
    steps = sorted(_steps(rule, action, name), key=lambda step: CLASSES.index(step[1]))
    for days, storage_class in steps:
        if storage_class in _INFREQUENT and days < 30:
            raise OssError(400, "InvalidArgument", f"'{name}' in {action} action must be >= 30 for '{storage_class}'")
    for (days, warm), (later, cold) in itertools.pairwise(steps):
        least = 30 if warm in _INFREQUENT else 1
        if warm == cold or later < days + least:
            raise OssError(400, "InvalidArgument", f"'{name}' for '{cold}' must be {least} more than for '{warm}'")


def _steps(rule: ET.Element, action: str, name: str) -> list[tuple[int, str]]:
    steps = []
    for found in rule.findall(action):
        storage_class = text_of(found, "StorageClass")
        if storage_class not in CLASSES[1:]:
            raise _malformed("a storage class that objects can be moved to")
        if found.find(name) is not None:
            steps.append((_number(found, name), storage_class))
        elif found.find("Date") is None:
            raise _malformed(f"{name} or Date")
    return steps


def _number(element: ET.Element, path: str) -> int:
    text = text_of(element, path)
    if not text.isdigit():
        raise _malformed("numbers of days")
    return int(text)


def _malformed(wanted: str) -> OssError:
    message = f"The XML you provided was not well-formed or did not validate against our published schema: {wanted}."
    return OssError(400, "MalformedXML", message)


def rules_of(text: str, minimum: str, smallest: int) -> list[Rule]:
    """The rules of a configuration that was accepted. `minimum` is its TransitionDefaultMinimumObjectSize, and
    `smallest` the size in bytes that this means."""
    elements = parse_xml(text.encode()).findall("Rule")
    return [_rule(element, minimum or DEFAULT_MINIMUM, smallest) for element in elements]


def _rule(element: ET.Element, minimum: str, smallest: int) -> Rule:
    expiration = element.find("Expiration/Days")
    less, greater = (_size(element, f".//ObjectSize{name}Than") for name in ("Less", "Greater"))
    filtered = less is not None or greater is not None
    bound = CLASSES if minimum == DEFAULT_MINIMUM else CLASSES[:5]
    prefixes = [element.findtext(path) for path in ("Prefix", "Filter/Prefix", "Filter/And/Prefix")]
    return Rule(
        id=text_of(element, "ID"),
        prefix=next((prefix for prefix in prefixes if prefix), ""),
        tags=tuple((text_of(tag, "Key"), text_of(tag, "Value")) for tag in element.iter("Tag")),
        enabled=text_of(element, "Status") == "Enabled",
        transitions=tuple(_steps(element, "Transition", "Days")),
        expiration_days=_number(element, "Expiration/Days") if expiration is not None else None,
        kinds=frozenset(),
        by_date=False,
        smaller_than=less,
        larger_than=greater,
        minimum=() if filtered else tuple((name, smallest) for name in bound),
    )


def _size(element: ET.Element, path: str) -> int | None:
    return _number(element, path) if element.find(path) is not None else None
