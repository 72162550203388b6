"""Which keys have a delta form, known from a listing for many plain puts at once.

A plain put looks whether there is an older delta beside the key, to remove it afterwards. For a folder of small files
those looks are half of all requests, where one page of a listing answers a thousand. What a page says is some seconds
old by then, so a delta that somebody else puts meanwhile may stay beside the plain form: hidden, as any leftover is,
for plain wins, and a delete removes both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio

from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.errors import DeltaGliderError
from deltaglider_async.format import keys

#: Looks at single keys of a folder before it is listed. A listing costs as much as a dozen of them.
_SINGLE = 16
#: Seconds after which a page is too old.
_FRESH = 30.0


@dataclass(slots=True)
class _Folder:
    """A page of a folder: its deltas between `after` and `until` (inclusive; None is the end), as of `listed_at`."""

    asked: int = 0
    after: str = ""
    until: str | None = ""
    listed_at: float = -_FRESH
    deltas: frozenset[str] = frozenset()
    served: int = _SINGLE
    given_up: bool = False
    listing: anyio.Lock = field(default_factory=anyio.Lock)

    def covers(self, key: str) -> bool:
        """Whether the page tells of a stored key."""
        fresh = anyio.current_time() - self.listed_at < _FRESH
        return fresh and self.after < key and (self.until is None or key <= self.until)

    def asked_before(self, key: str) -> bool:
        """Whether a key lies before the page."""
        return anyio.current_time() - self.listed_at < _FRESH and key <= self.after


class ListedDeltas:
    """For the puts of one transfer."""

    def __init__(self) -> None:
        self._folders: dict[tuple[str, str], _Folder] = {}

    async def absent(self, engine: Engine, bucket: str, key: str, access: Response) -> bool:
        """Whether a key has no delta form; False also where that is not known."""
        space, delta_key = keys.deltaspace(key), keys.delta_key(key)
        folder = self._folders.setdefault((bucket, space), _Folder())
        folder.asked += 1
        if folder.asked > _SINGLE and not folder.given_up and not folder.covers(delta_key):
            async with folder.listing:
                if not folder.covers(delta_key) and not folder.given_up:
                    await self._list(engine, bucket, space, key, access, folder)
        if not folder.covers(delta_key):
            return False
        folder.served += 1
        return delta_key not in folder.deltas

    async def _list(self, engine: Engine, bucket: str, space: str, key: str, access: Response, folder: _Folder) -> None:
        """The page that begins behind `key`, of which the key's delta form is one of the first."""
        if folder.asked_before(key):
            return  # keys that are put side by side come in nearly their order
        if folder.served < _SINGLE:
            folder.given_up = True  # the page was not worth its price: too much else lies between these keys
            return
        folder.listed_at, folder.served = anyio.current_time(), 0
        asked = {**access, "Prefix": f"{space}/" if space else "", "Delimiter": "/", "StartAfter": key}
        try:
            async with aclosing(engine.store.pages(bucket, asked)) as pages:
                page = await anext(pages)
        except DeltaGliderError:
            folder.given_up = True  # who may not list can still look at single keys
            folder.until = folder.after
            return
        names = [item["Key"] for item in page.get("Contents", ())]
        rolled_up = [item["Prefix"] for item in page.get("CommonPrefixes", ())]
        folder.after = key
        folder.until = max(names + rolled_up, default=key) if page.get("IsTruncated") else None
        folder.deltas = frozenset(name for name in names if name.endswith(keys.DELTA_SUFFIX))


_LISTED: ContextVar[ListedDeltas | None] = ContextVar("listed_deltas", default=None)


@contextmanager
def listing_deltas() -> Iterator[None]:
    """Every plain put inside of the block, and in tasks that are started there, is one of many."""
    token = _LISTED.set(ListedDeltas())
    try:
        yield
    finally:
        _LISTED.reset(token)


def listed_deltas() -> ListedDeltas | None:
    """What is known in the transfer that this code runs for."""
    return _LISTED.get()
