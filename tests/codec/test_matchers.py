"""Windows that are made in processes of their own are the same, and nothing stays when those end."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.codec.test_matching import BASE, TARGETS, noise, with_changes
from tests.codec.test_xdelta import MIB, OnDisk, chunks, reference, whole

from deltaglider_async.codec import matchers, worker, xdelta
from deltaglider_async.codec.encoders import BLOCK
from deltaglider_async.codec.matchers import Matcher, Workers
from deltaglider_async.codec.samples import Index
from deltaglider_async.codec.worker import Worker

TARGET = with_changes(BASE, list(range(1000, len(BASE), 100_000)), b"twelve bytes")


@asynccontextmanager
async def several(most: int = 2) -> AsyncIterator[Workers]:
    """Processes for more than one target."""
    workers = Workers(most)
    async with workers, workers:
        yield workers


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Worker]:
    """All processes that begin in a test."""
    found: list[Worker] = []

    class Noted(Worker):
        def __init__(self) -> None:
            super().__init__()
            found.append(self)

    monkeypatch.setattr(matchers, "Worker", Noted)
    return found


def ended(processes: list[Worker]) -> bool:
    """Whether none is there any more, not even as one that nobody has waited for."""
    return bool(processes) and not any(Path(f"/proc/{each.pid}").exists() for each in processes)


async def made(known: OnDisk, index: Index, target: bytes) -> list[bytes | None]:
    matcher = Matcher(known, index)
    return [await matcher.window(target[start : start + BLOCK]) for start in range(0, len(target), BLOCK)]


@pytest.mark.parametrize("handed_over", ["a descriptor", "a path"])
@pytest.mark.parametrize("name", [name for name, (target, _) in TARGETS.items() if len(target) >= MIB])
async def test_a_process_makes_the_same(tmp_path: Path, begun: list[Worker], name: str, handed_over: str) -> None:
    target, _ = TARGETS[name]
    with reference(tmp_path, BASE) as known:
        if handed_over == "a path":
            known = OnDisk(known.path, known.size, None)
        here = await made(known, Index(), target)
        async with several() as workers:
            assert await made(known, Index(workers), target) == here
    assert len(begun) == 1 and ended(begun)


async def test_of_several_targets_each_goes_on_where_it_was(tmp_path: Path, begun: list[Worker]) -> None:
    base = noise(2 * BLOCK + MIB)
    targets = [noise(1000 * each, each) + base for each in range(1, 6)]
    others = noise(MIB, 77)
    (tmp_path / "other").mkdir()
    with reference(tmp_path, base) as known, reference(tmp_path / "other", others) as other:
        found: dict[int, list[bytes | None]] = {}
        async with several() as workers:
            index, another = Index(workers), Index(workers)

            async def match(number: int) -> None:
                found[number] = await made(known, index, targets[number])
                assert await made(other, another, b"new" + others) != [None]

            async with anyio.create_task_group() as group:
                for number in range(len(targets)):
                    group.start_soon(match, number)
        for number, target in enumerate(targets):
            assert found[number] == await made(known, Index(), target)
    assert len(begun) == 2 and ended(begun)


async def test_one_target_alone_needs_no_process(tmp_path: Path, begun: list[Worker]) -> None:
    workers = Workers(2)
    with reference(tmp_path, BASE) as known:
        async with workers:
            assert None not in await made(known, Index(workers), TARGET)
            async with workers:
                assert None not in await made(known, Index(workers), TARGET[: MIB // 2])
    assert not begun


async def test_they_stay_from_one_target_to_the_next(tmp_path: Path, begun: list[Worker]) -> None:
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            index = Index(workers)
            for _ in range(3):
                await made(known, index, TARGET)
            assert len(begun) == 1 and not ended(begun)
    assert ended(begun)


async def test_who_is_cancelled_leaves_no_process(tmp_path: Path, begun: list[Worker]) -> None:
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            index = Index(workers)
            here = await made(known, index, TARGET)
            os.kill(begun[0].pid, signal.SIGSTOP)  # it does not answer any more
            with anyio.move_on_after(0.1) as scope:
                await made(known, index, TARGET)
            assert scope.cancelled_caught and ended(begun)
            assert await made(known, index, TARGET) == here
            assert len(begun) == 2
    assert ended(begun)


async def test_an_end_that_is_cancelled_ends_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[Worker]
) -> None:
    loop, end = asyncio.get_running_loop(), Worker.end

    def cancelled_end(process: Worker) -> None:
        loop.call_soon_threadsafe(task.cancel)
        end(process)

    async def two_at_once() -> None:
        async with several() as workers, anyio.create_task_group() as group:
            index = Index(workers)
            for _ in range(2):
                group.start_soon(made, known, index, TARGET)

    monkeypatch.setattr(Worker, "end", cancelled_end)
    with reference(tmp_path, BASE) as known:
        task = asyncio.create_task(two_at_once())
        await asyncio.wait([task])
    assert task.cancelled() and len(begun) == 2 and ended(begun)


async def test_packages_beside_ours_stand_in_for_no_part_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    """There are packages of the names of what once was not in Python's library."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    package = Path(worker.__file__).parents[1]
    (installed / package.name).symlink_to(package)
    for name in ("dataclasses", "pathlib", "typing"):
        (installed / f"{name}.py").write_text("raise ImportError")
    monkeypatch.setattr(worker, "__file__", str(installed / package.name / "codec" / "worker.py"))
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            assert None not in await made(known, Index(workers), TARGET)
    assert len(begun) == 1 and not caplog.text


async def test_a_process_that_was_killed_is_replaced_by_a_thread(
    tmp_path: Path, begun: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            index = Index(workers)
            here = await made(known, index, TARGET)
            os.kill(begun[0].pid, signal.SIGKILL)
            assert await made(known, index, TARGET) == here
            assert f"made in this process alone: process {begun[0].pid} has ended" in caplog.text
            assert await made(known, index, TARGET) == here
    assert len(begun) == 1 and ended(begun)


async def test_a_process_that_does_nothing_is_replaced_by_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    start = matchers._start

    def stopped(processes: list[Worker]) -> None:
        start(processes)
        os.kill(processes[0].pid, signal.SIGSTOP)

    monkeypatch.setattr(matchers, "_start", stopped)
    monkeypatch.setattr(worker, "_STALLED", 0.05)
    with reference(tmp_path, BASE) as known:
        here = await made(known, Index(), TARGET)
        async with several() as workers:
            assert await made(known, Index(workers), TARGET) == here
    assert f"made in this process alone: process {begun[0].pid} does not answer" in caplog.text
    assert len(begun) == 1 and ended(begun)


@pytest.mark.parametrize("executable", ["/usr/bin/uwsgi", "", "/nonexistent/python3"])
async def test_where_there_is_no_interpreter_to_start_all_is_made_in_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, executable: str
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            assert None not in await made(known, Index(workers), TARGET)
    assert caplog.text.count("made in this process alone: cannot start") == 1


async def test_a_reference_that_cannot_be_read_is_left_to_xdelta3(
    tmp_path: Path, begun: list[Worker], caplog: pytest.LogCaptureFixture
) -> None:
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            lost = OnDisk(str(tmp_path / "lost"), known.size, None)
            assert await made(lost, Index(workers), TARGET) == [None]
            assert "cannot look into a reference" in caplog.text and "lost" in caplog.text
            # The process goes on.
            assert None not in await made(known, Index(workers), TARGET)
            assert len(begun) == 1


async def test_a_mistake_in_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begun: list[Worker]) -> None:
    sabotage = worker._START.replace(
        "from", "import deltaglider_async.codec.matching as it; it._copies = None; from", 1
    )
    monkeypatch.setattr(worker, "_START", sabotage)
    with reference(tmp_path, BASE) as known:
        async with several() as workers:
            with pytest.raises(RuntimeError, match="not callable"):
                await made(known, Index(workers), TARGET)
            assert ended(begun)


async def test_deltas_of_several_puts_are_whole(tmp_path: Path, begun: list[Worker]) -> None:
    base = noise(3 * BLOCK + 12_345)
    with reference(tmp_path, base) as known:
        async with several() as workers:
            index = Index(workers)

            async def put(seed: int) -> None:
                target = with_changes(base, [seed * 1_000_000], noise(5_000, seed))
                delta = await whole(xdelta.encode(known, chunks(target, 700_001), index=index))
                assert await whole(xdelta.decode(known, chunks(delta), len(target), stock=True)) == target
                assert len(delta) < 6_000

            async with anyio.create_task_group() as group:
                for seed in range(1, 7):
                    group.start_soon(put, seed)
    assert len(begun) == 2 and ended(begun)


def test_it_ends_with_the_program_that_started_it() -> None:
    lines = "from deltaglider_async.codec.worker import Worker; print(Worker().pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", lines], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        waiting = os.pidfd_open(int(program.stdout.readline()))
        program.kill()
    try:
        assert select.select([waiting], [], [], 60)[0]
    finally:
        os.close(waiting)
