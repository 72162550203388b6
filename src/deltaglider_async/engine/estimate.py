"""What a put of a file would come to, from its content and the reference it would be compared with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from typing import Any

from deltaglider_async.cache import Lease
from deltaglider_async.engine.core import Engine, Reference, ReferenceGoneError
from deltaglider_async.engine.encode import compression_of
from deltaglider_async.engine.put import why_plain
from deltaglider_async.engine.request import PutRequest
from deltaglider_async.format import keys
from deltaglider_async.format.candidates import MAGIC_LENGTH, compressed_stream
from deltaglider_async.settings import LARGEST_REFERENCE
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.sketch import PLACE, PLACES, Comparison, Likeness, Sketch, choose_pattern
from deltaglider_async.streams.source import Source
from deltaglider_async.streams.threads import in_thread
from deltaglider_async.types import CompressionEstimate

#: What a delta of nothing new takes, in bytes: headers and instructions.
_LEAST = 100
#: Below, an estimate is a guess.
_CONFIDENT = 0.5
#: How often a reference is looked for that goes while it is fetched.
_LOOKS = 3


async def estimate(
    engine: Engine,
    bucket: str,
    key: str,
    source: Source,
    sampled: Chunks,
    places: list[bytes],
    access: Mapping[str, Any],
) -> CompressionEstimate:
    """The estimate for a file of known size. `sampled` is what is looked at of it, after a look at some `places`."""
    size = source.size or 0
    request = PutRequest(bucket, key, source, {}, access, engine.max_ratio)
    plain = CompressionEstimate(size, size, 0.0, 1.0, None, should_use_delta=False)
    async with aclosing(sampled):
        if why_plain(engine, request) or await compression_of(source):
            return plain
        for looks in range(_LOOKS):
            reference, exists = await engine.find_reference(bucket, keys.deltaspace(key), access)
            if reference is None:
                becomes_reference = not exists and size <= engine.settings.max_reference_size
                return CompressionEstimate(size, size, 0.0, 1.0, None, should_use_delta=becomes_reference)
            if reference.size > LARGEST_REFERENCE or (reference.archived and reference.expires is None):
                return plain
            try:
                likeness = await _with_reference(engine, reference, sampled, places, access)
            except ReferenceGoneError:
                if looks == _LOOKS - 1:
                    raise
                continue
            return plain if likeness is None else _estimated(engine, size, reference, likeness)
    raise AssertionError("unreachable")


def _estimated(engine: Engine, size: int, reference: Reference, likeness: Likeness) -> CompressionEstimate:
    known = likeness.confidence >= _CONFIDENT
    stored = min(size, round(likeness.ratio * size) + _LEAST) if known else size
    return CompressionEstimate(
        original_size=size,
        estimated_compressed_size=stored,
        estimated_ratio=1 - stored / size,
        confidence=likeness.confidence,
        recommended_reference=reference.key,
        should_use_delta=not known or stored <= engine.max_ratio * size,
    )


async def _with_reference(
    engine: Engine, reference: Reference, target: Chunks, places: list[bytes], access: Mapping[str, Any]
) -> Likeness | None:
    """How the target relates to a reference; None if that is one that no delta is made against."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine.gets.take(reference.size))
        lease = await stack.enter_async_context(engine.lease(reference, access))
        if compressed_stream(await lease.read(0, MAGIC_LENGTH)):
            return None
        return await likeness(lease, target, places)


async def likeness(lease: Lease, target: Chunks, places: list[bytes]) -> Likeness:
    """How a target, of which some places are given, relates to a leased reference. Neither is held."""
    theirs = await lease.places(PLACES, PLACE)
    sketch = Sketch(await in_thread(choose_pattern, theirs + places))
    async with aclosing(lease.chunks()) as chunks:
        async for chunk in chunks:
            await in_thread(sketch.add, chunk)
    comparison = Comparison(sketch)
    async for chunk in target:
        await in_thread(comparison.add, chunk)
    return comparison.likeness()
