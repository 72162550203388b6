"""The stored names of a listing in order, with what is known of those that follow.

It leaves out what need not be read: folders of the format's own, and the rest of a common prefix once it was given
out, if they go on for longer than a page. And it leaves out folders in which nothing of the user's is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from itertools import islice

from deltaglider_async.engine.core import Response
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.format import keys
from deltaglider_async.store.pages import Source, StoredPage

#: S3's limit for a page.
LARGEST_PAGE = 1000
#: So many logical keys are mostly found on one page of stored names, of which some are the format's own.
EASY_PAGE = 900
#: Folders that are looked into at once.
FOLDERS_AT_ONCE = 32
#: Names that are asked for to see whether a folder holds anything.
_FEW = 8
#: The last character that XML takes: nearly everything that begins with a prefix sorts before the prefix and this.
_LAST = "\U0010fffd"


def rolled_up(key: str, prefix: str, delimiter: str) -> str:
    """The common prefix that stands for a key in a listing; empty where the key stands for itself."""
    cut = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
    return "" if cut < 0 else key[: cut + len(delimiter)]


class ReadAhead:
    """The stored names that begin with `prefix`, after `after`. The first page has `size` names, others 1,000.

    S3 rolls up the delimiter `/`. Any other one could cut `.delta` in two; names come whole then.
    """

    def __init__(
        self, source: Source, prefix: str = "", delimiter: str = "", after: str = "", size: int = LARGEST_PAGE
    ) -> None:
        self._source = source
        self._prefix = prefix
        self._delimiter = delimiter
        self._names: deque[str] = deque()
        self._items: dict[str, list[Response]] = {}
        self._holds: dict[str, bool] = {}
        self._last = ""
        self._begun = self._complete = False
        self._size = min(LARGEST_PAGE, size)
        self._pages = self._open(after, rolled_up(after, prefix, delimiter))
        self.answer: Response = {}
        """What S3 said of the first request."""

    async def aclose(self) -> None:
        """End the request that is under way."""
        await self._pages.aclose()

    async def begin(self) -> None:
        """Read the first page, if none was read."""
        if not self._begun:
            await self._read_page()

    async def first(self) -> str | None:
        """The next stored name; None at the end."""
        while True:
            while not self._complete and len(self._names) <= self._source.grouped:
                await self._read_on()
            if not self._names:
                return None
            name = self._names[0]
            if self._items[name] or await self._holds_objects(name):
                return name
            self.take()

    def take(self) -> list[Response]:
        """The items of the next stored name, which is passed; none for a common prefix."""
        name = self._names.popleft()
        self._holds.pop(name, None)
        return self._items.pop(name)

    async def look_up(self, name: str) -> list[Response]:
        """The items of a stored name that is further ahead; none if there is no such name."""
        if not self._reaches(name) and len(self._names) < LARGEST_PAGE:
            await self._read_page()  # wanted next anyway, and mostly tells
        if self._reaches(name):
            return self._items.get(name, [])
        return await look_up(self._source, name)

    def _reaches(self, name: str) -> bool:
        last = self._names[-1] if self._names else ""
        return self._complete or last > name or (last == name and not self._source.grouped)

    async def _read_on(self) -> None:
        """Read the next page, when all names but the last of several items have been passed."""
        passed = not self._names
        run = ""
        if passed or keys.is_internal(self._last):
            # Whoever passed the last name has also asked for what is hidden before it.
            run = keys.internal_folder(self._last)
            if not run and passed and self._delimiter != "/":
                run = rolled_up(keys.logical_key(self._last), self._prefix, self._delimiter)
            if run and self._names:
                self.take()
        if run:
            await self._pages.aclose()
            self._size = self._size if self._source.grouped else LARGEST_PAGE
            self._pages = self._open(self._last, run)
        await self._read_page()

    async def _read_page(self) -> None:
        if self._begun and self._size < LARGEST_PAGE and not self._source.grouped:
            await self._pages.aclose()  # more is wanted than it seemed: from now on long pages
            self._size = LARGEST_PAGE
            run = rolled_up(self._last, self._prefix, "/") if self._delimiter == "/" else ""
            self._pages = self._open(self._last, run)
        self._begun = True
        page = await anext(self._pages, None)
        self._complete = page is None or not page.truncated
        if page is None:
            return
        self.answer = self.answer or page.answer
        for name, items in page.names.items():
            if self._source.grouped and name in self._items:
                self._items[name] += items
            elif name > self._last:
                self._items[name] = items
                self._names.append(name)
                self._last = name

    def _open(self, after: str, run: str) -> AsyncGenerator[StoredPage, None]:
        """Pages from a name on, without what begins with `run`."""
        beyond = run + _LAST
        if run and keys.fits(beyond):
            after = beyond
        if after < self._prefix:
            after = ""  # MinIO has nothing to say where it is not below the prefix
        return self._source.pages(self._prefix, "/" if self._delimiter == "/" else "", after, self._size)

    async def _holds_objects(self, folder: str) -> bool:
        """Whether a common prefix has more in it than the format's own objects; asked for the next ones at once."""
        if folder not in self._holds:
            unasked = (name for name in self._names if not self._items[name] and name not in self._holds)
            folders = list(islice(unasked, min(FOLDERS_AT_ONCE, self._size)))

            async def ask(name: str) -> None:
                self._holds[name] = not keys.is_internal(name) and await holds_objects(self._source, name)

            async def each() -> AsyncIterator[str]:
                for name in folders:
                    yield name

            await for_each(each(), ask, len(folders))
        return self._holds[folder]


async def look_up(source: Source, name: str) -> list[Response]:
    """All items of one stored name; none if there is no such name."""
    found: list[Response] = []
    if not keys.fits(name):
        return found
    async with aclosing(source.pages(name, "", "", LARGEST_PAGE if source.grouped else 1)) as pages:
        async for page in pages:
            found += page.names.get(name, [])
            if not source.grouped or any(other != name for other in page.names):
                break  # it is the first of those that begin with it
    return found


async def holds_objects(source: Source, folder: str) -> bool:
    """Whether anything but the format's own objects is in a folder."""
    async with aclosing(ReadAhead(source, folder, size=_FEW)) as ahead:
        while (name := await ahead.first()) is not None:
            if not keys.is_internal(keys.logical_key(name)):
                return True
            ahead.take()
    return False
