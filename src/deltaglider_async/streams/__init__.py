"""Parts of byte streams: sources that a put reads, digests, re-chunking, spools, and the body of a get.

A stream of bytes is an async generator here, because generators can be closed: whoever takes one closes it
(`aclosing`), so that an error or a cancellation anywhere ends the whole chain at once. No generator holds a
task group or a cancel scope across a `yield`; bodies may be read from any task.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeAlias

#: Bytes moved at a time between files, threads and pipes.
CHUNK = 1024 * 1024

Chunks: TypeAlias = AsyncGenerator[bytes, None]
