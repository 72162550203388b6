"""What a client remembers of buckets for its statistics. All of it is in one object, bounded, and changed here only."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from deltaglider_async.format.sizes import name_of

if TYPE_CHECKING:
    from deltaglider_async.types import BucketStats, StatsMode

#: Deltas whose original's size is remembered; some 110 bytes each.
MOST_SIZES = 500_000
#: Results that are remembered.
_MOST_RESULTS = 1000
#: Of the modes, which one a result of another can stand in for.
_DETAIL = {"quick": 0, "sampled": 1, "detailed": 2}


class Known:
    """Originals' sizes by (bucket, key, ETag), which stay true, and results, until a bucket is written to."""

    def __init__(self, most_sizes: int = MOST_SIZES) -> None:
        self._most = most_sizes
        self._sizes: OrderedDict[str, dict[int, int]] = OrderedDict()
        self._results: OrderedDict[tuple[str, str], tuple[StatsMode, BucketStats]] = OrderedDict()
        self._changes = Counter[str]()

    # -- originals' sizes

    def sizes(self, bucket: str) -> dict[int, int]:
        """What is remembered of a bucket, by `format.sizes.name_of`. Not to be changed."""
        return self._sizes.get(bucket, {})

    def size(self, bucket: str, key: str, etag: str) -> int | None:
        """Of the delta stored at a key with an ETag: its original's size in bytes, None where it is not known.

        `format.sizes.UNREADABLE` for one whose metadata do not tell.
        """
        return self.sizes(bucket).get(name_of(key, etag))

    def learn(self, bucket: str, key: str, etag: str, size: int) -> None:
        """Remember what a HEAD told. Where all places are taken, nothing more is learned."""
        if sum(map(len, self._sizes.values())) < self._most:
            self._sizes.setdefault(bucket, {})[name_of(key, etag)] = size

    def replace_sizes(self, bucket: str, sizes: dict[int, int]) -> None:
        """Remember these of a bucket, and no others; the buckets that were looked at longest ago give way."""
        self._sizes.pop(bucket, None)
        while self._sizes and len(sizes) + sum(map(len, self._sizes.values())) > self._most:
            self._sizes.popitem(last=False)
        self._sizes[bucket] = sizes

    @property
    def most_sizes(self) -> int:
        """How many a bucket may have."""
        return self._most

    # -- results

    def result(self, bucket: str, prefix: str, mode: StatsMode) -> BucketStats | None:
        """A result that is at least as detailed, and from after the last write."""
        found = self._results.get((bucket, prefix))
        return found[1] if found is not None and _DETAIL[found[0]] >= _DETAIL[mode] else None

    def latest(self, bucket: str) -> tuple[StatsMode, BucketStats] | None:
        """The mode and the result of a whole bucket, where one is remembered."""
        return self._results.get((bucket, ""))

    def changes(self, bucket: str) -> int:
        """A number that is another one after each write."""
        return self._changes[bucket]

    def keep(self, prefix: str, mode: StatsMode, result: BucketStats, changes: int) -> None:
        """Remember a result, if nothing was written since `changes` was the number."""
        bucket = result.bucket
        if self._changes[bucket] == changes and self.result(bucket, prefix, mode) is None:
            self._results[bucket, prefix] = mode, result
            self._results.move_to_end((bucket, prefix))
            if len(self._results) > _MOST_RESULTS:
                self._results.popitem(last=False)

    def changed(self, bucket: str) -> None:
        """The bucket is being, or was, written to."""
        self._changes[bucket] += 1
        for place in [place for place in self._results if place[0] == bucket]:
            del self._results[place]

    def clear(self) -> None:
        """Forget everything."""
        self._sizes.clear()
        for bucket in {bucket for bucket, _ in self._results}:
            self.changed(bucket)
