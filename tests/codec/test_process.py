"""A process is bounded while it runs, and nothing of it is left behind, whatever it does."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from deltaglider_async.codec import process
from deltaglider_async.codec.process import Limits, ProcessFailedError, stream_through
from deltaglider_async.errors import CodecUnavailableError
from deltaglider_async.streams import Chunks

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets limits on a process that runs")
MIB = 1 << 20


async def nothing() -> Chunks:
    for chunk in list[bytes]():
        yield chunk


async def never() -> Chunks:
    await asyncio.Event().wait()
    yield b""


def shell(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


async def output(argv: tuple[str, ...], chunks: Chunks, limits: Limits | None = None) -> bytes:
    async with aclosing(stream_through(argv, (), chunks, limits)) as stream:
        return b"".join([chunk async for chunk in stream])


def runs(pid: int) -> bool:
    """Whether it does; one that ended may wait for whoever adopted it to collect it."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def gone(pid: int) -> None:
    for _ in range(3000):
        if not runs(pid):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"process {pid} is still there")


@ON_LINUX
async def test_limits_are_set_on_the_process_and_on_what_it_starts() -> None:
    stream = stream_through(shell("read line; ulimit -t; ulimit -v; ulimit -f; sh -c 'ulimit -t'"), (), one_line(),
                            Limits(cpu=77, memory=500 * MIB))  # fmt: skip
    async with aclosing(stream):
        seen = b"".join([chunk async for chunk in stream])
    assert seen.split() == [b"77", str(500 * 1024).encode(), b"0", b"77"]


async def one_line() -> Chunks:
    yield b"go\n"


@ON_LINUX
async def test_a_limit_that_is_lower_already_stays() -> None:
    script = "ulimit -t 5; ulimit -v 300000; echo $$; sleep 60"
    async with aclosing(stream_through(shell(script), (), nothing())) as stream:
        child = psutil.Process(int(await anext(stream)))
        Limits(cpu=77, memory=500 * MIB).impose(child.pid)
        assert child.rlimit(psutil.RLIMIT_CPU) == (5, 5)
        assert child.rlimit(psutil.RLIMIT_AS) == (300_000 << 10,) * 2
        Limits(cpu=1 << 60).impose(child.pid)
        assert child.rlimit(psutil.RLIMIT_CPU) == (5, 5)


@ON_LINUX
async def test_every_process_writes_no_file_and_no_core(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError) as failed:
        await output(shell(f"read line; exec sh -c 'echo text; echo text > {tmp_path}/file'"), one_line())
    assert failed.value.code == -signal.SIGXFSZ or "too large" in str(failed.value)
    assert not (tmp_path / "file").exists() or (tmp_path / "file").stat().st_size == 0
    with pytest.raises(ProcessFailedError, match="SIGSEGV"):
        await output(shell(f"cd {tmp_path}; read line; kill -SEGV $$"), one_line())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("core")] == []


@ON_LINUX
async def test_too_much_cpu_time_ends_the_process_and_says_so() -> None:
    with pytest.raises(ProcessFailedError, match="1 s of CPU time"):
        await output(shell("while :; do :; done"), never(), Limits(cpu=1))


@ON_LINUX
async def test_too_much_memory_is_refused() -> None:
    # A string that doubles: the shell fails when it gets no more memory, with whatever words.
    script = "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done"
    with pytest.raises(ProcessFailedError):
        await output(shell(f"read line; {script}"), one_line(), Limits(cpu=60, memory=64 * MIB))


async def test_a_process_that_does_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STALLED", 0.2)
    with pytest.raises(ProcessFailedError, match="did nothing"):
        await output(shell("exec sleep 1000"), nothing())
    # Neither one that closes its output and stays, nor one that does not take what it is fed.
    with pytest.raises(ProcessFailedError, match="did nothing"):
        await output(shell("exec >&-; exec sleep 1000"), nothing())

    async def much() -> Chunks:
        for _ in range(100):
            yield bytes(MIB)

    with pytest.raises(ProcessFailedError, match="did nothing"):
        await output(shell("exec sleep 1000"), much())


async def test_what_a_dead_process_started_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STALLED", 0.5)
    for redirection in ("", ">&-", "2>&-"):  # it holds the output, the errors, or both
        with pytest.raises(ProcessFailedError):
            await output(shell(f"sleep 1000 {redirection} & exit 3"), nothing())


async def test_a_slow_source_and_a_slow_reader_are_no_fault_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "STALLED", 2.0)

    async def slow() -> Chunks:
        await asyncio.sleep(2.5)
        yield bytes(8 * MIB)

    seen = 0
    async with aclosing(stream_through(("cat",), (), slow())) as stream:
        async for chunk in stream:
            if not seen:
                await asyncio.sleep(2.5)
            seen += len(chunk)
    assert seen == 8 * MIB


async def test_what_a_process_started_ends_with_it() -> None:
    async with aclosing(stream_through(shell("sleep 1000 & echo $!; sleep 1000"), (), never())) as stream:
        pid = int(await anext(stream))
        assert runs(pid)
    await gone(pid)


@ON_LINUX
@pytest.mark.parametrize("delay", [0, 0.1])
async def test_what_a_process_left_behind_ends_too(delay: float) -> None:
    if tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) < (6, 9):
        pytest.skip("this kernel cannot signal the group of a process that has ended")
    async with aclosing(stream_through(shell(f"sleep 1000 & echo $!; sleep {delay / 2}"), (), nothing())) as stream:
        pid = int(await anext(stream))
        await asyncio.sleep(delay)  # so that the other has ended, and was collected, or not
    await gone(pid)


async def test_a_signal_of_the_terminal_does_not_reach_it() -> None:
    async with aclosing(stream_through(shell("echo $$; sleep 1000"), (), nothing())) as stream:
        pid = int(await anext(stream))
        assert os.getpgid(pid) == os.getsid(pid) == pid != os.getpgrp()


async def test_the_environment_is_fixed_and_has_no_relative_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{os.defpath}::.:bin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("XDELTA", "-v")
    lines = (await output(("/usr/bin/env",), nothing())).decode().split()
    assert dict(line.split("=", 1) for line in lines) == {"PATH": os.defpath, "LC_ALL": "C"}


async def test_an_error_of_the_source_is_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> Chunks:
        yield b"some"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await output(("cat",), broken())


async def test_what_cannot_be_started_leaves_no_pipe(tmp_path: Path) -> None:
    for program in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CodecUnavailableError, match="cannot start"):
            await output((str(program),), nothing())


async def test_a_fast_process_does_not_keep_the_loop() -> None:
    """Neither one whose output is always there, nor one that takes whatever it is given."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def much() -> Chunks:
        for _ in range(200):
            yield bytes(MIB)

    counting = asyncio.create_task(count())
    async with aclosing(stream_through(shell("exec cat > /dev/null"), (), much())) as stream:
        assert [chunk async for chunk in stream] == []
    assert turns >= 200
    async with aclosing(stream_through(shell("exec head -c 200000000 /dev/zero"), (), nothing())) as stream:
        turns, chunks = 0, 0
        async for _ in stream:
            chunks += 1
    assert turns >= chunks >= 190
    counting.cancel()


async def test_all_bytes_pass_in_order_whatever_the_pieces() -> None:
    pieces = [bytes([number % 256]) * (number * 7919 % 3_000_000) for number in range(60)]

    async def uneven() -> Chunks:
        for piece in pieces:
            yield piece

    assert await output(("cat",), uneven()) == b"".join(pieces)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    descriptors = psutil.Process().num_fds()
    yield
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert psutil.Process().num_fds() <= descriptors


@ON_LINUX
@pytest.mark.parametrize("ticks", range(6))
async def test_a_clean_up_that_is_cancelled_with_all_tasks_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, ticks: int
) -> None:
    """As at the end of asyncio.run."""
    begun, children, others = asyncio.Event(), list[process.Child](), asyncio.all_tasks()

    class Noted(process.Child):
        async def read(self) -> bytes:
            children.append(self)
            begun.set()
            return await super().read()

    monkeypatch.setattr(process, "Child", Noted)
    reading = asyncio.create_task(output(shell("exec sleep 1000"), never()))
    await begun.wait()
    reading.cancel()
    for _ in range(ticks):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - others:
        task.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()
    assert children[0]._descriptor is None
    assert children[0]._transport.is_closing()
    await gone(children[0].process.pid)
