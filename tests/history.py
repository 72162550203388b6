"""What many clients did to keys, and what a read of one may therefore see. No clock: only what came before what."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count


@dataclass
class Write:
    """A put of some bytes, or a delete (None). A write that failed may have happened, at any later time too."""

    value: bytes | None
    begun: float
    ended: float = math.inf


@dataclass
class History:
    """The writes of each key, in the order in which they began."""

    writes: dict[str, list[Write]] = field(default_factory=dict)
    _moments: Iterator[int] = field(default_factory=count)

    @contextmanager
    def write(self, key: str, value: bytes | None) -> Iterator[None]:
        """Around a put or delete; leaving without an exception acknowledges it."""
        write = Write(value, next(self._moments))
        self.writes.setdefault(key, [Write(None, -1, -1)]).append(write)
        yield
        write.ended = next(self._moments)

    def now(self) -> int:
        """A moment, to be taken before a read begins."""
        return next(self._moments)

    def readable(self, key: str, since: int) -> list[bytes | None]:
        """What a read that began at `since` and ended now may have seen: no write that another one had replaced."""
        writes = self.writes.get(key, [Write(None, -1, -1)])
        return [
            write.value
            for write in writes
            if not any(write.ended < other.begun and other.ended < since for other in writes)
        ]

    def acknowledged(self) -> int:
        """How many writes were."""
        return sum(0 <= write.ended < math.inf for writes in self.writes.values() for write in writes)
