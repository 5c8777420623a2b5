"""Runs `rw` in processes that have all their modules already: a server is started once, and forked for each command.

Python's start and the imports are half of what a command costs, and the suite runs some two thousand of them. What is
forked is a process of its own, with its own descriptors, environment and folder; it runs `python -m resticwrap` from
there on. What a start from nothing costs, and what it imports, has tests that start one.
"""

import atexit
import contextlib
import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import random
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

LOOKED_AT_BEFORE = ("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "GLIBC_", "OPENSSL_", "SSL_")
"""What Python, or the loader, looks at before any of our code: a process that is forked is too late for it."""
MESSAGE = 1 << 20


def fits(env: Mapping[str, str]) -> bool:
    """Whether a command with this environment may be run by a fork."""
    return not any(name.startswith(LOOKED_AT_BEFORE) for name in env)


def run(
    arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float
) -> "subprocess.CompletedProcess[bytes]":
    """As `subprocess.run([python, -m, resticwrap, *arguments], capture_output=True)`."""
    out, err, told = os.pipe(), os.pipe(), os.pipe()
    try:
        request = json.dumps({"arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}).encode()
        socket.send_fds(_server(os.getpid()), [request], [out[1], err[1], told[1]])
    finally:
        for pipe in (out, err, told):
            os.close(pipe[1])
    read: dict[int, bytes] = {}
    threads = [threading.Thread(target=_drain, args=(pipe[0], read), daemon=True) for pipe in (out, err)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + timeout
    with os.fdopen(told[0], "rb") as stream:
        pid = int(stream.readline())
        for thread in threads:
            thread.join(max(until - time.monotonic(), 0))
        if any(thread.is_alive() for thread in threads):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(["rw", *arguments], timeout)
        code = int(stream.readline())
    return subprocess.CompletedProcess(["rw", *arguments], code, read[out[0]], read[err[0]])


def descriptor() -> int:
    """The server's socket, for a child that runs `SHIM`; it inherits it by this number."""
    return _server(os.getpid()).fileno()


SHIM = """#!{python} -IS
import json, os, socket, sys
reader, writer = os.pipe()
request = dict(arguments=sys.argv[1:], env=dict(os.environ), cwd=os.getcwd())
socket.send_fds(socket.socket(fileno={descriptor}), [json.dumps(request).encode()], [1, 2, writer, 0])
os.close(writer)
with os.fdopen(reader, "rb") as told:
    told.readline()
    code = int(told.readline())
os._exit(code if code >= 0 else 128 - code)
"""
"""A program that is `rw`, in a fork, for a shell that has the server's socket."""


def _drain(descriptor: int, read: dict[int, bytes]) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        read[descriptor] = stream.read()


@cache
def _server(pid: int) -> socket.socket:
    """The socket to the server of this process, which ends when the socket is closed: with this process."""
    del pid
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE)
    root = Path(__file__).resolve().parent.parent
    with theirs:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=root
        )
    atexit.register(_end, ours, child)
    return ours


def _end(ours: socket.socket, child: "subprocess.Popen[bytes]") -> None:
    ours.close()
    child.wait()


# The server


def serve(descriptor: int) -> None:
    """Fork for each request until nobody can send one any more."""
    _import_all()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the minders are waited for by nobody
    with socket.socket(fileno=descriptor) as requests:
        while True:
            data, fds, _, _ = socket.recv_fds(requests, MESSAGE, 4)
            if not data:
                return
            if os.fork() == 0:
                requests.close()
                _mind(json.loads(data), fds)
            for fd in fds:
                os.close(fd)


def _import_all() -> None:
    """Every module that a command may import, and the validators of the policies, which are built when first used."""
    import boto3  # noqa: F401

    import resticwrap
    from resticwrap import settings

    for module in pkgutil.walk_packages(resticwrap.__path__, "resticwrap."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            importlib.import_module(module.name)
    policies = Path(__file__).resolve().parent.parent / "policies"
    with contextlib.suppress(Exception):
        settings.load(policies, {"RW_STATE_DIR": "/nowhere", "BACKUP_TARGET_DEFAULT": "local"})


def _mind(request: dict[str, Any], fds: Sequence[int]) -> None:
    """Run the command in a child, tell its pid and then how it ended. Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    out, err, told, *given = fds
    pid = os.fork()
    if pid == 0:
        os.close(told)
        for stdin in given:
            os.dup2(stdin, 0)
        _become(request, out, err)
    for fd in (out, err, *given):
        os.close(fd)
    os.write(told, f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        os.write(told, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """Be `python -m resticwrap` with this environment, folder and output. Never returns."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.closerange(3, max((out, err)) + 3)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    faulthandler.enable(sys.stderr)  # a crash of the interpreter says where
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    random.seed()
    sys.argv = ["rw", *request["arguments"]]
    code = 1
    try:
        runpy.run_module("resticwrap", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001 - as Python itself ends
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
