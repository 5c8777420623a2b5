"""Channels and pings: each message arrives once or a reason is given, in time, and no secret gets out."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from resticwrap.model.alerting import Channel
from resticwrap.model.alerts import Delivery
from resticwrap.notify.channels import AppriseChannels
from resticwrap.notify.pings import HttpPings, address
from resticwrap.services.alert_ports import Channels, Letter, Ping, PingKind
from tests.contract.channels import FakeChannels
from tests.servers.receiver import Mailbox, Receiver, closed_port, start_babbler, start_mail

SECRET = "t0ken-that-nobody-sees"


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    with start_mail() as box:
        yield box


def channels(limit: str = "5s", **urls: str) -> AppriseChannels:
    return AppriseChannels({name: Channel.model_validate({"url": url, "timeout": limit}) for name, url in urls.items()})


def letter(channel: str, **more: Any) -> Letter:
    return Letter(channel=channel, title="resticwrap on school: 1 critical", body="exams – 迟到\nrw backup",
                  **{"severity": "critical", **more})  # fmt: skip


@pytest.fixture(params=["apprise", "fake"])
def pair(request: pytest.FixtureRequest, receiver: Receiver) -> tuple[Channels, Channels]:
    """Two channels, of which the second fails: as the real one has them, and as the fake has."""
    if request.param == "fake":
        return FakeChannels(), FakeChannels(broken={"two"})
    receiver.behave = lambda one: 500 if "two" in one.path else 200
    urls = {"one": f"json://{receiver.at}/one", "two": f"json://{receiver.at}/two"}
    both = channels(**urls)
    return both, both


def test_each_letter_has_an_answer(pair: tuple[Channels, Channels]) -> None:
    """In their order, with how many states were told; one that fails does not keep the other from its letter."""
    well, both = pair
    (alone,) = well.send([letter("one", told=3)])
    assert (alone.channel, alone.ok, alone.told, alone.error) == ("one", True, 3, "")
    answers = both.send([letter("two", told=2), letter("one")])
    assert [(one.channel, one.ok, one.told) for one in answers] == [("two", False, 2), ("one", True, 0)]
    assert answers[0].error == "It was refused, with HTTP status 500." and both.send([]) == []


def test_what_arrives(receiver: Receiver, mailbox: Mailbox) -> None:
    """Title, text and gravity, as JSON, as a form and as a mail."""
    urls = {
        "json": f"json://user:{SECRET}@{receiver.at}/alerts",
        "form": f"form://{receiver.at}/form",
        "mail": f"mailto://127.0.0.1:{mailbox.port}/?from=rw@school.example&to=ops@school.example&mode=insecure",
    }
    sent = channels(**urls).send([letter("json"), letter("form", severity="warning"), letter("mail", good=True)])
    assert [one.error for one in sent] == ["", "", ""]
    by_path = {one.path: one for one in receiver.received}
    got = by_path["/alerts"].json
    assert got["title"] == "resticwrap on school: 1 critical" and got["message"] == "exams – 迟到\nrw backup"
    assert got["type"] == "failure" and "Basic" in by_path["/alerts"].headers["Authorization"]
    assert by_path["/form"].form["type"] == "warning"
    assert "Subject: resticwrap on school: 1 critical" in mailbox.mails[0]


def test_nothing_is_told_of_a_url(receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    """Neither in a reason nor in a log or on a stream: refused, unreachable, unknown, wrong."""
    receiver.behave = lambda _: 403
    urls = {
        "refused": f"json://user:{SECRET}@{receiver.at}/{SECRET}?token={SECRET}",
        "away": f"json://{SECRET}:{SECRET}@127.0.0.1:{closed_port()}/{SECRET}",
        "unknown": f"nosuchscheme://{SECRET}@host/{SECRET}",
        "wrong": f"slack://{SECRET}",
    }
    with caplog.at_level(logging.DEBUG, logger="resticwrap"):
        sent = channels(**urls).send([letter(name) for name in urls])
    reasons = {one.channel: one.error for one in sent}
    assert reasons["refused"] == "It was refused, with HTTP status 403."
    assert "nobody answers" in reasons["away"]
    assert all("does not take its URL" in reasons[name] for name in ("unknown", "wrong"))
    out = capfd.readouterr()
    assert SECRET not in str(sent) + caplog.text + out.out + out.err
    assert SECRET not in str(channels(**urls)._channels)


def timed(send: Any) -> tuple[float, Sequence[Delivery]]:
    began = time.monotonic()
    sent = send()
    return time.monotonic() - began, sent


def test_a_channel_that_never_answers(receiver: Receiver) -> None:
    """It costs its own time and no more, holds up no other, and gets no second message before the first has ended."""
    receiver.behave = lambda one: None if "slow" in one.path else 200
    with start_babbler() as port:
        urls = {
            "slow": f"json://{receiver.at}/slow",
            "garbage": f"json://127.0.0.1:{port}/x",
            "well": f"json://{receiver.at}/well",
        }
        both = channels("1s", **urls)
        took, sent = timed(lambda: both.send([letter(name) for name in urls]))
        assert took < 3 and [one.ok for one in sent] == [False, False, True]
        assert sent[0].error == "It did not answer within 1 s." or "nobody answers" in sent[0].error
        took, sent = timed(lambda: both.send([letter("garbage"), letter("well")]))
        assert took < 3 and not sent[0].ok and sent[1].ok
    receiver.let_go.set()


def ping(url: str, what: PingKind = "success", **more: str) -> Ping:
    return Ping(check="check runs", url=url, what=what, **more)


def test_pings(receiver: Receiver) -> None:
    """The path says what happened, the run is named, the text is the body; a hiccup is tried again."""
    url = f"{receiver.http}/{SECRET}"
    answers = iter([503, 200])
    receiver.behave = lambda one: next(answers) if one.path.endswith("/fail") else 200
    pings = HttpPings(9.0)
    whats: list[PingKind] = ["start", "fail", "success", "log"]
    for what in whats:
        (one,) = pings.send([ping(url, what, body="full: failed, exit code 1", run="1b4e28ba")])
        assert one.ok, one.error
    paths = [one.path.removeprefix(f"/{SECRET}") for one in receiver.received]
    assert paths == ["/start", "/fail", "/fail", "", "/log"]
    assert receiver.received[1].query == {"rid": "1b4e28ba"} and b"exit code 1" in receiver.received[1].body
    assert address(ping(f"{url}/?create=1", "start")) == f"{url}/start?create=1"


def test_pings_that_fail(receiver: Receiver) -> None:
    """In time, with a reason, and without the URL; what is not found is not tried again."""
    receiver.behave = lambda _: 404
    with start_babbler() as port:
        urls = [f"{receiver.http}/{SECRET}", f"http://127.0.0.1:{closed_port()}/{SECRET}",
                f"http://127.0.0.1:{port}/{SECRET}"]  # fmt: skip
        took, sent = timed(lambda: [HttpPings(1.5).send([ping(url)])[0] for url in urls])
    assert took < 7 and not any(one.ok for one in sent) and SECRET not in str(sent)
    assert sent[0].error == "The check answered with HTTP status 404." and len(receiver.received) == 1
    assert "Connection refused" in sent[1].error
