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
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from deltaglider_async.errors import CodecUnavailableError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import to_its_end, until_done

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
        child = Child(*await _start(argv, pass_fds))
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


async def _start(argv: Sequence[str], pass_fds: Sequence[int]) -> tuple[Process, _Pipe, _Pipe]:
    # XDELTA in the environment would become arguments, GZIP and its like would change what a decode gives. A relative
    # folder in PATH would be one of whoever owns the current folder.
    path = os.pathsep.join(filter(os.path.isabs, os.environ.get("PATH", os.defpath).split(os.pathsep)))
    environment = {"PATH": path or os.defpath, "LC_ALL": "C"}
    # Pipes of our own: what asyncio makes of one copies each byte three times.
    theirs: list[int] = []
    ours: list[int] = []
    try:
        for reading in (False, True):
            near, far = os.pipe() if reading else reversed(os.pipe())
            theirs.append(far)
            ours.append(near)
            if sys.platform == "linux":
                with contextlib.suppress(OSError):  # the user's pipes have their limit of pages; smaller ones work too
                    fcntl.fcntl(near, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        # In a session of its own: it and what it starts are ended together, and a Ctrl-C on the terminal reaches us
        # alone, who end it in order.
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=theirs[0],
            stdout=theirs[1],
            stderr=PIPE,
            pass_fds=pass_fds,
            env=environment,
            start_new_session=True,
        )
    except BaseException as error:
        for descriptor in ours:
            os.close(descriptor)
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.EACCES, errno.ENOEXEC, errno.ENOTDIR):
            raise CodecUnavailableError(
                f"cannot start {argv[0]!r}: {error.strerror}. Install xdelta3 (apt-get install xdelta3, "
                "dnf install xdelta, apk add xdelta3 or brew install xdelta), or set DG_XDELTA3 to its path."
            ) from error
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    return process, _Pipe(ours[0]), _Pipe(ours[1])


class _Pipe:
    """Our end of a pipe, read or written by one task."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        #: Bytes that went through it.
        self.passed = 0

    async def read(self) -> bytes:
        """The next bytes; none at the end, or when this was closed."""
        while self._descriptor >= 0:
            try:
                chunk = os.read(self._descriptor, CHUNK)
            except BlockingIOError:
                await self._ready(self._loop.add_reader, self._loop.remove_reader)
                continue
            self.passed += len(chunk)
            await asyncio.sleep(0)  # a process that is as fast as this must not keep the loop from everything else
            return chunk
        return b""

    async def write(self, chunk: bytes) -> None:
        """Write all of it. Raises `BrokenPipeError`, also when this was closed."""
        rest = memoryview(chunk)
        while rest:
            if self._descriptor < 0:
                raise BrokenPipeError
            try:
                written = os.write(self._descriptor, rest)
            except BlockingIOError:
                await self._ready(self._loop.add_writer, self._loop.remove_writer)
                continue
            self.passed += written
            rest = rest[written:]
            await asyncio.sleep(0)

    async def _ready(self, add: Callable[..., object], remove: Callable[[int], object]) -> None:
        self._waiting, descriptor = self._loop.create_future(), self._descriptor
        add(descriptor, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if self._descriptor >= 0:
                remove(descriptor)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Whoever waits for it goes on. May be called again."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._wake()


class Child:
    """A process that runs, and what its watch must know: who waits for whom."""

    def __init__(self, process: Process, stdin: _Pipe, stdout: _Pipe) -> None:
        assert process.stderr
        self.process = process
        self.stdin, self.stdout, self.stderr = stdin, stdout, process.stderr
        #: Whether it was ended for doing nothing.
        self.stuck = False
        self._transport = process._transport  # type: ignore[attr-defined]  # asyncio offers no other way to the pipe
        # Unlike its number, a descriptor of the process cannot come to mean another one.
        self._descriptor = _descriptor_of(process.pid)
        self._starved = False
        self._awaited = True

    async def read(self) -> bytes:
        """The next bytes of its stdout."""
        self._awaited = True
        chunk = await self.stdout.read()
        self._awaited = not chunk  # after its output, its end
        return chunk

    async def feed(self, chunks: Chunks) -> None:
        """Write all chunks to its stdin, as it takes them. Kills the process if `chunks` fails."""
        self._starved = True
        try:
            async for chunk in chunks:
                self._starved = False
                # Only here: an error of `chunks` may be of the same kind, and must not be taken for the pipe's.
                try:
                    await self.stdin.write(chunk)
                except (BrokenPipeError, ConnectionResetError):
                    return  # the process ended early; its exit code says why
                self._starved = True
        except BaseException:
            self.kill()
            self._let_go()
            raise
        self._starved = False
        self.stdin.close()

    async def watch(self) -> None:
        """End the process when it has neither taken nor given anything for long.

        Only the time counts in which both sides wait for it: not while it waits for `chunks`, nor while nobody reads.
        """
        looks, seen = 0, -1
        while looks < _LOOKS:
            await asyncio.sleep(STALLED / _LOOKS)
            moved = self.stdin.passed + self.stdout.passed
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
        # Also where all tasks are cancelled, that of this clean-up, too.
        await until_done(asyncio.gather(*tasks, return_exceptions=True))
        await until_done(asyncio.ensure_future(self.process.wait()))
        self._transport.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _let_go(self) -> None:
        self.stdin.close()
        self.stdout.close()
        # It may be held by what the process started, and asyncio waits for its end as for the process itself.
        self._transport.get_pipe_transport(2).close()


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
