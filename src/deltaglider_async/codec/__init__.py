"""Bytes to bytes: xdelta3 processes and VCDIFF framing. Knows nothing of S3.

A codec is two async generators: `encode(reference, body)` gives the chunks of a delta, `decode(reference,
delta, size)` gives back the chunks of the body. `dg-codec` in a delta's metadata names the codec; none means
plain VCDIFF, which is the only one so far.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from deltaglider_async.streams import Chunks

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from deltaglider_async.codec.samples import Index
    from deltaglider_async.streams.digest import Digest


class Reference(Protocol):
    """What a codec needs of a leased reference."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def path(self) -> str:
        """The path under which a process that inherits `fd` opens it."""

    @property
    def fd(self) -> int | None:
        """The descriptor that must be inherited, if any."""


class Codec(Protocol):
    """What the engine needs of a codec; the module `xdelta` is one."""

    def encode(
        self,
        reference: Reference,
        body: Chunks,
        *,
        options: Sequence[str] = ...,
        program: str = ...,
        spare: Callable[[], AbstractContextManager[bool]] | None = ...,
        index: Index | None = ...,
    ) -> Chunks:
        """The delta of `body` against `reference`, made as `options` say. No two deltas are the same bytes.

        With `spare`, which is entered for each process but the first and says whether there may be one, by several.
        With the `index` of the reference, which is made when it is needed, by a process only where that makes less.
        """

    def unchanged(self, reference: Reference, body: Chunks) -> Chunks:
        """The delta of a `body` that is the reference itself. No two deltas are the same bytes."""

    def decode(
        self,
        reference: Reference,
        delta: Chunks,
        size: int,
        *,
        program: str = ...,
        stock: bool = ...,
        reached: Callable[[float], Awaitable[None]] | None = ...,
        digest: Digest | None = ...,
    ) -> Chunks:
        """The body of a delta, of at most `size` bytes. With `stock`, by the program and nothing else.

        `reached` waits until so many bytes of a reference that is still arriving are there, or, with infinity, until it
        is verified. `digest` takes the body before it is given out, for a caller who compares it at the end.
        """
