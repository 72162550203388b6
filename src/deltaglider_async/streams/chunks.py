"""The same bytes in other chunks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing

from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.streams import Chunks


async def rechunk(chunks: Chunks, size: int) -> Chunks:
    """Chunks of exactly `size` bytes; the last may be shorter. An empty stream gives no chunk."""
    pending: list[bytes] = []
    held = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            pending.append(chunk)
            held += len(chunk)
            if held >= size:
                whole = memoryview(b"".join(pending))
                rest = held % size
                pending, held = [bytes(whole[held - rest :])], rest
                for start in range(0, len(whole) - rest, size):
                    yield bytes(whole[start : start + size])
                del whole
        if held:
            yield b"".join(pending)


async def window(chunks: Chunks, start: int, stop: int, name: str = "the stream") -> Chunks:
    """Bytes `start` to `stop` (exclusive) of a stream, which is read no further.

    Raises `IntegrityMismatchError`, naming `name`, if it ends before.
    """
    position = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            piece = chunk[max(0, start - position) : max(0, stop - position)]
            position += len(chunk)
            if piece:
                yield piece
            if position >= stop:
                return
    if position < stop:
        raise IntegrityMismatchError(f"{name}: it ends after {position:,} bytes, within the range that was asked for.")


async def spans(chunks: Chunks, places: Iterable[tuple[int, int]]) -> Chunks:
    """What lies at some places (first and last-plus-one byte, in order, apart) of a stream, read no further."""
    left = iter(places)
    start, stop = next(left, (0, 0))
    position = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            end = position + len(chunk)
            while start < end:
                if piece := chunk[max(0, start - position) : stop - position]:
                    yield piece
                if stop > end:
                    break
                start, stop = next(left, (0, 0))
                if not stop:
                    return
            position = end
