"""A look at both files before the encoder tries, which is slowest where it finds nothing."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from functools import partial

from deltaglider_async.cache import Lease
from deltaglider_async.engine.core import Engine, Reference, access_only, where
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.engine.request import PutRequest, Refused
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.streams.chunks import rechunk
from deltaglider_async.streams.prospect import Places, Prospect
from deltaglider_async.streams.threads import in_thread

#: Below, in bytes, the encoder is done with anything before a look would pay.
_WORTH_A_LOOK = 4 * 1024 * 1024
#: Places of the reference that are looked at, and bytes of each: of one at hand, and of one that S3 is asked for.
_AT_HAND, _AFAR = (64, 32 * 1024), (16, 64 * 1024)
#: References whose places are remembered; those of one take some 1.5 MB.
_MOST_PLACES = 16
#: Bytes of the target that a thread looks at in one go.
_AT_ONCE = 1024 * 1024
#: The least size of a reference, in bytes, for which it matters what it is made of.
_WORTH_TASTING = 1024 * 1024
#: Places by which it is told what a reference is made of, bytes of each, and what compression leaves of such as are
#: compressed already.
_TASTES, _TASTE, _INCOMPRESSIBLE = 8, 4096, 0.95


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

    places: Places | None
    if lease is not None:
        # One after the other: what the first one finds serves all that are put into a folder at once.
        async with engine.looking:
            places = await _places_at_hand(engine, lease)
    else:
        places = await _places_afar(engine, request, reference, *_AFAR)
    if places is None:
        return None  # it has gone meanwhile
    prospect = Prospect(places)
    async with aclosing(rechunk(request.source.open(), _AT_ONCE)) as pieces:
        async for piece in pieces:
            if await in_thread(prospect.add, piece):
                return None
    ratio = prospect.least_ratio()
    return Refused("too little of it is in the deltaspace's reference", ratio) if ratio > request.max_ratio else None


async def is_compressed(lease: Lease) -> bool:
    """Whether a reference is made of compressed content, like a zip file: there is nothing to find within it."""
    if lease.size < _WORTH_TASTING:
        return False
    places = await lease.places(_TASTES, _TASTE)

    def left() -> float:
        return sum(len(zlib.compress(place, 1)) for place in places) / sum(map(len, places))

    return await in_thread(left) > _INCOMPRESSIBLE


async def _places_at_hand(engine: Engine, lease: Lease) -> Places:
    places = engine.places.get(lease.sha256)
    if places is None:
        places = engine.places[lease.sha256] = await in_thread(Places, await lease.places(*_AT_HAND), lease.size)
        while len(engine.places) > _MOST_PLACES:
            engine.places.popitem(last=False)
    return places


async def _places_afar(
    engine: Engine, request: PutRequest, reference: Reference, number: int, length: int
) -> Places | None:
    """Some bytes each from places all over a reference in its bucket; None of one that has gone."""
    bucket, key = reference.bucket, reference.key
    step = max(1, reference.size // number)
    found: dict[int, bytes] = {}

    async def look(start: int) -> None:
        access = {**access_only(request.arguments), "Range": f"bytes={start}-{start + min(length, step) - 1}"}
        response = await engine.store.get(bucket, key, access)
        if response is not None:
            chunks = body_chunks(engine.store, response, Request(bucket, key, access, where(bucket, key)))
            async with aclosing(chunks):
                found[start] = b"".join([chunk async for chunk in chunks])

    starts = range(0, min(reference.size, step * number), step)
    await concurrently(*(partial(look, start) for start in starts))
    places = [found.get(start, b"") for start in starts]
    return await in_thread(Places, places, reference.size) if all(places) else None
