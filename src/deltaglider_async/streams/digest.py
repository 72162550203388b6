"""SHA-256 and size of a stream, computed off the event loop."""

from __future__ import annotations

import base64
import hashlib
from contextlib import aclosing

from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.threads import in_thread


class Digest:
    """SHA-256 and size of all bytes that went through `update`.

    Small chunks are collected, so that one hop to a thread hashes at least a megabyte. Nothing may change
    a chunk after it was passed in.
    """

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0

    async def update(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size += len(chunk)
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= CHUNK:
            await self._flush()

    async def hexdigest(self) -> str:
        """The digest of everything so far, in lower-case hex."""
        if self._pending_size > 64 * 1024:
            await self._flush()
        else:
            self._hash_pending()
        return self._hash.hexdigest()

    async def _flush(self) -> None:
        await in_thread(self._hash_pending)

    def _hash_pending(self) -> None:
        for chunk in self._pending:
            self._hash.update(chunk)
        self._pending.clear()
        self._pending_size = 0


async def digested(chunks: Chunks, digest: Digest) -> Chunks:
    """The same chunks, after each went through `digest`."""
    async with aclosing(chunks):
        async for chunk in chunks:
            await digest.update(chunk)
            yield chunk


def base64_sha256(hexdigest: str) -> str:
    """A hex digest as S3 spells it in `ChecksumSHA256`."""
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()
