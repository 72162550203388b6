"""Standard input and output as byte streams, without blocking the event loop."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator

import anyio
from anyio.to_thread import run_sync

_CHUNK = 1024 * 1024
_STDIN, _STDOUT = 0, 1


async def read_stdin() -> AsyncGenerator[bytes, None]:
    """The bytes of standard input to its end."""
    waitable = True
    while True:
        if waitable:
            try:
                await anyio.wait_readable(_STDIN)
            except PermissionError:  # a regular file, which is always ready and which epoll does not take
                waitable = False
        # When something is there, a read returns at once with what there is; so no thread is left waiting.
        chunk = await run_sync(os.read, _STDIN, _CHUNK)
        if not chunk:
            return
        yield chunk


async def write_stdout(chunk: bytes) -> None:
    """Write all of `chunk` to standard output. Cancelling does not wait for a pipe that nobody reads."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[await run_sync(os.write, _STDOUT, rest, abandon_on_cancel=True) :]
