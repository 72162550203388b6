"""Buckets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Unpack, cast

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import raze
from deltaglider_async.engine.core import Response, access_only
from deltaglider_async.errors import StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.store.errors import code_of, translated

if TYPE_CHECKING:
    from deltaglider_async.types import (
        BucketStats,
        CreateBucketResponse,
        DeleteBucketResponse,
        GetBucketAclResponse,
        HeadBucketResponse,
        KnownStats,
        ListBucketsResponse,
        PutBucketAclResponse,
        StatsMode,
    )
    from deltaglider_async.types.arguments import (
        CreateBucketArguments,
        DeleteBucketArguments,
        DeleteObjectsArguments,
        GetBucketAclArguments,
        HeadBucketArguments,
        ListBucketsArguments,
        PutBucketAclArguments,
    )


class Buckets(ClientBase):
    """boto3's calls for buckets, which say more here. All take boto3's arguments and return boto3's responses."""

    async def create_bucket(self, Bucket: str, **arguments: Unpack[CreateBucketArguments]) -> CreateBucketResponse:
        """Create a bucket.

        Raises `StorageIOError` (`client.exceptions.BucketAlreadyExists` and its like).

            await client.create_bucket(Bucket="nightly-builds")
        """
        with translated("create bucket", Bucket):
            response: Response = await self._s3.create_bucket(Bucket=Bucket, **arguments)
        return cast("CreateBucketResponse", response)

    async def delete_bucket(self, Bucket: str, **arguments: Unpack[DeleteBucketArguments]) -> DeleteBucketResponse:
        """Delete an empty bucket. References that no delta uses count as content: the error names them.

        Raises `NotFoundError`, `StorageIOError` (`BucketNotEmpty`).

            await client.create_bucket(Bucket="nightly-builds")
            await client.delete_bucket(Bucket="nightly-builds")
        """
        try:
            with translated("delete bucket", Bucket):
                response: Response = await self._s3.delete_bucket(Bucket=Bucket, **arguments)
        except StorageIOError as error:
            if code_of(error) == "BucketNotEmpty" and (hidden := await self._only_hidden(Bucket, arguments)):
                error.args = (f"{error.args[0]} No objects are left but the format's own: {', '.join(hidden)}.",)
            raise
        return cast("DeleteBucketResponse", response)

    async def delete_internal_objects(self, *, Bucket: str, **arguments: Unpack[DeleteObjectsArguments]) -> int:
        """Delete what the format itself keeps in a bucket of which no object is left, so that it can be deleted.

        These are references that no delta uses, the trash, temporary copies and kept statistics. While there is any
        object, nothing is deleted. Nobody else may write meanwhile. Returns how many went. Raises `NotFoundError` (no
        such bucket), `StorageIOError`.

            await client.create_bucket(Bucket="nightly-builds")
            await client.delete_objects_recursive(Bucket="nightly-builds", Prefix="")
            await client.delete_internal_objects(Bucket="nightly-builds")
            await client.delete_bucket(Bucket="nightly-builds")
        """
        self._check_arguments("DeleteObjects", {"Bucket": Bucket, **arguments})
        return await raze.remove_own(self._engine, Bucket, arguments)

    async def _only_hidden(self, bucket: str, arguments: Mapping[str, Any]) -> list[str]:
        hidden: list[str] = []
        async with aclosing(self._engine.store.pages(bucket, access_only(arguments))) as pages:
            async for page in pages:
                names = [item["Key"] for item in page.get("Contents", ())]
                if not all(map(keys.is_internal, names)):
                    return []
                hidden += names[: 3 - len(hidden)]
        return hidden

    async def head_bucket(self, *, Bucket: str, **arguments: Unpack[HeadBucketArguments]) -> HeadBucketResponse:
        """Ask whether a bucket is there.

        Raises `NotFoundError`, `StorageIOError` (also where access is denied).

            await client.head_bucket(Bucket="releases")
        """
        with translated("reach bucket", Bucket):
            response: Response = await self._s3.head_bucket(Bucket=Bucket, **arguments)
        return cast("HeadBucketResponse", response)

    async def get_bucket_acl(self, Bucket: str, **arguments: Unpack[GetBucketAclArguments]) -> GetBucketAclResponse:
        """Who may do what in a bucket.

        Raises `NotFoundError`, `StorageIOError`.

            for grant in (await client.get_bucket_acl(Bucket="releases"))["Grants"]:
                print(grant["Grantee"], grant["Permission"])
        """
        with translated("read the ACL of bucket", Bucket):
            response: GetBucketAclResponse = await self._s3.get_bucket_acl(Bucket=Bucket, **arguments)
        return response

    async def put_bucket_acl(self, Bucket: str, **arguments: Unpack[PutBucketAclArguments]) -> PutBucketAclResponse:
        """Set who may do what in a bucket.

        Raises `NotFoundError`, `StorageIOError`.

            await client.put_bucket_acl(Bucket="releases", ACL="private")
        """
        with translated("set the ACL of bucket", Bucket):
            response: PutBucketAclResponse = await self._s3.put_bucket_acl(Bucket=Bucket, **arguments)
        return response

    async def list_buckets(self, **arguments: Unpack[ListBucketsArguments]) -> ListBucketsResponse:
        """List the buckets. Those whose statistics are known from a call of `get_bucket_stats`, with nothing written
        through this client since, carry them as `DeltaGliderStats`. Raises `StorageIOError`.

            await client.get_bucket_stats("releases", "detailed")
            for bucket in (await client.list_buckets())["Buckets"]:
                if "DeltaGliderStats" in bucket:
                    print(bucket["Name"], bucket["DeltaGliderStats"]["SpaceSaved"])
        """
        with translated("list", "buckets"):
            response: Response = await self._s3.list_buckets(**arguments)
        for bucket in response.get("Buckets", ()):
            if (known := self._engine.remembered.latest(bucket["Name"])) is not None:
                bucket["DeltaGliderStats"] = _known_stats(*known)
        return cast("ListBucketsResponse", response)


def _known_stats(mode: StatsMode, stats: BucketStats) -> KnownStats:
    return {
        "Cached": True,
        "Detailed": mode == "detailed",
        "Mode": mode,
        "ObjectCount": stats.object_count,
        "TotalSize": stats.total_size,
        "CompressedSize": stats.compressed_size,
        "SpaceSaved": stats.space_saved,
        "AverageCompressionRatio": stats.average_compression_ratio,
        "DeltaObjects": stats.delta_objects,
        "DirectObjects": stats.direct_objects,
    }
