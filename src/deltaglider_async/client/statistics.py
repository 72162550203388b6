"""Statistics of buckets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import stats
from deltaglider_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from deltaglider_async.types import BucketStats, DeltaspaceStats, StatsMode


class Statistics(ClientBase):
    """What is stored, and what it would be without deltas."""

    async def get_bucket_stats(
        self,
        bucket: str,
        mode: StatsMode = "quick",
        use_cache: bool = True,
        refresh_cache: bool = False,
        *,
        detailed_stats: bool | None = None,
        prefix: str = "",
        remember: bool = False,
        deltaspaces: bool = False,
        progress: Callable[[int], None] = lambda objects: None,
        **arguments: Any,
    ) -> BucketStats:
        """Statistics of a bucket, or of the objects below a prefix.

        `quick` sends LISTs only: deltas count as large as they are stored, where their originals' sizes are not known
        from before. `sampled` asks one delta of each deltaspace and lets its original's size stand for the others;
        `detailed` asks all, by concurrent HEADs. What a HEAD told is remembered by bucket, key and ETag for as long as
        the client is open: a later call asks only for what is new. `remember` keeps it in the bucket as well
        (`.deltaglider/sizes.v1`), for other processes that ask with `remember`.

        `use_cache`: a result of this client, as detailed or more, is returned as it is, until this client puts, deletes
        or copies anything in the bucket; what others write is not noticed. `refresh_cache` counts anew and asks all
        again; so does `use_cache=False`, and remembers nothing. `deltaspaces`: each folder's statistics too, always
        counted anew, from the same listing. `detailed_stats=True` is the original's older name of
        `mode="detailed"`. `progress` gets the number of stored objects seen. `RequestPayer` and `ExpectedBucketOwner`
        as in boto3.

        Raises `NotFoundError` (no such bucket), `StorageIOError`.

            stats = await client.get_bucket_stats("releases", "detailed")
            print(f"{stats.space_saved:,} of {stats.total_size:,} bytes saved; {stats.warnings}")
        """
        if detailed_stats:
            mode = "detailed"
        return await stats.bucket_stats(
            self._engine,
            stats.StatsRequest(
                bucket,
                prefix,
                _checked(mode),
                remembered=use_cache and not refresh_cache,
                remember=use_cache or refresh_cache,
                in_bucket=remember,
                deltaspaces=deltaspaces,
                access=self._access(arguments),
                progress=progress,
            ),
        )

    async def get_deltaspace_stats(
        self,
        bucket: str,
        mode: StatsMode = "detailed",
        *,
        prefix: str = "",
        remember: bool = False,
        progress: Callable[[int], None] = lambda objects: None,
        **arguments: Any,
    ) -> list[DeltaspaceStats]:
        """Statistics of each folder below a prefix that has objects of its own, in the order of their names.

        Always counted anew, with what is remembered of originals. Arguments and errors as for `get_bucket_stats`.

            for space in await client.get_deltaspace_stats("releases", prefix="app/"):
                print(space.prefix, space.object_count, f"{space.ratio:.1%}")
        """
        request = stats.StatsRequest(
            bucket, prefix, _checked(mode), in_bucket=remember, access=self._access(arguments), progress=progress
        )
        return await stats.deltaspace_stats(self._engine, request)


def _checked(mode: StatsMode) -> StatsMode:
    if mode not in ("quick", "sampled", "detailed"):
        raise InvalidRequestError(f"mode is {mode!r}. Accepted: quick, sampled, detailed.")
    return mode
