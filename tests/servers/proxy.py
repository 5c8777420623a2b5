"""A TCP proxy that delays, stalls and cuts, for tests of slow and broken networks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeAlias

from .child import LOOPBACK

_PIECE = 64 * 1024
# Pieces on their way in one direction: 64 MiB, so that the delay does not limit the rate (in 10 ms that is 6 GiB/s).
_IN_FLIGHT = 1024

_Queue: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"


class TcpProxy:
    """Listens on a free loopback port and passes bytes to `target_host:target_port`; a context manager.

    `latency` is the added round trip in seconds, half of it in each direction; it delays bytes and does not limit their
    rate. The TCP handshake is local, so opening a connection costs nothing more than without the proxy.
    """

    def __init__(self, target_host: str, target_port: int, *, latency: float = 0.0) -> None:
        self._target = (target_host, target_port)
        self.latency = latency
        self.port = 0
        self.bytes_up = 0
        """Bytes from clients to the target."""
        self.bytes_down = 0
        """Bytes from the target to clients."""
        self.connections = 0
        """Connections accepted so far."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._flowing.set)
        self.restore()
        return self

    def __exit__(self, *exception: object) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return f"http://{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Refuse new connections and reset those there are, until `restore`."""
        self._run(self._cut)

    def restore(self) -> None:
        """Listen again on the same port, and let bytes flow."""
        self._run(self._restore)

    def stall(self) -> None:
        """Accept connections but pass nothing on, in either direction, until `restore`. Nothing is lost meanwhile."""
        self._call(self._flowing.clear)

    def _call(self, function: Callable[[], None]) -> None:
        """Run in the proxy's thread and wait."""

        async def run() -> None:
            function()

        self._run(run)

    def _run(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run_coroutine_threadsafe(function(), self._loop).result(10)

    async def _cut(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            _reset(writer)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _restore(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port, limit=4 * _PIECE)
            self.port = self._server.sockets[0].getsockname()[1]
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._flowing.wait()
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            # The target refuses, or `cut`: the client sees a reset, as on a network.
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            _reset(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target, limit=4 * _PIECE)
        self._writers.add(far_writer)
        up: _Queue = asyncio.Queue(_IN_FLIGHT)
        down: _Queue = asyncio.Queue(_IN_FLIGHT)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._collect(reader, up))
                group.create_task(self._collect(far_reader, down))
                group.create_task(self._deliver(up, far_writer, self._count_up))
                group.create_task(self._deliver(down, writer, self._count_down))
        except* OSError:
            pass  # One side went away: so does the other.
        finally:
            self._writers.discard(far_writer)
            _reset(far_writer)

    async def _collect(self, reader: asyncio.StreamReader, queue: _Queue) -> None:
        """Note each piece with the time at which it is due on the other side; an empty one is the end."""
        piece = b"first"
        while piece:
            piece = await reader.read(_PIECE)
            await queue.put((self._loop.time() + self.latency / 2, piece))

    async def _deliver(self, queue: _Queue, writer: asyncio.StreamWriter, count: Callable[[int], None]) -> None:
        """Send each piece when it is due, however many are on their way."""
        while True:
            due, piece = await queue.get()
            if (left := due - self._loop.time()) > 0:
                await asyncio.sleep(left)
            await self._flowing.wait()
            if not piece:
                writer.write_eof()
                return
            writer.write(piece)
            await writer.drain()
            count(len(piece))

    def _count_up(self, size: int) -> None:
        self.bytes_up += size

    def _count_down(self, size: int) -> None:
        self.bytes_down += size


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset and without sending what is left; harmless on a connection that has ended."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
