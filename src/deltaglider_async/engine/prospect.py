"""A look at both files before the encoder tries, which is slowest where it finds nothing."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from contextlib import aclosing

from deltaglider_async.cache import Lease
from deltaglider_async.engine.core import Engine, Reference, access_only, where
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.engine.request import PutRequest, Refused
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.streams.prospect import Prospect
from deltaglider_async.streams.threads import in_thread

#: Below, in bytes, the encoder is done with anything before a look would pay.
_WORTH_A_LOOK = 4 * 1024 * 1024
#: Places of the reference that are looked at, and bytes of each: of one at hand, and of one that S3 is asked for.
_AT_HAND, _AFAR = (64, 32 * 1024), (16, 64 * 1024)
#: Places by which it is told what a reference is made of, bytes of each, and what compression leaves of such as are
#: compressed already.
_TASTES, _TASTE, _INCOMPRESSIBLE = 16, 4096, 0.95


def worth_a_look(request: PutRequest) -> bool:
    """Whether the time that a look takes can be a small part of what it saves.

    A stream that comes only once is encoded as it comes. With `IfMatch` there is no choice.
    """
    source = request.source
    large = source.size is not None and source.size >= _WORTH_A_LOOK
    return large and source.rereadable and not request.arguments.get("IfMatch")


async def hopeless(engine: Engine, request: PutRequest, reference: Reference, lease: Lease | None) -> Refused | None:
    """Why there can be no delta that is small enough; None where there may be one.

    Without a lease, S3 is asked for places of the reference, so that it need not be downloaded for nothing.
    """
    if not worth_a_look(request):
        return None

    async def from_bucket(offset: int, size: int) -> bytes:
        return await _range_of(engine, request, reference, offset, size)

    number, length = _AFAR if lease is None else _AT_HAND
    places = await _places(from_bucket if lease is None else lease.read, reference.size, number, length)
    if not all(places):
        return None  # it has gone meanwhile
    prospect = await in_thread(Prospect, places, reference.size)
    async with aclosing(request.source.open()) as chunks:
        async for chunk in chunks:
            if await in_thread(prospect.add, chunk):
                return None
    ratio = prospect.least_ratio()
    return Refused("too little of it is in the deltaspace's reference", ratio) if ratio > request.max_ratio else None


async def is_compressed(lease: Lease) -> bool:
    """Whether a reference is made of compressed content, like a zip file: there is nothing to find within it."""
    places = await _places(lease.read, lease.size, _TASTES, _TASTE)

    def left() -> float:
        return sum(len(zlib.compress(place, 1)) for place in places) / max(1, sum(map(len, places)))

    return await in_thread(left) > _INCOMPRESSIBLE


async def _places(read: Callable[[int, int], Awaitable[bytes]], size: int, number: int, length: int) -> list[bytes]:
    """Some bytes each from places all over `size` bytes."""
    step = max(1, size // number)
    found: dict[int, bytes] = {}

    async def look(offset: int) -> None:
        found[offset] = await read(offset, min(length, step))

    offsets = range(0, min(size, step * number), step)
    await concurrently(*(lambda offset=offset: look(offset) for offset in offsets))
    return [found[offset] for offset in offsets]


async def _range_of(engine: Engine, request: PutRequest, reference: Reference, offset: int, size: int) -> bytes:
    """A part of a reference in its bucket; nothing where it has gone."""
    bucket, key = reference.bucket, reference.key
    access = {**access_only(request.arguments), "Range": f"bytes={offset}-{offset + size - 1}"}
    response = await engine.store.get(bucket, key, access)
    if response is None:
        return b""
    chunks = body_chunks(engine.store, response, Request(bucket, key, access, where(bucket, key)))
    async with aclosing(chunks):
        return b"".join([chunk async for chunk in chunks])
