"""What OSS keeps of a bucket and SeaweedFS does not: classes, thaws, lifecycle rules, checksums; and the clock."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

DAY = 86400.0
CLASSES = ("Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive")
# Seconds that a thaw takes. OSS says "about a minute", "hours", "12 to 48 hours": the exact figures are ours.
THAW_SECONDS = {"Archive": 60.0, "ColdArchive": 5 * 3600.0, "DeepColdArchive": 48 * 3600.0}
# The same of S3: "3 to 5 hours", "within 12 hours".
THAW_SECONDS |= {"GLACIER": 4 * 3600.0, "DEEP_ARCHIVE": 12 * 3600.0}


class Clock:
    """Real time plus what tests advanced."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset


@dataclass
class ObjectState:
    """Class, CRC64 (empty when unknown), and the thaw: ready at, and frozen again at (both 0 when never asked for)."""

    storage_class: str = "Standard"
    crc64: str = ""
    thaw_ready: float = 0.0
    thaw_ends: float = 0.0

    def thaw(self, now: float) -> str:
        """`frozen`, `thawing`, `thawed`, or `none` for a class that needs no thaw."""
        if self.storage_class not in THAW_SECONDS:
            return "none"
        if self.thaw_ready and now < self.thaw_ready:
            return "thawing"
        return "thawed" if self.thaw_ready and now < self.thaw_ends else "frozen"

    def restore_header(self, now: float) -> str:
        """The value of `x-oss-restore`, empty when there is none to send."""
        match self.thaw(now):
            case "thawing":
                return 'ongoing-request="true"'
            case "thawed":
                ends = format_datetime(datetime.fromtimestamp(self.thaw_ends, UTC), usegmt=True)
                return f'ongoing-request="false", expiry-date="{ends}"'
        return ""


@dataclass
class BucketState:
    """Settings of one bucket; `objects` by `state_name`, `uploads` the class that each open multipart upload will get.
    `minimum` is S3's TransitionDefaultMinimumObjectSize, `worm` OSS's retention policy; `versioned` once a write was
    answered with a version."""

    storage_class: str = "Standard"
    acl: str = "private"
    lifecycle: str = ""
    encryption: str = ""
    minimum: str = ""
    worm: dict[str, str] = field(default_factory=dict)
    versioned: bool = False
    objects: dict[str, ObjectState] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)


def state_name(key: str, version: str | None) -> str:
    """By what the state of a version is kept; objects without versions, and `null` ones, go by their key."""
    return key if version in (None, "", "null") else f"{key}\n{version}"


class State:
    """All buckets. Safe to use from many threads; written to `file` by `save`, so that a restart finds it again."""

    def __init__(self, clock: Clock, file: Path, default_class: str = "Standard") -> None:
        self.clock, self._file, self._default_class = clock, file, default_class
        self.thaw_takes = -1.0
        self.smallest = 128 * 1024
        self._lock = threading.RLock()
        self._buckets: dict[str, BucketState] = {}
        if file.exists():
            stored = json.loads(file.read_text())
            clock.offset = stored["offset"]
            for name, values in stored["buckets"].items():
                objects = {key: ObjectState(**item) for key, item in values.pop("objects").items()}
                self._buckets[name] = BucketState(objects=objects, **values)

    def save(self) -> None:
        """Write everything down."""
        with self._lock:
            buckets = {name: dataclasses.asdict(bucket) for name, bucket in self._buckets.items()}
        self._file.write_text(json.dumps({"offset": self.clock.offset, "buckets": buckets}))

    def bucket(self, name: str) -> BucketState:
        """The state of a bucket, with defaults for one that came by the S3 dialect."""
        with self._lock:
            return self._buckets.setdefault(name, BucketState(self._default_class))

    def forget(self, name: str) -> None:
        """The bucket is gone."""
        with self._lock:
            self._buckets.pop(name, None)

    def object(self, bucket: str, key: str, version: str | None = "") -> ObjectState:
        """The state of an object, or of that version of it; one never set has its bucket's class."""
        with self._lock:
            home = self.bucket(bucket)
            return home.objects.get(state_name(key, version)) or ObjectState(home.storage_class)

    def put_object(self, bucket: str, key: str, state: ObjectState, version: str | None = "") -> None:
        """An object was written, moved to another class, or asked for."""
        with self._lock:
            home = self.bucket(bucket)
            home.objects[state_name(key, version)] = state
            home.versioned = home.versioned or version not in (None, "", "null")

    def thaw_seconds(self, storage_class: str) -> float:
        """How long a thaw that is asked for now takes."""
        return self.thaw_takes if self.thaw_takes >= 0 else THAW_SECONDS[storage_class]

    def names(self) -> list[str]:
        """Buckets with a state."""
        with self._lock:
            return list(self._buckets)


@dataclass
class Fault:
    """Answer the next `left` matching requests with an error instead of doing them."""

    left: int
    status: int
    code: str
    method: str = ""
    contains: str = ""


class Faults:
    """Errors and delays that tests ask for, and the record of what was requested."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[Fault] = []
        self._seen: deque[dict[str, str | int]] = deque(maxlen=20000)
        self.latency = 0.0

    def plan(self, fault: Fault) -> None:
        """Add one; earlier ones go first."""
        with self._lock:
            self._planned.append(fault)

    def take(self, method: str, target: str) -> Fault | None:
        """The fault for this request, used up by one."""
        with self._lock:
            for fault in self._planned:
                if fault.left > 0 and fault.method in ("", method) and fault.contains in target:
                    fault.left -= 1
                    return fault
        return None

    def record(self, **entry: str | int) -> None:
        """Note an answered request."""
        with self._lock:
            self._seen.append(entry)

    def seen(self) -> list[dict[str, str | int]]:
        """Requests in the order of their answers."""
        with self._lock:
            return list(self._seen)

    def clear(self) -> None:
        """No more faults, no latency, an empty record."""
        with self._lock:
            self._planned.clear()
            self._seen.clear()
            self.latency = 0.0
