"""One xdelta3 process: streamed in, streamed out, bounded, always ended and waited for.

What bounds it: `Limits` and the two that hold for every process (no core dump, which would hold a reference in the
clear, and no file, for everything goes through pipes); and its `Child.watch`, which ends a process that does nothing.

The limits are set on the process that runs, after it was started and before it is fed; its own children inherit them.
To set them between fork and exec would need Python to run there, which can block for good in a program with threads.
Only Linux can set them from outside, so elsewhere there are none but the watch. There is no limit on the number of
processes: it counts all of the user's and does not bind root, and `-D -R` keeps xdelta3 from starting any.
"""

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
from dataclasses import dataclass

from deltaglider_async.errors import CodecUnavailableError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import to_its_end

if sys.platform == "linux":
    import fcntl
    import resource

#: Linux gives any process pipes of up to 1 MiB (`fs.pipe-max-size`); sixteen times fewer switches than 64 KiB.
_PIPE_SIZE = CHUNK
#: As much of what xdelta3 says on stderr as an error message can use.
_LONGEST_MESSAGE = 4096
#: Seconds that a process may do nothing while everything waits for it.
STALLED = 600.0
#: How often it is looked at in that time. Looks are counted, not the time: after this program was stopped, much time
#: has passed in which the process may have been stopped too.
_LOOKS = 20
#: Seconds of CPU time after SIGXCPU, of which SIGKILL comes.
_GRACE = 10
#: Of more than this a limit would not bound anything.
_MOST_SECONDS = 1 << 30
#: `pidfd_send_signal`: to the process group (Linux 6.9).
_TO_GROUP = 1 << 2


class ProcessFailedError(Exception):
    """xdelta3 ended with a non-zero exit code, or was ended."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message or f"exit code {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Limits:
    """What a process may use, and each process that it starts: `cpu` in seconds, `memory` in bytes of addresses."""

    cpu: int | None = None
    memory: int | None = None

    def impose(self, pid: int) -> None:
        """Set them, and those that hold for every process. Lower ones that are there already stay."""
        if sys.platform == "linux":
            # A limit of 1 byte keeps the kernel from handing a dump to a program, too; with 0 it does not.
            wanted = {resource.RLIMIT_CORE: (1, 1), resource.RLIMIT_FSIZE: (0, 0)}
            if self.cpu is not None and self.cpu < _MOST_SECONDS:
                wanted[resource.RLIMIT_CPU] = (self.cpu, self.cpu + _GRACE)
            if self.memory is not None:
                wanted[resource.RLIMIT_AS] = (self.memory, self.memory)
            for kind, limit in wanted.items():
                # It has ended, or this system (a sandbox) lets nobody set limits: its output and time stay bounded.
                with contextlib.suppress(OSError, ValueError):
                    soft, hard = (_lower(*pair) for pair in zip(limit, resource.prlimit(pid, kind), strict=True))
                    resource.prlimit(pid, kind, (soft, hard))

    def explain(self, code: int) -> str:
        """What an exit code means that comes without a message."""
        if code >= 0:
            return f"exit code {code}"
        if code == -signal.SIGXCPU and self.cpu is not None:
            return f"it was stopped after {self.cpu:,} s of CPU time, which is more than this delta can need"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"it was ended by {name}" + (", perhaps for want of memory" if code == -signal.SIGKILL else "")


def _lower(wanted: int, present: int) -> int:
    return wanted if present < 0 else min(wanted, present)  # RLIM_INFINITY is -1


async def stream_through(
    argv: Sequence[str], pass_fds: Sequence[int], chunks: Chunks, limits: Limits | None = None
) -> Chunks:
    """Run a command, feed `chunks` to its stdin and yield its stdout.

    An error of `chunks` ends the process and is raised here. Closing this generator kills the process, with all that
    it started, and waits for it. Raises `ProcessFailedError` for a non-zero exit and where the process is ended for
    doing nothing, `CodecUnavailableError` if it cannot be started.
    """
    limits = limits or Limits()
    async with aclosing(chunks):
        child = Child(await _start(argv, pass_fds))
        # Tasks of this generator rather than of a task group: it may be read from several tasks, one after the other.
        tasks: list[asyncio.Task[object]] = []
        try:
            limits.impose(child.process.pid)
            tasks.append(feeding := asyncio.ensure_future(child.feed(chunks)))
            tasks.append(listening := asyncio.ensure_future(_listen(child.stderr)))
            tasks.append(asyncio.ensure_future(child.watch()))
            while chunk := await child.read():
                yield chunk
            code = await child.process.wait()
            if child.stuck:
                raise ProcessFailedError(code, f"it did nothing for {STALLED:,.0f} s and was ended")
            if feeding.done() or code == 0:
                await feeding  # its error explains everything else
            if code != 0:
                child.kill()  # whatever it started must not keep its stderr open
                raise ProcessFailedError(code, await listening or limits.explain(code))
        finally:
            await to_its_end(child.end(*tasks))


async def _start(argv: Sequence[str], pass_fds: Sequence[int]) -> Process:
    # XDELTA in the environment would become arguments, GZIP and its like would change what a decode gives. A relative
    # folder in PATH would be one of whoever owns the current folder.
    path = os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)))
    environment = {"PATH": path or os.defpath, "LC_ALL": "C"}
    try:
        # In a session of its own: it and what it starts are ended together, and a Ctrl-C on the terminal reaches us
        # alone, who end it in order.
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=CHUNK,
            pass_fds=pass_fds,
            env=environment,
            start_new_session=True,
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


class Child:
    """A process that runs, and what its watch must know: who waits for whom."""

    def __init__(self, process: Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = process.stdin, process.stdout, process.stderr
        #: Whether it was ended for doing nothing.
        self.stuck = False
        self._transport = process._transport  # type: ignore[attr-defined]  # asyncio offers no other way to the pipes
        # Unlike its number, a descriptor of the process cannot come to mean another one.
        self._descriptor = _descriptor_of(process.pid)
        self._taken = self._given = 0
        self._starved = False
        self._awaited = True

    async def read(self) -> bytes:
        """The next bytes of its stdout."""
        self._awaited = True
        chunk = await self.stdout.read(CHUNK)
        self._given += len(chunk)
        self._awaited = not chunk  # after its output, its end
        return chunk

    async def feed(self, chunks: Chunks) -> None:
        """Write all chunks to its stdin, as it takes them. Kills the process if `chunks` fails."""
        self._starved = True
        try:
            async for chunk in chunks:
                self._starved = False
                self._taken += len(chunk)
                # Only here: an error of `chunks` may be of the same kind, and must not be taken for the pipe's.
                try:
                    self.stdin.write(chunk)
                    await self.stdin.drain()
                except (BrokenPipeError, ConnectionResetError):
                    return  # the process ended early; its exit code says why
                self._starved = True
        except BaseException:
            self.kill()
            self._let_go()
            raise
        self._starved = False
        self.stdin.close()  # what is still buffered is sent; cancelled, `wait_closed` would spoil asyncio's bookkeeping

    async def watch(self) -> None:
        """End the process when it has neither taken nor given anything for long.

        Only the time counts in which both sides wait for it: not while it waits for `chunks`, nor while nobody reads.
        """
        looks, seen = 0, -1
        while looks < _LOOKS:
            await asyncio.sleep(STALLED / _LOOKS)
            moved = self._given + self._taken - self.stdin.transport.get_write_buffer_size()
            looks = looks + 1 if self._awaited and not self._starved and moved == seen else 0
            seen = moved
        self.stuck = True
        self.kill()
        self._let_go()

    def kill(self) -> None:
        """End the process and what it started, without collecting its exit code, which asyncio waits for.

        `Process.kill` looks first whether the process has ended, and so may take the code away.
        """
        if self._descriptor is None:
            if self.process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.process.pid, signal.SIGKILL)
        elif sys.platform == "linux":
            try:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL, None, _TO_GROUP)
            except ProcessLookupError:
                return  # nobody of it is left
            except OSError:  # a kernel before 6.9
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._descriptor, 0)  # not collected yet: the number is still its own
                    os.killpg(self.process.pid, signal.SIGKILL)

    async def end(self, *tasks: asyncio.Task[object]) -> None:
        """Kill what is left of it, end the tasks, and wait for all of them."""
        self.kill()
        self._let_go()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.process.wait()
        self._transport.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _let_go(self) -> None:
        # A pipe that is full would never be seen to end, and asyncio waits for that as for the process itself.
        stdin, stdout, stderr = map(self._transport.get_pipe_transport, range(3))
        if not stdin.is_closing():
            stdin.abort()
        stdout.close()
        stderr.close()


async def _listen(stderr: asyncio.StreamReader) -> str:
    heard = b""
    while chunk := await stderr.read(_LONGEST_MESSAGE):
        heard = (heard + chunk)[-_LONGEST_MESSAGE:]
    return " ".join(heard.decode(errors="replace").split())


def _descriptor_of(pid: int) -> int | None:
    """A descriptor of a child that was just started; None if there can be none."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(pid)
        except OSError as error:
            # Otherwise no descriptor is left, or there is no such call here.
            if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
                # It has ended and was collected: this moment is the last at which its number, if it is in use at all,
                # can only be that of the group it left behind.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
    return None
