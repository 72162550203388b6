"""Deltas of few instructions, decoded without a process: in a thread, a little ahead of what is read.

Memory: a window of the delta, and a few pieces of the target; all of a window's target, 16 MiB at most and mostly 8,
where it copies from itself.

A reference that is still arriving is read as far as it has come. Nothing is proven by that: whoever lets it be read so
early compares a digest of the whole before the end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from deltaglider_async.codec.instructions import RefusedError, Target, few
from deltaglider_async.codec.windows import UnknownWindowsError, Window, read_window
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.threads import in_thread, until_done

#: A process is no slower where windows are smaller than this, in bytes, beyond the first so many.
_SMALL, _MOST_SMALL = 16 * 1024, 1024
#: Bytes that a thread makes at a time, while as many are given out.
_AT_A_TIME = 2 * CHUNK


class Unaided:
    """The windows of a delta from the first one on, up to one that is left to xdelta3.

    `delta` goes on after `head`, with which the first window begins. The reference has a descriptor and a size, `size`
    is that recorded of the target; both in bytes. `reached`, if it is still arriving, waits until so many bytes of the
    reference are there. `digest` takes all that is made; checksums of windows are compared where there is none.
    """

    def __init__(
        self,
        head: bytes,
        delta: Chunks,
        descriptor: int,
        reference: int,
        size: int,
        *,
        reached: Callable[[float], Awaitable[None]] | None = None,
        digest: Digest | None = None,
    ) -> None:
        self._held = bytearray(head)
        self._delta, self._descriptor, self._reference, self._size = delta, descriptor, reference, size
        self._reached, self._digest = reached, digest
        self._instructions = self._made = self._windows = 0
        #: The window that is being decoded, as far as it was.
        self._window: Window | None = None
        self._target: Target | None = None
        self._position = 0
        #: Whether all of the delta was decoded.
        self.whole = False

    async def chunks(self) -> Chunks:
        """What the windows make. Of each, nothing is given out before its checksum, if that counts, was right."""
        working = await self._begin()
        try:
            while working is not None:
                made = await working
                if made is None:
                    return
                working = await self._begin()
                while made:
                    yield made.popleft()
        finally:
            if working is not None:
                working.cancel()  # it may wait for the reference
                await until_done(working)

    async def rest(self) -> Chunks:
        """The windows that were not decoded."""
        async with aclosing(self._delta):
            yield bytes(self._held)
            async for chunk in self._delta:
                yield chunk

    async def _begin(self) -> asyncio.Future[deque[bytes] | None] | None:
        """The next bytes, which are being made; None if there are no more that are made here."""
        if self._window is None:
            self._window = await self._next()
            if self._window is None:
                return None
            data = bytes(self._held[: self._window.length])
            self._target = Target(self._window, data, self._descriptor, self._reference)
            self._position = 0
        assert self._target is not None
        return asyncio.ensure_future(self._made_of(self._window, self._target))

    async def _made_of(self, window: Window, target: Target) -> deque[bytes] | None:
        """The next bytes of a window; None where it is refused."""
        start = self._position
        stop = min(start + _AT_A_TIME, window.size)
        digest, checked = self._digest, self._digest is None and not start

        def work(unread: bool) -> deque[bytes]:
            if unread:
                target.read()
            if checked:
                target.check()
            made = deque[bytes]()
            for place in range(start, stop, CHUNK):
                made.append(target.chunk(place, min(place + CHUNK, stop)))
                if digest is not None:
                    digest.take(made[-1])  # while it is in the processor's cache
            return made

        try:
            if self._reached is not None:
                if not start:
                    await in_thread(target.read)
                await self._reached(target.reach(start, window.size if checked else stop))
            made = await in_thread(work, self._reached is None and not start)
        except RefusedError:
            return None
        if not start:
            del self._held[: window.length]
            self._instructions += window.sections[1]
            self._made += window.size
            self._windows += 1
        self._position = stop
        if stop == window.size:
            self._window = self._target = None
        return made

    async def _next(self) -> Window | None:
        """The next window, all of which is held. None at the end, or where it is left to xdelta3."""
        while True:
            try:
                window = read_window(self._held, 0)
            except IndexError:
                pass
            except UnknownWindowsError:
                return None
            else:
                if not self._is_for_us(window):
                    return None
                if window.length <= len(self._held):
                    return window
            chunk = await anext(self._delta, None)
            if chunk is None:
                self.whole = not self._held and self._windows > 0
                return None
            self._held += chunk

    def _is_for_us(self, window: Window) -> bool:
        made = self._made + window.size
        if made > self._size or self._windows > made // _SMALL + _MOST_SMALL:
            return False
        return few(window, self._instructions, self._made)
