"""Tells a caller's callback how many bytes of a transfer are done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, TypeVar

from deltaglider_async.client.base import ignore
from deltaglider_async.engine.parallel import concurrently

if TYPE_CHECKING:
    from deltaglider_async.types import Phase, Progress

T = TypeVar("T")


async def tell(callback: Callable[..., Any], *arguments: Any) -> None:
    """Call a plain or an async function."""
    answer = callback(*arguments)
    if isawaitable(answer):
        await answer


async def metered(
    callback: Callable[[int], Any] | None, work: Callable[[Progress], Awaitable[T]], size: Callable[[T], int]
) -> T:
    """Do `work`, and tell `callback` meanwhile how many bytes (1 or more) were done since its last call.

    They sum up to `size` of the result, also where the engine begins anew: then nothing is told until it has passed
    the place where it was. The last of them are told when the work has succeeded, so that the sum is never reached by
    what then fails. An error of the callback ends the work and is raised. A slow callback is told larger sums.
    """
    if callback is None:
        return await work(ignore)
    meter = _Meter(callback)
    results: list[T] = []

    async def run() -> None:
        result = await work(meter.advance)
        results.append(result)
        meter.finish(size(result))

    await concurrently(meter.report, run)
    return results[0]


class _Meter:
    def __init__(self, callback: Callable[[int], Any]) -> None:
        self._callback = callback
        self._done = 0
        self._latest = 0
        self._ended = False
        self._changed = asyncio.Event()

    def advance(self, phase: Phase, position: int) -> None:
        if phase != "reading reference" and position > self._latest:
            self._done, self._latest = self._latest, position
            self._changed.set()

    def finish(self, size: int) -> None:
        self._done, self._ended = size, True
        self._changed.set()

    async def report(self) -> None:
        told = 0
        while not self._ended or told < self._done:
            await self._changed.wait()
            self._changed.clear()
            if (amount := self._done - told) > 0:
                told = self._done
                await tell(self._callback, amount)
