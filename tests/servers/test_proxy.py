"""The TCP proxy: delay without loss of rate, cut, stall."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.servers.child import LOOPBACK
from tests.servers.proxy import TcpProxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server((LOOPBACK, 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(65536):
                    connection.sendall(piece)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def exchange(connection: socket.socket, message: bytes) -> bytes:
    """Send, and read as much back."""
    threading.Thread(target=connection.sendall, args=(message,), daemon=True).start()
    got = bytearray()
    while len(got) < len(message):
        piece = connection.recv(1 << 20)
        if not piece:
            break
        got += piece
    return bytes(got)


def test_latency_delays_but_does_not_throttle(echo: int) -> None:
    """A round trip takes the latency; 32 MiB take little more than that."""
    with TcpProxy(LOOPBACK, echo, latency=0.1) as proxy, socket.create_connection((LOOPBACK, proxy.port)) as client:
        began = time.monotonic()
        assert exchange(client, b"ping") == b"ping"
        assert 0.1 <= time.monotonic() - began < 0.2
        big = bytes(range(256)) * (32 * 4096)
        began = time.monotonic()
        assert exchange(client, big) == big
        # At one piece of 64 KiB per round trip it would be 51 s.
        assert time.monotonic() - began < 5
        assert (proxy.bytes_up, proxy.bytes_down) == (len(big) + 4, len(big) + 4)


def test_cut_resets_and_refuses_until_restored(echo: int) -> None:
    """Open connections are reset, new ones refused, and the port is the same afterwards."""
    with TcpProxy(LOOPBACK, echo) as proxy:
        port = proxy.port
        with socket.create_connection((LOOPBACK, port)) as client:
            assert exchange(client, b"one") == b"one"
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port))
        proxy.restore()
        with socket.create_connection((LOOPBACK, port)) as client:
            assert exchange(client, b"two") == b"two"


def test_stall_holds_bytes_back_and_loses_none(echo: int) -> None:
    """A stalled proxy accepts and is silent; what was sent meanwhile arrives after the end."""
    with TcpProxy(LOOPBACK, echo) as proxy:
        proxy.stall()
        with socket.create_connection((LOOPBACK, proxy.port), timeout=0.3) as client:
            client.sendall(b"patience")
            with pytest.raises(TimeoutError):
                client.recv(1)
            proxy.restore()
            client.settimeout(5)
            assert client.recv(100) == b"patience"


def test_end_of_stream_and_dead_target() -> None:
    """A half-closed connection still gets its answer, and a target that refuses shows as a reset."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]

        def answer_after_end() -> None:
            connection, _ = listener.accept()
            with connection:
                got = b"".join(iter(lambda: connection.recv(100), b""))
                connection.sendall(got[::-1])

        threading.Thread(target=answer_after_end, daemon=True).start()
        with TcpProxy(LOOPBACK, port) as proxy, socket.create_connection((LOOPBACK, proxy.port), timeout=5) as client:
            client.sendall(b"abc")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"cba"
            assert client.recv(100) == b""
    # The reset may come as early as in `connect`, where this thread is the slower one.
    with (
        TcpProxy(LOOPBACK, port) as proxy,
        pytest.raises(ConnectionResetError),
        socket.create_connection((LOOPBACK, proxy.port), timeout=5) as client,
    ):
        client.recv(1)
