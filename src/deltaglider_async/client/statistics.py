"""Statistics of buckets."""

from __future__ import annotations

from collections.abc import Callable

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import stats
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.types import BucketStats, StatsMode


class Statistics(ClientBase):
    """What is stored, and what it would be without deltas."""

    async def get_bucket_stats(
        self,
        bucket: str,
        mode: StatsMode = "quick",
        *,
        prefix: str = "",
        progress: Callable[[int], None] = lambda objects: None,
    ) -> BucketStats:
        """Statistics of a bucket, or of the objects below a prefix.

        `quick` sends LISTs only: deltas count as large as they are stored. `sampled` asks one delta of each
        deltaspace and lets its original's size stand for the others; `detailed` asks all, by concurrent HEADs.
        `progress` gets the number of stored objects seen. Raises `NotFoundError` (no such bucket), `StorageIOError`.
        """
        if mode not in ("quick", "sampled", "detailed"):
            raise InvalidRequestError(f"mode is {mode!r}. Accepted: quick, sampled, detailed.")
        return await stats.bucket_stats(self._engine, bucket, prefix, mode, progress)
