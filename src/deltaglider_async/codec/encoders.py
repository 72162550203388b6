"""One delta by several encoders at once.

A window of VCDIFF copies from the reference and from itself, and knows nothing of the windows around it. So blocks of
the input, each as long as an encoder's window, go to whichever encoder is free, and the windows that come out are put
back in order, behind one header. Any decoder reads that as the work of one encoder, as long as no secondary compressor
remembers one window in the next (lzma does, djw does not).

Each encoder indexes the whole reference, which is most of the work where the files are much alike. Another one begins
only when a window shows that there is more to do: much of it was new, and new bytes take the most time. And none begins
before there is a block for it that no window was made of here (`matching`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, aclosing, suppress
from typing import TYPE_CHECKING, Any

import anyio

from deltaglider_async.codec.vcdiff import LONGEST_HEADER, beginning, read_header
from deltaglider_async.codec.windows import UnknownWindowsError, Window, read_window
from deltaglider_async.errors import DiffEncodeError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import to_its_end, until_done

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from deltaglider_async.codec.matchers import Matcher

#: Bytes of a block, and of an encoder's window (`-W`): xdelta3's own default. It decodes up to twice as much.
BLOCK = 8 * CHUNK
#: Blocks that are read before the first of them is done, and one more for each encoder but the first: with their
#: windows, they bound the memory.
_AHEAD = 2
#: So many encoders at most. More have not been worth their index.
_MOST = 4
#: Another encoder begins when a window takes more than this share of its block.
_MUCH = 1 / 8
#: A window says how long it is within so many bytes.
_LONGEST_START = 64

Block = tuple[int, bytearray]
Spare = Callable[[], AbstractContextManager[bool]]


async def side_by_side(
    start: Callable[[Chunks], Chunks],
    body: Chunks,
    *,
    spare: Spare | None = None,
    matcher: Matcher | None = None,
    header: bytes = b"",
) -> Chunks:
    """The delta of `body`, made by encoders that `start` begins with the blocks they get, in windows of `BLOCK`.

    `spare` is entered for each encoder but the first, for as long as it runs, and says whether there may be one.
    `matcher` makes the windows of blocks that it does not leave to the encoders; they go behind `header`. Raises what
    `body` and the encoders raise, `DiffEncodeError` for windows that are not those of the blocks.
    """
    team = _Team(start, body, spare, matcher, header)
    try:
        async for piece in team.pieces():
            yield piece
    finally:
        await to_its_end(team.end())


class _Team:
    def __init__(
        self,
        start: Callable[[Chunks], Chunks],
        body: Chunks,
        spare: Spare | None,
        matcher: Matcher | None,
        header: bytes,
    ) -> None:
        self._start, self._body, self._spare, self._matcher = start, body, spare, matcher
        self._send, self._receive = anyio.create_memory_object_stream[Block](0)
        self._free = asyncio.Semaphore(_AHEAD)
        self._header = header
        self._windows: dict[int, bytes] = {}
        #: Encoders that have begun.
        self._encoders = 0
        self._reading = True
        self._news = asyncio.Event()
        # Tasks of a generator rather than of a task group: it may be read from several tasks, one after the other.
        self._tasks: list[asyncio.Task[None]] = []

    async def pieces(self) -> Chunks:
        """The header, and the windows in order."""
        if self._matcher is None:
            self._begin(self._read(self._send))
            self._begin_encoder()
        else:
            send, receive = anyio.create_memory_object_stream[Block](0)
            self._begin(self._read(send))
            self._begin(self._match(receive, self._matcher))
        number = 0
        while True:
            self._news.clear()
            working = False
            for task in self._tasks:
                if task.done():
                    task.result()  # its error is that of the delta
                else:
                    working = True
            self._tasks = [task for task in self._tasks if not task.done()]
            if number in self._windows:
                if number == 0:
                    yield self._header
                window = self._windows.pop(number)
                number += 1
                self._free.release()
                yield window
            elif working:
                await self._news.wait()
            else:
                return

    async def end(self) -> None:
        """Cancel what still runs, and wait for it."""
        for task in self._tasks:
            task.cancel()
        await until_done(asyncio.gather(*self._tasks, return_exceptions=True))
        self._send.close()
        self._receive.close()
        await self._body.aclose()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._news.set())
        self._tasks.append(task)

    def _begin_encoder(self) -> None:
        self._encoders += 1
        self._begin(self._encode())

    async def _read(self, send: MemoryObjectSendStream[Block]) -> None:
        """Cut the body into blocks."""
        with suppress(anyio.BrokenResourceError):  # nobody takes them: that has an error of its own
            await self._cut(send)
        self._reading = False

    async def _cut(self, send: MemoryObjectSendStream[Block]) -> None:
        number, block = 0, bytearray()
        async with aclosing(self._body), send:
            async for chunk in self._body:
                place = 0
                while place < len(chunk):
                    if not block:
                        await self._free.acquire()
                    piece = chunk[place : place + BLOCK - len(block)]
                    place += len(piece)
                    block += piece
                    if len(block) == BLOCK:
                        await send.send((number, block))
                        number, block = number + 1, bytearray()
            if block or number == 0:  # of nothing, a decoder wants a window too
                await send.send((number, block))

    async def _match(self, receive: MemoryObjectReceiveStream[Block], matcher: Matcher) -> None:
        """Make the windows that need no encoder, and leave the others to one."""
        async with receive, self._send:
            async for number, block in receive:
                if (made := await matcher.window(block)) is not None:
                    self._windows[number] = made
                    self._news.set()
                    del block  # the next one may be as long
                    continue
                if not self._encoders:
                    self._begin_encoder()
                await self._send.send((number, block))

    async def _encode_too(self, spare: Spare) -> None:
        try:
            with spare() as granted:
                if granted:
                    self._free.release()
                    await self._encode()
        finally:
            self._encoders -= 1

    async def _encode(self) -> None:
        """One encoder: blocks that nobody has taken yet go in, their windows come out."""
        taken = deque[int]()

        async def blocks() -> Chunks:
            with self._receive.clone() as receive:
                async for number, block in receive:
                    taken.append(number)
                    for start in range(0, len(block), CHUNK):
                        yield bytes(block[start : start + CHUNK])
                    del block

        data, inside = bytearray(), False
        async with aclosing(self._start(blocks())) as delta:
            async for chunk in delta:
                data += chunk
                if not inside and (inside := read_header(bytes(data[:LONGEST_HEADER])) is not None):
                    header, _ = beginning(bytes(data[:LONGEST_HEADER]))
                    self._header = self._header or bytes(data[:header])
                    del data[:header]
                while inside and (window := _window(data)) is not None and window.length <= len(data):
                    if taken:
                        self._windows[taken.popleft()] = bytes(data[: window.length])
                        self._news.set()
                        if self._spare and self._reading and window.length > BLOCK * _MUCH and self._encoders < _MOST:
                            self._encoders += 1
                            self._begin(self._encode_too(self._spare))
                    elif window.size:  # xdelta3 makes an empty one of no block, too
                        raise DiffEncodeError(
                            "xdelta3 could not make a delta: it made more windows than it was given blocks"
                        )
                    del data[: window.length]
        if data or taken:
            raise DiffEncodeError("xdelta3 could not make a delta: it made fewer windows than it was given blocks")


def _window(data: bytearray) -> Window | None:
    """The window that begins here; None where it has not said so much yet."""
    try:
        return read_window(bytes(data[:_LONGEST_START]), 0)
    except IndexError:
        return None
    except UnknownWindowsError as error:
        raise DiffEncodeError("xdelta3 could not make a delta: it made windows of an unknown kind") from error
