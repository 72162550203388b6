"""Deletes of logical keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import delete, delete_below, delete_many
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.store.deletes import MOST_KEYS
from deltaglider_async.store.errors import service_error

if TYPE_CHECKING:
    from deltaglider_async.types import DeleteObjectResponse, DeleteObjectsRecursiveResponse, DeleteObjectsResponse
    from deltaglider_async.types.arguments import DeleteObjectArguments, DeleteObjectsArguments


class Deletes(ClientBase):
    """Deletes of logical keys."""

    async def delete_object(
        self, Bucket: str, Key: str, **arguments: Unpack[DeleteObjectArguments]
    ) -> DeleteObjectResponse:
        """boto3's `delete_object`; a missing key is no error.

        `IfMatch`, `IfMatchSize` (of the original, bytes) and `IfMatchLastModifiedTime` speak of the object, whatever
        its form. With `VersionId`, that version goes, of the stored object that it is of.

        `DeltaGliderInfo`: `Type` (`delta`, `direct`, `reference`, `internal`, `not_found`), `Deleted`, `Warnings` (why
        a reference that nothing uses any more could not be removed), `DependentDeltas` (0: others are refused).

        Raises `InvalidRequestError` for a reference that deltas use, `PreconditionFailedError`, `StorageIOError`,
        `NotFoundError` (no such bucket).

            deleted = await client.delete_object(Bucket="releases", Key="app/app-1.2.zip")
            print(deleted["DeltaGliderInfo"]["Type"])
        """
        self._check_arguments("DeleteObject", {"Bucket": Bucket, "Key": Key, **arguments})
        return cast("DeleteObjectResponse", await delete.delete(self._engine, Bucket, Key, arguments))

    async def delete_objects(
        self, Bucket: str, Delete: Mapping[str, Any], **arguments: Unpack[DeleteObjectsArguments]
    ) -> DeleteObjectsResponse:
        """boto3's `delete_objects`: up to 1,000 keys, each by itself, in a few requests.

        `Delete`: `Objects`, a list of `Key` and perhaps `VersionId`, `ETag`, `Size`, `LastModifiedTime`, and `Quiet`.

        boto3's response: `Deleted` (left out where `Quiet`) and `Errors`, where there are any, in the order of the
        request. Each of `Deleted` also has `StoredKey`, `Type` and `Warnings` as `delete_object`.
        `DeltaGliderInfo`: `DeltaFilesDeleted`, `ReferencesDeleted`, and of all that went, `Details` (`Key`,
        `StoredKey`, `Type`, `DependentDeltas`, `Warnings`).

        Raises `InvalidRequestError` (also botocore's: `MalformedXML` for no key or more than 1,000), `NotFoundError`
        (no such bucket), `StorageIOError` where the service answers for none of the keys.

            keys = [{"Key": "nightly/app-1.1.zip"}, {"Key": "nightly/app-1.2.zip"}]
            response = await client.delete_objects(Bucket="releases", Delete={"Objects": keys})
            print(response.get("Errors", []))
        """
        self._check_arguments("DeleteObjects", {"Bucket": Bucket, "Delete": Delete, **arguments})
        objects = Delete["Objects"]
        if not 1 <= len(objects) <= MOST_KEYS:
            message = f"cannot delete objects in s3://{Bucket}: {len(objects):,} keys. Accepted: 1 to {MOST_KEYS:,}."
            raise service_error("MalformedXML", 400, "DeleteObjects", message, ours=InvalidRequestError)
        outcomes, drops = await delete_many.delete_objects(self._engine, Bucket, objects, arguments)
        answer = delete_many.response(objects, outcomes, drops, quiet=bool(Delete.get("Quiet")))
        return cast("DeleteObjectsResponse", answer)

    async def delete_objects_recursive(
        self, Bucket: str, Prefix: str, **arguments: Unpack[DeleteObjectsArguments]
    ) -> DeleteObjectsRecursiveResponse:
        """Delete all below a folder, and the references with the last deltas.

        A `Prefix` without `/` at its end is the object of that name and the folder of that name, never the beginning of
        other names; an empty one is the whole bucket. `arguments`: `RequestPayer`, `ExpectedBucketOwner`, `MFA`,
        `BypassGovernanceRetention` as in boto3.

        Returns `DeletedCount`, `FailedCount`, `Errors` (text, one of each object that stays), `Warnings` (about
        references that stay), and `DeltaGliderInfo`: `DeltasDeleted`, `ReferencesDeleted`, `DirectDeleted`,
        `OtherDeleted` (what only has the name of a delta), and `SingleDeletes`, the object named `Prefix` (`Key`,
        `StoredKey`, `Type`, `DependentDeltas`, `Warnings`).

        Raises `NotFoundError` (no such bucket) and `StorageIOError` (it cannot be listed).

            done = await client.delete_objects_recursive(Bucket="releases", Prefix="nightly/")
            print(done["DeletedCount"], done["Errors"])
        """
        self._check_arguments("DeleteObjects", {"Bucket": Bucket, **arguments})
        below = await delete_below.delete_below(self._engine, Bucket, Prefix, arguments)
        return cast("DeleteObjectsRecursiveResponse", delete_below.response(below))
