"""One xdelta3 process: streamed in, streamed out, always ended and waited for."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import aclosing

import anyio

from deltaglider_async.errors import CodecUnavailableError
from deltaglider_async.streams import CHUNK, Chunks

if sys.platform == "linux":
    import fcntl

#: Linux gives any process pipes of up to 1 MiB (`fs.pipe-max-size`); sixteen times fewer switches than 64 KiB.
_PIPE_SIZE = CHUNK
#: As much of what xdelta3 says on stderr as an error message can use.
_LONGEST_MESSAGE = 4096


class ProcessFailedError(Exception):
    """xdelta3 ended with a non-zero exit code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message or f"exit code {code}")
        self.code = code


async def stream_through(argv: Sequence[str], pass_fds: Sequence[int], chunks: Chunks) -> Chunks:
    """Run a command, feed `chunks` to its stdin and yield its stdout.

    An error of `chunks` ends the process and is raised here. Closing this generator kills the process and
    waits for it. Raises `ProcessFailedError` for a non-zero exit and `CodecUnavailableError` if it cannot be started.
    """
    async with aclosing(chunks):
        process = await _start(argv, pass_fds)
        assert process.stdin and process.stdout and process.stderr
        # Tasks of this generator rather than of a task group: it may be read from several tasks, one after the other.
        feeding = asyncio.ensure_future(_feed(process, chunks))
        listening = asyncio.ensure_future(_listen(process.stderr))
        try:
            while chunk := await process.stdout.read(CHUNK):
                yield chunk
            code = await process.wait()
            if feeding.done() or code == 0:
                await feeding  # its error explains everything else
            if code != 0:
                raise ProcessFailedError(code, await listening)
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process, feeding, listening)


async def _start(argv: Sequence[str], pass_fds: Sequence[int]) -> Process:
    # XDELTA in the environment would become arguments, GZIP and its like would change what a decode gives.
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=CHUNK, pass_fds=pass_fds, env=environment
        )
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR):
            raise
        raise CodecUnavailableError(
            f"cannot start {argv[0]!r}: {error.strerror}. Install xdelta3 (apt-get install xdelta3, "
            "dnf install xdelta, apk add xdelta3 or brew install xdelta), or set DG_XDELTA3 to its path."
        ) from error
    if sys.platform == "linux":
        transport = process._transport  # type: ignore[attr-defined]  # asyncio offers no other way to the pipes
        for descriptor in (0, 1):
            # EPERM: the user's pipes have reached their limit of pages; smaller ones work too. ValueError: the process
            # has ended already, and the pipe with it; its exit code will tell.
            with contextlib.suppress(OSError, ValueError):
                pipe = transport.get_pipe_transport(descriptor).get_extra_info("pipe")
                fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return process


async def _feed(process: Process, chunks: Chunks) -> None:
    stdin = process.stdin
    assert stdin
    try:
        async for chunk in chunks:
            # Only here: an error of `chunks` may be of the same kind, and must not be taken for the pipe's.
            try:
                stdin.write(chunk)
                await stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                return  # the process ended early; its exit code says why
    except BaseException:
        _kill(process)
        raise
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.close()
        await stdin.wait_closed()


async def _listen(stderr: asyncio.StreamReader) -> str:
    heard = b""
    while chunk := await stderr.read(_LONGEST_MESSAGE):
        heard = (heard + chunk)[-_LONGEST_MESSAGE:]
    return " ".join(heard.decode(errors="replace").split())


async def _end(process: Process, *tasks: asyncio.Task[object]) -> None:
    _kill(process)
    # A pipe that is full would never be seen to end, and asyncio waits for that as for the process itself.
    transport = process._transport  # type: ignore[attr-defined]  # asyncio offers no other way to the pipes
    stdin, stdout, stderr = map(transport.get_pipe_transport, range(3))
    if not stdin.is_closing():
        stdin.abort()
    stdout.close()
    stderr.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await process.wait()
    transport.close()


def _kill(process: Process) -> None:
    """End the process without collecting its exit code, which asyncio waits for.

    `Process.kill` looks first whether the process has ended, and so may take the code away.
    """
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "linux":
            # Unlike its number, a descriptor of the process cannot come to mean another one.
            try:
                descriptor = os.pidfd_open(process.pid)
            except ProcessLookupError:
                return
            except OSError:  # no descriptor left, or no such call here
                os.kill(process.pid, signal.SIGKILL)
                return
            try:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                os.close(descriptor)
        else:
            os.kill(process.pid, signal.SIGKILL)
