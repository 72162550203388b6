"""Deltas of few instructions, decoded without a process: window by window in a thread, one ahead of what is read.

Memory: two windows of the target, of 16 MiB at most and mostly of 8, and one of the delta.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from deltaglider_async.codec.instructions import RefusedError, decode, few
from deltaglider_async.codec.windows import UnknownWindowsError, Window, read_window
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import in_thread, until_done

#: A process is no slower where windows are smaller than this, in bytes, beyond the first so many.
_SMALL, _MOST_SMALL = 16 * 1024, 1024


class Unaided:
    """The windows of a delta from the first one on, up to one that is left to xdelta3.

    `delta` goes on after `head`, with which the first window begins. `descriptor` is the reference's, `size` the
    recorded size of the target in bytes.
    """

    def __init__(self, head: bytes, delta: Chunks, descriptor: int, size: int) -> None:
        self._held = bytearray(head)
        self._delta, self._descriptor, self._size = delta, descriptor, size
        self._instructions = self._made = self._windows = 0
        self._spare: list[bytearray] = []
        #: Whether all of the delta was decoded.
        self.whole = False

    async def chunks(self) -> Chunks:
        """What the windows make; each is given out when its checksum, if it has one, was right."""
        working = await self._begin()
        try:
            while working is not None:
                decoded = await working
                if decoded is None:
                    return
                working = await self._begin()
                buffer, size = decoded
                for start in range(0, size, CHUNK):
                    yield bytes(memoryview(buffer)[start : min(start + CHUNK, size)])
                self._spare.append(buffer)
        finally:
            if working is not None:
                await until_done(working)

    async def rest(self) -> Chunks:
        """The windows that were not decoded."""
        async with aclosing(self._delta):
            yield bytes(self._held)
            async for chunk in self._delta:
                yield chunk

    async def _begin(self) -> asyncio.Future[tuple[bytearray, int] | None] | None:
        """The next window, which is being decoded; None if that is not done here."""
        window = await self._next()
        if window is None:
            return None
        data = bytes(self._held[: window.length])
        return asyncio.ensure_future(self._decoded(window, data))

    async def _decoded(self, window: Window, data: bytes) -> tuple[bytearray, int] | None:
        buffer = self._spare.pop() if self._spare else bytearray()

        def work() -> None:
            nonlocal buffer
            if len(buffer) < window.size:
                buffer = bytearray(window.size)
            decode(window, data, self._descriptor, memoryview(buffer)[: window.size])

        try:
            await in_thread(work)
        except RefusedError:
            return None
        del self._held[: window.length]
        self._instructions += window.sections[1]
        self._made += window.size
        self._windows += 1
        return buffer, window.size

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
