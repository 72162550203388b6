"""What a sync has to do: two listings in, actions out. Pure, but for asking about what the listings do not tell.

Both sides come in the order of their names, so they are merged as they are read, in constant memory. Sizes and times
are compared as `aws s3 sync` compares them. The size of a delta is its original's, which takes a HEAD request; it is
made only where size or digest decide, and a batch of them side by side.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Generic, Literal, TypeVar

from deltaglider_async.bulk.actions import Action
from deltaglider_async.bulk.found import LocalFile, StoredObject
from deltaglider_async.engine.parallel import concurrently

Item = LocalFile | StoredObject
S = TypeVar("S", bound=Item)
D = TypeVar("D", bound=Item)

Direction = Literal["upload", "download", "copy"]
#: Pairs that are asked about at once.
_BATCH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair(Generic[S, D]):
    """What has one name on both sides; one of them may be missing."""

    source: S | None
    destination: D | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What makes two files of one name different. `aws s3 sync`: the size, or the time."""

    direction: Direction
    size_only: bool = False
    """The size alone."""
    exact_timestamps: bool = False
    """In a download: any other time. By default only a local file that is younger than the object."""
    checksum: bool = False
    """The content, by SHA-256, where one was recorded; else size and time."""
    recorded_times: bool = False
    """The time is the one that was recorded when a file was uploaded, where there is one; any other counts."""

    def needs(self, source: Item, destination: Item) -> bool:
        """Whether more has to be known of stored objects before `differs` can tell."""
        unknown = [item for item in (source, destination) if isinstance(item, StoredObject) and not item.examined]
        if not unknown:
            return False
        if self.checksum:
            return source.size is None or destination.size is None or source.size == destination.size
        if self.recorded_times and not self.size_only:
            return source.size == destination.size or any(item.size is None for item in unknown)
        return any(item.size is None for item in unknown) and (
            self.size_only or not self._time_differs(source, destination)
        )

    def wants_digest(self, source: Item, destination: Item) -> bool:
        """Whether a local file must be read to tell."""
        stored = [item for item in (source, destination) if isinstance(item, StoredObject)]
        return self.checksum and source.size == destination.size and all(item.sha256 for item in stored)

    def differs(self, source: Item, destination: Item, digest: str | None = None) -> bool:
        """Whether the destination has to be written. `digest` is the SHA-256 of the one that is a local file."""
        if source.size is not None and destination.size is not None and source.size != destination.size:
            return True
        if self.checksum:
            known = [item.sha256 if isinstance(item, StoredObject) else digest for item in (source, destination)]
            if all(known):
                return known[0] != known[1]
        return not self.size_only and self._time_differs(source, destination)

    def _time_differs(self, source: Item, destination: Item) -> bool:
        if self.recorded_times:
            times = [item.recorded_ns if isinstance(item, StoredObject) else item.modified_ns
                     for item in (source, destination)]  # fmt: skip
            if times[0] is not None and times[1] is not None:
                # File systems keep microseconds, some of them less exactly.
                return abs(times[0] - times[1]) >= 1000
        younger = _modified(destination) - _modified(source)
        if self.direction == "download":
            return younger != timedelta() if self.exact_timestamps else younger > timedelta()
        return younger < timedelta()


def _modified(item: Item) -> datetime:
    if isinstance(item, LocalFile):
        return _EPOCH + timedelta(microseconds=item.modified_ns // 1000)
    return item.modified or _EPOCH


async def paired(
    sources: AsyncGenerator[S, None], destinations: AsyncGenerator[D, None]
) -> AsyncGenerator[Pair[S, D], None]:
    """What is on either side, by name. Both must come in the order of their names."""
    async with aclosing(sources), aclosing(destinations):
        source, destination = await anext(sources, None), await anext(destinations, None)
        while source is not None or destination is not None:
            if destination is None or (source is not None and source.name < destination.name):
                yield Pair(source, None)
                source = await anext(sources, None)
            elif source is None or destination.name < source.name:
                yield Pair(None, destination)
                destination = await anext(destinations, None)
            else:
                yield Pair(source, destination)
                source, destination = await anext(sources, None), await anext(destinations, None)


@dataclass(frozen=True, slots=True)
class Rules(Generic[S, D]):
    """How a sync decides."""

    comparison: Comparison
    carry: Callable[[S], Action | None]
    """What carries a source over; None leaves it out."""
    remove: Callable[[D], Action | None] | None = None
    """What removes something from the destination that the source does not have."""
    examine: Callable[[StoredObject], Awaitable[StoredObject]] | None = None
    """Asks the service about an object; without, what the listing tells is all."""
    digest: Callable[[LocalFile], Awaitable[str]] | None = None
    """The SHA-256 of a local file, in hex."""


@dataclass(slots=True)
class _Open(Generic[S, D]):
    """Something that is done unless the destination turns out to be the same."""

    action: Action
    compared: tuple[Item, Item] | None
    """None where it is done in any case."""
    same: bool = False


async def synced(pairs: AsyncGenerator[Pair[S, D], None], rules: Rules[S, D]) -> AsyncGenerator[Action, None]:
    """The plan that makes the destination like the source.

    Nothing is removed where the source could not be read: neither what has the name, nor what is below it.
    """
    waiting: list[_Open[S, D]] = []
    unread: list[str] = []
    async with aclosing(pairs):
        async for pair in pairs:
            if isinstance(pair.source, LocalFile) and pair.source.problem:
                unread.append(pair.source.name.removesuffix("/"))
            if (found := _considered(pair, rules, unread)) is not None:
                waiting.append(found)
            if len(waiting) >= _BATCH:
                for action in await _decided(waiting, rules):
                    yield action
                waiting = []
    for action in await _decided(waiting, rules):
        yield action


def _considered(pair: Pair[S, D], rules: Rules[S, D], unread: list[str]) -> _Open[S, D] | None:
    source, destination = pair.source, pair.destination
    if source is None:
        assert destination is not None
        name = destination.name
        hidden = any(name == each or name.startswith(f"{each}/") for each in unread)
        action = rules.remove(destination) if rules.remove and not hidden else None
        return _Open(action, None) if action else None
    action = rules.carry(source)  # in the order of the names, on which some planners rely
    if action is None:
        return None
    if destination is None or (isinstance(source, LocalFile) and source.problem):
        return _Open(action, None)
    if rules.comparison.needs(source, destination) or rules.comparison.checksum:
        return _Open(action, (source, destination))
    return _Open(action, None) if rules.comparison.differs(source, destination) else None


async def _decided(waiting: list[_Open[S, D]], rules: Rules[S, D]) -> list[Action]:
    asked = [each for each in waiting if each.compared]
    if asked:
        await concurrently(*(partial(_ask, each, rules) for each in asked))
    return [each.action for each in waiting if not each.same]


async def _ask(found: _Open[S, D], rules: Rules[S, D]) -> None:
    assert found.compared is not None
    compared, comparison = found.compared, rules.comparison
    if rules.examine and comparison.needs(*compared):
        first, second = compared
        compared = (
            await rules.examine(first) if isinstance(first, StoredObject) else first,
            await rules.examine(second) if isinstance(second, StoredObject) else second,
        )
    digest = None
    if rules.digest and comparison.wants_digest(*compared):
        local = next((item for item in compared if isinstance(item, LocalFile)), None)
        digest = await rules.digest(local) if local else None
    found.same = not comparison.differs(*compared, digest)
