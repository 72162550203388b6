"""A codec within the process, for which a wrong reference gives wrong bytes.

A delta is a nonce and the digest of a body, masked with that of the reference.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from deltaglider_async.errors import DiffDecodeError
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest

_WIDTH = 8
#: That of VCDIFF with an application header of 16 bytes, so that a delta can be moved.
_HEAD = b"\xd6\xc3\xc4\x00\x04\x10"


class MaskingCodec:
    """`Codec`, some hundred times faster than a process. `unique` False leaves the nonce out."""

    def __init__(self, *, unique: bool = True) -> None:
        self._bodies: dict[bytes, bytes] = {}
        self._nonces = itertools.count(1)
        self._unique = unique

    async def encode(
        self,
        reference: Any,
        body: Chunks,
        *,
        options: Sequence[str] = (),
        program: str = "",
        spare: Any = None,
        index: Any = None,
    ) -> Chunks:
        async with aclosing(body):
            data = b"".join([chunk async for chunk in body])
        name = hashlib.sha256(data).digest()[:_WIDTH]
        self._bodies[name] = data
        nonce = b"%016d" % (next(self._nonces) if self._unique else 0)
        yield _HEAD + nonce + _masked(name, await _mask(reference))

    def unchanged(self, reference: Any, body: Chunks) -> Chunks:
        return self.encode(reference, body)

    async def decode(
        self,
        reference: Any,
        delta: Chunks,
        size: int,
        *,
        program: str = "",
        stock: bool = False,
        reached: Callable[[float], Awaitable[None]] | None = None,
        digest: Digest | None = None,
    ) -> Chunks:
        if reached is not None:
            await reached(math.inf)
        async with aclosing(delta):
            data = b"".join([chunk async for chunk in delta])
        name = _masked(data[-_WIDTH:], await _mask(reference))
        if name not in self._bodies:
            raise DiffDecodeError("the delta was made against another reference")
        if digest is not None:
            await digest.update(self._bodies[name])
        yield self._bodies[name]


async def _mask(reference: Any) -> bytes:
    return hashlib.sha256(await reference.read(0, reference.size)).digest()


def _masked(data: bytes, mask: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))
