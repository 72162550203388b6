"""Checking, cleaning, and the cache."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import fsck, gc
from deltaglider_async.engine.core import where
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format.metadata import recorded_sha256
from deltaglider_async.store.conditions import USED

if TYPE_CHECKING:
    from deltaglider_async.types import Finding


class Upkeep(ClientBase):
    """Checking and cleaning of buckets, and the cache of references."""

    def fsck(
        self,
        bucket: str,
        *,
        prefix: str = "",
        repair: bool = False,
        read_data: bool = False,
        exclusive: bool = False,
        progress: Callable[[int], None] = lambda objects: None,
        **arguments: Any,
    ) -> AsyncGenerator[Finding, None]:
        """Check a bucket, or a folder of it, and yield what is wrong, as it is found.

        Sends LISTs, and a HEAD for each delta and each reference. `read_data` also reads everything whose SHA-256 is
        known, as a get does. `repair` writes references back where deltas find them, and removes waste that is older
        than a day by the service's clock; never anything of which it is not certain that nothing uses it. Safe while
        other clients of this protocol write, except `exclusive`: nobody else may write there until this is over. Then
        younger waste goes too, and endpoints that ignore `IfMatch` of a delete may be cleaned, which is left out
        otherwise. `prefix` is a folder, with or without `/` at its end; `progress` gets the number of stored objects
        seen. `RequestPayer` and `ExpectedBucketOwner` as in boto3.

        Nothing is wrong if no finding has severity `error` or `waste` without being `repaired`. Raises `NotFoundError`
        (no such bucket), `StorageIOError`, `CodecUnavailableError` (no xdelta3 to read with).

            async with aclosing(client.fsck("releases", prefix="app/")) as findings:
                async for finding in findings:
                    print(finding.severity, finding.kind, finding.key, finding.detail)
        """
        return fsck.fsck(
            self._engine,
            bucket,
            _folder(prefix),
            repair=repair,
            read_data=read_data,
            exclusive=exclusive,
            progress=progress,
            access=self._access(arguments),
        )

    def gc(
        self,
        bucket: str,
        *,
        prefix: str = "",
        older_than: timedelta = timedelta(days=1),
        exclusive: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] = lambda objects: None,
        **arguments: Any,
    ) -> AsyncGenerator[Finding, None]:
        """Remove from a bucket, or a folder of it, what is provably of no use; yield it as it goes.

        Leftover deltas, dropped references, temporary copies, trial writes and unfinished multipart uploads of the
        format's own names, older than `older_than` by the service's clock; references without deltas are moved to the
        trash, and removed from there by a later call. A dropped reference that deltas miss is restored. `dry_run`
        tells, and changes nothing. Safe while other clients of this protocol write, except `exclusive`: nobody else may
        write there until this is over. Only then `older_than` may be less than a day, and endpoints that ignore
        `IfMatch` of a delete may be cleaned. `prefix`, `progress` and `arguments` as for `fsck`.

        Raises `InvalidRequestError` where it would not be safe, before anything is removed, `NotFoundError` (no such
        bucket), `StorageIOError`.

            async with aclosing(client.gc("releases")) as findings:
                removed = [finding.key async for finding in findings if finding.repaired]
        """
        return gc.gc(
            self._engine,
            bucket,
            _folder(prefix),
            older_than=older_than,
            exclusive=exclusive,
            dry_run=dry_run,
            progress=progress,
            access=self._access(arguments),
        )

    async def kept_conditions(self, Bucket: str, Prefix: str = "", **arguments: Any) -> dict[str, bool]:
        """Which conditions the endpoint keeps in a bucket, by operation and argument (`"PutObject IfNoneMatch"`).

        AWS keeps all. Elsewhere objects of a few bytes are written below `Prefix`, a folder, the operations tried in a
        way that must fail, and the objects removed; what was asked before by this client is not asked again. False
        also where writing is not allowed. `RequestPayer` and `ExpectedBucketOwner` as in boto3.

        Raises `NotFoundError` (no such bucket), `StorageIOError`.

            kept = await client.kept_conditions("releases")
            print([name for name, keeps in kept.items() if not keeps])
        """
        conditions, access = self._engine.conditions, self._access(arguments)
        return {
            f"{operation} {condition}": await conditions.keeps(
                Bucket, keys.deltaspace(_folder(Prefix)), operation, condition, access
            )
            for operation, condition in USED
        }

    async def clear_cache(self) -> None:
        """Forget all cached references, and what is remembered for statistics. Operations that use references go on."""
        self._engine.remembered.clear()
        await self._engine.cache.clear()

    async def evict_cache(self, s3_url: str) -> None:
        """Forget one reference, given by its URL. Operations that use it go on.

        Raises `NotFoundError`, `InvalidRequestError` (it is no reference), `StorageIOError`.

            await client.evict_cache("s3://releases/app/reference.bin")
        """
        bucket, key = keys.parse_url(s3_url)
        head = await self._engine.store.head_existing(bucket, key)
        if (sha256 := recorded_sha256(head.get("Metadata", {}), bare=True)) is None:
            raise InvalidRequestError(f"{where(bucket, key)} is no reference: its metadata has no SHA-256.")
        await self._engine.cache.evict(sha256)


def _folder(prefix: str) -> str:
    """A prefix that does not separate deltas from their reference."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
