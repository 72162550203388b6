"""What one transfer may take of the network: requests at once, bytes per second, keys per page of a listing.

A context variable, so that it holds for all that is done inside the call that sets it, and for nothing beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import anyio

from deltaglider_async.streams import Chunks


class Pace:
    """So many bytes per second, over all streams of one transfer together."""

    def __init__(self, bytes_per_second: float) -> None:
        self._rate = bytes_per_second
        self._free_at = 0.0

    async def passed(self, size: int) -> None:
        """Wait until so many bytes more may have passed."""
        now = anyio.current_time()
        self._free_at = max(now, self._free_at) + size / self._rate
        await anyio.sleep(self._free_at - now)


@dataclass(frozen=True, slots=True)
class Limits:
    """`requests`: parts of one object under way at once. `page_size`: keys that the service is asked for at once.

    The store has limits of its own, which stay. `to_the_end`: what is read is read to its end, and at once, so that it
    may come over several connections.
    """

    requests: int = sys.maxsize
    pace: Pace | None = None
    to_the_end: bool = False
    page_size: int | None = None

    def most_keys(self, wanted: int | None) -> int | None:
        """How many keys a page may have of those that are wanted; None: as many as the service gives."""
        return min((most for most in (wanted, self.page_size) if most is not None), default=None)


_LIMITS: ContextVar[Limits] = ContextVar("limits", default=Limits())  # noqa: B039, it is frozen


def limits() -> Limits:
    """Those of the transfer that this code runs for."""
    return _LIMITS.get()


@contextmanager
def limited(chosen: Limits) -> Iterator[None]:
    """Everything inside of the block, and every task that is started there, keeps these limits."""
    token = _LIMITS.set(chosen)
    try:
        yield
    finally:
        _LIMITS.reset(token)


async def paced(chunks: Chunks) -> Chunks:
    """The same chunks, no faster than the transfer may be."""
    pace = limits().pace
    async with aclosing(chunks):
        async for chunk in chunks:
            if pace is not None:
                await pace.passed(len(chunk))
            yield chunk
