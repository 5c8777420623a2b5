"""The process of the servers in front of SeaweedFS: HTTP, and the control calls under `/-/`. Started by `overlay`.

Reads one line of JSON on standard input (`Settings`), says `{"ready": true}` on standard output when it listens, and
ends when standard input closes, so that it cannot outlive the tests that started it.
"""

from __future__ import annotations

import io
import json
import socketserver
import ssl
import sys
import threading
import traceback
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .app import App, OssApp, Settings
from .child import LOOPBACK
from .oss_core import PIECE, Body, OssError, Reply, Request, reason
from .s3_cold_app import ColdApp


class Handler(BaseHTTPRequestHandler):
    """One client connection: reads requests, writes replies, keeps the connection open."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = PIECE
    timeout = 300
    app: App

    def setup(self) -> None:
        super().setup()
        self._upstream = self.app.upstream()

    def finish(self) -> None:
        self._upstream.close()
        super().finish()

    def handle_expect_100(self) -> bool:
        """Say `100 Continue` now, past our write buffer: the client waits for it."""
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: `Faults.record` keeps what was asked."""

    def _dispatch(self) -> None:
        assert isinstance(self.rfile, io.BufferedIOBase)
        # Not self.path: http.server folds leading slashes there, which would break signatures.
        target = self.requestline.split(" ")[1]
        length = self.headers.get("content-length", "")
        chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        body = Body(self.rfile, int(length) if length.isdigit() else None, chunked)
        if target.startswith("/-/"):
            self._control(target, body)
            return
        request: Request | None = None
        try:
            request = Request.of(self.command, target, self.headers, body)
            reply = self.app.answer(request, self._upstream)
        except OssError as error:
            reply = self._refusal(error, request)
        except ConnectionError:
            self.close_connection = True
            return
        except Exception:  # noqa: BLE001 - a fault of ours must reach the client as 500, not as a silent reset
            traceback.print_exc()
            self._upstream.close()
            reply = self._refusal(OssError(500, "InternalError", "A fault of the test server: see its log."), request)
        try:
            body.drain()
            self._write(reply, request)
        except OSError:
            # The client or SeaweedFS went away inside an answer: the one thing left to say is a closed connection.
            self._upstream.close()
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = _dispatch  # noqa: N815

    def _refusal(self, error: OssError, request: Request | None) -> Reply:
        identifier = request.id if request else "0" * 24
        return error.reply(identifier, self.headers.get("host", ""), self.command)

    def _control(self, target: str, body: Body) -> None:
        values = json.loads(body.all() or b"{}")
        try:
            result = self.app.control(self.command, target.removeprefix("/-/"), values, self._upstream)
            reply = Reply(200, [("Content-Type", "application/json")], json.dumps(result).encode())
        except OssError as error:
            reply = self._refusal(error, None)
        self._write(reply, None)

    def _write(self, reply: Reply, request: Request | None) -> None:
        names = {name.lower() for name, _ in reply.headers}
        self.send_response_only(reply.status, reason(reply.status))
        skipped = {"server", self.app.id_header, "date", "transfer-encoding"}
        skipped |= set() if reply.stream or self.command == "HEAD" else {"content-length"}
        for name, value in reply.headers:
            if name.lower() not in skipped:
                self.send_header(name, value)
        self.send_header("Server", self.app.software)
        self.send_header("Date", formatdate(usegmt=True))
        if request:
            self.send_header(self.app.id_header, request.id)
            self._record(request, reply)
        has_body = self.command != "HEAD" and reply.status not in (204, 304)
        chunked = bool(reply.stream) and has_body and "content-length" not in names
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif has_body and not reply.stream:
            self.send_header("Content-Length", str(len(reply.body)))
        elif self.command == "HEAD" and "content-length" not in names:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if not reply.stream:
            self.wfile.write(reply.body if has_body else b"")
            return
        while piece := reply.stream.read(PIECE):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        if reply.stream.length:
            # SeaweedFS stopped short of what it announced: the client must not take this for the whole.
            raise ConnectionAbortedError("short answer from SeaweedFS")

    def _record(self, request: Request, reply: Reply) -> None:
        self.app.faults.record(
            method=request.method,
            host=request.host,
            target=request.target,
            style="virtual" if request.virtual else "path",
            dialect=self.app.dialect(request),
            status=reply.status,
        )


class Server(ThreadingHTTPServer):
    """A thread per client connection; with a certificate, TLS whose handshake runs in that thread."""

    request_queue_size = 128
    daemon_threads = True

    def server_bind(self) -> None:
        """Without the name look-up of http.server, which can hang where there is no DNS."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = LOOPBACK, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away and handshakes that fail are no news; everything else goes to the log."""
        if not isinstance(sys.exception(), OSError):
            traceback.print_exc()


def main() -> None:
    """Serve until standard input closes, then write the state down."""
    settings = Settings(**json.loads(sys.stdin.readline()))
    app = {"oss": OssApp, "s3": ColdApp}[settings.dialect](settings)
    handler = type("BoundHandler", (Handler,), {"app": app})
    plain = Server((LOOPBACK, settings.port), handler)
    secure = Server((LOOPBACK, settings.tls_port), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings.certificate)
    secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    for server in (plain, secure):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.read()
    app.state.save()


if __name__ == "__main__":
    main()
