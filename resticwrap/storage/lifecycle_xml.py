"""Lifecycle rules through botocore, which knows rules as dictionaries: whether all of a document gets through."""

import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from resticwrap import errors

Canonical = tuple[str, tuple[tuple[str, str], ...], str, tuple[Any, ...]]


def as_parameters(service: Any, document: bytes) -> dict[str, Any]:
    """The document as the `LifecycleConfiguration` that botocore's client sends. `service` is its model of S3.

    Raises Failure where the document cannot be read, or where the client would not send every element of it.
    """
    from botocore.parsers import create_parser
    from botocore.serialize import create_serializer

    given = _parsed(document)
    output = service.operation_model("GetBucketLifecycleConfiguration").output_shape
    answer = {"body": document, "headers": {}, "status_code": 200}
    try:
        rules = create_parser("rest-xml").parse(answer, output).get("Rules", [])
    except (ValueError, TypeError, KeyError):
        rules = []
    configuration = {"Rules": rules}
    put = service.operation_model("PutBucketLifecycleConfiguration")
    parameters = {"Bucket": "bucket", "LifecycleConfiguration": configuration}
    sent = _parsed(create_serializer("rest-xml", False).serialize_to_request(parameters, put)["body"])
    if not rules or _canonical(given) != _canonical(sent):
        raise errors.Failure(
            f"The S3 client would not pass on all of these lifecycle rules: {_lost(given, sent)}.",
            hint="Nothing was changed. Take that element out of the rules by hand, or upgrade boto3 and botocore.",
        )
    return configuration


def _parsed(document: bytes) -> ET.Element:
    try:
        return ET.fromstring(document)
    except ET.ParseError:
        raise errors.Failure("The lifecycle rules are no XML.", hint="Nothing was changed.") from None


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _canonical(element: ET.Element) -> Canonical:
    """An element without its namespace and whatever the order of what is in it; text beside elements counts not."""
    children = tuple(sorted(_canonical(child) for child in element))
    attributes = tuple(sorted(element.attrib.items()))
    return _name(element), attributes, "" if children else _text(element), children


def _text(element: ET.Element) -> str:
    """The text; a time is one, however it is written."""
    text = element.text or ""
    if _name(element) == "Date":
        try:
            return datetime.fromisoformat(text.strip()).isoformat()
        except ValueError:
            return text
    return "" if text.isspace() and _name(element) in ("Filter", "And") else text


def _paths(element: ET.Element, above: str = "") -> Iterator[str]:
    here = f"{above}/{_name(element)}" if above else _name(element)
    yield here
    yield from (f"{here}@{name}" for name in element.attrib)
    for child in element:
        yield from _paths(child, here)


def _lost(given: ET.Element, sent: ET.Element) -> str:
    """What to tell of the difference: the elements that are not sent, or the rule whose values would change."""
    lost = Counter(_paths(given)) - Counter(_paths(sent))
    if lost:
        return "it does not know " + ", ".join(sorted(lost)[:5])
    kept = [_canonical(rule) for rule in sent]
    changed = next((rule for rule in given if _canonical(rule) not in kept), given)
    return f"values of the rule {changed.findtext('{*}ID')!r} would change"
