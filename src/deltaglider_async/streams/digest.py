"""Digest and size of a stream, computed off the event loop."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import aclosing
from typing import Protocol

from deltaglider_async.streams import CHUNK, Chunks


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """The digest of all so far, in lower-case hex."""


class Digest:
    """SHA-256, or another `hash`, and size of all bytes that went through `update`.

    Small chunks are collected, so that one hop to a thread hashes at least so many bytes, while the next ones
    are fetched. Nothing may change a chunk after it was passed in.
    """

    def __init__(self, hash: Hash | None = None, *, at_a_time: int = CHUNK) -> None:
        self.size = 0
        self._at_a_time = at_a_time
        self._hash: Hash = hash or hashlib.sha256()
        self._pending: list[bytes] = []
        self._pending_size = 0
        # At most one: hashing goes in order, and what waits for it is bounded.
        self._hashing: asyncio.Future[None] | None = None

    async def update(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self.size += len(chunk)
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= self._at_a_time:
            await self._begin()

    def take(self, chunk: bytes) -> None:
        """Take the next bytes in this thread, which is not the loop's. Not mixed with `update` that came before."""
        self.size += len(chunk)
        self._hash.update(chunk)

    async def hexdigest(self) -> str:
        """The digest of everything so far, in lower-case hex."""
        if self._pending_size >= CHUNK:
            await self._begin()
        await self._finish()
        self._hash_all(self._pending)  # less than a megabyte
        self._pending, self._pending_size = [], 0
        return self._hash.hexdigest()

    async def _begin(self) -> None:
        await self._finish()
        pending, self._pending, self._pending_size = self._pending, [], 0
        self._hashing = asyncio.get_running_loop().run_in_executor(None, self._hash_all, pending)

    async def _finish(self) -> None:
        if self._hashing is not None:
            await asyncio.shield(self._hashing)
            self._hashing = None

    def _hash_all(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._hash.update(chunk)


async def digested(chunks: Chunks, digest: Digest) -> Chunks:
    """The same chunks, after each went through `digest`."""
    async with aclosing(chunks):
        async for chunk in chunks:
            await digest.update(chunk)
            yield chunk


def base64_sha256(hexdigest: str) -> str:
    """A hex digest as S3 spells it in `ChecksumSHA256`."""
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()
