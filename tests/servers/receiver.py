"""An HTTP server that keeps what it is sent: the other end of Apprise and of pings. And one that takes mail.

`python -m tests.servers.receiver PORT FILE` is the same in a container: it answers on all addresses and writes each
request into a file, as `read_received` reads it.
"""

from __future__ import annotations

import json
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .child import LOOPBACK


@dataclass
class Received:
    """One request. `path` has no query."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))


@dataclass
class Receiver:
    """Answers 200 to all; `behave` may say another status for a request, or None for an answer that never comes."""

    port: int
    received: list[Received] = field(default_factory=list)
    behave: Callable[[Received], int | None] = lambda _: 200
    let_go: threading.Event = field(default_factory=threading.Event)

    @property
    def http(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def at(self) -> str:
        """For an Apprise URL."""
        return f"{LOOPBACK}:{self.port}"

    def clear(self) -> None:
        """Forget what came, and behave well."""
        self.received.clear()
        self.behave = lambda _: 200


@contextmanager
def start_receiver(host: str = LOOPBACK, port: int = 0) -> Iterator[Receiver]:
    """One on a free loopback port, in threads of this process; elsewhere only within a network of containers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = urlsplit(self.path)
            one = Received(parts.path, dict(parse_qsl(parts.query)), dict(self.headers), body)
            receiver.received.append(one)
            status = receiver.behave(one)
            if status is None:
                receiver.let_go.wait(30)
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"OK")

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((host, port), Handler)
    server.daemon_threads = True
    receiver = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def start_babbler() -> Iterator[int]:
    """The port of a server that answers every connection with garbage, a byte now and then, and never ends."""
    stop = threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while not stop.is_set():
                    self.request.sendall(b"\x00")
                    stop.wait(0.05)
            except OSError:
                return

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            stop.set()
            server.shutdown()


@dataclass
class Mailbox:
    """What an SMTP server was given: whole mails, with their headers."""

    port: int
    mails: list[str] = field(default_factory=list)


@contextmanager
def start_mail() -> Iterator[Mailbox]:
    """An SMTP server that takes every mail and delivers none."""

    class Handler(socketserver.StreamRequestHandler):
        def say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

        def handle(self) -> None:
            self.say("220 loopback")
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].upper()
                if word == "DATA":
                    self.say("354 go on")
                    text = []
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        text.append(part.decode())
                    box.mails.append("".join(text))
                self.say("221 bye" if word == "QUIT" else "250 OK")
                if word == "QUIT":
                    return

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        box = Mailbox(server.server_address[1])
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield box
        finally:
            server.shutdown()


def closed_port() -> int:
    """A loopback port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def read_received(file: Path) -> list[Received]:
    """What came to a receiver in a container so far, in its order."""
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return [Received(**{**line, "headers": {}, "body": line["body"].encode()}) for line in map(json.loads, lines)]


def main(port: int, file: Path) -> None:
    """Answer until it is killed."""

    def write(one: Received) -> int:
        line = {"path": one.path, "query": one.query, "body": one.body.decode(), "at": one.at}
        with guard, file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        return 200

    guard = threading.Lock()
    with start_receiver("", port) as receiver:
        receiver.behave = write
        threading.Event().wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
