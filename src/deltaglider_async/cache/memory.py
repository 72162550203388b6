"""Sealed entries in memory, bounded, least recently used first to go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from deltaglider_async.errors import CacheMissError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable


class MemoryEntries:
    """Entries as tuples of blocks. The lock is held for bookkeeping only, never while sealing."""

    lasting = False

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: OrderedDict[str, tuple[bytes, ...]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def holds(self, sha256: str) -> bool:
        with self._lock:
            if found := sha256 in self._entries:
                self._entries.move_to_end(sha256)
        return found

    def read(self, sha256: str) -> Generator[bytes, None, None]:
        """The blocks of an entry, which becomes the most recently used. Raises `CacheMissError`."""
        with self._lock:
            if sha256 not in self._entries:
                raise CacheMissError(f"reference {sha256} is not in the cache")
            self._entries.move_to_end(sha256)
            blocks = self._entries[sha256]
        yield from blocks

    def write(self, sha256: str, blocks: Iterable[bytes]) -> None:
        entry = tuple(blocks)
        with self._lock:
            self._drop(sha256)
            self._entries[sha256] = entry
            self._size += sum(map(len, entry))
            while self._size > self.limit:
                self._drop(next(iter(self._entries)))

    def remove(self, sha256: str) -> None:
        with self._lock:
            self._drop(sha256)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._size = 0

    def close(self) -> None:
        self.clear()

    def stored_size(self) -> int:
        """Bytes of all entries, sealed."""
        return self._size

    def _drop(self, sha256: str) -> None:
        self._size -= sum(map(len, self._entries.pop(sha256, ())))
