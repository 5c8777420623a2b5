"""What the bucket stores say, and how soon, when the other side is wrong, gone, slow or in trouble."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from resticwrap import errors
from resticwrap.ports import TargetStore
from tests.contract.stores import QUICK, BucketKit, OssKit, S3Kit, Waits
from tests.servers.child import LOOPBACK, free_ports
from tests.servers.oss import OssServer
from tests.servers.proxy import TcpProxy

PROBES: list[Callable[[TargetStore], Any]] = [
    lambda store: store.probe(),
    lambda store: store.get("key"),
    lambda store: store.put("key", b"x"),
    lambda store: list(store.list("")),
    lambda store: store.delete("key"),
]


@pytest.fixture(params=["s3", "oss"])
def kit(request: pytest.FixtureRequest) -> BucketKit:
    """Each of the buckets in turn, made."""
    made: BucketKit = request.getfixturevalue(f"{request.param}_kit")
    made.store().create()
    return made


@pytest.fixture(params=["s3", "oss"])
def troubled(request: pytest.FixtureRequest, oss_kit: OssKit, s3_kit: S3Kit) -> tuple[OssServer, BucketKit, str]:
    """A server that can be told to fail, which speaks both dialects; a kit; and the server's endpoint."""
    made: BucketKit = oss_kit if request.param == "oss" else s3_kit
    made.store().create()
    return oss_kit.server, made, oss_kit.server.path_endpoint


def test_a_wrong_secret(kit: BucketKit) -> None:
    """The sentence tells it from an unknown key, the hint where to look, and neither shows it."""
    store = kit.with_keys(secret="not-the-secret-at-all")
    for call in PROBES:
        with pytest.raises(errors.TargetRefused, match="secret does not belong") as caught:
            call(store)
        assert caught.value.exit_code == 22
        assert ("AWS_SECRET_ACCESS_KEY" if kit.name == "s3" else "OSS_ACCESS_KEY_SECRET") in caught.value.hint
        assert "not-the-secret" not in repr(caught.value) + caught.value.hint
        assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_an_unknown_key(kit: BucketKit) -> None:
    """An access key that the store has never heard of."""
    store = kit.with_keys(key="NOSUCHKEY00000000000")
    for call in PROBES:
        with pytest.raises(errors.TargetRefused, match="does not know the access key") as caught:
            call(store)
        assert ("AWS_ACCESS_KEY_ID" if kit.name == "s3" else "OSS_ACCESS_KEY_ID") in caught.value.hint


def test_a_refusal_still_tells_the_time(kit: BucketKit) -> None:
    """A wrong clock is a common reason to be refused, so the other one must be known just then."""
    assert kit.with_keys(secret="not-the-secret-at-all").time() is not None


def test_nobody_listens(kit: BucketKit) -> None:
    """Every call gives up within seconds."""
    (port,) = free_ports(1)
    store = kit.at(f"http://{LOOPBACK}:{port}")
    for call in PROBES:
        begun = time.monotonic()
        with pytest.raises(errors.TargetUnreachable, match="refuses the connection") as caught:
            call(store)
        assert time.monotonic() - begun < 10
        assert str(port) in caught.value.message and caught.value.exit_code == 22


def test_no_such_host(kit: BucketKit) -> None:
    """A name that does not resolve."""
    with pytest.raises(errors.TargetUnreachable, match="cannot be found by its name"):
        kit.at("http://store.invalid").probe()


def test_an_endpoint_that_says_nothing(kit: BucketKit) -> None:
    """A connection that comes about and then stalls ends with the read timeout, once for a probe."""
    endpoint = kit.store().restic_access().base.removeprefix("s3:http://").partition("/")[0]
    host, _, port = endpoint.partition(":")
    with TcpProxy(host, int(port)) as proxy:
        store = kit.at(proxy.endpoint, timeouts=QUICK, clock=Waits())
        store.probe()
        proxy.stall()
        begun = time.monotonic()
        with pytest.raises(errors.TargetUnreachable, match="does not answer in time"):
            store.probe()
        assert time.monotonic() - begun < 3
        with pytest.raises(errors.TargetUnreachable, match="does not answer in time"):
            store.put("key", b"x")
        assert time.monotonic() - begun < 8


def test_a_cut_connection_is_made_again(kit: BucketKit) -> None:
    """Kept connections that were cut meanwhile are no fault that anybody sees."""
    endpoint = kit.store().restic_access().base.removeprefix("s3:http://").partition("/")[0]
    host, _, port = endpoint.partition(":")
    with TcpProxy(host, int(port)) as proxy:
        store = kit.at(proxy.endpoint)
        store.put("key", b"x")
        proxy.cut()
        proxy.restore()
        assert store.get("key") == b"x"


def test_https_to_a_port_that_speaks_http(kit: BucketKit) -> None:
    """The hint names the scheme."""
    endpoint = kit.store().restic_access().base.removeprefix("s3:http://").partition("/")[0]
    with pytest.raises(errors.TargetUnreachable, match="does not speak TLS") as caught:
        kit.at(f"https://{endpoint}").probe()
    assert "https" in caught.value.hint


def test_a_certificate_of_ones_own(oss_kit: OssKit, s3_kit: S3Kit) -> None:
    """Not trusted without `ca_file`, and not tried again; trusted with it, from the policy or from the environment."""
    server, waits = oss_kit.server, Waits()
    for kit in (oss_kit, s3_kit):
        kit.store().create()
        with pytest.raises(errors.TargetUnreachable, match="not trusted") as caught:
            kit.at(server.tls_endpoint, clock=waits).get("key")
        assert "ca_file" in caught.value.hint and not waits.slept
        store = kit.at(server.tls_endpoint, env={"SSL_CERT_FILE": str(server.ca_file)})
        store.put("key", b"x")
        assert store.get("key") == b"x"
        assert store.restic_access().ca_file == server.ca_file


@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable"), (429, "TooManyRequests"), (502, "Odd")],
)
def test_passing_trouble_is_tried_again(troubled: tuple[OssServer, BucketKit, str], status: int, code: str) -> None:
    """Two failures in a row are not seen by the caller; the waits between are jittered and short."""
    server, kit, endpoint = troubled
    waits = Waits()
    store = kit.at(endpoint, clock=waits)
    store.put("key", b"body")
    server.fail_next(2, status, code)
    assert store.get("key") == b"body"
    assert len(waits.slept) == 2 and all(0 <= wait <= 2 for wait in waits.slept)


def test_trouble_that_stays(troubled: tuple[OssServer, BucketKit, str]) -> None:
    """Three attempts, then the truth; a probe makes one."""
    server, kit, endpoint = troubled
    store = kit.at(endpoint, clock=Waits())
    for call, attempts in ((store.probe, 1), (lambda: store.get("key"), 3), (lambda: list(store.list("")), 3)):
        server.clear()
        server.fail_next(9, 503, "SlowDown")
        with pytest.raises(errors.TargetUnreachable, match="503 SlowDown"):
            call()
        assert len(server.requests()) == attempts


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (403, "AccessDenied", errors.TargetRefused),
        (403, "RequestTimeTooSkewed", errors.TargetRefused),
        (403, "SecondLevelDomainForbidden", errors.TargetRefused),
        (400, "InvalidArgument", errors.TargetRefused),
        (403, "QuotaExceeded", errors.DiskFull),
        (403, "InvalidObjectState", errors.Frozen),
        (501, "NotImplemented", errors.TargetUnreachable),
    ],
)
def test_what_does_not_pass_is_not_repeated(
    troubled: tuple[OssServer, BucketKit, str], status: int, code: str, kind: type[errors.Failure]
) -> None:
    """One request, and the error that it means."""
    server, kit, endpoint = troubled
    server.clear()
    server.fail_next(5, status, code)
    with pytest.raises(kind) as caught:
        kit.at(endpoint, clock=Waits()).get("key")
    assert type(caught.value) is kind
    assert len(server.requests()) == 1


def test_put_if_absent_is_repeated_only_where_it_was_not_done(troubled: tuple[OssServer, BucketKit, str]) -> None:
    """After 503 it was not; after 500 nobody knows, and a second try could meet the first one's object."""
    server, kit, endpoint = troubled
    store = kit.at(endpoint, clock=Waits())
    server.fail_next(1, 503, "SlowDown")
    store.put("once", b"x", if_absent=True)
    server.fail_next(1, 500, "InternalError")
    with pytest.raises(errors.TargetUnreachable):
        store.put("twice", b"x", if_absent=True)
    with pytest.raises(errors.ObjectMissing):
        store.get("twice")


def test_a_listing_goes_on_after_trouble(troubled: tuple[OssServer, BucketKit, str]) -> None:
    """A page that fails is asked for again; none is lost, none comes twice."""
    server, kit, endpoint = troubled
    store = kit.at(endpoint, clock=Waits(), page=3)
    keys = [f"n{number}" for number in range(8)]
    for key in keys:
        store.put(key, b"x")
    found = store.list("")
    seen = [next(found).key, next(found).key]
    server.fail_next(1, 500, "InternalError")
    assert seen + [item.key for item in found] == keys


def test_a_proxy_is_used_and_avoided_as_restic_does(oss_kit: OssKit) -> None:
    """The bucket's name in front of a host that nothing resolves, through HTTP_PROXY; not where NO_PROXY names it."""
    server = oss_kit.server
    oss_kit.store().create()
    server.clear()
    store = oss_kit.at(server.endpoint, env={"http_proxy": server.proxy_url})
    store.put("key", b"x")
    assert [asked["style"] for asked in server.requests()] == ["virtual"]
    access = store.restic_access()
    assert access.env["HTTP_PROXY"] == server.proxy_url
    assert "s3.bucket-lookup=dns" in access.options and f"s3.region={server.region}" in access.options
    host = server.endpoint.removeprefix("http://")
    avoiding = oss_kit.at(server.endpoint, env={"HTTP_PROXY": server.proxy_url, "NO_PROXY": host})
    with pytest.raises(errors.TargetUnreachable, match="cannot be found"):
        avoiding.probe()
    (port,) = free_ports(1)
    dead = oss_kit.at(server.endpoint, env={"HTTP_PROXY": f"http://user:sesame@{LOOPBACK}:{port}"})
    with pytest.raises(errors.TargetUnreachable, match="through the proxy") as caught:
        dead.probe()
    assert "sesame" not in caught.value.message + caught.value.hint
    assert "sesame" in dead.restic_access().secrets
