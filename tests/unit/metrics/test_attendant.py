"""Metrics beside the scheduler: they are answered whatever happens, and stop nothing."""

import http.client
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from resticwrap import errors
from resticwrap.clock import FixedClock
from resticwrap.metrics import textfile
from resticwrap.metrics.attendant import FRESH, SILENT, MetricsAttendant, Reports
from resticwrap.metrics.server import MOST
from resticwrap.model.base import Time
from resticwrap.model.metrics import MetricsFacts, MetricsReport
from resticwrap.planning.metrics import report
from resticwrap.services.schedule_ports import Attendant

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECRET = "hunter2"
Collect = Callable[[Time], MetricsReport]


def plain(now: Time) -> MetricsReport:
    return report(MetricsFacts(at=now, version="0.1.0"))


def broken(now: Time) -> MetricsReport:
    raise RuntimeError(f"could not log in with {SECRET}")


def state_of(attendant: MetricsAttendant) -> tuple[int | None, str]:
    """Where it answers, and why it does not."""
    return attendant.port, attendant.troubles.get("listen", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Beside:
    """An attendant that answers on loopback, and its clock."""

    def __init__(self, collect: Collect = plain, file: Path | None = None, host: str = "127.0.0.1") -> None:
        self.clock = FixedClock(START)
        self.host = host
        self.port = free_port()
        listen = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.attendant = MetricsAttendant(collect, self.clock, listen=listen, file=file)

    def __enter__(self) -> "Beside":
        self.attendant.begin()
        return self

    def __exit__(self, *exception: object) -> None:
        self.attendant.end()

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=10)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
        finally:
            connection.close()


def test_is_an_attendant() -> None:
    """The type checker holds it against the scheduler's Protocol."""
    attendant: Attendant = Beside().attendant
    assert attendant.name == "metrics"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_answers_two_pages_and_nothing_else(host: str) -> None:
    """GET alone; OpenMetrics for those who ask for it; no word of what serves it."""
    with Beside(host=host) as beside:
        status, kind, body = beside.ask("/metrics")
        assert (status, kind.split(";")[0]) == (200, "text/plain") and "resticwrap_build_info{" in body
        status, kind, body = beside.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text") and body.endswith("# EOF\n")
        assert beside.ask("/healthz")[::2] == (200, "ok\n")
        assert beside.ask("/")[::2] == (404, "404 Not Found\n")
        assert beside.ask("/../etc/passwd")[0] == 404
        status, _, body = beside.ask("/metrics", "POST")
        assert status == 501 and "Traceback" not in body
    with pytest.raises(ConnectionRefusedError):
        beside.ask("/metrics")


def collected_at(page: str) -> float:
    """When what a page tells was collected."""
    samples = [sample for family in parse(page) for sample in family.samples]
    (found,) = [sample.value for sample in samples if sample.name == "resticwrap_collected_timestamp_seconds"]
    return float(found)


def test_scrapes_share_what_was_collected() -> None:
    """Collected once for as long as it is fresh, however many ask, and again after that."""
    asked: list[Time] = []

    def noted(now: Time) -> MetricsReport:
        asked.append(now)
        return plain(now)

    with Beside(noted) as beside:
        for _ in range(3):
            beside.ask("/metrics")
            beside.clock.sleep(FRESH / 4)
        assert asked == [START]
        beside.clock.sleep(FRESH / 4)
        assert collected_at(beside.ask("/metrics")[2]) == beside.clock.now().timestamp()
        assert len(asked) == 2


def test_those_who_come_together_ask_once() -> None:
    """Threads that find nothing fresh wait for the one that collects."""
    asked: list[Time] = []
    gate = threading.Barrier(4)

    def slowly(now: Time) -> MetricsReport:
        asked.append(now)
        return plain(now)

    reports = Reports(slowly, FixedClock(START))

    def scrape() -> None:
        gate.wait()
        reports.now()

    threads = [threading.Thread(target=scrape) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_fault_is_an_answer(caplog: pytest.LogCaptureFixture) -> None:
    """200 and `resticwrap_up 0`: no traceback, and nothing of what the fault says, which may be a secret."""
    with caplog.at_level(logging.DEBUG), Beside(broken) as beside:
        beside.attendant.tick(START)
        status, _, body = beside.ask("/metrics")
    assert status == 200 and "\nresticwrap_up 0.0\n" in body
    assert SECRET not in body + caplog.text and "Traceback" not in body + caplog.text
    assert "RuntimeError" in caplog.text


def test_a_scheduler_that_fell_silent_is_not_healthy() -> None:
    with Beside() as beside:
        beside.attendant.tick(START)
        beside.clock.sleep(SILENT.total_seconds())
        assert beside.ask("/healthz")[0] == 200
        beside.clock.sleep(1)
        assert beside.ask("/healthz")[::2] == (503, "silent for 601 s\n")
        beside.attendant.tick(beside.clock.now())
        assert beside.ask("/healthz")[0] == 200


def test_a_port_that_is_taken_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and asked for again at every tick until it is free."""
    with Beside() as first:
        second = MetricsAttendant(plain, first.clock, listen=f"127.0.0.1:{first.port}", file=None)
        second.begin()
        second.tick(START)
        port, why = state_of(second)
        assert port is None and "in use" in why
        assert caplog.text.count("Nobody can scrape") == 1
    second.tick(START)
    assert state_of(second) == (first.port, "")
    assert first.ask("/metrics")[0] == 200
    second.end()


def test_the_textfile_is_fresh_after_every_tick(tmp_path: Path) -> None:
    """Readable for all, with nothing left beside it, and without timestamps, which node_exporter refuses."""
    file = tmp_path / "rw.prom"
    beside = Beside(file=file)
    for _ in range(2):
        beside.clock.sleep(60)
        beside.attendant.tick(beside.clock.now())
        assert os.listdir(tmp_path) == ["rw.prom"] and stat.S_IMODE(file.stat().st_mode) == 0o644
        assert collected_at(file.read_text()) == beside.clock.now().timestamp()
        assert not any(sample.timestamp for family in parse(file.read_text()) for sample in family.samples)
    beside.attendant.end()


def test_a_textfile_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    beside = Beside(file=tmp_path / "nowhere" / "rw.prom")
    for _ in range(2):
        beside.attendant.tick(START)
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / "nowhere").mkdir()
    beside.attendant.tick(START)
    assert beside.attendant.troubles == {}
    beside.attendant.end()


@pytest.mark.parametrize("name", ["rw.txt", ".prom", "rw.prom.1", "rw"])
def test_a_textfile_that_nobody_would_read_is_refused(name: str) -> None:
    with pytest.raises(errors.UsageError, match="would not read"):
        textfile.check(Path(name))


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.INFO):
        yield


def test_connections_that_stand_still_are_bounded() -> None:
    """They take no more descriptors and threads than a few, and a scrape is answered beside them."""
    with Beside() as beside:
        before = threading.active_count()
        idle = [socket.create_connection((beside.host, beside.port), timeout=10) for _ in range(3 * MOST)]
        assert idle[0].recv(1) == b"", "the oldest is not ended"
        assert beside.ask("/metrics")[0] == 200
        assert threading.active_count() - before <= MOST + 4
        for one in idle:
            one.close()
