"""The XML of lifecycle rules as values, in the dialect of either provider.

A rule keeps its own XML, so that one of somebody else goes back as it came. What is not known is named, never dropped.
https://docs.aws.amazon.com/AmazonS3/latest/API/API_LifecycleRule.html
https://help.aliyun.com/en/oss/developer-reference/putbucketlifecycle
"""

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Literal
from xml.parsers import expat

import msgspec

from resticwrap import errors
from resticwrap.model.base import Value

Provider = Literal["s3", "oss"]
MOST_BYTES = 8 << 20
"""A document of 1,000 long rules has a few MiB."""
ROOT = "LifecycleConfiguration"


class Layout(Value, frozen=True):
    """Where in a bucket a target's own objects lie."""

    provider: Provider
    namespace: str
    environment: str

    @property
    def areas(self) -> tuple[str, ...]:
        """The prefixes below which every object is ours: both repositories, and manifests with pins."""
        return f"{self.namespace}/hot/", f"{self.namespace}/cold/", f"backups/{self.environment}/"

    @property
    def packs(self) -> str:
        """Below it lie the packs of cold, of which the labelled ones may be moved."""
        return f"{self.namespace}/cold/data/"


class Step(Value, frozen=True):
    """One transition: after so many `days` (or at a `date`) to a class. `more` are further settings, name and value."""

    storage_class: str
    days: int | None = None
    date: str | None = None
    more: tuple[tuple[str, str], ...] = ()


class Expiry(Value, frozen=True):
    """When objects go: after `days` or by a `date`. `marker`: delete markers that hide nothing any more go."""

    days: int | None = None
    date: str | None = None
    marker: bool = False


class Except(Value, frozen=True):
    """What a rule of OSS leaves out: objects with the prefix and, where one is given, with the tag."""

    prefix: str = ""
    tag: tuple[str, str] | None = None


class Rule(Value, frozen=True):
    """One rule. Sizes in bytes, ages in days; `unknown` names the elements that could not be read."""

    id: str
    enabled: bool
    prefix: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    larger_than: int | None = None
    smaller_than: int | None = None
    excepts: tuple[Except, ...] = ()
    transitions: tuple[Step, ...] = ()
    noncurrent_transitions: tuple[Step, ...] = ()
    expiry: Expiry | None = None
    noncurrent_days: int | None = None
    newer_noncurrent: int | None = None
    abort_days: int | None = None
    abort_date: str | None = None
    more: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    raw: str = ""

    def same(self, other: "Rule") -> bool:
        """Whether both say the same, however it is written. What is not known must be the very same text."""
        if (self.unknown or other.unknown) and canonical(self.raw) != canonical(other.raw):
            return False
        return msgspec.structs.replace(self, raw="") == msgspec.structs.replace(other, raw="")


class Seen(Value, frozen=True):
    """The rules of a bucket. `unknown`: what stands beside the rules; `namespace` is that of the document."""

    rules: tuple[Rule, ...] = ()
    namespace: str = ""
    unknown: tuple[str, ...] = ()


def read(document: bytes | None, provider: Provider) -> Seen:
    """The rules of a bucket's own XML; None has none. Raises LifecycleRefused where it is not such a document."""
    if document is None:
        return Seen()
    text = _text(document)
    try:
        root, spans = ET.fromstring(text), _spans(text.encode())
    except (ET.ParseError, expat.ExpatError):
        raise _not_read("they are not well-formed XML") from None
    if _name(root) != ROOT:
        raise _not_read("the document is of another kind")
    namespace = root.tag.partition("}")[0].removeprefix("{") if "}" in root.tag else ""
    elements = [child for child in root if _name(child) == "Rule"]
    beside = {_name(child) for child in root if _name(child) != "Rule"} | {f"@{name}" for name in root.attrib}
    slices = [text.encode()[begin:end].decode() for begin, end in spans]
    if len(slices) != len(elements):
        raise _not_read("the rules are not told apart")
    rules = tuple(_rule(element, raw, provider, namespace) for element, raw in zip(elements, slices, strict=True))
    for element, rule in zip(elements, rules, strict=True):
        _check_alone(element, rule.raw, namespace)
    return Seen(rules=rules, namespace=namespace, unknown=tuple(sorted(beside)))


def write(rules: Iterable[Rule], namespace: str = "") -> str | None:
    """The document of these rules, each as it is in `raw`; None where there are none."""
    written = "".join(rule.raw for rule in rules)
    return f"{_open(namespace)}{written}</{ROOT}>" if written else None


def digest(seen: Seen) -> str:
    """sha256 over what the rules say: another order, other spaces or another namespace make no difference."""
    texts = sorted(canonical(rule.raw) for rule in seen.rules)
    return hashlib.sha256("\n".join([*texts, *seen.unknown]).encode()).hexdigest()


def canonical(raw: str) -> str:
    """A rule's XML without spaces between its elements and without namespaces. What does not stand alone is itself."""
    try:
        return _canonical(ET.fromstring(raw))
    except ET.ParseError:
        return raw


def pretty(raw: str) -> str:
    """A rule's XML on lines of its own, for people."""
    try:
        element = _bare(ET.fromstring(raw))
    except ET.ParseError:
        return raw
    ET.indent(element, "  ")
    return ET.tostring(element, encoding="unicode")


def _text(document: bytes) -> str:
    if len(document) > MOST_BYTES:
        raise _not_read(f"the document has more than {MOST_BYTES >> 20} MiB")
    try:
        text = document.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _not_read("the document is not UTF-8") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise _not_read("the document has a DOCTYPE, which no provider writes")
    return text


def _not_read(why: str) -> errors.LifecycleRefused:
    return errors.LifecycleRefused(
        f"The bucket's lifecycle rules cannot be read: {why}.",
        hint="Look at them in the provider's own console.",
    )


def _spans(text: bytes) -> list[tuple[int, int]]:
    """Where each rule lies in the document, as bytes from and to."""
    found: list[tuple[int, int]] = []
    parser = expat.ParserCreate("utf-8")
    depth, begin = 0, 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth, begin
        depth += 1
        if depth == 2 and name.rpartition(":")[2] == "Rule":
            begin = parser.CurrentByteIndex

    def end(name: str) -> None:
        nonlocal depth
        if depth == 2 and name.rpartition(":")[2] == "Rule":
            found.append((begin, text.index(b">", parser.CurrentByteIndex) + 1))
        depth -= 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.Parse(text, True)
    return found


def _open(namespace: str) -> str:
    quoted = namespace.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return f'<{ROOT} xmlns="{quoted}">' if namespace else f"<{ROOT}>"


def _check_alone(element: ET.Element, raw: str, namespace: str) -> None:
    """A rule put into a document of ours must be the rule that it was: prefixes of names are told outside of it."""
    try:
        (again,) = ET.fromstring(f"{_open(namespace)}{raw}</{ROOT}>")
        alike = _canonical(again, names=True) == _canonical(element, names=True)
    except (ET.ParseError, ValueError):
        alike = False
    if not alike:
        raise _not_read("a rule's names are told by what is around it")


def _bare(element: ET.Element) -> ET.Element:
    """A copy without namespaces and without spaces between elements."""
    made = ET.Element(_name(element), element.attrib)
    made.extend(_bare(child) for child in element)
    text = element.text or ""
    made.text = text if text.strip() or not len(element) else None
    return made


def _canonical(element: ET.Element, *, names: bool = False) -> str:
    return ET.canonicalize(ET.tostring(element if names else _bare(element), encoding="unicode"), strip_text=names)


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _space(element: ET.Element) -> str:
    return element.tag.rpartition("}")[0].removeprefix("{")


class _Part:
    """One element that is read child by child; what nobody takes is unknown."""

    def __init__(self, element: ET.Element, path: str, unknown: list[str]) -> None:
        self._children: dict[str, list[ET.Element]] = {}
        self._path, self._unknown = path, unknown
        for child in element:
            # Of another XML namespace it is nothing to the provider, whatever its name.
            if _space(child) == _space(element):
                self._children.setdefault(_name(child), []).append(child)
            else:
                self.doubt(child.tag)
        self._unknown += [f"{path}@{name}" for name in element.attrib]
        if (element.text or "").strip():
            self._unknown.append(path)

    def __len__(self) -> int:
        """How many children nobody took yet."""
        return sum(map(len, self._children.values()))

    def doubt(self, name: str) -> None:
        """A child of that name means nothing that rw knows."""
        self._unknown.append(self.at(name))

    def all(self, name: str) -> list[ET.Element]:
        return self._children.pop(name, [])

    def element(self, name: str) -> ET.Element | None:
        """The only one of its name. Where there are several, none can be relied on."""
        found = self.all(name)
        if len(found) > 1:
            self.doubt(name)
            return None
        return found[0] if found else None

    def part(self, name: str) -> "_Part | None":
        found = self.element(name)
        return None if found is None else _Part(found, self.at(name), self._unknown)

    def parts(self, name: str) -> "list[_Part]":
        return [_Part(found, self.at(name), self._unknown) for found in self.all(name)]

    def text(self, name: str) -> str | None:
        found = self.element(name)
        if found is None:
            return None
        if len(found) or found.attrib:
            self.doubt(name)
        return found.text or ""

    def number(self, name: str) -> int | None:
        text = self.text(name)
        if text is None:
            return None
        if not (text.strip().isascii() and text.strip().isdigit() and len(text.strip()) < 20):
            self.doubt(name)
            return None
        return int(text)

    def date(self, name: str) -> str | None:
        """In one form, as providers write what they are given in another."""
        text = self.text(name)
        try:
            return text if text is None else datetime.fromisoformat(text.strip()).isoformat()
        except ValueError:
            self.doubt(name)
            return text

    def flag(self, name: str) -> bool:
        text = self.text(name)
        if text is not None and text.strip().lower() not in ("true", "false"):
            self.doubt(name)
        return text is not None and text.strip().lower() == "true"

    def settings(self, names: Collection[str]) -> tuple[tuple[str, str], ...]:
        """Further settings, which change nothing of what is judged here."""
        return tuple((name, text) for name in sorted(names) if (text := self.text(name)) is not None)

    def at(self, name: str) -> str:
        return f"{self._path}/{name}" if self._path else name

    def done(self) -> None:
        self._unknown += [self.at(name) for name in self._children]


AMBIGUOUS = frozenset({"Prefix", "Filter", "Filter/Prefix", "Filter/And", "Filter/And/Prefix"})
"""Where one of these is there twice, or is not as the provider has it, no prefix bounds the rule."""


def _rule(element: ET.Element, raw: str, provider: Provider, namespace: str) -> Rule:
    unknown: list[str] = [] if _space(element) == namespace else [element.tag]
    part = _Part(element, "", unknown)
    status = (part.text("Status") or "").strip()
    if status not in ("Enabled", "Disabled"):
        unknown.append("Status")
    found = (_s3 if provider == "s3" else _oss)(part)
    part.done()
    if not AMBIGUOUS.isdisjoint(unknown):
        found = msgspec.structs.replace(found, prefix="")
    enabled = status != "Disabled" or any(name.partition("/")[0] == "Status" for name in unknown)
    return msgspec.structs.replace(found, enabled=enabled, unknown=tuple(sorted(set(unknown))), raw=raw)


def _s3(part: _Part) -> Rule:
    identifier, prefix = part.text("ID") or "", part.text("Prefix")
    tags: list[tuple[str, str]] = []
    larger = smaller = None
    if (top := part.part("Filter")) is not None:
        # S3 has one member in a filter, and no prefix beside it. Where a store has more, nobody knows which count.
        if len(top) > 1 or prefix is not None:
            part.doubt("Filter")
        for conditions in (top, top.part("And")):
            if conditions is None:
                continue
            if (inner := conditions.text("Prefix")) is not None:
                prefix = inner
            tags += _tags(conditions)
            larger = _either(larger, conditions.number("ObjectSizeGreaterThan"), max)
            smaller = _either(smaller, conditions.number("ObjectSizeLessThan"), min)
            conditions.done()
    expired = part.part("NoncurrentVersionExpiration")
    abort = part.part("AbortIncompleteMultipartUpload")
    rule = Rule(
        id=identifier,
        enabled=True,
        prefix=prefix or "",
        tags=tuple(sorted(tags)),
        larger_than=larger,
        smaller_than=smaller,
        transitions=_steps(part.parts("Transition"), "Days", "Date", ()),
        noncurrent_transitions=_steps(
            part.parts("NoncurrentVersionTransition"), "NoncurrentDays", "Date", ("NewerNoncurrentVersions",)
        ),
        expiry=_expiry(part.part("Expiration"), ("Date",)),
        noncurrent_days=expired.number("NoncurrentDays") if expired else None,
        newer_noncurrent=expired.number("NewerNoncurrentVersions") if expired else None,
        abort_days=abort.number("DaysAfterInitiation") if abort else None,
    )
    return _finished(part, rule, expired, abort)


TRANSITION_MORE = ("AllowSmallFile", "IsAccessTime", "ReturnToStdWhenVisit")


def _oss(part: _Part) -> Rule:
    identifier, prefix, tags = part.text("ID") or "", part.text("Prefix") or "", _tags(part)
    larger = smaller = None
    excepts: list[Except] = []
    if (conditions := part.part("Filter")) is not None:
        larger, smaller = conditions.number("ObjectSizeGreaterThan"), conditions.number("ObjectSizeLessThan")
        for left_out in conditions.parts("Not"):
            inner, named = left_out.text("Prefix") or "", _tags(left_out)
            left_out.done()
            if len(named) <= 1 and (inner or named):
                excepts.append(Except(prefix=inner, tag=named[0] if named else None))
            else:
                # It leaves out nothing, or everything; or what has several tags, which is less than what has one.
                conditions.doubt("Not")
        conditions.done()
    expired, abort = part.part("NoncurrentVersionExpiration"), part.part("AbortMultipartUpload")
    rule = Rule(
        id=identifier,
        enabled=True,
        prefix=prefix,
        tags=tuple(sorted(tags)),
        larger_than=larger,
        smaller_than=smaller,
        excepts=tuple(excepts),
        transitions=_steps(part.parts("Transition"), "Days", "CreatedBeforeDate", TRANSITION_MORE),
        noncurrent_transitions=_steps(
            part.parts("NoncurrentVersionTransition"), "NoncurrentDays", "CreatedBeforeDate", TRANSITION_MORE
        ),
        expiry=_expiry(part.part("Expiration"), ("CreatedBeforeDate", "Date")),
        noncurrent_days=expired.number("NoncurrentDays") if expired else None,
        abort_days=abort.number("Days") if abort else None,
        abort_date=abort.date("CreatedBeforeDate") if abort else None,
        more=part.settings(("AtimeBase",)),
    )
    return _finished(part, rule, expired, abort)


def _finished(part: _Part, rule: Rule, expired: _Part | None, abort: _Part | None) -> Rule:
    """The rule, once what is inside its two actions has been looked through; one that says nothing is in doubt."""
    for inner_part in (expired, abort):
        if inner_part is not None:
            inner_part.done()
    if expired is not None and rule.noncurrent_days is None and rule.newer_noncurrent is None:
        part.doubt("NoncurrentVersionExpiration")
    return rule


def _either(one: int | None, other: int | None, choose: Callable[[int, int], int]) -> int | None:
    return other if one is None else one if other is None else choose(one, other)


def _tags(part: _Part) -> list[tuple[str, str]]:
    found = []
    for tag in part.parts("Tag"):
        key, value = tag.text("Key"), tag.text("Value")
        tag.done()
        if key and value is not None:
            found.append((key, value))
        else:
            part.doubt("Tag")
    return found


def _steps(parts: list[_Part], days: str, date: str, more: Collection[str]) -> tuple[Step, ...]:
    found = []
    for part in parts:
        found.append(
            Step(
                storage_class=(part.text("StorageClass") or "").strip(),
                days=part.number(days),
                date=part.date(date),
                more=part.settings(more),
            )
        )
        part.done()
    return tuple(sorted(found, key=lambda step: (step.days or 0, step.date or "", step.storage_class)))


def _expiry(part: _Part | None, dates: Collection[str]) -> Expiry | None:
    if part is None:
        return None
    told = [text for name in dates if (text := part.date(name)) is not None]
    found = Expiry(
        days=part.number("Days"), date=told[0] if told else None, marker=part.flag("ExpiredObjectDeleteMarker")
    )
    part.done()
    return found
