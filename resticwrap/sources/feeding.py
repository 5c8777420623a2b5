"""Database clients that read a body piece by piece, and such that write one."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from resticwrap import process
from resticwrap.cancel import Cancel

PIECE = 1 << 20
GRACE = 0.5
"""Seconds that a client gets when it is stopped: while it reads it heeds no SIGINT, and it has nothing to save."""
LONG = 12 * 3600.0
"""Seconds that a load, or what is read of a whole database, may take."""


@dataclass(frozen=True)
class Feeding:
    """How clients of one server are run: their environment, what to mask of what they say, and the wish to stop."""

    env: Mapping[str, str] = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    cancel: Cancel

    def asked(self, argv: Sequence[str], text: bytes, timeout: float) -> process.Result:
        """Run a client on a short text."""
        fd = os.memfd_create("resticwrap-sql")
        try:
            os.write(fd, text)
            os.lseek(fd, 0, os.SEEK_SET)
            return self._run(argv, timeout, stdin=fd)
        finally:
            os.close(fd)

    def fed(self, argv: Sequence[str], body: Iterable[bytes]) -> process.Result:
        """Run a client that reads `body`. What goes wrong while that is made stops the client before it has seen the
        end, and is raised."""
        reading, writing = os.pipe()
        trouble: list[BaseException] = []
        stop = Cancel()

        def feed() -> None:
            try:
                for piece in body:
                    rest = memoryview(piece)
                    while rest:
                        rest = rest[os.write(writing, rest) :]
            except BrokenPipeError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that waits
                trouble.append(error)
                stop.set()
                ended.wait()  # the end of what it reads must not look like the end of the body
            finally:
                os.close(writing)

        ended = threading.Event()
        feeder = threading.Thread(target=feed, name="feed", daemon=True)
        feeder.start()
        try:
            return self._run(argv, LONG, stdin=reading, on_tick=stop.check)
        except BaseException:
            if trouble:
                raise trouble[0] from None
            raise
        finally:
            ended.set()
            with suppress(OSError):
                os.close(reading)
            feeder.join()

    def streamed(
        self, argv: Sequence[str], text: bytes, failed: Callable[[process.Result], BaseException]
    ) -> Iterator[bytes]:
        """What a client writes that reads a short text. Raises what `failed` makes of an exit code, after all of it."""
        reading, writing = os.pipe()
        asking = os.memfd_create("resticwrap-sql")
        os.write(asking, text)
        os.lseek(asking, 0, os.SEEK_SET)
        results: list[process.Result] = []
        trouble: list[BaseException] = []

        def work() -> None:
            try:
                results.append(self._run(argv, LONG, stdin=asking, stdout=writing))
            except BaseException as error:  # noqa: BLE001 - raised again below, where it is waited for
                trouble.append(error)
            finally:
                os.close(writing)

        thread = threading.Thread(target=work, name="stream", daemon=True)
        thread.start()
        ended = False
        try:
            while piece := os.read(reading, PIECE):
                yield piece
            ended = True
        finally:
            os.close(reading)  # where nobody wants the rest, the client ends of it
            thread.join()
            os.close(asking)
        if ended and trouble:
            raise trouble[0]
        if ended and results[0].code:
            raise failed(results[0])

    def _run(
        self,
        argv: Sequence[str],
        timeout: float,
        *,
        stdin: int,
        stdout: int | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> process.Result:
        return process.run(
            argv,
            env=self.env,
            timeout=timeout,
            stdin=stdin,
            stdout=stdout,
            secrets=self.secrets,
            cancel=self.cancel,
            grace=GRACE,
            on_tick=on_tick,
        )
