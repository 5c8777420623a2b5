"""Alerts while things break: killed while they tell, two at once, and channels that hang."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.faults.test_full_disk import room
from tests.lab import Lab
from tests.servers.receiver import Received, Receiver, start_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with start_receiver() as server:
        yield server


@pytest.fixture
def late(lab: Lab, receiver: Receiver) -> Lab:
    """A lab in which `kit` fires, and a channel that hears of it."""
    rules = {name: {"severity": "off"} for name in ("gate", "drill_overdue", "disk")}
    channels = {"ops": {"url": f"json://{receiver.at}/ops", "timeout": "10s"}}
    (lab.folder / "policies/alerts.yaml").write_text(yaml.safe_dump({"alerts": {"channels": channels, "rules": rules}}))
    lab.fill()
    lab.rw("backup")
    return lab


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def change(lab: Lab, **alerts: Any) -> None:
    """Change `alerts.yaml`."""
    file = lab.folder / "policies/alerts.yaml"
    file.write_text(yaml.safe_dump({"alerts": {**yaml.safe_load(file.read_text())["alerts"], **alerts}}))


def test_a_look_that_is_killed_while_it_tells(late: Lab, receiver: Receiver) -> None:
    """What is owed is in the book before it is sent, so the next look tells it, once."""
    receiver.behave = lambda _: None
    child = late.start("alerts", "check")
    until(lambda: bool(receiver.received))
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    receiver.clear()
    assert late.json("alerts", "list")["alerts"][0]["rule"] == "kit"
    (delivery,) = late.json("alerts", "check")["deliveries"]
    assert delivery["ok"] and delivery["told"] == 1
    late.rw("alerts", "check")
    assert len(receiver.received) == 1


def test_two_looks_at_once_tell_it_once(late: Lab, receiver: Receiver) -> None:
    """The second waits for the first, whose channel takes its time, and finds nothing left to tell."""

    def slowly(_: Received) -> int:
        time.sleep(1)
        return 200

    receiver.behave = slowly
    children = [late.start("alerts", "check") for _ in range(2)]
    assert [child.wait(30) for child in children] == [0, 0]
    for child in children:
        child.communicate()
    assert len(receiver.received) == 1


def test_a_channel_that_hangs_delays_nobody_for_long(late: Lab, receiver: Receiver) -> None:
    """The look ends after the channel's time, with exit code 1, and a backup does not even notice."""
    change(late, channels={"ops": {"url": f"json://{receiver.at}/ops", "timeout": "1s"}})
    receiver.behave = lambda _: None
    began = time.monotonic()
    run = late.rw("alerts", "check", code=1)
    assert time.monotonic() - began < 8 and "did not answer within 1 s" in run.out
    assert late.rw("backup").code == 0
    assert "ops takes nothing" in late.rw("alerts", "list").out


def test_a_state_directory_that_cannot_be_used_is_no_silence(late: Lab, receiver: Receiver) -> None:
    """Neither the lock nor the book of alerts can be had there: people are told all the same."""
    for name in ("alerts", "locks"):
        if (late.state / name).exists():
            (late.state / name).rename(late.folder / name)
        (late.state / name).write_text("a file where a folder should be")
    run = late.json("alerts", "check")
    (message,) = receiver.received
    assert "kit" in message.json["message"]
    assert "cannot be used" in str(run["notes"])


def test_a_full_disk_is_told(late: Lab, receiver: Receiver) -> None:
    """Also where there is no room left for the book itself: what cannot be written down is told all the same."""
    change(late, rules={name: {"severity": "off"} for name in ("gate", "drill_overdue")})
    with room(late, late.state, "16m") as disk:
        disk.rw("alerts", "check")
        disk.fill()
        receiver.clear()
        run = disk.rw("alerts", "check", "--json")
        (message,) = receiver.received
        assert "disk/state directory space" in message.json["message"] and "100 % full" in message.json["message"]
        assert "There is no room left" in str(run.json["notes"])
