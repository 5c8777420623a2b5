"""Answers `GET` of a few pages, and nothing else."""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

log = logging.getLogger(__name__)
PATIENCE = 10.0
"""Seconds in which a client must have asked its question."""
MOST = 16
"""So many connections at once: each takes a descriptor and a thread of the scheduler, which needs both for backups."""
PLAIN = "text/plain; charset=utf-8"


class Page(NamedTuple):
    """An answer."""

    status: int
    content_type: str
    body: bytes


Pages = Mapping[str, Callable[[str], Page]]
"""By path, what to answer to an `Accept` header."""


class Server:
    """Serves pages in threads of its own until it is closed."""

    def __init__(self, listen: str, pages: Pages) -> None:
        """`listen`: `ADDRESS:PORT`. Raises OSError where that cannot be had."""
        host, _, port = listen.rpartition(":")
        self._server = _Listener((host.strip("[]"), int(port)), pages)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it has: of `:0` the one that was free."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a scrape that hangs does not keep us from ending

    def __init__(self, address: tuple[str, int], pages: Pages) -> None:
        self.pages = pages
        self._open: dict[socket.socket, None] = {}
        self._mutex = threading.Lock()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without asking a name service who we are, as the library does: that may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Of too many connections the oldest ends: a scrape takes moments, so it is one that stands still."""
        with self._mutex:
            self._open[request] = None
            for oldest in list(self._open)[:-MOST]:
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._mutex:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is nobody's trouble."""
        del request
        log.debug("metrics: the connection of %s ended early", client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    server_version, sys_version = "resticwrap", ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    error_message_format, error_content_type = "%(code)d %(message)s\n", PLAIN

    def do_GET(self) -> None:
        """The page of this path."""
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        answer = page(self.headers.get("Accept", ""))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *arguments: object) -> None:
        log.debug("metrics: %s", format % arguments)
