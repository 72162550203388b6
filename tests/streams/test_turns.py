"""Turns: no more at once than there may be, in order, and nobody waits for those that rest."""

from __future__ import annotations

import asyncio

from deltaglider_async.streams.turns import Turns


async def test_so_many_work_at_once_in_the_order_in_which_they_came() -> None:
    turns, at_once, most, order = Turns(3), 0, 0, []

    async def work(number: int) -> None:
        nonlocal at_once, most
        turn = await turns.take()
        order.append(number)
        at_once += 1
        most = max(most, at_once)
        for _ in range(number % 4):
            with turn.resting():
                await asyncio.sleep(0)
        at_once -= 1
        turn.end()

    await asyncio.gather(*map(work, range(50)))
    assert (most, order) == (3, list(range(50)))


async def test_whoever_reads_all_in_turn_gets_all_of_them() -> None:
    turns = Turns(2)
    begun = []
    for _ in range(6):
        turn = await turns.take()
        rest = turn.resting()
        rest.__enter__()
        begun.append((turn, rest))
    for turn, rest in begun:
        rest.__exit__(None, None, None)
        turn.end()


async def test_work_that_rests_for_two_reasons_rests_until_both_have_ended() -> None:
    turns = Turns(1)
    first = await turns.take()
    with first.resting():
        with first.resting():
            pass
        async with asyncio.timeout(10):  # seconds; it would wait for ever
            second = await turns.take()
    second.end()
    first.end()


async def test_a_cancelled_wait_keeps_nobody_waiting() -> None:
    turns = Turns(1)
    first = await turns.take()
    waiting = [asyncio.ensure_future(turns.take()) for _ in range(4)]
    await asyncio.sleep(0)
    for number in (0, 2):
        waiting[number].cancel()
    await asyncio.sleep(0)
    first.end()
    second = await waiting[1]
    assert not waiting[3].done()
    second.end()
    (await waiting[3]).end()
