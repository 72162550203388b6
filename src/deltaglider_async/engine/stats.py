"""Statistics of a bucket: what is stored, what it would be without deltas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.listing import HEADS_AT_ONCE
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.types import BucketStats, StatsMode


@dataclass(slots=True)
class _Space:
    """Sums of one deltaspace. Sizes in bytes."""

    references: list[int] = field(default_factory=list)
    deltas: int = 0
    stored: int = 0
    original: int = 0
    asked: int = 0
    asked_stored: int = 0
    """Stored size of those deltas whose original size is in `original`."""


@dataclass(slots=True)
class _Sums:
    plain_objects: int = 0
    plain_size: int = 0
    spaces: dict[str, _Space] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def space(self, prefix: str) -> _Space:
        return self.spaces.setdefault(prefix, _Space())


async def bucket_stats(
    engine: Engine,
    bucket: str,
    prefix: str,
    mode: StatsMode,
    progress: Callable[[int], None] = lambda objects: None,
) -> BucketStats:
    """Sums over the logical objects below a prefix.

    Originals' sizes come from HEADs: of every delta (`detailed`), of one in each deltaspace, whose
    original's size stands for the others (`sampled`), or of none (`quick`: deltas count as large as they are stored).
    """
    sums = _Sums()

    async def deltas() -> AsyncIterator[Response]:
        """The deltas of which a HEAD is wanted; everything else is summed up on the way."""
        plain: set[str] = set()
        seen = 0
        async with aclosing(engine.store.pages(bucket, {"Prefix": prefix})) as pages:
            async for page in pages:
                for item in page.get("Contents", ()):
                    name, size = item["Key"], int(item["Size"])
                    # A plain X sorts before X.delta; what can no longer have one is forgotten.
                    plain = {key for key in plain if name <= keys.delta_key(key)}
                    if not keys.logical_key(name).startswith(prefix):
                        pass  # `app.d` is the beginning of `app.delta`, but not of `app`
                    elif keys.is_reference(name):
                        sums.space(keys.reference_space(name)).references.append(size)
                    elif keys.is_internal(name):
                        pass
                    elif name.endswith(keys.DELTA_SUFFIX):
                        if keys.logical_key(name) in plain:
                            continue  # leftover: the plain form is the object
                        space = sums.space(keys.deltaspace(name))
                        space.deltas += 1
                        space.stored += size
                        if mode == "detailed" or (mode == "sampled" and space.deltas == 1):
                            yield item
                    else:
                        plain.add(name)
                        sums.plain_objects += 1
                        sums.plain_size += size
                seen += len(page.get("Contents", ()))
                progress(seen)

    async def ask(item: Response) -> None:
        name, size = item["Key"], int(item["Size"])
        head = await engine.store.head(bucket, name)
        if head is None:
            return  # deleted meanwhile
        try:
            original = meta.DeltaMetadata.parse(head.get("Metadata", {}), name, bucket).file_size
        except IntegrityMismatchError:
            sums.unknown.append(name)
            return
        space = sums.space(keys.deltaspace(name))
        space.asked += 1
        space.asked_stored += size
        space.original += original

    await for_each(deltas(), ask, HEADS_AT_ONCE)
    cut = sums.spaces.get(keys.deltaspace(prefix))
    if cut is not None and prefix and not prefix.endswith("/"):
        # A prefix within a name separates deltas from the reference that they use.
        if not cut.deltas:
            del sums.spaces[keys.deltaspace(prefix)]
        elif not cut.references:
            head = await engine.store.head(bucket, keys.reference_key(keys.deltaspace(prefix)))
            if head is not None:
                cut.references.append(int(head["ContentLength"]))
    return _result(bucket, sums, mode)


def _result(bucket: str, sums: _Sums, mode: StatsMode) -> BucketStats:
    used = [space for space in sums.spaces.values() if space.deltas]
    orphaned = [space for space in sums.spaces.values() if not space.deltas]
    stored = sums.plain_size + sum(space.stored + sum(space.references) for space in used)
    total = sums.plain_size
    for space in used:
        if mode == "sampled" and space.asked:
            # Releases are much of a size; their deltas are not (that of the reference itself is next to nothing).
            total += round(space.original / space.asked * space.deltas)
        else:  # what was not asked counts as large as it is stored
            total += space.original + space.stored - space.asked_stored
    warnings = []
    deltas = sum(space.deltas for space in used)
    if mode == "quick" and deltas:
        warnings.append(
            "deltas count as large as they are stored; sampled or detailed statistics ask for the originals"
        )
    if sums.unknown:
        named = ", ".join(sorted(sums.unknown)[:3])
        warnings.append(f"{len(sums.unknown):,} deltas without metadata count at their stored size ({named} ...)")
    saved = max(0, total - stored)
    return BucketStats(
        bucket=bucket,
        object_count=deltas + sums.plain_objects,
        total_size=total,
        compressed_size=stored,
        space_saved=saved,
        average_compression_ratio=saved / total if total else 0.0,
        delta_objects=deltas,
        direct_objects=sums.plain_objects,
        orphaned_references=sum(len(space.references) for space in orphaned),
        orphaned_size=sum(sum(space.references) for space in orphaned),
        warnings=tuple(warnings),
    )
