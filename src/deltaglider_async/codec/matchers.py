"""Where windows are made without an encoder: in a thread of this process, and beside it where there is more to do.

One thread runs at a time in a process of Python, so that what is matched in one keeps the event loop, and all other
puts, from running. Where there are several cores, the blocks of several targets at once go to processes (`worker`).
They end with the last target that is put: where one file is put after the other there are none.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

from deltaglider_async.codec import Reference
from deltaglider_async.codec.matching import Content, window
from deltaglider_async.codec.process import Limits
from deltaglider_async.codec.samples import Index, Mapped
from deltaglider_async.codec.worker import Worker, WorkerFailedError
from deltaglider_async.streams.threads import in_thread

_log = logging.getLogger(__name__)

#: With so many more blocks left to encoders than made here, no more are tried.
_PATIENCE = 2
#: Processes beside this one at most: it must read, hash and send what they match, and has one core's time for that.
_MOST = 4
#: Bytes of a block for which it is worth while to start a process.
_WORTH = 1024 * 1024


class Workers:
    """The processes of one client, an async context manager that is entered by all who may need one; they end when the
    last has left. Without any, all is made in threads.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = min(_MOST, _cores()) if most is None else most
        self._free = asyncio.Semaphore(max(1, self._most))
        self._idle: list[Worker] = []
        self._users = 0

    async def __aenter__(self) -> Workers:
        self._users += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self._users -= 1
        if self._idle and not self._users:
            idle, self._idle = self._idle, []
            await in_thread(_end, idle)

    async def window(
        self, reference: Reference, index: Index, block: Content, place: int, shift: int, stop: threading.Event
    ) -> tuple[bytes | None, int]:
        """What `matching.window` says, from wherever that can be made next."""
        if self._most and self._users > 1 and len(block) >= _WORTH:
            try:
                async with self._free, self._worker() as worker:
                    return await in_thread(worker.window, reference, index, block, place, shift, stop=worker.stop)
            except WorkerFailedError as error:
                self._most = 0
                _log.warning("windows of deltas are made in this process alone: %s", error)
        return await in_thread(_made_here, reference, index, block, place, shift, stop, stop=stop)

    @asynccontextmanager
    async def _worker(self) -> AsyncIterator[Worker]:
        """One that is idle, or else a new one."""
        if self._idle:
            worker = self._idle.pop()
        else:
            begun: list[Worker] = []
            try:
                await in_thread(_start, begun)
            except BaseException:
                await in_thread(_end, begun)
                raise
            (worker,) = begun
        works = False
        try:
            yield worker
            works = True
        except OSError:
            works = True
            raise
        finally:
            if works and self._users and self._most:
                self._idle.append(worker)
            else:
                await in_thread(_end, [worker])


def _cores() -> int:
    """Those that there are, if there are more than one."""
    cores = os.cpu_count() or 1
    return cores if cores > 1 else 0


def _start(begun: list[Worker]) -> None:
    """Start a process, bounded as all are. Not returned from the thread: it must be ended after a cancellation, too."""
    begun.append(Worker())
    Limits().impose(begun[0].pid)


def _end(workers: list[Worker]) -> None:
    """All of them in one go, which a cancellation does not keep from its end."""
    for worker in workers:
        worker.end()


def _made_here(
    reference: Reference, index: Index, block: Content, place: int, shift: int, stop: threading.Event
) -> tuple[bytes | None, int]:
    """What `matching.window` says, of a reference that is not mapped yet. Blocks."""
    with closing(Mapped(reference)) as mapped:
        return window(mapped, index, block, place, shift, stop)


class Matcher:
    """The blocks of one target, in order, beside a reference."""

    def __init__(self, reference: Reference, index: Index) -> None:
        self._reference, self._index = reference, index
        self._workers = index.workers or Workers(0)
        self._stop = threading.Event()
        self._shift = 0
        self._place = 0
        self._patience = _PATIENCE

    async def window(self, block: Content) -> bytes | None:
        """The window that makes this block, or None where an encoder should."""
        place, self._place = self._place, self._place + len(block)
        if self._patience < 0:
            return None
        try:
            made, self._shift = await self._workers.window(
                self._reference, self._index, block, place, self._shift, self._stop
            )
        except (OSError, ValueError, MemoryError) as error:
            _log.warning("cannot look into a reference of %d bytes, xdelta3 encodes: %r", self._reference.size, error)
            self._patience = -1
            return None
        self._patience = min(_PATIENCE, self._patience + 1) if made is not None else self._patience - 1
        return made
