"""Statistics of a bucket: what is stored, what it would be without deltas.

Listings tell names, sizes and ETags; what a delta's original has only a HEAD tells. What one told is remembered by
bucket, key and ETag, for as long as the client lives and, where that is asked for, in an object in the bucket. What is
held meanwhile are sums, one of each folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

import anyio

from deltaglider_async.engine import kept_sizes
from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.listing import HEADS_AT_ONCE
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.engine.ranges import Range, RangedListing
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.format.sizes import UNREADABLE, name_of
from deltaglider_async.types import BucketStats, DeltaspaceStats, StatsMode

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream

#: How many deltas without metadata a warning names.
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """What to count. `remembered`: use what is remembered, `remember`: and add to it; `in_bucket`: also there."""

    bucket: str
    prefix: str = ""
    mode: StatsMode = "quick"
    remembered: bool = True
    remember: bool = True
    in_bucket: bool = False
    deltaspaces: bool = False
    """Whether each deltaspace is wanted too. They are not remembered."""
    access: Response = field(default_factory=dict)
    progress: Callable[[int], None] = lambda objects: None


@dataclass(slots=True)
class _Space:
    """Sums of one deltaspace. Sizes in bytes."""

    plain: int = 0
    plain_size: int = 0
    references: int = 0
    reference_size: int = 0
    deltas: int = 0
    stored: int = 0
    original: int = 0
    asked: int = 0
    asked_stored: int = 0
    """Stored size of those deltas whose original size is in `original`."""

    def original_size(self, mode: StatsMode) -> int:
        if mode == "sampled" and self.asked:
            # Releases are much of a size; their deltas are not (that of the reference itself is next to nothing).
            return self.plain_size + round(self.original / self.asked * self.deltas)
        # What was not asked counts as large as it is stored.
        return self.plain_size + self.original + self.stored - self.asked_stored


class _Count:
    """One run over a bucket."""

    def __init__(self, engine: Engine, request: StatsRequest, remembered: dict[int, int]) -> None:
        self._engine = engine
        self._request = request
        self._remembered = remembered
        self._wanted: ObjectSendStream[Response]
        self.sizes: dict[int, int] = {}
        """What is known of the deltas that are there, by `name_of`."""
        self.spaces: dict[str, _Space] = {}
        self.unreadable = 0
        self.named: list[str] = []
        self._seen = 0
        self._early: list[Response] = []
        """Deltas at the beginning of a range whose plain form would be in an earlier one."""
        self._plain: set[str] = set()
        """Plain keys at the end of a range whose delta form would be in a later one."""

    async def run(self) -> None:
        request = self._request
        self._wanted, receive = anyio.create_memory_object_stream[Response](HEADS_AT_ONCE)
        async with receive:
            await concurrently(self._list, *(lambda: self._ask_all(receive.clone()) for _ in range(HEADS_AT_ONCE)))
        space = keys.deltaspace(request.prefix)
        cut = self.spaces.get(space)
        if cut is not None and request.prefix and not request.prefix.endswith("/"):
            # A prefix within a name separates deltas from the reference that they use.
            if not cut.deltas:
                cut.references = cut.reference_size = 0
            elif not cut.references:
                head = await self._engine.store.head(request.bucket, keys.reference_key(space), request.access)
                if head is not None:
                    cut.references, cut.reference_size = 1, int(head["ContentLength"])

    async def _list(self) -> None:
        request = self._request
        async with self._wanted:
            # Where nothing is remembered, each delta would be asked; else only what is new.
            every = request.mode == "detailed" and not self._remembered
            await RangedListing(
                self._engine, request.bucket, request.prefix, request.access, self._page, self._left, metadata=every
            ).run()
            for item in self._early:
                if keys.logical_key(item["Key"]) not in self._plain:
                    await self._delta(item)

    async def _page(self, part: Range, items: list[Response]) -> None:
        for item in items:
            name, size = item["Key"], int(item["Size"])
            logical = keys.logical_key(name)
            # A plain X sorts before X.delta; what can no longer have one is forgotten.
            part.plain = {key for key in part.plain if name <= keys.delta_key(key)}
            if not logical.startswith(self._request.prefix):
                continue  # `app.d` is the beginning of `app.delta`, but not of `app`
            if keys.is_reference(name):
                space = self._space(keys.reference_space(name))
                space.references += 1
                space.reference_size += size
            elif keys.is_internal(name):
                continue
            elif name.endswith(keys.DELTA_SUFFIX):
                if logical in part.plain:
                    continue  # leftover: the plain form is the object
                if logical <= part.after:
                    self._early.append(item)
                else:
                    await self._delta(item)
            else:
                part.plain.add(name)
                space = self._space(keys.deltaspace(name))
                space.plain += 1
                space.plain_size += size
        self._seen += len(items)
        self._request.progress(self._seen)

    def _left(self, part: Range) -> None:
        self._plain |= part.plain

    def _space(self, prefix: str) -> _Space:
        return self.spaces.setdefault(prefix, _Space())

    async def _delta(self, item: Response) -> None:
        """Count a delta, and have it asked where that is wanted and not known already."""
        space = self._space(keys.deltaspace(item["Key"]))
        space.deltas += 1
        space.stored += int(item["Size"])
        # Not every service lists ETags; a delta without one is asked each time.
        known = self._remembered.get(name_of(item["Key"], item["ETag"])) if "ETag" in item else None
        mode = self._request.mode
        if known is not None and (mode == "detailed" or known != UNREADABLE):
            self._tell(item, known)
        elif "Metadata" in item and "ETag" in item:
            self._read(item, item["Metadata"])
        elif mode == "detailed" or (mode == "sampled" and space.deltas == 1):
            await self._wanted.send(item)

    async def _ask_all(self, receive: ObjectReceiveStream[Response]) -> None:
        async with receive:
            async for item in receive:
                head = await self._engine.store.head(self._request.bucket, item["Key"], self._request.access)
                if head is None:
                    continue  # deleted meanwhile
                self._read(item | {"ETag": head["ETag"]}, head.get("Metadata", {}))

    def _read(self, item: Response, metadata: Mapping[str, str]) -> None:
        try:
            size = meta.DeltaMetadata.parse(metadata, item["Key"], self._request.bucket).file_size
        except IntegrityMismatchError:
            size = UNREADABLE
        self._tell(item, size)

    def _tell(self, item: Response, size: int) -> None:
        if len(self.sizes) < self._engine.remembered.most_sizes:
            self.sizes[name_of(item["Key"], item["ETag"])] = size
        if size == UNREADABLE:
            self.unreadable += 1
            self.named = sorted([*self.named, item["Key"]])[:_MOST_NAMED]
            return
        space = self._space(keys.deltaspace(item["Key"]))
        space.asked += 1
        space.asked_stored += int(item["Size"])
        space.original += size


async def bucket_stats(engine: Engine, request: StatsRequest) -> BucketStats:
    """Sums over the logical objects below a prefix.

    Originals' sizes come from HEADs, where they are not remembered: of every delta (`detailed`), of one in each
    deltaspace, whose original's size stands for the others (`sampled`), or of none (`quick`: deltas count as large as
    they are stored).
    """
    remembered, changes = engine.remembered, engine.remembered.changes(request.bucket)
    known = remembered.result(request.bucket, request.prefix, request.mode)
    if known is not None and request.remembered and not request.deltaspaces:
        return known
    count, warnings = await _counted(engine, request)
    result = _result(request, count, warnings)
    if request.remember:
        remembered.keep(request.prefix, request.mode, result, changes)
    return replace(result, deltaspaces=tuple(_spaces(request, count))) if request.deltaspaces else result


async def deltaspace_stats(engine: Engine, request: StatsRequest) -> list[DeltaspaceStats]:
    """The same for each deltaspace, in the order of their prefixes."""
    count, _ = await _counted(engine, request)
    return _spaces(request, count)


async def _counted(engine: Engine, request: StatsRequest) -> tuple[_Count, list[str]]:
    """A run, with what is remembered before and afterwards; and warnings about that."""
    warnings: list[str] = []
    before = dict(engine.remembered.sizes(request.bucket))
    kept: dict[int, int] | None = None
    if request.in_bucket:
        kept = await kept_sizes.read(engine, request.bucket, request.access, warnings)
        before |= kept
    count = _Count(engine, request, before if request.remembered else {})
    await count.run()
    # A run over everything tells what is no longer there, too.
    complete = not request.prefix and request.mode == "detailed"
    most = engine.remembered.most_sizes
    sizes = count.sizes if complete else dict(islice((before | count.sizes).items(), most))
    if request.remember:
        engine.remembered.replace_sizes(request.bucket, sizes)
    if kept is not None and sizes != kept:
        await kept_sizes.write(engine, request.bucket, sizes, request.access, warnings)
    return count, warnings


def _spaces(request: StatsRequest, count: _Count) -> list[DeltaspaceStats]:
    return [
        DeltaspaceStats(
            bucket=request.bucket,
            prefix=f"{prefix}/" if prefix else "",
            object_count=space.plain + space.deltas,
            original_size=space.original_size(request.mode),
            stored_size=space.plain_size + (space.stored + space.reference_size if space.deltas else 0),
            delta_objects=space.deltas,
            delta_size=space.stored,
            references=space.references,
            reference_size=space.reference_size,
        )
        for prefix, space in sorted(count.spaces.items())
        if space.plain or space.deltas or space.references
    ]


def _result(request: StatsRequest, count: _Count, warnings: list[str]) -> BucketStats:
    spaces = _spaces(request, count)
    total, stored = sum(space.original_size for space in spaces), sum(space.stored_size for space in spaces)
    objects, deltas = sum(space.object_count for space in spaces), sum(space.delta_objects for space in spaces)
    orphaned = [space for space in spaces if space.orphaned]
    orphans, orphaned_size = (
        sum(space.references for space in orphaned),
        sum(space.reference_size for space in orphaned),
    )
    told = sum(space.asked for space in count.spaces.values())
    if request.mode == "quick" and deltas > told:
        warnings.append(
            "deltas count as large as they are stored; sampled or detailed statistics ask for the originals"
        )
    if count.unreadable:
        named = f"{', '.join(count.named)}{' ...' if count.unreadable > len(count.named) else ''}"
        warnings.append(f"{_many(count.unreadable, 'delta')} without metadata, counted at the stored size ({named})")
    if orphans:
        warnings.append(
            f"{_many(orphans, 'reference')} that no delta uses ({orphaned_size:,} bytes), not counted. Removed by: "
            f"dg gc s3://{request.bucket}/{request.prefix}"
        )
    saved = max(0, total - stored)
    return BucketStats(
        bucket=request.bucket,
        object_count=objects,
        total_size=total,
        compressed_size=stored,
        space_saved=saved,
        average_compression_ratio=saved / total if total else 0.0,
        delta_objects=deltas,
        direct_objects=objects - deltas,
        orphaned_references=orphans,
        orphaned_size=orphaned_size,
        warnings=tuple(warnings),
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"
