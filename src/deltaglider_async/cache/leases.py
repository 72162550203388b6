"""Leases, and the one object in which the cache's mutable state lies.

Theory of operation. For each SHA-256 there is at most one live reference (plain bytes, counted leases) and at
most one flight (one task that prepares it, and a queue of others that wait for it). `References` owns both
and changes them in these methods, without I/O and without awaiting:

* `ask` gives a live reference, or a place in the queue, or the flight itself;
* `add` makes plain bytes live and serves every waiter its lease at once, so that a reference cannot end
  between being prepared and being taken;
* `finish` ends a flight, passing a failure to those who wait now; later callers start anew;
* `pass_on` gives a flight whose task was cancelled to the next waiter, or ends it;
* `end` and `leave` give back a lease or a place in the queue.

Where the last lease ends, the plain bytes are returned to be closed: I/O is the caller's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deltaglider_async.cache.plain import Plain

MIB = 1024 * 1024


@dataclass(eq=False, slots=True)
class Reference:
    """The plain bytes of one reference, shared by its leases.

    `unsealed`: it is to be stored, which the end of its last lease sees to.
    """

    sha256: str
    size: int
    plain: Plain
    leases: int = 0
    unsealed: bool = False


#: What a waiter gets: its lease, the failure that all get, or None: it is its turn to prepare.
Outcome: TypeAlias = "Reference | Exception | None"
Place: TypeAlias = "asyncio.Future[Outcome]"


class References:
    """Live references and flights, by SHA-256."""

    def __init__(self) -> None:
        self._live: dict[str, Reference] = {}
        self._flights: dict[str, deque[Place]] = {}

    def knows(self, sha256: str) -> bool:
        """Whether a reference is live or on its way."""
        return sha256 in self._live or sha256 in self._flights

    def leave_unsealed(self, sha256: str | None = None) -> None:
        """The reference, or each that is live, is not to be stored any more."""
        for reference in self._live.values():
            if sha256 in (None, reference.sha256):
                reference.unsealed = False

    def ask(self, sha256: str) -> Reference | Place | None:
        """A reference with a lease for the caller, or a place to await, or None: the caller has the flight."""
        if (reference := self._live.get(sha256)) is not None:
            reference.leases += 1
            return reference
        if (queue := self._flights.get(sha256)) is None:
            self._flights[sha256] = deque()
            return None
        place: Place = asyncio.get_running_loop().create_future()
        queue.append(place)
        return place

    def add(self, sha256: str, size: int, plain: Plain) -> Reference:
        """The live reference, with one lease for the caller. If its `plain` is another, yours is surplus."""
        reference = self._live.setdefault(sha256, Reference(sha256, size, plain))
        reference.leases += 1
        queue = self._flights.get(sha256, deque())
        while queue:
            if not (place := queue.popleft()).done():
                reference.leases += 1
                place.set_result(reference)
        return reference

    def finish(self, sha256: str, failure: Exception | None = None) -> None:
        """End the caller's flight; whoever still waits gets `failure`."""
        for place in self._flights.pop(sha256):
            if not place.done():
                place.set_result(failure)

    def pass_on(self, sha256: str) -> None:
        """Give the caller's flight to the next waiter, or end it where there is none."""
        queue = self._flights[sha256]
        while queue:
            if not (place := queue.popleft()).done():
                place.set_result(None)
                return
        del self._flights[sha256]

    def leave(self, sha256: str, place: Place) -> Plain | None:
        """Give a place up, with whatever has been handed to it already. Returns what is to be closed."""
        if place.cancelled():
            queue = self._flights.get(sha256, deque())
            if place in queue:
                queue.remove(place)
            return None
        outcome = place.result()
        if outcome is None:
            self.pass_on(sha256)
        return self.end(outcome) if isinstance(outcome, Reference) else None

    def end(self, reference: Reference) -> Plain | None:
        """Give back one lease. Returns the plain bytes where it was the last: close them."""
        reference.leases -= 1
        if reference.leases:
            return None
        del self._live[reference.sha256]
        return reference.plain


class Lease:
    """The right to use a reference, for as long as its `async with` block lasts.

    Attributes:
        sha256: hex, of the reference
        size: bytes
        fd: the descriptor that xdelta3 must inherit (`pass_fds`); None where the platform has only a named file
        path: what xdelta3 gets as `-s`
    """

    def __init__(self, reference: Reference) -> None:
        self._reference: Reference | None = reference
        self.sha256 = reference.sha256
        self.size = reference.size
        self.fd = reference.plain.fd
        self.path = reference.plain.path

    async def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset` on, fewer only at the end."""
        return await in_thread(self.reference.plain.read, offset, size)

    async def places(self, number: int, length: int) -> list[bytes]:
        """`length` bytes each from `number` places all over it; of a small reference less."""
        plain, step = self.reference.plain, max(1, self.size // number)
        offsets = range(0, min(self.size, step * number), step)
        return await in_thread(lambda: [plain.read(offset, min(length, step)) for offset in offsets])

    async def chunks(self, size: int = MIB) -> AsyncGenerator[bytes, None]:
        """All bytes from the start, in chunks of `size`. Independent readers may run at once."""
        for offset in range(0, self.size, size):
            yield await self.read(offset, size)

    @property
    def reference(self) -> Reference:
        """What is leased. Raises `ValueError` after the end: the descriptor may be another file's by then."""
        if self._reference is None:
            raise ValueError(f"the lease of reference {self.sha256} has ended")
        return self._reference

    def end(self) -> None:
        """Refuse further use; the cache calls it."""
        self._reference = None
