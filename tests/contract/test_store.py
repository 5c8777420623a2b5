"""What Store promises, shown of every store."""

import io
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest

from resticwrap import errors
from resticwrap.ports import TargetStore
from tests.contract.stores import LocalKit, StoreKit


@pytest.fixture
def store(kit: StoreKit) -> TargetStore:
    """A store whose bucket is there."""
    store = kit.store()
    assert store.create() is True
    return store


def test_create_says_whether_it_was_new(kit: StoreKit) -> None:
    """A bucket is made once; making it again is no error."""
    assert kit.store().create() is True
    assert kit.store().create() is False
    kit.store().probe()


def test_a_missing_bucket_is_no_repository(kit: StoreKit) -> None:
    """Every call on a bucket that is not there says so, and none makes it."""
    store = kit.store()
    calls = [
        store.probe,
        lambda: store.get("a/key"),
        lambda: store.put("a/key", b"x"),
        lambda: store.put("a/key", b"x", if_absent=True),
        lambda: list(store.list("")),
        lambda: store.delete("a/key"),
        store.probe,
    ]
    for call in calls:
        with pytest.raises(errors.NoRepository) as caught:
            call()
        assert caught.value.exit_code == 10
        assert "rw init" in caught.value.hint


def test_put_and_get(store: TargetStore) -> None:
    """Bytes come back as they were, and a second put replaces them."""
    body = bytes(range(256)) * 40
    store.put("one/two/three.bin", body)
    assert store.get("one/two/three.bin") == body
    store.put("one/two/three.bin", b"")
    assert store.get("one/two/three.bin") == b""


def test_put_takes_streams(store: TargetStore) -> None:
    """A file, a file that is half read, and a pipe are stored from where they stand."""
    file = io.BytesIO(b"x" * 3_000_000)
    store.put("file", file)
    assert store.get("file") == b"x" * 3_000_000
    half = io.BytesIO(b"0123456789")
    half.seek(4)
    store.put("half", half)
    assert store.get("half") == b"456789"
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with open(reading, "rb") as pipe:
        store.put("pipe", pipe, if_absent=True)
    assert store.get("pipe") == b"through a pipe"


@pytest.mark.parametrize(
    ("offset", "length", "expected"),
    [(0, 4, b"0123"), (3, None, b"3456789"), (3, 2, b"34"), (8, 50, b"89"), (10, None, b""), (99, 5, b""), (2, 0, b"")],
)
def test_ranges(store: TargetStore, offset: int, length: int | None, expected: bytes) -> None:
    """A range is what a file would give: short at the end, empty behind it."""
    store.put("digits", b"0123456789")
    assert store.get("digits", offset, length) == expected


def test_a_missing_object(store: TargetStore) -> None:
    """Reading what is not there says so; deleting it, twice, is no error."""
    store.put("folder/object", b"x")
    for key in ("nothing", "folder/nothing", "folder", "folder/object/below"):
        with pytest.raises(errors.ObjectMissing):
            store.get(key)
        with pytest.raises(errors.ObjectMissing):
            store.get(key, 1, 2)
    store.delete("folder/object")
    store.delete("folder/object")
    store.delete("never/was")
    with pytest.raises(errors.ObjectMissing):
        store.get("folder/object")


def test_put_if_absent(store: TargetStore) -> None:
    """What is there stays, also if it is the same."""
    store.put("lock", b"first", if_absent=True)
    for body in (b"second", b"first"):
        with pytest.raises(errors.ObjectExists):
            store.put("lock", body, if_absent=True)
    assert store.get("lock") == b"first"
    store.delete("lock")
    store.put("lock", b"third", if_absent=True)
    assert store.get("lock") == b"third"


def test_of_many_writers_one_wins(store: TargetStore) -> None:
    """Put-if-absent at the same moment: exactly one succeeds, and its bytes are there."""
    start, won, lost = threading.Barrier(6), [], []

    def write(body: bytes) -> None:
        start.wait()
        try:
            store.put("race/key", body, if_absent=True)
            won.append(body)
        except errors.ObjectExists:
            lost.append(body)

    threads = [threading.Thread(target=write, args=(f"writer {number}".encode() * 1000,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 5
    assert store.get("race/key") == won[0]


def test_list_is_whole_and_in_order(kit: StoreKit, store: TargetStore) -> None:
    """More than a page; a prefix ends anywhere in a name; order is that of the keys, where `-` is before `/` (but
    SeaweedFS, below the buckets of these tests, puts a folder before its longer neighbours, unlike S3 and OSS)."""
    keys = [f"p/n{number:02d}" for number in range(16)]
    keys += ["p/a-b", "p/a.b/c", "p/a/b", "p/a0", "p/with space", "p/ünïcode/ß", "p/plus+&=%41", "q/other", "r"]
    if isinstance(kit, LocalKit):
        keys += [f"p/many/{number:05d}" for number in range(1500)]
    for key in keys:
        store.put(key, key.encode())

    def place(key: str) -> bytes:
        return (key if kit.name == "local" else key.replace("/", "\1")).encode()

    ordered = sorted(keys, key=place)
    assert [found.key for found in store.list("")] == ordered
    for prefix in ("p/", "p/a", "p/a/", "p/n1", "p/ü", "q/other", "nothing", "nothing/at/all"):
        assert [found.key for found in store.list(prefix)] == [key for key in ordered if key.startswith(prefix)]


def test_what_list_tells(store: TargetStore) -> None:
    """Size in bytes, and when it was written, with its zone."""
    store.put("a/b", b"12345")
    (found,) = store.list("a/")
    assert found.size == 5
    assert abs(found.modified - datetime.now(UTC)) < timedelta(minutes=1)
    assert found.modified.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "..", "../outside", "a/../../outside", "a//b", "a/./b", "a/", "a\nb", "a\0b", "\udcff"]
)
def test_keys_that_could_leave_are_refused(store: TargetStore, key: str) -> None:
    """No call takes them, before anything is done."""
    for call in (store.get, store.delete, lambda key: store.put(key, b"x"), lambda key: list(store.list(f"{key}/x"))):
        with pytest.raises(errors.UsageError):
            call(key)


def test_time(kit: StoreKit) -> None:
    """A bucket tells its clock, also before it exists; a folder has none."""
    told = kit.store().time()
    if kit.name == "local":
        assert told is None
    else:
        assert told is not None and abs(told - datetime.now(UTC)) < timedelta(seconds=30)


def test_where_restic_goes(kit: StoreKit) -> None:
    """The secret is among what to mask, and neither it nor a token is in the URL, the options or the repr."""
    access = kit.store().restic_access()
    assert access.url("hot").endswith("/resticwrap/hot")
    assert access.secrets or kit.name == "local"
    for secret in access.secrets:
        assert secret in access.env.values()
        assert secret not in f"{access!r} {access.url('hot')} {access.options}"
