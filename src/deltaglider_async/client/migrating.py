"""Objects on their way into deltas: from elsewhere, or at their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from deltaglider_async.client.base import ClientBase, ignore
from deltaglider_async.client.objects import told
from deltaglider_async.engine import compact, copy_source, migrate
from deltaglider_async.errors import InvalidRequestError

if TYPE_CHECKING:
    from deltaglider_async.types import CopyObjectResponse, Progress, PutInfo


class Migrating(ClientBase):
    """What `dg migrate` does with each object."""

    async def migrate_object(
        self,
        *,
        Bucket: str,
        Key: str,
        CopySource: str | Mapping[str, str],
        SourceClient: ClientBase | None = None,
        verify: bool = False,
        progress: Progress = ignore,
        **arguments: Any,
    ) -> CopyObjectResponse:
        """Copy an object, so that it becomes a delta where that pays, and check that it has arrived.

        As `copy_object`, except that a delta candidate that is stored whole is read and put, where the service would
        copy it whole. Headers, metadata and tags go with it. `SourceClient`: another client of ours reads the source,
        at its endpoint and with its credentials; deltas are then decoded and made anew. `RequestPayer` and
        `ExpectedBucketOwner` as in boto3.

        Afterwards, a HEAD request must show size and SHA-256 of what was read. `verify` reads the copy back and
        compares the SHA-256 of its bytes. Raises as `copy_object`, and `IntegrityMismatchError` where the copy is not
        what was read.

            source = {"Bucket": "nightly", "Key": "app/app-1.2.zip"}
            await client.migrate_object(Bucket="releases", Key="app/app-1.2.zip", CopySource=source, verify=True)
        """
        access = self._access(arguments)
        request = copy_source.CopyRequest(
            bucket=Bucket,
            key=Key,
            source=copy_source.parse_source(CopySource),
            metadata={},
            arguments=access,
            max_ratio=self._engine.max_ratio,
            progress=progress,
        )
        source = None if SourceClient is None or SourceClient is self else SourceClient._engine
        result = await migrate.migrate(self._engine, request, source, read_back=verify)
        return cast("CopyObjectResponse", {**result.response, "DeltaGliderInfo": told(result)})

    async def compact_object(
        self, *, Bucket: str, Key: str, exclusive: bool, progress: Progress = ignore, **arguments: Any
    ) -> PutInfo:
        """Turn an object that is stored whole into a delta at its place, where a put of it would become one.

        The delta is written, read back and compared before the whole file is deleted; at every moment the object can be
        read, also if this is killed. `exclusive` must be true: nobody else may write this object meanwhile. Headers,
        metadata, tags, storage class and encryption stay; `LastModified`, `ETag` and an ACL do not.

        Returns the `DeltaGliderInfo` of a put: `Operation` is `create_delta` or `create_reference`; or `copy_delta` (it
        was one already) or `copy_plain` (it stays whole, for the `Reason`), where nothing was changed.

        Raises `InvalidRequestError`, `NotFoundError`, `SourceChangedError` (it was written meanwhile),
        `IntegrityMismatchError`, `StorageIOError`; the object then is as it was.

            await client.compact_object(Bucket="releases", Key="app/app-1.2.zip", exclusive=True)
        """
        if not exclusive:
            raise InvalidRequestError(
                f"cannot compact s3://{Bucket}/{Key} while others write it. Say exclusive=True if nobody does."
            )
        result = await compact.compact(self._engine, Bucket, Key, self._access(arguments), progress)
        return cast("PutInfo", told(result))
