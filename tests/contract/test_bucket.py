"""The administrative port, by S3 (with archive classes, and SeaweedFS as it is) and OSS: what it promises, and how it
fails."""

import functools
import itertools
import secrets
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from botocore.session import Session
from hypothesis import given
from hypothesis import strategies as st

from resticwrap import errors
from resticwrap.model.bucket import Thaw, ThawSpeed
from resticwrap.model.policy import LocalTarget
from resticwrap.ports import Bucket
from resticwrap.storage import open_bucket
from resticwrap.storage.administer import read_versions, thaw_of, with_tag
from resticwrap.storage.lifecycle_xml import as_parameters
from tests.contract.buckets import Kit, OssBucketKit, S3BucketKit, quick_thaws
from tests.contract.stores import start_sts
from tests.servers.child import free_ports
from tests.servers.oss import OssServer
from tests.servers.s3_cold import ColdS3
from tests.servers.weed import S3Server

ODD = "a/b c+d%é=&?"


def new_name() -> str:
    return f"adm-{secrets.token_hex(5)}"


@pytest.fixture
def s3(s3_cold: ColdS3) -> S3BucketKit:
    return S3BucketKit(s3_cold, new_name())


@pytest.fixture
def plain(weed: S3Server) -> S3BucketKit:
    return S3BucketKit(weed, new_name())


@pytest.fixture
def oss_bucket(oss: OssServer) -> OssBucketKit:
    return OssBucketKit(oss, new_name())


@pytest.fixture(params=["s3", "plain", "oss_bucket"])
def kit(request: pytest.FixtureRequest) -> Kit:
    """Each of the three in turn."""
    made: Kit = request.getfixturevalue(request.param)
    return made


@pytest.fixture(params=["s3", "oss_bucket"])
def cold(request: pytest.FixtureRequest) -> Kit:
    """Those with archive classes."""
    made: Kit = request.getfixturevalue(request.param)
    return made


CALLS: list[tuple[str, Callable[[Bucket], object]]] = [
    ("list its objects", lambda bucket: list(bucket.objects(""))),
    ("read the tags", lambda bucket: bucket.tags("a")),
    ("read the tags", lambda bucket: bucket.tag("a", "tier", "cold")),
    ("read its lifecycle rules", lambda bucket: bucket.lifecycle()),
    ("change its lifecycle rules", lambda bucket: bucket.put_lifecycle(None)),
    ("see whether it keeps versions", lambda bucket: bucket.versioning()),
    ("list the versions", lambda bucket: list(bucket.versions(""))),
    ("read its", lambda bucket: bucket.lock()),
    ("thaw", lambda bucket: bucket.thaw("a", 1, "standard")),
    ("read its objects", lambda bucket: bucket.thaw_state("a")),
]


def test_which_one_a_target_has(s3: S3BucketKit, oss_bucket: OssBucketKit) -> None:
    """By its provider; and a folder has none."""
    for kit, provider in ((s3, "s3"), (oss_bucket, "oss")):
        bucket = open_bucket(kit.kit.target(kit.kit.keys()), {})  # type: ignore[arg-type]
        assert bucket is not None and bucket.provider == provider and bucket.versioning() == "off"
    assert open_bucket(LocalTarget(provider="local", path=Path("/nowhere")), {}) is None


def test_objects_by_pages(kit: Kit) -> None:
    """All of a prefix, in the order of the keys, each with size, time and class."""
    keys = sorted([ODD, *(f"a/{n}" for n in range(7))], key=str.encode)
    for key in [*keys, "b"]:
        kit.store.put(key, key.encode())
    found = list(kit.bucket.objects("a/"))
    assert [item.key for item in found] == keys
    assert [item.size for item in found] == [len(key.encode()) for key in keys]
    assert {item.storage_class.upper() for item in found} == {"STANDARD"}
    assert all(abs(item.modified - datetime.now(UTC)) < timedelta(minutes=5) for item in found)
    assert list(kit.bucket.objects("nothing")) == []


def test_classes_of_objects(cold: Kit) -> None:
    """In the provider's own words."""
    cold.store.put("warm", b"1")
    cold.freeze("cold")
    assert {item.key: item.storage_class.upper() for item in cold.bucket.objects("")} == {
        "warm": "STANDARD",
        "cold": cold.frozen_class.upper(),
    }


def test_tags_are_added_to_those_that_are_there(kit: Kit) -> None:
    """Once; an object that is not there has none, and none but ten fit."""
    kit.store.put(ODD, b"1")
    bucket = kit.bucket
    assert bucket.tags(ODD) == {}
    assert bucket.tag(ODD, "owner", "somebody +/= else")
    assert bucket.tag(ODD, "tier", "cold")
    before = next(bucket.objects(ODD)).modified
    assert not bucket.tag(ODD, "tier", "cold")
    assert bucket.tag(ODD, "tier", "hot")
    assert bucket.tags(ODD) == {"owner": "somebody +/= else", "tier": "hot"}
    assert next(bucket.objects(ODD)).modified == before
    for call in (lambda: bucket.tags("missing"), lambda: bucket.tag("missing", "tier", "cold")):
        with pytest.raises(errors.ObjectMissing, match="'missing'"):
            call()
    for number in range(8):
        bucket.tag(ODD, f"more{number}", "x")
    with pytest.raises(errors.Failure, match="has 10 tags, and no room"):
        bucket.tag(ODD, "eleventh", "x")
    assert len(bucket.tags(ODD)) == 10


@given(st.dictionaries(st.text(), st.text(), max_size=12), st.text(), st.text())
def test_merging_tags(tags: dict[str, str], name: str, value: str) -> None:
    """No other tag changes, and doing it twice does nothing."""
    if len({**tags, name: value}) > 10 and tags.get(name) != value:
        with pytest.raises(errors.Failure):
            with_tag(tags, "key", name, value)
        return
    merged = with_tag(tags, "key", name, value)
    if merged is None:
        assert tags[name] == value
    else:
        assert merged == {**tags, name: value} and with_tag(merged, "key", name, value) is None


def test_rules_are_replaced_and_removed(kit: Kit) -> None:
    """What was put is what is read; putting it twice changes nothing, and removing nothing is no error."""
    bucket = kit.bucket
    assert bucket.lifecycle() is None
    for _ in range(2):
        bucket.put_lifecycle(kit.rules)
        assert normal(bucket.lifecycle()) == normal(kit.rules)
    for _ in range(2):
        bucket.put_lifecycle(None)
        assert bucket.lifecycle() is None


def normal(document: bytes | None) -> Any:
    """XML without namespace and order."""
    assert document is not None

    def take(element: ET.Element) -> Any:
        return element.tag.rpartition("}")[2], element.text or "", sorted(take(child) for child in element)

    return take(ET.fromstring(document))


def with_unknown(rules: bytes) -> bytes:
    """With an element that is newer than our clients."""
    return rules.replace(b"</Rule>", b"<Shiny><Mode>new</Mode></Shiny></Rule>", 1)


def test_unknown_elements_are_read_as_they_are(cold: Kit) -> None:
    """Byte for byte, where a client's own reader would leave them out."""
    document = with_unknown(cold.rules)
    cold.put_raw(document)
    assert cold.bucket.lifecycle() == document


def test_unknown_elements_are_kept_on_oss(oss_bucket: OssBucketKit) -> None:
    """Rules go there byte for byte."""
    for document in (with_unknown(oss_bucket.rules), oss_bucket.rules.replace(b"<Status>", b"\n <!-- x --><Status>")):
        oss_bucket.bucket.put_lifecycle(document)
        assert oss_bucket.bucket.lifecycle() == document


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b"</Rule>", b"<Shiny><Mode>new</Mode></Shiny></Rule>", "LifecycleConfiguration/Rule/Shiny"),
        (b"<Filter><Prefix>", b"<Filter><Not>x</Not><Prefix>", "LifecycleConfiguration/Rule/Filter/Not"),
        (b"<Days>730</Days>", b"<Days>730</Days><Hours>1</Hours>", "Rule/Expiration/Hours"),
        (b"<Days>730</Days>", b"<Days>0730</Days>", "values of the rule 'one'"),
        (b"<Days>730</Days>", b"<Days>soon</Days>", "does not know"),
        (b"<Rule>", b'<Rule kind="x">', "Rule@kind"),
        (b"<ID>parts</ID>", b"<ID>parts</ID><ID>other</ID>", "Rule/ID"),
    ],
)
def test_unknown_elements_are_refused_on_s3(s3: S3BucketKit, old: bytes, new: bytes, named: str) -> None:
    """Before anything is sent, and by name."""
    s3.bucket.put_lifecycle(s3.rules)
    s3.server.clear()
    with pytest.raises(errors.Failure, match="would not pass on all") as caught:
        s3.bucket.put_lifecycle(s3.rules.replace(old, new))
    assert named in caught.value.message
    assert s3.server.requests() == []
    assert normal(s3.bucket.lifecycle()) == normal(s3.rules)


FORMS = [
    (
        "<ID>a</ID><Prefix>old/</Prefix><Status>Disabled</Status><Expiration><Date>2030-01-02T00:00:00.000Z</Date></Expiration>"
    ),
    ("<Status>Enabled</Status><Filter/><Transition><StorageClass>GLACIER</StorageClass><Days>0</Days></Transition>"),
    (
        "<Filter><Prefix></Prefix></Filter><Status>Enabled</Status><Expiration>"
        "<ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>"
    ),
    (
        "<Filter><Tag><Key>k é</Key><Value>  v </Value></Tag></Filter><Status>Enabled</Status>"
        "<NoncurrentVersionExpiration><NoncurrentDays>9</NoncurrentDays>"
        "<NewerNoncurrentVersions>2</NewerNoncurrentVersions></NoncurrentVersionExpiration>"
    ),
    (
        "<Filter><And><Prefix>a</Prefix><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>9"
        "</ObjectSizeLessThan><Tag><Key>a</Key><Value>b</Value></Tag><Tag><Key>c</Key><Value></Value></Tag></And></Filter>"
        "<Status>Enabled</Status><Transition><Date>2030-01-02T00:00:00Z</Date><StorageClass>GLACIER</StorageClass>"
        "</Transition><NoncurrentVersionTransition><NoncurrentDays>3</NoncurrentDays><StorageClass>DEEP_ARCHIVE"
        "</StorageClass></NoncurrentVersionTransition>"
    ),
]


@functools.cache
def s3_model() -> Any:
    """botocore's model of S3."""
    return Session().get_service_model("s3")


@given(st.lists(st.sampled_from(FORMS), min_size=1, max_size=5), st.booleans())
def test_all_known_forms_of_rules_pass(forms: list[str], spaced: bool) -> None:
    """Whatever S3 knows gets through, with or without namespace and white space."""
    between = "\n  " if spaced else ""
    rules = between.join(f"<Rule>{between}{form}{between}</Rule>" for form in forms)
    head = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' if spaced else ""
    made = as_parameters(s3_model(), f"<LifecycleConfiguration{head}>{rules}</LifecycleConfiguration>".encode())
    assert len(made["Rules"]) == len(forms)


@pytest.mark.parametrize("document", [b"", b"no xml", b"<LifecycleConfiguration/>", b"<Other><Rule/></Other>"])
def test_what_are_no_rules_is_not_sent(s3: S3BucketKit, document: bytes) -> None:
    s3.server.clear()
    with pytest.raises(errors.Failure):
        s3.bucket.put_lifecycle(document)
    assert s3.server.requests() == []


def test_rules_that_the_provider_refuses(cold: Kit) -> None:
    """Are told as such, and what was there stays."""
    cold.bucket.put_lifecycle(cold.rules)
    wrong = cold.rules.replace(b"<ID>parts</ID>", b"<ID>one</ID>")
    with pytest.raises(errors.Failure, match="does not accept these lifecycle rules \\(400 InvalidArgument\\)"):
        cold.bucket.put_lifecycle(wrong)
    assert normal(cold.bucket.lifecycle()) == normal(cold.rules)


def test_the_smallest_size_to_be_moved_stays(s3: S3BucketKit) -> None:
    """S3 keeps it beside the rules, and a put without it would reset it."""
    kept = "varies_by_storage_class"
    rules = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 9}}]}
    where = {"Bucket": s3.bucket_name}
    s3.client.put_bucket_lifecycle_configuration(
        **where, LifecycleConfiguration=rules, TransitionDefaultMinimumObjectSize=kept
    )
    s3.bucket.put_lifecycle(s3.rules)
    read = s3.client.get_bucket_lifecycle_configuration(**where)
    assert (read["TransitionDefaultMinimumObjectSize"], len(read["Rules"])) == (kept, 2)


def test_versions_and_markers(kit: Kit) -> None:
    """All of them, over pages, in the order of the keys and newest first; nothing else is the latest."""
    bucket, store = kit.bucket, kit.store
    store.put("early", b"0")
    assert bucket.versioning() == "off"
    kit.keep_versions()
    assert bucket.versioning() == "enabled"
    for content in (b"1", b"22", b"333"):
        store.put(ODD, content)
    store.delete(ODD)
    store.put(ODD, b"4444")
    store.put("z", b"1")
    store.delete("z")
    found = list(bucket.versions(""))
    assert [(item.key, item.size, item.latest, item.marker) for item in found] == [
        (ODD, 4, True, False),
        (ODD, 0, False, True),
        (ODD, 3, False, False),
        (ODD, 2, False, False),
        (ODD, 1, False, False),
        ("early", 1, True, False),
        ("z", 0, True, True),
        ("z", 1, False, False),
    ]
    assert len({(item.key, item.version) for item in found}) == len(found)
    assert [item.key for item in bucket.versions("z")] == ["z", "z"]
    kit.keep_versions("Suspended")
    assert bucket.versioning() == "suspended"


def test_versions_are_brought_back(kit: Kit) -> None:
    """From below a marker, and as a copy of an older one with its tags; both may be done again."""
    bucket, store = kit.bucket, kit.store
    kit.keep_versions()
    store.put(ODD, b"old")
    bucket.tag(ODD, "tier", "cold")
    store.put(ODD, b"new")
    store.delete(ODD)
    marker, new, old = bucket.versions(ODD)
    with pytest.raises(errors.ObjectMissing):
        bucket.tags(ODD)
    assert [bucket.read_version(one) for one in (new, old)] == [b"new", b"old"]
    for _ in range(2):
        bucket.bring_back(new, marker)
        assert store.get(ODD) == b"new"
    assert [item.version for item in bucket.versions(ODD)] == [new.version, old.version]
    for _ in range(2):
        bucket.bring_back(old, None)
        assert store.get(ODD) == b"old"
    assert bucket.tags(ODD) == {"tier": "cold"}
    left = list(bucket.versions(ODD))
    assert [item.version for item in left[-2:]] == [new.version, old.version]


def test_nothing_but_a_marker_is_ever_removed(kit: Kit) -> None:
    """A version in the place of the marker is refused: removing that would destroy it."""
    kit.keep_versions()
    kit.store.put("a", b"1")
    kit.store.put("a", b"2")
    kit.store.put("b", b"1")
    kit.store.delete("b")
    two, one, marker, _ = before = list(kit.bucket.versions(""))
    for version, wrong in ((one, two), (one, marker), (marker, None)):
        with pytest.raises(errors.UsageError):
            kit.bucket.bring_back(version, wrong)
    assert list(kit.bucket.versions("")) == before


def test_frozen_versions_need_a_thaw_first(cold: Kit) -> None:
    cold.keep_versions()
    cold.freeze("a")
    cold.store.put("a", b"new")
    _, old = cold.bucket.versions("a")
    assert old.storage_class.upper() == cold.frozen_class.upper()
    with pytest.raises(errors.Failure, match="in cold storage"):
        cold.bucket.bring_back(old, None)
    assert cold.store.get("a") == b"new"


def test_thaws(cold: Kit) -> None:
    """Frozen, thawing, thawed until a time, and readable ones; asking again is no error."""
    bucket = cold.bucket
    cold.freeze(ODD)
    cold.store.put("warm", b"1")
    assert bucket.thaw_state("warm") == Thaw(state="readable")
    bucket.thaw("warm", 3, "standard")
    assert bucket.thaw_state(ODD) == Thaw(state="frozen")
    for _ in range(2):
        bucket.thaw(ODD, 3, "bulk")
        assert bucket.thaw_state(ODD) == Thaw(state="thawing")
    with pytest.raises(errors.Failure, match="in cold storage"):
        cold.store.get(ODD)
    cold.freeze("quick")
    with quick_thaws(cold.server):
        bucket.thaw("quick", 3, "expedited")
    state = bucket.thaw_state("quick")
    assert state.state == "thawed" and state.until is not None
    assert cold.store.get("quick") == b"cold"
    bucket.thaw("quick", 5, "standard")
    later = bucket.thaw_state("quick").until
    assert later is not None and later - state.until > timedelta(days=1)
    for call in (lambda: bucket.thaw("missing", 1, "bulk"), lambda: bucket.thaw_state("missing")):
        with pytest.raises(errors.ObjectMissing, match="'missing'"):
            call()


def test_every_class_thaws_at_every_speed(cold: Kit) -> None:
    """Where the class has no such speed, or fewer days, what it has is asked for."""
    kinds = {"s3": ("GLACIER", "DEEP_ARCHIVE"), "oss": ("Archive", "ColdArchive", "DeepColdArchive")}[cold.name]
    speeds: tuple[ThawSpeed, ...] = get_args(ThawSpeed)
    with quick_thaws(cold.server):
        now = clock_of(cold)
        for kind, speed in itertools.product(kinds, speeds):
            cold.freeze(kind, kind)
            cold.bucket.thaw(kind, 30, speed)
            state = cold.bucket.thaw_state(kind)
            assert state.state == "thawed" and state.until is not None, (kind, speed)
            days = timedelta(days=7 if kind == "Archive" else 30)
            assert abs(state.until - now - days) < timedelta(hours=1), (kind, speed)


def clock_of(kit: Kit) -> datetime:
    """The server's clock, by a thaw of one day."""
    kit.freeze("clock")
    kit.bucket.thaw("clock", 1, "standard")
    until = kit.bucket.thaw_state("clock").until
    assert until is not None
    return until - timedelta(days=1)


def test_locks_of_s3(plain: S3BucketKit) -> None:
    """None, on without a default, and with one; and until when a version is kept, by retention and by a hold."""
    assert plain.bucket.lock() is None
    plain.store.put("free", b"1")
    assert plain.bucket.locked_until(next(plain.bucket.versions(""))) is None
    name = new_name()
    plain.client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    locked = S3BucketKit(plain.server, name)
    found = locked.bucket.lock()
    assert found is not None and (found.mode, found.days, found.since) == ("enabled", 0, None)
    locked.store.put("before", b"1")
    assert locked.bucket.locked_until(next(locked.bucket.versions("before"))) is None
    usual = {"Mode": "GOVERNANCE", "Days": 3}
    locked.client.put_object_lock_configuration(
        Bucket=name,
        ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": usual}},
    )
    found = locked.bucket.lock()
    assert found is not None and (found.mode, found.days) == ("GOVERNANCE", 3)
    locked.store.put("after", b"1")
    version = next(locked.bucket.versions("after"))
    until = locked.bucket.locked_until(version)
    assert until is not None and timedelta(days=2) < until - datetime.now(UTC) < timedelta(days=4)
    locked.client.put_object_legal_hold(Bucket=name, Key="after", LegalHold={"Status": "ON"})
    assert locked.bucket.locked_until(version) == datetime.max.replace(tzinfo=UTC)
    locked.client.put_object_legal_hold(Bucket=name, Key="after", LegalHold={"Status": "OFF"})
    locked.store.delete("after")
    assert locked.bucket.locked_until(next(locked.bucket.versions("after"))) is None


def test_retention_of_oss(oss_bucket: OssBucketKit) -> None:
    """In progress, then locked; counted from when it was made."""
    assert oss_bucket.bucket.lock() is None
    worm = oss_bucket.client.init_bucket_worm(30).worm_id
    for state in ("InProgress", "Locked"):
        found = oss_bucket.bucket.lock()
        assert found is not None and (found.mode, found.days) == (state, 30)
        assert found.since is not None and found.since.tzinfo is UTC
        if state == "InProgress":
            oss_bucket.client.complete_bucket_worm(worm)
    oss_bucket.store.put("a", b"1")
    assert oss_bucket.bucket.locked_until(next(oss_bucket.bucket.versions(""))) is None


def test_wrong_secrets(cold: Kit) -> None:
    """Every call says so, and shows no secret."""
    cold.store.put("a", b"1")
    wrong = cold.wrong(secret="not-the-secret")
    for _, call in CALLS:
        with pytest.raises(errors.TargetRefused, match="secret") as caught:
            call(wrong)
        assert "not-the-secret" not in caught.value.message + caught.value.hint


def test_calls_that_are_not_allowed(cold: Kit) -> None:
    """The sentence names the call, and the hint the permission; the same where the store has no such call."""
    cold.store.put("a", b"1")
    for status, code, words, kind in (
        (403, "AccessDenied", "does not let us", errors.TargetRefused),
        (501, "NotImplemented", "has no call to", errors.NoSuchCall),
        (405, "MethodNotAllowed", "has no call to", errors.NoSuchCall),
    ):
        for name, call in CALLS:
            method = "" if name != "read its objects" else "HEAD"
            cold.server.fail_next(1, status, code, method=method, contains=cold.bucket_name)
            with pytest.raises(errors.TargetRefused, match=words) as caught:
                call(cold.bucket)
            assert type(caught.value) is kind
            # OSS looks at the object before it thaws it.
            assert name in caught.value.message or (name, cold.name) == ("thaw", "oss")
            assert "s3:" in caught.value.hint or "oss:" in caught.value.hint
            assert caught.value.exit_code == errors.UNREACHABLE
    assert cold.store.get("a") == b"1"


def test_what_the_second_identity_may_not(s3: S3BucketKit) -> None:
    """As above, by real permissions: it writes objects and tags, and has no say over the rules."""
    bucket = s3.wrong(s3.server.second.access_key, s3.server.second.secret_key)
    with pytest.raises(errors.TargetRefused, match="does not let us read its lifecycle rules") as caught:
        bucket.lifecycle()
    assert "s3:GetLifecycleConfiguration" in caught.value.hint
    with pytest.raises(errors.TargetRefused, match="does not let us change its lifecycle rules"):
        bucket.put_lifecycle(None)
    s3.store.put("a", b"1")
    assert bucket.tag("a", "tier", "cold")


def test_missing_buckets(kit: Kit) -> None:
    """Are no missing objects, and not empty."""
    missing = kit.elsewhere()
    for name, call in CALLS:
        if name == "thaw" and isinstance(kit.server, S3Server):  # SeaweedFS has no thaws, whatever the bucket
            with pytest.raises(errors.TargetRefused, match="has no call to thaw"):
                call(missing)
            continue
        with pytest.raises(errors.NoRepository, match="There is no bucket"):
            call(missing)


def test_servers_that_are_down(cold: Kit) -> None:
    """Are said so, and not taken for an empty bucket."""
    (port,) = free_ports(1)
    for _, call in CALLS[::3]:
        with pytest.raises(errors.TargetUnreachable, match="refuses the connection"):
            call(cold.at(f"http://127.0.0.1:{port}"))


def test_servers_that_speak_something_else(cold: Kit) -> None:
    """A page that is no listing ends none."""
    with start_sts() as other:
        for _, call in CALLS[::3]:
            with pytest.raises((errors.TargetUnreachable, errors.TargetRefused)):
                call(cold.at(other.url))


def test_passing_faults_are_tried_again(cold: Kit) -> None:
    cold.store.put("a", b"1")
    cold.server.clear()
    for _, call in CALLS:
        cold.server.fail_next(1, 503, "ServiceUnavailable", contains=cold.bucket_name)
        call(cold.bucket)
    assert [one["status"] for one in cold.server.requests()].count(503) == len(CALLS)


times = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001


@given(times)
def test_restore_headers(at: datetime) -> None:
    """Whatever time they name."""
    text = format_datetime(at.replace(tzinfo=UTC, microsecond=0), usegmt=True)
    read = thaw_of(f'ongoing-request="false", expiry-date="{text}"')
    assert read == Thaw(state="thawed", until=parsedate_to_datetime(text))


@given(st.text())
def test_other_restore_headers(text: str) -> None:
    """What is not understood never makes a frozen object a readable one."""
    assert thaw_of(text).state == "frozen" or "ongoing-request" in text
    assert thaw_of(None) == Thaw(state="frozen")
    assert thaw_of('ongoing-request="false", expiry-date="never"') == Thaw(state="thawed")


@given(st.binary())
def test_listings_that_are_none(document: bytes) -> None:
    """Fail, and do not end a listing."""
    with pytest.raises((ET.ParseError, ValueError, KeyError)):
        read_versions(b"<ListVersionsResult><Version>" + document, str, "STANDARD")
