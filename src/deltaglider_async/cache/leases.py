"""Leases, and the one object in which the cache's mutable state lies.

Theory of operation. For each SHA-256 there is at most one live reference (plain bytes, counted leases) and at
most one flight: a task that prepares a reference, others that wait until it is live, and leases of it as far as it
has arrived. The task is nobody's own: it goes on for as long as anybody waits for it or has a lease, whoever asked
first. `References` owns both and changes them in these methods, without I/O and without awaiting:

* `ask` gives a live reference, or what is known of its flight, or None: the caller begins one;
* `add` makes plain bytes live that came in another way, and serves every waiter its lease at once, so that a
  reference cannot end between being prepared and being taken;
* `land` does the same with those of a flight. Where some were added meanwhile, the flight's end with their leases;
* `give_up` ends a flight that failed: later callers start anew. `fail` tells those who wait, when it is cleaned up;
* `end` and `leave` give back a lease or a place in the queue; `unwanted` says whether a flight goes on for nobody.

Where the last lease ends, the plain bytes are returned to be closed: I/O is the caller's. A flight has a lease of its
own, so that nothing is closed to which it writes.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from deltaglider_async.cache.plain import Plain

MIB = 1024 * 1024
#: What a reference reaches when it is there, verified and not written any more. Those without an end have not.
VERIFIED = math.inf


@dataclass(eq=False, slots=True)
class Reference:
    """The plain bytes of one reference, shared by its leases.

    `unsealed`: it is to be stored, which the end of its last lease sees to. `arrived`: bytes that may be read, in a
    flight without having been verified, or `VERIFIED`. `failure`: why no more will come.
    """

    sha256: str
    size: int
    plain: Plain
    leases: int = 0
    unsealed: bool = False
    arrived: float = VERIFIED
    failure: Exception | None = None
    _waiting: list[tuple[float, asyncio.Future[None]]] = field(default_factory=list)

    def advance(self, arrived: float) -> None:
        """So much has arrived: whoever waits for that goes on. Less is no news: it comes once more."""
        self.arrived = max(self.arrived, arrived)
        self._wake()

    def fail(self, failure: Exception) -> None:
        """No more will arrive."""
        self.failure = failure
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for offset, waiter in waiting:
            if self.failure is None and offset > self.arrived:
                self._waiting.append((offset, waiter))
            elif not waiter.done():
                waiter.set_result(None)

    async def reached(self, offset: float) -> None:
        """Wait until so many bytes have arrived, or `VERIFIED`. Raises what the flight failed with."""
        if self.arrived < offset and self.failure is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((offset, waiter))
            await waiter
        if self.failure is not None:
            raise self.failure


#: What a waiter gets: its lease, or the failure that all get.
Outcome: TypeAlias = "Reference | Exception"
Place: TypeAlias = "asyncio.Future[Outcome]"


@dataclass(eq=False, slots=True)
class Flight:
    """A reference on its way, and who waits until it is live. `task` is set by whoever begins it."""

    reference: Reference
    queue: deque[Place] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class References:
    """Live references and flights, by SHA-256."""

    def __init__(self) -> None:
        self._live: dict[str, Reference] = {}
        self._flights: dict[str, Flight] = {}

    def knows(self, sha256: str) -> bool:
        """Whether a reference is live or on its way."""
        return sha256 in self._live or sha256 in self._flights

    def flying(self) -> list[asyncio.Task[None]]:
        """The tasks of all flights."""
        return [flight.task for flight in self._flights.values() if flight.task is not None]

    def leave_unsealed(self, sha256: str | None = None) -> None:
        """The reference, or each that is live, is not to be stored any more."""
        for reference in self._live.values():
            if sha256 in (None, reference.sha256):
                reference.unsealed = False

    def ask(self, sha256: str, *, arriving: bool) -> Reference | Place | None:
        """A reference with a lease for the caller, or a place to await, or None: the caller begins a flight and asks
        again. With `arriving`, the reference may be in flight.
        """
        if (reference := self._live.get(sha256)) is not None:
            reference.leases += 1
            return reference
        if (flight := self._flights.get(sha256)) is None:
            return None
        if arriving:
            flight.reference.leases += 1
            return flight.reference
        place: Place = asyncio.get_running_loop().create_future()
        flight.queue.append(place)
        return place

    def begin(self, sha256: str, size: int, plain: Plain) -> Flight:
        """A flight, to whose reference one lease is its own."""
        self._flights[sha256] = flight = Flight(Reference(sha256, size, plain, leases=1, arrived=0))
        return flight

    def add(self, sha256: str, size: int, plain: Plain) -> Reference:
        """The live reference, with one lease for the caller. If its `plain` is another, yours is surplus."""
        reference = self._live.setdefault(sha256, Reference(sha256, size, plain))
        reference.leases += 1
        if (flight := self._flights.get(sha256)) is not None:
            self._serve(flight, reference)
        return reference

    def land(self, flight: Flight) -> bool:
        """All of a flight's reference is there and verified. Returns whether it is the live one."""
        reference = flight.reference
        self.give_up(flight)
        live = self._live.setdefault(reference.sha256, reference)
        reference.advance(VERIFIED)
        self._serve(flight, live)
        return live is reference

    def give_up(self, flight: Flight) -> None:
        """A flight has ended, or is none any more."""
        if self._flights.get(flight.reference.sha256) is flight:
            del self._flights[flight.reference.sha256]

    def fail(self, flight: Flight, failure: Exception) -> None:
        """Tell whoever still waits for a flight that was given up."""
        flight.reference.fail(failure)
        while flight.queue:
            if not (place := flight.queue.popleft()).done():
                place.set_result(failure)

    def unwanted(self, sha256: str) -> Flight | None:
        """The flight of a reference, if it goes on for nobody. It is none any more: end its task."""
        flight = self._flights.get(sha256)
        if flight is None or flight.reference.leases > 1 or any(not place.done() for place in flight.queue):
            return None
        return self._flights.pop(sha256)

    def leave(self, sha256: str, place: Place) -> Plain | None:
        """Give a place up, with whatever has been handed to it already. Returns what is to be closed."""
        if place.cancelled():
            if (flight := self._flights.get(sha256)) is not None and place in flight.queue:
                flight.queue.remove(place)
            return None
        outcome = place.result()
        return self.end(outcome) if isinstance(outcome, Reference) else None

    def end(self, reference: Reference) -> Plain | None:
        """Give back one lease. Returns the plain bytes where it was the last: close them."""
        reference.leases -= 1
        if reference.leases:
            return None
        if self._live.get(reference.sha256) is reference:
            del self._live[reference.sha256]
        return reference.plain

    def _serve(self, flight: Flight, reference: Reference) -> None:
        while flight.queue:
            if not (place := flight.queue.popleft()).done():
                reference.leases += 1
                place.set_result(reference)


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

    @property
    def arriving(self) -> bool:
        """Whether it is not verified yet, and perhaps not all there."""
        return self.reference.arrived != VERIFIED

    async def reached(self, offset: float) -> None:
        """Wait until so many bytes may be read, or, with `VERIFIED`, until all are there and have the SHA-256.

        Raises as `ReferenceCache.lease`. Only one that was leased as it arrives has anything to wait for.
        """
        await self.reference.reached(min(offset, self.size) if offset != VERIFIED else offset)

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
