"""Lifecycle rules: read in both dialects, judged as a simulation of them says, merged without losing anybody's."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from xml.sax.saxutils import escape

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.model.bucket import TIER_TAG, Versioning
from resticwrap.model.policy import ARCHIVES, LifecycleRule, Transitions
from resticwrap.planning import lifecycle
from resticwrap.planning.lifecycle import Layout, Provider, Rule
from resticwrap.planning.lifecycle.rules import Except, Expiry, Step, write

S3_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
MOVES = Transitions.model_validate(
    {
        "s3": [{"days": 30, "storage_class": "STANDARD_IA"}, {"days": 90, "storage_class": "DEEP_ARCHIVE"}],
        "oss": [{"days": 30, "storage_class": "IA"}, {"days": 60, "storage_class": "Archive"}],
    }
)
PROVIDERS: tuple[Provider, ...] = ("s3", "oss")
PACK, TREE = "ab" + "0" * 62, "cd" + "1" * 62


def layout(provider: Provider = "s3", namespace: str = "school") -> Layout:
    return Layout(provider=provider, namespace=namespace, environment="prod")


def document(*rules: str, xmlns: str = "") -> bytes:
    opened = f'<LifecycleConfiguration xmlns="{xmlns}">' if xmlns else "<LifecycleConfiguration>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{opened}\n{"".join(rules)}</LifecycleConfiguration>'.encode()


def ours(where: Layout, versioning: Versioning = "enabled") -> tuple[Rule, ...]:
    return lifecycle.wanted(where, MOVES, LifecycleRule(), versioning)


def judged(text: str, provider: Provider = "s3") -> list[str]:
    rules = lifecycle.read(document(text), provider).rules
    return [problem.severity for problem in lifecycle.judge(rules, layout(provider))]


def rule(body: str, *, status: str = "Enabled") -> str:
    return f"<Rule><ID>r</ID><Status>{status}</Status>{body}</Rule>"


EXPIRE = "<Expiration><Days>30</Days></Expiration>"
FREEZE = "<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("<Filter/>" + EXPIRE, ["unsafe"]),
        (EXPIRE, ["unsafe"]),
        ("<Prefix></Prefix>" + EXPIRE, ["unsafe"]),
        ("<Filter><Prefix>school/co</Prefix></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Prefix>school/cold/data/0</Prefix></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Prefix>backups/prod/2026</Prefix></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Prefix>schoolyard/</Prefix></Filter>" + EXPIRE, []),
        ("<Filter><Prefix>backups/production/</Prefix></Filter>" + EXPIRE, []),
        ("<Filter><Prefix>logs/</Prefix></Filter>" + EXPIRE + FREEZE, []),
        ("<Filter><Tag><Key>tier</Key><Value>cold</Value></Tag></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Tag><Key>tmp</Key><Value>1</Value></Tag></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Tag><Key>tmp</Key><Value>1</Value></Tag></Filter>" + FREEZE, ["warn"]),
        ("<Filter><Tag><Key>tier</Key><Value>cold</Value></Tag></Filter>" + FREEZE, []),
        ("<Filter><Tag><Key>tier</Key><Value>hot</Value></Tag></Filter>" + FREEZE, ["warn"]),
        ("<Filter><Prefix>school/cold/data/</Prefix></Filter>" + FREEZE, ["unsafe"]),
        ("<Filter><ObjectSizeGreaterThan>1000000</ObjectSizeGreaterThan></Filter>" + FREEZE, ["unsafe"]),
        ("<Filter><ObjectSizeGreaterThan>9000000000</ObjectSizeGreaterThan></Filter>" + EXPIRE, []),
        ("<Expiration><Date>2030-01-01T00:00:00Z</Date></Expiration>", ["unsafe"]),
        ("<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>", []),
        ("<Expiration></Expiration>", ["unsafe"]),
        ("<Transition><Days>1</Days><StorageClass>STANDARD_IA</StorageClass></Transition>", []),
        ("<Transition><Days>1</Days><StorageClass>INTELLIGENT_TIERING</StorageClass></Transition>", ["warn"]),
        ("<Transition><Days>1</Days><StorageClass>ICEBERG</StorageClass></Transition>", ["unsafe"]),
        ("<Transition><Date>2030-01-01T00:00:00Z</Date><StorageClass>GLACIER</StorageClass></Transition>", ["unsafe"]),
        ("<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>", []),
        (("<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>GLACIER</StorageClass>"
         "</NoncurrentVersionTransition>"), ["warn"]),
        (("<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation>"
         "</AbortIncompleteMultipartUpload>"), []),
        ("<Prefix>logs/</Prefix><Filter/><Filter/>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Filter><ObjectSizeGreaterThan>9000000000</ObjectSizeGreaterThan><Melt/></Filter>", ["unsafe"]),
        ("<Melt><Days>1</Days></Melt>", ["unsafe"]),
        ("<Filter><Prefix>logs/</Prefix></Filter><Melt><Days>1</Days></Melt>", []),
        ("<Filter><Prefix>logs/</Prefix><Prefix>school/</Prefix></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix>logs/</Prefix><Filter/>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Filter><Prefix>logs/</Prefix><ObjectSizeGreaterThan>1</ObjectSizeGreaterThan></Filter>" + EXPIRE,
         ["unsafe", "unsafe"]),
        ("<Filter><Prefix>school/</Prefix><Tag><Key>tier</Key><Value>cold</Value></Tag></Filter>" + FREEZE, ["unsafe"]),
        ("<Filter><Tag><Value>cold</Value></Tag></Filter>" + FREEZE, ["unsafe", "unsafe"]),
        ("<Filter><Tag><Key>tier</Key></Tag></Filter>" + FREEZE, ["unsafe", "unsafe"]),
        ("<Filter><And><Prefix>school/</Prefix><Or><Prefix>a</Prefix></Or></And></Filter>" + EXPIRE,
         ["unsafe", "unsafe"]),
        ("<Filter><And><ObjectSizeGreaterThan>9000000000</ObjectSizeGreaterThan><Or/></And></Filter>" + EXPIRE,
         ["unsafe", "unsafe"]),
        ('<Filter><o:Prefix xmlns:o="urn:other">logs/</o:Prefix></Filter>' + EXPIRE, ["unsafe", "unsafe"]),
        ('<Filter xmlns="urn:other"><Prefix>logs/</Prefix></Filter>' + EXPIRE, ["unsafe", "unsafe"]),
        ("<Filter><Prefix>\n</Prefix></Filter>" + EXPIRE, ["unsafe"]),
        ("<Filter><Prefix>/school</Prefix></Filter>" + EXPIRE, ["warn"]),
        ("<Filter><Prefix>/</Prefix></Filter>" + FREEZE, ["warn"]),
        ("<Filter><Prefix>school%2Fcold%2F</Prefix></Filter>" + EXPIRE, ["warn"]),
        ("<Filter><Prefix>/logs</Prefix></Filter>" + EXPIRE, []),
        (("<Filter><Prefix>/school</Prefix></Filter>"
         "<Transition><Days>30</Days><StorageClass>STANDARD_IA</StorageClass></Transition>"), []),
        ("<NoncurrentVersionExpiration/>", ["unsafe"]),
    ],
)  # fmt: skip
def test_rules_of_s3(body: str, found: list[str]) -> None:
    """Each kind of rule, on and off: one that is off does nothing."""
    assert judged(rule(body)) == found
    assert judged(rule(body, status="Disabled")) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (("<Prefix>school/</Prefix><Expiration><CreatedBeforeDate>2030-01-01T00:00:00.000Z</CreatedBeforeDate>"
         "</Expiration>"), ["unsafe"]),
        ("<Prefix></Prefix><Transition><Days>1</Days><StorageClass>Archive</StorageClass></Transition>", ["unsafe"]),
        (("<Prefix></Prefix><Transition><Days>1</Days><StorageClass>IA</StorageClass><IsAccessTime>true</IsAccessTime>"
         "<ReturnToStdWhenVisit>true</ReturnToStdWhenVisit></Transition><AtimeBase>1</AtimeBase>"), []),
        ("<Prefix></Prefix><Filter><Not><Prefix>school/</Prefix></Not></Filter>" + EXPIRE, ["unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Prefix>school/</Prefix></Not><Not><Prefix>backups/</Prefix></Not></Filter>"
         + EXPIRE, []),
        ("<Prefix>school/</Prefix><Filter><Not><Prefix>school/</Prefix><Tag><Key>a</Key><Value>b</Value></Tag></Not>"
         "</Filter>" + EXPIRE, ["unsafe"]),
        (("<Prefix></Prefix><Tag><Key>tier</Key><Value>cold</Value></Tag><Transition><Days>1</Days>"
         "<StorageClass>ColdArchive</StorageClass></Transition>"), []),
        ("<Prefix></Prefix><AbortMultipartUpload><Days>1</Days></AbortMultipartUpload>", []),
        ("<Prefix>school/</Prefix><Tag><Key>tier</Key><Value>cold</Value></Tag><Filter><Not><Prefix>school/</Prefix>"
         "<Tag><Key>tier</Key><Value>cold</Value></Tag><Tag><Key>a</Key><Value>b</Value></Tag></Not></Filter>" + EXPIRE,
         ["unsafe", "unsafe"]),
        ("<Prefix>school/</Prefix><Filter><Not></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix>school/</Prefix><Filter><Not><Prefix></Prefix></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not/></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Prefix/></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Prefix>a/</Prefix><Prefix>b/</Prefix></Not></Filter>" + EXPIRE,
         ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Suffix>.log</Suffix></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Prefix>school/</Prefix><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></Not>"
         "<Not><Prefix>backups/</Prefix></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix></Prefix><Filter><Not><Prefix>school/</Prefix><Tag><Value>b</Value></Tag></Not>"
         "<Not><Prefix>backups/</Prefix></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ('<Prefix></Prefix><Filter><Not xmlns:o="urn:o"><Prefix>school/</Prefix><o:Tag/></Not>'
         "<Not><Prefix>backups/</Prefix></Not></Filter>" + EXPIRE, ["unsafe", "unsafe"]),
        ("<Prefix>logs/</Prefix><Filter><Not/></Filter>" + EXPIRE, []),
        ("<Prefix>/</Prefix>" + EXPIRE, ["warn"]),
        ("<Prefix>school/</Prefix><Filter><Not><Prefix>school/</Prefix><Melt/></Not></Filter>", ["unsafe"]),
        ("<Prefix>logs/</Prefix><Prefix>school/</Prefix>" + EXPIRE, ["unsafe", "unsafe"]),
    ],
)  # fmt: skip
def test_rules_of_oss(body: str, found: list[str]) -> None:
    assert judged(rule(body), "oss") == found


OLD = "<NoncurrentVersionExpiration><NoncurrentDays>{}</NoncurrentDays>{}</NoncurrentVersionExpiration>"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_old_versions_that_go_too_early(provider: Provider) -> None:
    """Before the days of the policy recover-deleted must find them: a warning with the rule's name, where the bucket
    keeps versions and the rule is for what is ours."""
    for prefix, body, promised, found in (
        ("", OLD.format(29, ""), 30, True),
        ("school/cold/data/", OLD.format(1, ""), 30, True),
        ("backups/prod/", OLD.format(1, ""), 30, True),
        ("", OLD.format(30, ""), 30, False),
        ("", OLD.format(1, ""), None, False),
        ("logs/", OLD.format(1, ""), 30, False),
    ):
        rules = lifecycle.read(document(rule(f"<Prefix>{prefix}</Prefix>{body}")), provider).rules
        told = lifecycle.judge(rules, layout(provider), promised)
        assert [(one.rule, one.severity) for one in told] == ([("r", "warn")] if found else [])
        assert all("recover-deleted" in one.advice and "before the 30 days" in one.effect for one in told)
    some = "<NewerNoncurrentVersions>3</NewerNoncurrentVersions>"
    bodies = [OLD.format(1, some), OLD.format(1, some).replace("<NoncurrentDays>1</NoncurrentDays>", "")]
    for body in bodies if provider == "s3" else ():
        (told_of,) = lifecycle.judge(lifecycle.read(document(rule(body)), provider).rules, layout(provider), 30)
        assert told_of.severity == "warn" and "all but the newest 3" in told_of.effect
    off = lifecycle.read(document(rule(OLD.format(1, ""), status="Disabled")), provider).rules
    assert lifecycle.judge(off, layout(provider), 30) == ()


def test_old_versions_that_are_frozen() -> None:
    """Named too, since recover-deleted has to thaw them first; a class that nobody knows may be such a one."""
    step = "<NoncurrentVersionTransition><NoncurrentDays>1</NoncurrentDays><StorageClass>{}</StorageClass>"
    for name, found in (("DEEP_ARCHIVE", True), ("ICEBERG", True), ("STANDARD_IA", False), ("GLACIER_IR", False)):
        text = document(rule(step.format(name) + "</NoncurrentVersionTransition>"))
        told = lifecycle.judge(lifecycle.read(text, "s3").rules, layout(), 30)
        assert [(one.rule, one.severity) for one in told] == ([("r", "warn")] if found else []), name
        assert all("recover-deleted" in one.advice for one in told)


def test_a_status_that_cannot_be_read() -> None:
    """Off is only what says so and nothing else."""
    for status in ("disabled", "Off", "", "Disabled<Until>2030-01-01</Until>"):
        assert judged(rule(EXPIRE, status=status)) == ["unsafe", "unsafe"], status
    two = f"<Rule><ID>r</ID><Status>Disabled</Status><Status>Enabled</Status>{EXPIRE}</Rule>"
    assert judged(two) == ["unsafe", "unsafe"]
    assert judged(f"<Rule><ID>r</ID>{EXPIRE}</Rule>") == ["unsafe", "unsafe"]


def test_a_problem_says_what_to_do() -> None:
    """The rule's id, what it selects, what it would do to what, and the way out."""
    (problem,) = lifecycle.judge(lifecycle.read(document(rule(EXPIRE)), "s3").rules, layout())
    assert problem.rule == "r" and problem.selects == "every object"
    assert "deletes live objects of school/hot/, school/cold/ and backups/prod/ after 30 days" in problem.effect
    assert "disable it" in problem.advice


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<a/>",
        b"<LifecycleConfiguration><Rule></LifecycleConfiguration>",
        b'<!DOCTYPE x [<!ENTITY e "e">]><LifecycleConfiguration><Rule>&e;</Rule></LifecycleConfiguration>',
        '<?xml version="1.0"?><LifecycleConfiguration/>'.encode("utf-16"),
        b'<x:LifecycleConfiguration xmlns:x="u"><x:Rule><x:ID>a</x:ID></x:Rule></x:LifecycleConfiguration>',
        b"<LifecycleConfiguration>" + b" " * (9 << 20) + b"</LifecycleConfiguration>",
    ],
)
def test_what_is_no_such_document(text: bytes) -> None:
    """Refused in one sentence, and nothing outside of it is opened."""
    with pytest.raises(errors.LifecycleRefused, match="cannot be read"):
        lifecycle.read(text, "s3")


words = st.text("ab0/", max_size=3)
prefixes = st.one_of(
    st.sampled_from(
        ["", "s", "school", "school/", "school/hot/", "school/cold/data/", "school/cold/index/", "backups/"]
    ),
    st.builds(
        lambda a, b: a + b, st.sampled_from(["school/", "school/cold/", "school/cold/data/", "logs/", "x"]), words
    ),
)
tags = st.lists(st.sampled_from([TIER_TAG, ("tier", "hot"), ("a", "b")]), max_size=2, unique=True)
sizes = st.one_of(st.none(), st.integers(0, 200 << 20))
classes = st.sampled_from(["STANDARD_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE", "IA", "Archive", "ColdArchive"])
dates = st.sampled_from([None, "2030-01-01T00:00:00+00:00"])
steps = st.builds(
    lambda days, date, to: Step(storage_class=to, days=None if date else days, date=date),
    st.integers(0, 500), dates, classes,
)  # fmt: skip
expiries = st.builds(
    lambda days, date, marker: Expiry(marker=True) if marker else Expiry(days=None if date else days, date=date),
    st.integers(1, 500), dates, st.booleans(),
)  # fmt: skip
excepts = st.builds(
    lambda prefix, tag: Except(prefix=prefix, tag=tag), prefixes, st.sampled_from([None, TIER_TAG])
).filter(lambda left: bool(left.prefix or left.tag))
odd = st.one_of(
    st.just("<Not/>"),
    st.lists(
        st.one_of(
            st.builds(lambda prefix: f"<Prefix>{prefix}</Prefix>", prefixes),
            st.sampled_from(
                [
                    "<Prefix/>",
                    "<Suffix>.log</Suffix>",
                    "<ObjectSizeGreaterThan>100000</ObjectSizeGreaterThan>",
                    "<Tag/>",
                    "<Tag><Key>tier</Key></Tag>",
                    '<o:Prefix xmlns:o="urn:o">school/</o:Prefix>',
                    "<Not/>",
                ]
            ),
        ),
        max_size=3,
    )
    .filter(lambda parts: not (len(parts) == 1 and parts[0].startswith("<Prefix>") and parts != ["<Prefix></Prefix>"]))
    .map(lambda parts: f"<Not>{''.join(parts)}</Not>"),
)
"""What stands in a filter and leaves out nothing for certain: no prefix, several, or one that something bounds."""


def in_order(found: list[Step]) -> tuple[Step, ...]:
    return tuple(sorted(found, key=lambda step: (step.days or 0, step.date or "", step.storage_class)))


@st.composite
def foreign(draw: st.DrawFn, provider: Provider) -> Rule:
    """A rule of somebody else, with its XML."""
    made = Rule(
        id=f"f{draw(st.integers(0, 10**9))}",
        enabled=draw(st.booleans()),
        prefix=draw(prefixes),
        tags=tuple(sorted(draw(tags))),
        larger_than=draw(sizes),
        smaller_than=draw(sizes),
        excepts=tuple(draw(st.lists(excepts, max_size=2))) if provider == "oss" else (),
        transitions=in_order(draw(st.lists(steps, max_size=2))),
        expiry=draw(st.one_of(st.none(), expiries)),
        noncurrent_days=draw(st.one_of(st.none(), st.integers(1, 100))),
    )
    return msgspec.structs.replace(made, raw=xml(made, provider))


def xml(made: Rule, provider: Provider) -> str:
    """A rule as the provider writes it."""

    def tag(name: str, value: object) -> str:
        return "" if value is None else f"<{name}>{escape(str(value))}</{name}>"

    def named(pairs: Iterable[tuple[str, str]]) -> str:
        return "".join(f"<Tag>{tag('Key', key)}{tag('Value', value)}</Tag>" for key, value in pairs)

    date = "Date" if provider == "s3" else "CreatedBeforeDate"
    sized = tag("ObjectSizeGreaterThan", made.larger_than) + tag("ObjectSizeLessThan", made.smaller_than)
    if provider == "s3":
        where = f"<Filter><And>{tag('Prefix', made.prefix)}{named(made.tags)}{sized}</And></Filter>"
    else:
        nots = "".join(f"<Not>{tag('Prefix', e.prefix)}{named([e.tag] if e.tag else [])}</Not>" for e in made.excepts)
        where = f"{tag('Prefix', made.prefix)}{named(made.tags)}<Filter>{sized}{nots}</Filter>"
    moves = "".join(
        f"<Transition>{tag('Days', s.days)}{tag(date, s.date)}{tag('StorageClass', s.storage_class)}</Transition>"
        for s in made.transitions
    )
    gone = ""
    if made.expiry:
        marker = "true" if made.expiry.marker else None
        inner = tag("Days", made.expiry.days) + tag(date, made.expiry.date) + tag("ExpiredObjectDeleteMarker", marker)
        gone = f"<Expiration>{inner}</Expiration>"
    old = tag("NoncurrentDays", made.noncurrent_days)
    old = old and f"<NoncurrentVersionExpiration>{old}</NoncurrentVersionExpiration>"
    status = tag("Status", "Enabled" if made.enabled else "Disabled")
    return f"<Rule>{tag('ID', made.id)}\n  {where}{status}{moves}{gone}{old}</Rule>"


OBJECTS: list[tuple[str, int, tuple[tuple[str, str], ...], bool]] = [
    *[(f"school/{tier}/{name}", size, (), False) for tier in ("hot", "cold")
      for name, size in (("config", 155), ("keys/0a", 450), ("index/0b", 9000), ("snapshots/a0", 300),
                         ("locks/b0", 150), (f"data/cd/{TREE}", 5 << 20), (f"data/0a/{TREE}", 150 << 20))],
    (f"school/cold/data/ab/{PACK}", 16 << 20, (TIER_TAG,), True),
    ("backups/prod/2026-11-20/job/backup_manifest.json", 3000, (), False),
]  # fmt: skip
"""Key, size, tags, and whether it may lie in an archive: what a target's bucket holds, small and large."""


def selected(made: Rule, key: str, size: int, bears: tuple[tuple[str, str], ...]) -> bool:
    """Whether a rule is for an object, as the providers say it."""
    return (
        made.enabled
        and key.startswith(made.prefix)
        and set(made.tags) <= set(bears)
        and (made.larger_than is None or size > made.larger_than)
        and (made.smaller_than is None or size < made.smaller_than)
        and not any(key.startswith(e.prefix) and (e.tag is None or e.tag in bears) for e in made.excepts)
    )


def harms(made: Rule) -> bool:
    """Whether a rule would delete a live object, or freeze one that must be read at once."""
    for key, size, bears, may_freeze in OBJECTS:
        if selected(made, key, size, bears):
            if made.expiry and not made.expiry.marker:
                return True
            if not may_freeze and any(step.storage_class in ARCHIVES for step in made.transitions):
                return True
    return False


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
@settings(max_examples=400)
def test_no_harmful_rule_is_overlooked(provider: Provider, data: st.DataObject) -> None:
    """Whatever prefix, tags, sizes and exceptions: a rule that harms a sample of a bucket's objects is unsafe."""
    made = data.draw(foreign(provider))
    (again,) = lifecycle.read(document(made.raw), provider).rules
    assert again.same(made)
    if harms(made):
        assert lifecycle.unsafe(lifecycle.judge([again], layout(provider)))


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
@settings(max_examples=200)
def test_no_bound_counts_that_is_not_understood(provider: Provider, data: st.DataObject) -> None:
    """Beside what cannot be read in a rule, its exceptions, sizes and tags bound nothing: it is as harmful as without
    them. On S3 the odd elements make a filter of several members, of which nobody knows which count."""
    made = data.draw(foreign(provider))
    nots = data.draw(st.lists(odd, min_size=1, max_size=3))
    raw = made.raw.replace("</Filter>", f"{''.join(nots)}</Filter>")
    assert raw != made.raw
    (again,) = lifecycle.read(document(raw), provider).rules
    assert again.unknown
    prefix = made.prefix if provider == "oss" else ""
    bare = msgspec.structs.replace(made, prefix=prefix, tags=(), larger_than=None, smaller_than=None, excepts=())
    if harms(bare):
        assert lifecycle.unsafe(lifecycle.judge([again], layout(provider)))


@pytest.mark.parametrize("provider", PROVIDERS)
@given(data=st.data())
@settings(max_examples=150)
def test_a_plan_keeps_everybody_elses(provider: Provider, data: st.DataObject) -> None:
    """Byte for byte and in order; a second plan is empty; and taking ours away gives what was there before."""
    rules = data.draw(st.lists(foreign(provider), max_size=5, unique_by=lambda one: one.id))
    where = layout(provider, data.draw(st.sampled_from(["school", "a/b", "school-cold-data"])))
    before = lifecycle.read(document(*(one.raw for one in rules), xmlns=data.draw(st.sampled_from(["", S3_XMLNS]))),
                            provider)  # fmt: skip
    if data.draw(st.booleans()):  # as an older policy left ours
        old = ours(where, "off")
        before = lifecycle.read((write([*old, *before.rules]) or "").encode(), provider)
    planned = lifecycle.make_plan("main", before, ours(where), where)
    assert planned.document is not None
    for one in rules:
        assert one.raw in planned.document
    after = lifecycle.read(planned.document.encode(), provider)
    own = set(lifecycle.own_ids(where).values())
    assert [one.raw for one in after.rules if one.id not in own] == [one.raw for one in rules]
    assert {one.id for one in after.rules} >= own
    second = lifecycle.make_plan("main", after, ours(where), where)
    assert not second.changed and second.diff == "" and not second.refused
    assert lifecycle.digest(after) == second.seen
    gone = lifecycle.make_plan("main", after, (), where)
    if rules:
        assert gone.document is not None
        assert [one.raw for one in lifecycle.read(gone.document.encode(), provider).rules] == [one.raw for one in rules]
    else:
        assert gone.document is None


@pytest.mark.parametrize("provider", PROVIDERS)
@given(
    namespace=st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,80}(/[A-Za-z0-9][A-Za-z0-9._-]{0,80})?\Z"),
    first=st.integers(30, 60), later=st.integers(31, 300), days=st.integers(1, 400),
    versioning=st.sampled_from(["enabled", "suspended", "off"]),
)  # fmt: skip
def test_our_own_rules_are_safe(
    provider: Provider, namespace: str, first: int, later: int, days: int, versioning: Versioning
) -> None:
    """Whatever the policy: they harm nothing, and no provider's limits."""
    moves = Transitions.model_validate(
        {
            "s3": [
                {"days": first, "storage_class": "STANDARD_IA"},
                {"days": first + later, "storage_class": "GLACIER"},
            ],
            "oss": [{"days": first, "storage_class": "IA"}, {"days": first + later, "storage_class": "Archive"}],
        }
    )
    where = layout(provider, namespace)
    rules = lifecycle.wanted(where, moves, LifecycleRule(abort_uploads=days, noncurrent=days), versioning)
    assert lifecycle.judge(rules, where) == ()
    assert not any(harms(one) for one in rules) and not any(one.unknown for one in rules)
    assert lifecycle.make_plan("main", lifecycle.Seen(), rules, where).refused == ()
    for one in rules:
        assert not (one.tags and (one.abort_days or one.expiry)), "neither provider takes these by tag"
        assert (one.noncurrent_days is not None) == (versioning != "off" and not one.tags)


def test_namespaces_are_told_apart() -> None:
    """No id of one namespace is that of another, however alike their names are."""
    names = ["a", "a-cold-data", "a-tidy", "a/b", "a-b", "a.b", "x" * 150, "x" * 151]
    ids = [found for name in names for found in lifecycle.own_ids(layout(namespace=name)).values()]
    assert len(set(ids)) == len(ids) and all(len(found) <= 255 for found in ids)


def test_an_unknown_element() -> None:
    """On S3 nothing is written, since the client would drop it; on OSS the rule goes back as it is."""
    strange = "<Rule><ID>new</ID><Prefix>logs/</Prefix><Status>Enabled</Status><Melt>1</Melt></Rule>"
    for provider in PROVIDERS:
        seen = lifecycle.read(document(strange), provider)
        planned = lifecycle.make_plan("main", seen, ours(layout(provider)), layout(provider))
        assert strange in (planned.document or "")
        assert bool(planned.refused) == (provider == "s3")
    beside = lifecycle.read(b"<LifecycleConfiguration><Mode>1</Mode></LifecycleConfiguration>", "oss")
    assert "Mode" in lifecycle.make_plan("main", beside, ours(layout("oss")), layout("oss")).refused[0]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("<Prefix>school/</Prefix>" + EXPIRE, "both are for the prefix"),
        ("<Prefix></Prefix><AbortMultipartUpload><Days>3</Days></AbortMultipartUpload>", "AbortMultipartUpload"),
        (("<Prefix>school/x</Prefix><NoncurrentVersionExpiration><NoncurrentDays>3</NoncurrentDays>"
         "</NoncurrentVersionExpiration>"), "NoncurrentVersionExpiration"),
        (("<Prefix>school/cold/</Prefix><Tag><Key>tier</Key><Value>cold</Value></Tag><Transition><Days>9</Days>"
         "<StorageClass>IA</StorageClass></Transition>"), "both move to IA"),
        (("<Prefix></Prefix><Transition><CreatedBeforeDate>2030-01-01T00:00:00.000Z</CreatedBeforeDate>"
         "<StorageClass>IA</StorageClass></Transition>"), "goes by dates"),
        ("<Prefix>logs/</Prefix>" + EXPIRE, ""),
        ("<Prefix></Prefix><Transition><Days>9</Days><StorageClass>IA</StorageClass></Transition>", ""),
    ],
)  # fmt: skip
def test_overlaps_that_oss_refuses(body: str, refused: str) -> None:
    """Said before anything is sent; S3 has no such rule."""
    where = layout("oss")
    planned = lifecycle.make_plan("main", lifecycle.read(document(rule(body)), "oss"), ours(where), where)
    assert (refused in planned.refused[0]) if refused else planned.refused == ()


def test_what_is_left_to_others() -> None:
    """On OSS an action that somebody's rule does for all that is ours is in none of ours, so that both may be there; as
    soon as that rule does it for less, or is off, it is wanted again."""
    abort = "<AbortMultipartUpload><Days>3</Days></AbortMultipartUpload>"
    where = layout("oss")
    for body, status, covers in (
        ("<Prefix></Prefix>", "Enabled", True),
        ("<Prefix>sch</Prefix>", "Enabled", True),
        ("<Prefix></Prefix>", "Disabled", False),
        ("<Prefix>school/hot/</Prefix>", "Enabled", False),
        ("<Prefix></Prefix><Filter><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan></Filter>", "Enabled", False),
    ):
        seen = lifecycle.read(document(rule(body + abort, status=status)), "oss")
        left = lifecycle.left_to(seen, where)
        assert left == ({"AbortMultipartUpload": "r"} if covers else {})
        want = lifecycle.wanted(where, MOVES, LifecycleRule(), "enabled", left)
        assert any(one.abort_days for one in want) != covers
        assert bool(lifecycle.make_plan("main", seen, want, where).refused) != covers
    assert lifecycle.left_to(lifecycle.read(document(rule(EXPIRE)), "s3"), layout("s3")) == {}
    everything = {"Expiration": "r", "NoncurrentVersionExpiration": "r", "AbortMultipartUpload": "r"}
    (only,) = lifecycle.wanted(where, MOVES, LifecycleRule(), "enabled", everything)
    assert only.transitions


def test_limits_of_both() -> None:
    """A thousand rules, ids that are there twice, and classes that must have their time, which emulators do not see."""
    many = lifecycle.read(document(*(rule("").replace(">r<", f">r{n}<") for n in range(999))), "s3")
    assert "1000" in lifecycle.make_plan("main", many, ours(layout()), layout()).refused[0]
    twice = lifecycle.read(document(rule(""), rule("")), "s3")
    assert "Two rules" in lifecycle.make_plan("main", twice, ours(layout()), layout()).refused[0]
    for moves in (
        (Step(storage_class="STANDARD_IA", days=10),),
        (Step(storage_class="STANDARD_IA", days=30), Step(storage_class="GLACIER", days=40)),
        (Step(storage_class="GLACIER", days=30), Step(storage_class="STANDARD_IA", days=90)),
        (Step(storage_class="Archive", days=30),),
    ):
        bad = msgspec.structs.replace(ours(layout())[0], transitions=moves)
        assert lifecycle.make_plan("main", lifecycle.Seen(), (bad,), layout()).refused, moves


def test_the_diff_is_what_changes() -> None:
    """Lines that come with `+`, that go with `-`, and nothing of a rule that stays."""
    where = layout()
    there = lifecycle.read((write([*ours(where, "off")]) or "").encode(), "s3")
    planned = lifecycle.make_plan("main", there, ours(where), where)
    assert [(change.rule, change.action) for change in planned.changes] == [
        ("resticwrap-school-cold-data", "keep"), ("resticwrap-school-tidy", "change"),
    ]  # fmt: skip
    assert "+    <NoncurrentDays>30</NoncurrentDays>" in planned.diff and "cold-data" not in planned.diff
    ET.fromstring(planned.document or "")
