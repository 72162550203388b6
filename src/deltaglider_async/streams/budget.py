"""A budget of bytes that concurrent work draws from."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import anyio


class ByteBudget:
    """At most `total` bytes are taken at any time, first come first served.

    A piece of work takes all that it needs in one step and waits for nothing else of the same budget while
    it holds it, so waiting always ends. Work that is larger than the whole budget runs alone.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        # The only mutable state besides `free`; both change in `take`, `if_free` and `_admit` only.
        self._waiting: deque[tuple[int, anyio.Event]] = deque()

    @asynccontextmanager
    async def take(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes of the budget for the length of the block."""
        size = min(size, self.total)
        if self._waiting or self.free < size:
            entry = (size, anyio.Event())
            self._waiting.append(entry)
            try:
                await entry[1].wait()
            except BaseException:
                if entry[1].is_set():
                    self.free += size
                else:
                    self._waiting.remove(entry)
                self._admit()
                raise
        else:
            self.free -= size
        try:
            yield
        finally:
            self.free += size
            self._admit()

    @contextmanager
    def if_free(self, size: int) -> Iterator[bool]:
        """Hold `size` bytes for the length of the block if they are free at once. Gives whether they were."""
        free = not self._waiting and size <= self.free
        self.free -= size * free
        try:
            yield free
        finally:
            self.free += size * free
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.free:
            size, admitted = self._waiting.popleft()
            self.free -= size
            admitted.set()
