"""Turns: so many pieces of work at once, of those that go on."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: Seconds after which work that rests does not keep others waiting.
_RESTED = 0.05


class Turns:
    """More than `at_once` would not be faster, and take more memory. First come, first served.

    This is no bound to rely on: whoever reads several streams in turn needs them all begun, so a piece of work that
    rests counts only for a moment, and goes on whenever it likes. Waiting ends whatever others wait for.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        # The only mutable state: since when each of those begun rests, infinity while it works; and the queue.
        self._begun: dict[object, float] = {}
        self._queue: deque[asyncio.Event] = deque()

    async def take(self) -> Turn:
        """A turn, when it has come. Its owner ends it."""
        place = asyncio.Event()
        self._queue.append(place)
        try:
            while self._queue[0] is not place:
                await place.wait()
                place.clear()
            while not self._room():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_RESTED):
                        await place.wait()
                place.clear()
            turn = Turn(self)
            self._begun[turn] = math.inf
            return turn
        finally:
            self._queue.remove(place)
            self._wake()

    def set_resting(self, turn: Turn, since: float) -> None:
        """A turn rests, or goes on where `since` is infinity."""
        self._begun[turn] = since

    def end(self, turn: Turn) -> None:
        """A turn is over."""
        self._begun.pop(turn, None)
        self._wake()

    def _room(self) -> bool:
        now = asyncio.get_running_loop().time()
        return sum(now - since < _RESTED for since in self._begun.values()) < self._at_once

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].set()


class Turn:
    """One piece of work that has begun."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._rests = 0

    @contextmanager
    def resting(self) -> Iterator[None]:
        """While the block lasts, others need not wait for this for long. Blocks may overlap."""
        if not self._rests:
            self._turns.set_resting(self, asyncio.get_running_loop().time())
        self._rests += 1
        yield
        self._rests -= 1
        if not self._rests:
            self._turns.set_resting(self, math.inf)

    def end(self) -> None:
        """It is over; the next one begins."""
        self._turns.end(self)
