"""Database clients that read a body piece by piece, and such that write one."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from resticwrap import pipes, process
from resticwrap.cancel import Cancel

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

    def asked(self, argv: Sequence[str], text: bytes, timeout: float, *, stdout: int | None = None) -> process.Result:
        """Run a client on a short text."""
        fd = os.memfd_create("resticwrap-sql")
        try:
            os.write(fd, text)
            os.lseek(fd, 0, os.SEEK_SET)
            return self._run(argv, timeout, stdin=fd, stdout=stdout)
        finally:
            os.close(fd)

    def fed(
        self, argv: Sequence[str], body: Iterable[bytes], timeout: float = LONG, *, stdout: int | None = None
    ) -> process.Result:
        """Run a client that reads `body`. What goes wrong while that is made stops the client before it has seen the
        end, and is raised. `stdout` is closed as soon as the client has it, so that it ends with the client."""
        reading, writing = os.pipe()
        pipes.widen(writing)
        ours = [stdout] if stdout is not None else []
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
            return self._run(
                argv, timeout, stdin=reading, stdout=stdout, on_tick=stop.check,
                on_start=lambda _: os.close(ours.pop()) if ours else None,
            )  # fmt: skip
        except BaseException:
            if trouble:
                raise trouble[0] from None
            raise
        finally:
            ended.set()
            for descriptor in (reading, *ours):
                os.close(descriptor)
            feeder.join()

    def streamed(
        self, argv: Sequence[str], text: bytes, failed: Callable[[process.Result], BaseException]
    ) -> Iterator[bytes]:
        """What a client writes that reads a short text. Raises what `failed` makes of an exit code, after all of it."""

        def work(writing: int) -> None:
            result = self.asked(argv, text, LONG, stdout=writing)
            if result.code:
                raise failed(result)

        return pipes.read(work)

    def _run(
        self,
        argv: Sequence[str],
        timeout: float,
        *,
        stdin: int,
        stdout: int | None = None,
        on_tick: Callable[[], None] | None = None,
        on_start: Callable[[int], None] | None = None,
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
            on_start=on_start,
        )
