"""One log record for each operation of a client, whose fields can be searched and counted.

The record of the operation under way is found through the context, so that what is deep inside can add to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from deltaglider_async.format import keys
from deltaglider_async.store.errors import code_of
from deltaglider_async.streams import Chunks

_log = logging.getLogger("deltaglider_async.operations")


@dataclass(slots=True)
class Record:
    """What is known of an operation by now. Sizes in bytes."""

    op: str
    bucket: str
    key: str
    sizes: dict[str, int] = field(default_factory=dict)
    cache_hit: bool | None = None
    """Whether the reference was at hand; None where none was needed."""
    _began: float = field(default_factory=time.perf_counter)
    kept_open: bool = False
    """It ends later than the call: the end of a body writes it."""
    _written: bool = False

    def sized(self, info: Mapping[str, Any]) -> None:
        """Take the sizes from a `DeltaGliderInfo`, if they are there."""
        names = (("file", "OriginalSize"), ("stored", "StoredSize"))
        self.sizes |= {name: info[known] for name, known in names if known in info}

    def write(self, error: BaseException | None = None) -> None:
        """Log it, once."""
        if self._written:
            return
        self._written = True
        if not _log.isEnabledFor(logging.INFO):
            return
        total = time.perf_counter() - self._began
        fields = {
            "op": self.op,
            "bucket": self.bucket,
            "key": self.key,
            "deltaspace": f"{self.bucket}/{keys.deltaspace(self.key)}",
            "sizes": self.sizes,
            "durations": {"total": total},
            "cache_hit": self.cache_hit,
            "error": None if error is None else code_of(error) or type(error).__name__,
        }
        outcome = fields["error"] or "done"
        _log.info("%s s3://%s/%s: %s, %.3f s", self.op, self.bucket, self.key, outcome, total, extra=fields)

    async def during(self, chunks: Chunks) -> Chunks:
        """The same chunks; they are read as a part of the operation, whoever reads them."""
        async with aclosing(chunks):
            while True:
                # For each step alone: between them, the context is that of whoever reads.
                token = _current.set(self)
                try:
                    chunk = await anext(chunks, None)
                finally:
                    _current.reset(token)
                if chunk is None:
                    return
                yield chunk


_current: ContextVar[Record | None] = ContextVar("deltaglider_async.operation", default=None)


@contextmanager
def recorded(op: str, bucket: str, key: str) -> Generator[Record, None, None]:
    """Log an operation when it is over, or has failed."""
    record = Record(op, bucket, key)
    token = _current.set(record)
    try:
        yield record
    except BaseException as error:
        record.write(error)
        raise
    else:
        if not record.kept_open:
            record.write()
    finally:
        _current.reset(token)


def note_reference(*, at_hand: bool) -> None:
    """The operation under way has leased a reference, which was at hand, or was downloaded for it."""
    if (record := _current.get()) is not None:
        record.cache_hit = at_hand
