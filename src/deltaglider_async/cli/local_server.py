"""An S3 server on this machine, for the demonstration and for tests: moto's, in a process of its own.

The process (``python -m deltaglider_async.cli.local_server``) prints its port, serves, and ends when its
standard input does. So it cannot outlive whoever started it, however that process ended. What is stored
there is gone with it.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE
from typing import IO

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from deltaglider_async.errors import DeltaGliderError

#: Seconds. Importing moto takes about one; a machine that is busy gets many.
_START_TIMEOUT = 60


class LocalServerError(DeltaGliderError):
    """The local S3 server could not be started."""


@asynccontextmanager
async def local_s3() -> AsyncIterator[str]:
    """Run an S3 server on a free port of 127.0.0.1 and yield its URL; any credentials are accepted.

    On leaving, the server has ended. Raises `LocalServerError` where it cannot be started, for example
    because the `demo` extra is not installed.

        async with local_s3() as endpoint_url:
            ...
    """
    complaints = await anyio.to_thread.run_sync(tempfile.TemporaryFile)
    try:
        command = [sys.executable, "-m", __name__]
        process = await anyio.open_process(command, stdin=PIPE, stdout=PIPE, stderr=complaints)
        try:
            yield f"http://127.0.0.1:{await _port(process, complaints)}"
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.aclose()
    finally:
        complaints.close()


async def _port(process: Process, complaints: IO[bytes]) -> int:
    """The port that the server prints once it answers."""
    assert process.stdout is not None
    try:
        with anyio.fail_after(_START_TIMEOUT):
            return int(await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 16))
    except TimeoutError:
        raise LocalServerError(f"The local S3 server did not start within {_START_TIMEOUT} seconds.") from None
    except anyio.IncompleteRead:
        await process.wait()
        raise LocalServerError(await anyio.to_thread.run_sync(_last_words, complaints)) from None


def _last_words(complaints: IO[bytes]) -> str:
    complaints.seek(0)
    text = complaints.read().decode(errors="replace").strip()
    return text or "The local S3 server ended at once, and did not say why."


def _serve() -> None:
    # Ctrl-C reaches every process of the terminal: whoever started this one still needs it to clean up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        importlib.import_module("flask_cors")  # where it is missing, moto only warns, and fails later
        server_class = importlib.import_module("moto.server").ThreadedMotoServer
    except ImportError as error:
        raise SystemExit(
            f"The local S3 server needs packages that are not installed ({error.name}). "
            "Install them with: pip install 'deltaglider-async[demo]'"
        ) from None
    server = server_class(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print(server.get_host_and_port()[1], flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # nothing here is worth the wait for requests that nobody reads any more


if __name__ == "__main__":
    _serve()
