"""All stored objects below a prefix, listed side by side.

A listing goes on from where the page before ended, so one folder is one chain of requests. But any key can be the
start of a chain. What a first page leaves over is cut at common prefixes, of which a listing with a delimiter shows a
thousand at a time, into ranges `(after, until]` that are listed at once; a range that turns out to be long is cut
again. A page does not end where its range does, and what lies behind is listed for nothing: so a range gets as many
common prefixes as the first page had, nearly, which is about a page. A bucket of one flat folder has nothing to cut at,
and is one chain.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise

import anyio

from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.parallel import first_error

#: Requests of one listing at once.
_LISTS_AT_ONCE = 16
#: Into how many ranges a range is cut at most.
_PIECES = 32
#: How full the page of a range is to be, if all folders are as large as those of the first page.
_FULL = 0.9
#: How often something is cut in one listing, and how many pages of common prefixes are read for a cut.
_MOST_CUTS = 64
_PAGES_PER_CUT = 10

#: Called with the objects of a page, in order, and the range that they are of.
Consume = Callable[["Range", list[Response]], Awaitable[None]]


class Range:
    """A part of a listing that one chain of requests reads. Bounds are stored keys; `until` None is the end."""

    def __init__(self, after: str, until: str | None) -> None:
        self.after = after
        self.until = until
        self.plain: set[str] = set()
        """Plain keys whose delta form may still come."""

    def holds(self, key: str) -> bool:
        """Whether a key does not lie behind the end."""
        return self.until is None or key <= self.until


class RangedListing:
    """One listing. `consume` may be called for several ranges at once; `left` when no more of a range comes.

    `metadata` is that of `Store.pages`.
    """

    def __init__(
        self,
        engine: Engine,
        bucket: str,
        prefix: str,
        access: Response,
        consume: Consume,
        left: Callable[[Range], None],
        *,
        metadata: bool = False,
    ) -> None:
        self._engine = engine
        self._bucket = bucket
        self._prefix = prefix
        self._access = access
        self._consume = consume
        self._left = left
        self._metadata = metadata
        self._free = anyio.Semaphore(_LISTS_AT_ONCE)
        self._cuts = _MOST_CUTS
        self._active = 0

    async def run(self) -> None:
        """List everything. Raises the first error as it is."""
        error: BaseException | None = None
        try:
            async with anyio.create_task_group() as tasks:

                def start(part: Range) -> None:
                    tasks.start_soon(self._read, part, start)

                await self._read(Range("", None), start)
        except BaseExceptionGroup as group:
            error = first_error(group)
        if error is not None:
            raise error

    async def _read(self, part: Range, start: Callable[[Range], None]) -> None:
        """Read a range to its end, or its first page, after which ranges of their own read the rest."""
        self._active += 1
        first = True
        async with aclosing(self._pages(part.after, self._prefix, metadata=self._metadata)) as pages:
            while True:
                async with self._free:  # what is held of pages is bounded by it, too
                    page: Response = await anext(pages, {})
                    items = page.get("Contents", [])
                    await self._consume(part, [item for item in items if part.holds(item["Key"])])
                if not page.get("IsTruncated") or not items or not part.holds(items[-1]["Key"]):
                    break
                if first and self._cuts > 0 and self._active < _LISTS_AT_ONCE:
                    self._cuts -= 1
                    bounds = [items[-1]["Key"], *await self._cut([item["Key"] for item in items], part.until)]
                    if len(bounds) > 1:
                        for after, until in pairwise([*bounds, part.until]):
                            start(Range(after, until))
                        break
                first = False
        self._active -= 1
        self._left(part)

    async def _cut(self, listed: list[str], until: str | None) -> list[str]:
        """Common prefixes between a page and a key, `_PIECES` at most, evenly chosen. They are those of the folders of
        the last key, the outermost first, because what follows them is the most.
        """
        after = listed[-1]
        points: set[str] = set()
        passed: set[str] = set()  # as many of them as one page holds
        folders = after[len(self._prefix) :].split("/")[:-1]
        for depth in range(len(folders) + 1):
            level = self._prefix + "".join(f"{folder}/" for folder in folders[:depth])
            below = (key[len(level) :].partition("/") for key in listed if key.startswith(level))
            passed.update(level + name for name, slash, _ in below if slash)
            reached = 0
            async with aclosing(self._pages(after, level, Delimiter="/")) as pages:
                while reached < _PAGES_PER_CUT:
                    async with self._free:
                        page: Response = await anext(pages, {})
                    reached += 1
                    found = [common["Prefix"] for common in page.get("CommonPrefixes", ())]
                    points.update(name for name in found if name > after and (until is None or name < until))
                    if not page.get("IsTruncated") or not found or (until is not None and found[-1] >= until):
                        break
            if len(points) >= _PIECES:
                break
        ordered = sorted(points)
        step = max(1, -(-len(ordered) // (_PIECES - 1)), int(_FULL * len(passed)))
        return ordered[::step]

    def _pages(
        self, after: str, prefix: str, *, metadata: bool = False, **arguments: str
    ) -> AsyncGenerator[Response, None]:
        asked = {**self._access, **arguments, "Prefix": prefix, "StartAfter": after or None}
        return self._engine.store.pages(self._bucket, asked, metadata=metadata)
