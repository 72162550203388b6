"""The reference cache: a lease of any reference, downloaded at most once, kept sealed within a bound.

A reference that was downloaded, or that a put has created, is sealed when its last lease ends, and nobody waits for
that: who came for it has gone on, and who comes meanwhile shares the plain bytes, of which sealing has a lease. One is
sealed in this way at a time. Who gives back another one meanwhile waits, so that memory stays bounded.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import Protocol

import anyio

from deltaglider_async.cache.disk import DiskEntries
from deltaglider_async.cache.filling import GATHERED, fetched, fill
from deltaglider_async.cache.leases import VERIFIED, Flight, Lease, Reference, References
from deltaglider_async.cache.memory import MemoryEntries
from deltaglider_async.cache.plain import Plain, default_plain
from deltaglider_async.cache.sealed import KEY_SIZE, key_label, seal, sealed_size, unseal
from deltaglider_async.errors import (
    CacheCorruptionError,
    CacheMissError,
    IntegrityMismatchError,
    LocalIOError,
    StorageIOError,
)
from deltaglider_async.settings import MIB, Settings
from deltaglider_async.streams.stops import StoppedError, until
from deltaglider_async.streams.threads import begin, in_thread, to_its_end, until_done

_log = logging.getLogger(__name__)

#: Whole references that are sealed or unsealed at a time: more would not be faster, and keep the loop's
#: threads from everything else.
_SIDE_BY_SIDE = 3


class Entries(Protocol):
    """Where sealed entries rest. All methods but `stored_size` block; all may be called from any thread."""

    limit: int
    lasting: bool
    """Whether they outlive this process."""

    def holds(self, sha256: str) -> bool:
        """Whether there is an entry, which becomes the most recently used."""

    def read(self, sha256: str) -> Generator[bytes, None, None]:
        """The blocks of an entry, which becomes the most recently used.

        Raises `CacheMissError`, and `CacheCorruptionError` where the disk fails.
        """
        ...

    def write(self, sha256: str, blocks: Iterable[bytes]) -> None:
        """Add an entry in one step, then keep to the bound. Raises `OSError`."""

    def remove(self, sha256: str) -> None: ...

    def clear(self) -> None: ...

    def close(self) -> None: ...

    def stored_size(self) -> int: ...


class ReferenceCache:
    """References by SHA-256. What changes is in `References` (leases, flights) and in the entries.

    Example::

        async with cache.lease(sha256, size, lambda: download(key)) as reference:
            await process("xdelta3", "-d", "-c", "-s", reference.path, pass_fds=[reference.fd])
    """

    def __init__(self, entries: Entries, key: bytes, plain: Callable[[], Plain]) -> None:
        """Use `open`. `plain` makes the file that the leases of one reference share."""
        self._entries = entries
        self._key = key
        self._plain = plain
        self._references = References()
        self._side_by_side = asyncio.Semaphore(_SIDE_BY_SIDE)
        self._sealing: asyncio.Task[None] | None = None
        self._sealed = ""
        """The SHA-256 of what is being sealed, or was last."""
        self._give_up = threading.Event()
        """Ends it. Not a cancellation: a task that has not begun could not give its lease back."""
        self._closed = False

    @classmethod
    async def open(cls, settings: Settings) -> ReferenceCache:
        """A cache as the settings want it. Raises `ConfigurationError` for a folder that cannot be used."""
        given = settings.cache_encryption_key
        key = given.get_secret_value() if given else secrets.token_bytes(KEY_SIZE)
        if settings.cache_backend == "memory":
            return cls(MemoryEntries(settings.cache_memory_size_mb * MIB), key, default_plain())
        limit = settings.cache_disk_size_mb * MIB
        open_entries = DiskEntries.shared if given else DiskEntries.private
        opened: list[DiskEntries] = []  # not returned from the thread: it must be closed after a cancellation, too
        try:
            await in_thread(lambda: opened.append(open_entries(settings.cache_dir, key_label(key), limit)))
        except BaseException:
            for entries in opened:
                await in_thread(entries.close)
            raise
        return cls(opened[0], key, default_plain())

    async def aclose(self) -> None:
        """Let go of the entries: without a key of the user's own they disappear. May be called again.

        What is being sealed is stored before, if it outlives this. Whoever waits for a download gets a
        `StorageIOError`: it would go on with connections that nobody closes.
        """
        self._closed = True
        flying = self._references.flying()
        for task in flying:
            task.cancel()
        try:
            if flying:
                await to_its_end(asyncio.wait(flying))
            await self.settle(give_up=not self._entries.lasting)
        finally:
            with anyio.CancelScope(shield=True):
                await in_thread(self._entries.close)

    async def settle(self, *, give_up: bool = False) -> None:
        """Wait until nothing is being sealed. Cancelled, or with `give_up`, it is not stored."""
        if self._sealing is not None:
            if give_up:
                self._give_up.set()
            try:
                await asyncio.wait((self._sealing,))
            except asyncio.CancelledError:
                self._give_up.set()
                await until_done(self._sealing)
                raise

    @asynccontextmanager
    async def lease(
        self, sha256: str, size: int, fetch: Callable[[], AsyncIterator[bytes]], *, arriving: bool = False
    ) -> AsyncGenerator[Lease, None]:
        """A lease of the reference: shared if one is live, else from the cache, else from `fetch()`, once.

        With `arriving`, it may begin with the first bytes of a download: the caller waits for what it reads
        (`Lease.reached`), and for `VERIFIED` before it relies on anything.

        Raises `IntegrityMismatchError` where `fetch()` gives other bytes than `size` and `sha256` say,
        `LocalIOError` where there is no room for the plain bytes, and whatever `fetch()` raises.
        """
        sha256 = _checked(sha256)
        async with self._leased(await self._obtain(sha256, size, fetch, arriving), arriving=arriving) as lease:
            if lease.size != size:
                raise IntegrityMismatchError(
                    f"reference {sha256} has {lease.size} bytes, not the {size} bytes that were recorded for it"
                )
            yield lease

    async def holds(self, sha256: str) -> bool:
        """Whether a lease would need no download that has not begun already."""
        return self._references.knows(sha256) or await in_thread(self._entries.holds, _checked(sha256))

    @asynccontextmanager
    async def draft(self, chunks: AsyncIterator[bytes], limit: int) -> AsyncGenerator[Lease | None, None]:
        """A lease of what `chunks` gives, or None as soon as that is more than `limit` bytes.

        Nothing is stored unless `keep` is called. `chunks` remains the caller's to close.
        """
        plain = self._plain()
        try:
            filled = await fill(plain, chunks, limit)
        except BaseException:
            await in_thread(plain.close)
            raise
        if filled is None:
            await in_thread(plain.close)
            yield None
            return
        size, sha256 = filled
        reference = self._references.add(sha256, size, plain)
        async with self._leased(reference, surplus=plain) as lease:
            await self._end_unwanted(sha256)
            yield lease

    async def keep(self, lease: Lease) -> None:
        """Have a leased reference stored when its last lease ends, if it is not yet and the bound allows."""
        if not await in_thread(self._entries.holds, lease.sha256):
            lease.reference.unsealed = self._fits(lease.reference)

    async def evict(self, sha256: str) -> None:
        """Remove the entry of a reference, if there is one. Live leases go on. Raises `LocalIOError`."""
        sha256 = _checked(sha256)
        self._references.leave_unsealed(sha256)
        if self._sealed == sha256:
            await self.settle(give_up=True)
        try:
            await in_thread(self._entries.remove, sha256)
        except OSError as error:
            raise LocalIOError(error.errno, f"cached reference {sha256} not removed: {error.strerror}") from error

    async def clear(self) -> None:
        """Remove every entry of this cache's key. Live leases go on. Raises `LocalIOError`."""
        self._references.leave_unsealed()
        await self.settle(give_up=True)
        try:
            await in_thread(self._entries.clear)
        except OSError as error:
            raise LocalIOError(error.errno, f"reference cache not cleared: {error.strerror}") from error

    def stored_size(self) -> int:
        """Bytes of the sealed entries that this cache knows of."""
        return self._entries.stored_size()

    @asynccontextmanager
    async def _leased(
        self, reference: Reference, *, surplus: Plain | None = None, arriving: bool = False
    ) -> AsyncGenerator[Lease, None]:
        """Owns one lease of `reference` from here on, and `surplus` where it is not the reference's own."""
        lease, failed = None, True
        try:
            if surplus not in (None, reference.plain):
                await in_thread(surplus.close)
            if arriving:
                # Its first bytes: then there is a file, and whoever could not fetch it at all has said so.
                await reference.reached(1 if reference.size else VERIFIED)
            lease = Lease(reference)
            yield lease
            failed = False
        finally:
            if lease is not None:
                lease.end()
            await self._end(reference, wait=not failed)

    async def _end(self, reference: Reference, *, wait: bool) -> None:
        """Give back one lease. With the last one the reference is stored where that was left: soon, or, with `wait` and
        while another one is, now.
        """
        if reference.leases == 1 and reference.unsealed and not self._closed:
            reference.unsealed = False
            if self._sealing is None or self._sealing.done():
                self._sealed, self._give_up = reference.sha256, threading.Event()
                storing = self._store_and_end(reference, self._give_up)
                self._sealing = begin(storing, partial(self._not_stored, reference))
                return
            if wait:
                await self._store_and_end(reference, threading.Event())
                return
        if (plain := self._references.end(reference)) is not None:
            await in_thread(plain.close)
        else:
            await self._end_unwanted(reference.sha256)

    async def _end_unwanted(self, sha256: str) -> None:
        """End the flight of a reference if it goes on for nobody, and wait for that."""
        if (flight := self._references.unwanted(sha256)) is not None and flight.task is not None:
            flight.task.cancel()
            try:
                await asyncio.wait((flight.task,))
            except asyncio.CancelledError:
                await until_done(flight.task)
                raise

    async def _store_and_end(self, reference: Reference, stop: threading.Event) -> None:
        try:
            with suppress(StoppedError):
                await self._store(reference, stop)
        finally:
            if (plain := self._references.end(reference)) is not None:
                await in_thread(plain.close)

    def _not_stored(self, reference: Reference) -> None:
        if (plain := self._references.end(reference)) is not None:
            _ = asyncio.get_running_loop().run_in_executor(None, plain.close)

    async def _obtain(
        self, sha256: str, size: int, fetch: Callable[[], AsyncIterator[bytes]], arriving: bool
    ) -> Reference:
        """A reference with one lease for the caller, from the flight of it that is under way or begins now."""
        answer = self._references.ask(sha256, arriving=arriving)
        if answer is None:
            flight = self._references.begin(sha256, size, self._plain())
            answer = self._references.ask(sha256, arriving=arriving)
            # Not a part of this task: it goes on for whoever else waits for it, or has begun to read.
            flight.task = begin(self._fly(flight, fetch), partial(self._not_flown, flight))
        if isinstance(answer, Reference):
            return answer
        assert answer is not None
        try:
            outcome = await answer
        except asyncio.CancelledError:
            if (plain := self._references.leave(sha256, answer)) is not None:
                await in_thread(plain.close)
            await self._end_unwanted(sha256)
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _fly(self, flight: Flight, fetch: Callable[[], AsyncIterator[bytes]]) -> None:
        """Make a reference live, from the cache or by a download that is to be stored. Raises nothing."""
        reference, failure = flight.reference, None
        try:
            stored = await self._unsealed(reference)
            if not stored:
                await fetched(reference, fetch)
            reference.unsealed = self._references.land(flight) and not stored and self._fits(reference)
        except Exception as error:
            failure = error
        except asyncio.CancelledError:
            failure = _cancelled(reference)
        finally:
            self._references.give_up(flight)
            try:
                await self._end(reference, wait=False)
            finally:
                if failure is not None:
                    self._references.fail(flight, failure)

    def _not_flown(self, flight: Flight) -> None:
        self._references.give_up(flight)
        self._references.end(flight.reference)  # of which nothing is open yet
        self._references.fail(flight, _cancelled(flight.reference))

    async def _unsealed(self, reference: Reference) -> bool:
        """Whether it was in the cache, and is at hand now."""
        sha256, loop, stop = reference.sha256, asyncio.get_running_loop(), threading.Event()

        def arrived(size: int) -> None:
            loop.call_soon_threadsafe(reference.advance, size)

        try:
            async with self._side_by_side:
                await in_thread(self._unseal, reference, arrived, stop, stop=stop)
        except CacheMissError:
            pass
        except CacheCorruptionError as damage:
            _log.warning("cached reference %s: %s. It is removed and downloaded anew.", sha256, damage)
            try:
                await in_thread(self._entries.remove, sha256)
            except OSError as error:
                _log.warning("cached reference %s not removed: %s", sha256, error)
        else:
            return True
        return False

    def _unseal(self, reference: Reference, arrived: Callable[[int], None], stop: threading.Event) -> None:
        """Each segment is authentic, so that it may be read before the last is. Where one is not, the file stays as it
        is, with whoever reads it, and is written anew.
        """
        plain, sha256, size = reference.plain, reference.sha256, reference.size
        with closing(self._entries.read(sha256)) as blocks:
            plain.begin()
            written = told = 0
            for segment in until(stop, unseal(blocks, sha256, size, self._key)):
                plain.write((segment,))
                written += len(segment)
                if written >= told + GATHERED:
                    arrived(told := written)
        plain.freeze()

    def _fits(self, reference: Reference) -> bool:
        """Whether it can be stored."""
        if sealed_size(reference.size) <= self._entries.limit:
            return True
        sha256, size = reference.sha256, reference.size
        _log.info("reference %s of %d bytes exceeds the bound of the cache and is used uncached", sha256, size)
        return False

    async def _store(self, reference: Reference, stop: threading.Event) -> None:
        """Seal and store. What the local disk refuses does not fail the caller, who has the reference."""
        sha256, size = reference.sha256, reference.size
        blocks = until(stop, seal(reference.plain.read, sha256, size, self._key))
        try:
            async with self._side_by_side:
                await in_thread(self._entries.write, sha256, blocks, stop=stop)
        except OSError as error:
            _log.warning("reference %s not cached: %s", sha256, error)


def _cancelled(reference: Reference) -> StorageIOError:
    return StorageIOError(f"the download of reference {reference.sha256} was cancelled. Try again.")


def _checked(sha256: str) -> str:
    """It comes from an object's metadata and becomes part of a file name."""
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise IntegrityMismatchError(f"{sha256!r} is no SHA-256 of a reference; its metadata are damaged")
    return sha256.lower()
