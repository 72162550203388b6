"""Plain bytes from chunks: written, hashed, and told of as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from deltaglider_async.cache.leases import Reference
from deltaglider_async.cache.plain import Plain
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.settings import MIB
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.threads import in_thread, until_done

#: Small chunks are gathered up to this many bytes before a thread is worth its while.
GATHERED = 2 * MIB


async def fetched(reference: Reference, fetch: Callable[[], AsyncIterator[bytes]]) -> None:
    """Download a reference into its plain bytes, and verify it. Raises as `ReferenceCache.lease`."""
    sha256, size = reference.sha256, reference.size
    chunks = fetch()
    try:
        filled = await fill(reference.plain, chunks, size, reference.advance)
        if filled != (size, sha256):
            found = "it is longer" if filled is None else f"it has {filled[0]} bytes and SHA-256 {filled[1]}"
            raise IntegrityMismatchError(
                f"reference {sha256} of {size} bytes was downloaded, but {found}. It was not used and not "
                "cached: the object in the bucket is damaged or another one"
            )
    finally:
        if isinstance(chunks, AsyncGenerator):
            await chunks.aclose()


async def fill(
    plain: Plain,
    chunks: AsyncIterator[bytes],
    limit: int,
    arrived: Callable[[int], None] = lambda size: None,
) -> tuple[int, str] | None:
    """Write all chunks; size and SHA-256 of them, or None as soon as there are more than `limit` bytes.

    `arrived` is told how many bytes can be read.
    """
    digest = Digest(at_a_time=GATHERED)
    waiting = 0
    gathered: list[bytes] = []

    async def write(pieces: list[bytes], end: int) -> None:
        await in_thread(plain.write, pieces)
        arrived(end)

    await in_thread(plain.begin)
    # One at a time, while the next chunks are fetched, and hashed in another thread.
    writing: asyncio.Future[None] | None = None
    try:
        async for chunk in chunks:
            await digest.update(chunk)
            if digest.size > limit:
                break
            gathered.append(chunk)
            waiting += len(chunk)
            if waiting >= GATHERED:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(write(gathered, digest.size))
                gathered, waiting = [], 0
    except BaseException:
        if writing is not None:
            await until_done(writing)
        raise
    if writing is not None:
        await writing
    if digest.size > limit:
        return None
    await write(gathered, digest.size)
    await in_thread(plain.freeze)
    return digest.size, await digest.hexdigest()
