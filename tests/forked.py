"""`dg` and Python scripts, each in a process of its own, forked from one that has imported the program before.

Importing takes most of a short command's time, and hundreds of tests start one. What the process is given is what a new
one gets: arguments, environment, folder, and the three standard streams; and it ends as one does. Tests of the start
itself, of signals and of terminals start a process from nothing.

    python -P forked.py SOCKET               serves there, until its standard input ends
    python -IS forked.py SOCKET dg ls        is `dg ls`
    python -IS forked.py SOCKET python a.py  is `python a.py`
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

#: A request: its length in as many bytes, then JSON. The three descriptors come with the length.
_LENGTH = 8


def client(address: str, words: list[str]) -> int:
    """Have a command line carried out; its exit code."""
    request = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}).encode()  # noqa: PTH109
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [len(request).to_bytes(_LENGTH, "big")], [0, 1, 2])
        connection.sendall(request)
        for descriptor in (0, 1):  # theirs alone now: whoever is at the other end of a pipe sees its end
            os.close(descriptor)
        code = int(connection.makefile().readline())
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def serve(address: str) -> list[str] | None:
    """Returns in each process that is forked, with the command line that it is to carry out; at the end, None."""
    import select

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        print("ready", flush=True)
        while listener.fileno() in select.select([listener.fileno(), 0], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _received(connection)
            connection.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
    return None


def _received(connection: socket.socket) -> list[str]:
    """In the process that looks after one command: begin it, and tell how it ends. Returns in the command's process."""
    import time

    length, descriptors, _, _ = socket.recv_fds(connection, _LENGTH, 3)
    with connection.makefile("rb") as file:
        request = json.loads(file.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child:
        for descriptor in (*descriptors, 0, 1, 2):
            os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with suppress(OSError):  # the client was ended
            connection.sendall(b"%d\n" % code)
        os._exit(0)
    connection.close()
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    # As a new interpreter makes them.
    sys.stdin = os.fdopen(0)
    sys.stdout = os.fdopen(1, "w", 1 if os.isatty(1) else -1)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace")
    words: list[str] = request["words"]
    return words


def carry_out(words: list[str]) -> None:
    import runpy

    from deltaglider_async.cli import main

    if words[0] == "dg":
        sys.argv = words
        main.run()
    else:
        sys.argv = words[1:]
        sys.path.insert(0, os.path.dirname(os.path.abspath(words[1])))  # noqa: PTH100, PTH120
        runpy.run_path(words[1], run_name="__main__")


@contextmanager
def serving(folder: Path) -> Iterator[list[str]]:
    """The beginning of command lines that go on with `dg` or `python`; a socket is put into the folder."""
    import subprocess
    import tempfile

    # Addresses of sockets are short, and names of tests are not.
    with tempfile.TemporaryDirectory(prefix="dg") as short:
        address = f"{short}/socket"
        with subprocess.Popen(
            [sys.executable, "-P", __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder
        ) as server:
            assert server.stdin and server.stdout
            assert server.stdout.readline() == b"ready\n"
            yield [sys.executable, "-IS", __file__, address]
            server.stdin.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(client(sys.argv[1], sys.argv[2:]))
    import gc
    import importlib
    import pkgutil

    import aioboto3  # noqa: F401
    import anyio._backends._asyncio  # noqa: F401
    import rich.progress  # noqa: F401

    import deltaglider_async

    for module in pkgutil.walk_packages(deltaglider_async.__path__, "deltaglider_async."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # pages that a collection would write to are copied
    if (line := serve(sys.argv[1])) is not None:
        carry_out(line)
