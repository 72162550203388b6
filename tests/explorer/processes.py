"""xdelta3 itself as the codec of a run."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

from deltaglider_async.codec import xdelta
from deltaglider_async.streams import Chunks


class Processes:
    """`Codec`; `busy` is the number of processes that are at work, for which the explorer waits."""

    def __init__(self) -> None:
        self.busy = 0

    async def encode(
        self,
        reference: Any,
        body: Chunks,
        *,
        options: Sequence[str] = (),
        program: str = "xdelta3",
        spare: Any = None,
        index: Any = None,
    ) -> Chunks:
        encoded = xdelta.encode(reference, body, options=options, program=program, index=index)
        async with aclosing(self._counted(encoded)) as chunks:
            async for chunk in chunks:
                yield chunk

    def unchanged(self, reference: Any, body: Chunks) -> Chunks:
        return xdelta.unchanged(reference, body)

    async def decode(self, reference: Any, delta: Chunks, size: int, *, program: str = "xdelta3", **how: Any) -> Chunks:
        decoded = xdelta.decode(reference, delta, size, program=program, **how)
        async with aclosing(self._counted(decoded)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _counted(self, chunks: Chunks) -> Chunks:
        self.busy += 1
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        finally:
            self.busy -= 1
