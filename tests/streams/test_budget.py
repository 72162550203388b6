"""A budget of bytes: never exceeded, first come first served, and nothing lost by a cancellation."""

from __future__ import annotations

import asyncio
import random

import anyio
import pytest

from deltaglider_async.streams.budget import ByteBudget


class Piece:
    """A piece of work that holds its share until it is told to end."""

    def __init__(self, budget: ByteBudget, size: int) -> None:
        self.holds = False
        self._end = asyncio.Event()
        self.task = asyncio.create_task(self._run(budget, size))

    async def _run(self, budget: ByteBudget, size: int) -> None:
        async with budget.take(size):
            self.holds = True
            await self._end.wait()
        self.holds = False

    async def end(self) -> None:
        self._end.set()
        await self.task
        await settled()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def start(budget: ByteBudget, *sizes: int) -> list[Piece]:
    pieces = [Piece(budget, size) for size in sizes]
    await settled()
    return pieces


async def test_what_fits_is_taken_at_once_and_given_back() -> None:
    budget = ByteBudget(10)
    first, second = await start(budget, 4, 6)
    assert first.holds
    assert second.holds
    assert budget.free == 0
    await first.end()
    await second.end()
    assert budget.free == 10


async def test_first_come_is_first_served() -> None:
    """A small piece does not overtake a large one that waits, or the large one might wait for ever."""
    budget = ByteBudget(10)
    first, large, small = await start(budget, 6, 8, 1)
    assert [piece.holds for piece in (first, large, small)] == [True, False, False]
    await first.end()
    assert [piece.holds for piece in (large, small)] == [True, True]
    for piece in (large, small):
        await piece.end()
    assert budget.free == 10


async def test_what_is_larger_than_the_budget_runs_alone() -> None:
    budget = ByteBudget(10)
    first, larger, last = await start(budget, 1, 1000, 1)
    assert [piece.holds for piece in (first, larger, last)] == [True, False, False]
    await first.end()
    assert [piece.holds for piece in (larger, last)] == [True, False]
    await larger.end()
    assert last.holds
    await last.end()
    assert budget.free == 10


async def test_a_cancelled_wait_lets_the_next_one_pass() -> None:
    budget = ByteBudget(10)
    first, large, small = await start(budget, 6, 8, 4)
    large.task.cancel()
    await settled()
    assert small.holds
    for piece in (first, small):
        await piece.end()
    assert budget.free == 10


async def test_what_was_admitted_when_it_was_cancelled_is_given_back() -> None:
    budget = ByteBudget(10)
    first, second, third = await start(budget, 10, 10, 10)
    first._end.set()
    await asyncio.sleep(0)  # the first ends and admits the second, which has not run yet
    second.task.cancel()
    await settled()
    assert not second.holds
    assert third.holds
    await third.end()
    assert budget.free == 10


async def test_an_error_in_the_block_gives_back() -> None:
    budget = ByteBudget(10)
    with pytest.raises(RuntimeError, match="of the work"):
        async with budget.take(7):
            raise RuntimeError("of the work")
    assert budget.free == 10


@pytest.mark.parametrize("seed", range(5))
async def test_any_mixture_of_work_and_cancellation_ends_with_all_given_back(seed: int) -> None:
    choose, budget, held, most, ran = random.Random(seed), ByteBudget(100), 0, 0, 0

    async def work(size: int, patience: float) -> None:
        nonlocal held, most, ran
        with anyio.move_on_after(patience):
            async with budget.take(size):
                held += min(size, 100)
                most = max(most, held)
                ran += 1
                try:
                    await anyio.sleep(choose.random() / 1000)
                finally:
                    held -= min(size, 100)

    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            patience = choose.choice([0, 0.001, 0.01, 10])
            tasks.start_soon(work, choose.choice([0, 1, 10, 60, 100, 500]), patience)
    assert budget.free == 100
    assert held == 0
    assert 60 <= most <= 100
    assert ran > 50
