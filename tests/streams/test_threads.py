"""Clean-up and cancellation."""

from __future__ import annotations

import asyncio

import anyio.lowlevel
import pytest

from deltaglider_async.streams.threads import begin, to_its_end


async def test_a_clean_up_runs_to_its_end_however_often_it_is_cancelled() -> None:
    steps: list[int] = []
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def clean_up() -> None:
        begun.set()
        await go_on.wait()
        steps.append(1)

    async def work() -> None:
        try:
            raise ValueError
        finally:
            await to_its_end(clean_up())

    async with asyncio.timeout(60):
        task = asyncio.ensure_future(work())
        await begun.wait()
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):  # not lost
            await task
    assert steps == [1]


async def test_a_clean_up_outlives_a_scope() -> None:
    steps: list[int] = []

    async def clean_up() -> None:
        for number in range(3):
            await asyncio.sleep(0)
            steps.append(number)

    with anyio.CancelScope() as scope:
        scope.cancel()
        await to_its_end(clean_up())
        await anyio.lowlevel.checkpoint()
        steps.append(-1)
    assert (scope.cancelled_caught, steps) == (True, [0, 1, 2])


async def test_a_clean_up_gives_back_its_result_or_error() -> None:
    async def clean_up(divisor: int) -> float:
        return 1 / divisor

    assert await to_its_end(clean_up(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        await to_its_end(clean_up(0))


async def test_the_error_of_a_cancelled_clean_up_gives_way_to_the_cancellation() -> None:
    go_on = asyncio.Event()

    async def clean_up() -> None:
        await go_on.wait()
        raise ZeroDivisionError

    task = asyncio.ensure_future(to_its_end(clean_up()))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_clean_up_that_is_cancelled_before_its_first_step_runs_all_the_same() -> None:
    """The end of asyncio.run cancels all tasks, that of a clean-up, too."""
    steps: list[int] = []

    async def clean_up() -> None:
        steps.append(1)

    others = asyncio.all_tasks()
    work = asyncio.ensure_future(to_its_end(clean_up()))
    await asyncio.sleep(0)
    assert steps == []
    for task in asyncio.all_tasks() - others:
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert steps == [1]


@pytest.mark.parametrize("ticks", [0, 1])
async def test_what_a_task_owns_is_given_back_whenever_it_is_cancelled(ticks: int) -> None:
    given_back: list[str] = []

    async def own() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_back.append("by the task")

    task = begin(own(), lambda: given_back.append("instead"))
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert given_back == [["instead"], ["by the task"]][ticks]
