"""Chunks counted for whoever watches."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from deltaglider_async.streams import Chunks

if TYPE_CHECKING:
    from deltaglider_async.types import Phase, Progress


async def reported(chunks: Chunks, progress: Progress, phase: Phase) -> Chunks:
    """The same chunks; after each, `progress` learns the phase and how many bytes went by."""
    position = 0
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk
            position += len(chunk)
            progress(phase, position)
