"""Properties of objects: tags, access, locks, restoring from an archive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from botocore import xform_name

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import stored as objects
from deltaglider_async.engine.core import Response, access_only, where
from deltaglider_async.errors import InvalidRequestError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.store.errors import code_of, translated
from deltaglider_async.store.s3 import instant

if TYPE_CHECKING:
    from deltaglider_async import types
    from deltaglider_async.engine.stored import Stored
    from deltaglider_async.types import arguments as given

#: What services answer where an object could be retained, and is not.
_UNRETAINED = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"})


class Properties(ClientBase):
    """Operations on what is stored for a logical key: its plain form or its delta, of the version that is named.

    All take boto3's arguments and return boto3's response, and raise `NotFoundError` (`client.exceptions.NoSuchKey`,
    too) where there is no such object, and `StorageIOError` for what the service refuses.

        where = {"Bucket": "releases", "Key": "app/app-1.2.zip"}
        await client.put_object_tagging(**where, Tagging={"TagSet": [{"Key": "stage", "Value": "beta"}]})
        tags = (await client.get_object_tagging(**where))["TagSet"]
    """

    async def get_object_tagging(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.GetObjectTaggingArguments]
    ) -> types.GetObjectTaggingResponse:
        """boto3's `get_object_tagging`."""
        answer: types.GetObjectTaggingResponse = await self._call("GetObjectTagging", Bucket, Key, arguments)
        return answer

    async def put_object_tagging(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.PutObjectTaggingArguments]
    ) -> types.PutObjectTaggingResponse:
        """boto3's `put_object_tagging`. Lifecycle rules that go by tags see them on a delta, not on its reference."""
        answer: types.PutObjectTaggingResponse = await self._call("PutObjectTagging", Bucket, Key, arguments)
        return answer

    async def delete_object_tagging(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.DeleteObjectTaggingArguments]
    ) -> types.DeleteObjectTaggingResponse:
        """boto3's `delete_object_tagging`."""
        answer: types.DeleteObjectTaggingResponse = await self._call("DeleteObjectTagging", Bucket, Key, arguments)
        return answer

    async def get_object_acl(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.GetObjectAclArguments]
    ) -> types.GetObjectAclResponse:
        """boto3's `get_object_acl`."""
        answer: types.GetObjectAclResponse = await self._call("GetObjectAcl", Bucket, Key, arguments)
        return answer

    async def put_object_acl(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.PutObjectAclArguments]
    ) -> types.PutObjectAclResponse:
        """boto3's `put_object_acl`. Whoever is given access to a delta needs it to the folder's reference, too."""
        answer: types.PutObjectAclResponse = await self._call("PutObjectAcl", Bucket, Key, arguments)
        return answer

    async def get_object_legal_hold(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.GetObjectLegalHoldArguments]
    ) -> types.GetObjectLegalHoldResponse:
        """boto3's `get_object_legal_hold`."""
        answer: types.GetObjectLegalHoldResponse = await self._call("GetObjectLegalHold", Bucket, Key, arguments)
        return answer

    async def put_object_legal_hold(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.PutObjectLegalHoldArguments]
    ) -> types.PutObjectLegalHoldResponse:
        """boto3's `put_object_legal_hold`. Of a delta, the reference is held as well, and stays so when it is released.

        The reference may be what other held deltas need. To release it, name it: `app/reference.bin`.
        """

        async def hold(reference: str, pinned: Response) -> None:
            if (arguments.get("LegalHold") or {}).get("Status") == "ON":
                await self._send("PutObjectLegalHold", Bucket, reference, {**pinned, "LegalHold": {"Status": "ON"}})

        answer: types.PutObjectLegalHoldResponse = await self._lock("PutObjectLegalHold", Bucket, Key, arguments, hold)
        return answer

    async def get_object_retention(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.GetObjectRetentionArguments]
    ) -> types.GetObjectRetentionResponse:
        """boto3's `get_object_retention`."""
        answer: types.GetObjectRetentionResponse = await self._call("GetObjectRetention", Bucket, Key, arguments)
        return answer

    async def put_object_retention(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.PutObjectRetentionArguments]
    ) -> types.PutObjectRetentionResponse:
        """boto3's `put_object_retention`. Of a delta, the reference is retained at least as long, and as strictly.

        Its own retention is never shortened by this.
        """

        async def retain(reference: str, pinned: Response) -> None:
            wanted = arguments.get("Retention") or {}
            if wanted.get("RetainUntilDate") is None:
                return
            now = await self._retention(Bucket, reference, pinned)
            if (longer := at_least(now, wanted)) != now:
                # From GOVERNANCE to COMPLIANCE counts as going around the first, although it is stricter.
                stricter = now.get("Mode") not in (None, longer["Mode"]) or None
                asked = {**pinned, "Retention": longer, "BypassGovernanceRetention": stricter}
                await self._send("PutObjectRetention", Bucket, reference, asked)

        answer: types.PutObjectRetentionResponse = await self._lock(
            "PutObjectRetention", Bucket, Key, arguments, retain
        )
        return answer

    async def restore_object(
        self, *, Bucket: str, Key: str, **arguments: Unpack[given.RestoreObjectArguments]
    ) -> types.RestoreObjectResponse:
        """boto3's `restore_object`. Of a delta, what is archived is restored: the delta, its reference, or both.

        `RestoreRequest` of the type `SELECT` is refused for deltas (`InvalidRequestError`).
        """
        self._check_arguments("RestoreObject", {"Bucket": Bucket, "Key": Key, **arguments})

        async def restore(stored: Stored) -> Response:
            if not stored.is_delta:
                return await self._send("RestoreObject", Bucket, stored.key, arguments)
            if (arguments.get("RestoreRequest") or {}).get("Type") == "SELECT":
                raise _refused("restore_object with Type=SELECT", Bucket, Key)
            parts = await objects.archived_parts(self._engine, Bucket, stored, arguments)
            answers, refusal = [], None
            for key, version in parts or [(stored.key, arguments.get("VersionId"))]:
                try:
                    answers.append(await self._send("RestoreObject", Bucket, key, {**arguments, "VersionId": version}))
                except StorageIOError as error:
                    if code_of(error) != "RestoreAlreadyInProgress":
                        raise
                    refusal = error  # which of two parts it was does not matter, if the other one was not yet under way
            if refusal is not None and not answers:
                raise refusal
            return answers[0]

        answer: Any = await objects.on_stored_object(self._engine, Bucket, Key, arguments, restore)
        restored: types.RestoreObjectResponse = answer
        return restored

    async def get_object_torrent(self, *, Bucket: str, Key: str, **arguments: Any) -> Any:
        """boto3's `get_object_torrent` of a plain object. Raises `InvalidRequestError` for a delta."""
        return await self._call("GetObjectTorrent", Bucket, Key, arguments, deltas=False)

    async def select_object_content(self, *, Bucket: str, Key: str, **arguments: Any) -> Any:
        """boto3's `select_object_content` of a plain object. Raises `InvalidRequestError` for a delta."""
        return await self._call("SelectObjectContent", Bucket, Key, arguments, deltas=False)

    async def update_object_encryption(self, *, Bucket: str, Key: str, **arguments: Any) -> Any:
        """boto3's `update_object_encryption` of a plain object. Raises `InvalidRequestError` for a delta."""
        if "UpdateObjectEncryption" not in self._s3.meta.service_model.operation_names:
            raise AttributeError("this version of botocore has no update_object_encryption. Upgrade aioboto3.")
        return await self._call("UpdateObjectEncryption", Bucket, Key, arguments, deltas=False)

    async def rename_object(self, *, Bucket: str, Key: str, RenameSource: str, **arguments: Any) -> Any:
        """boto3's `rename_object` (directory buckets) of a plain object, to a key where no delta is.

        Raises `InvalidRequestError` else: use `copy_object` and `delete_object`.
        """
        self._check_arguments("RenameObject", {"Bucket": Bucket, "Key": Key, "RenameSource": RenameSource, **arguments})
        keys.check_writable(Bucket, Key)
        for key in (RenameSource.removeprefix("/").removeprefix(f"{Bucket}/"), Key):
            if (await objects.stored_object(self._engine, Bucket, key, arguments)).is_delta:
                raise _refused("rename_object", Bucket, key)
        return await self._send("RenameObject", Bucket, Key, {**arguments, "RenameSource": RenameSource})

    async def _call(
        self, operation: str, bucket: str, key: str, arguments: Mapping[str, Any], *, deltas: bool = True
    ) -> Any:
        self._check_arguments(operation, {"Bucket": bucket, "Key": key, **arguments})

        async def call(stored: Stored) -> Response:
            if stored.is_delta and not deltas:
                raise _refused(xform_name(operation), bucket, key)
            return await self._send(operation, bucket, stored.key, arguments)

        return await objects.on_stored_object(self._engine, bucket, key, arguments, call)

    async def _retention(self, bucket: str, key: str, pinned: Response) -> Response:
        """How long a stored object is retained; empty for one that is not."""
        try:
            answer = await self._send("GetObjectRetention", bucket, key, pinned)
        except StorageIOError as error:
            if code_of(error) not in _UNRETAINED:
                raise
            return {}
        retention: Response = answer.get("Retention", {})
        return retention

    async def _lock(
        self,
        operation: str,
        bucket: str,
        key: str,
        arguments: Mapping[str, Any],
        lock: Callable[[str, Response], Awaitable[None]],
    ) -> Any:
        """The operation on the stored object, and before it `lock` of the reference without which it is of no use."""
        self._check_arguments(operation, {"Bucket": bucket, "Key": key, **arguments})

        async def call(stored: Stored) -> Response:
            if stored.is_delta:
                reference, version = await objects.reference_below(self._engine, bucket, stored, arguments)
                await lock(reference, {**access_only(arguments), "VersionId": version})
            return await self._send(operation, bucket, stored.key, arguments)

        return await objects.on_stored_object(self._engine, bucket, key, arguments, call)

    async def _send(self, operation: str, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
        asked = {name: value for name, value in arguments.items() if value is not None}
        with translated(f"call {xform_name(operation)} for", where(bucket, keys.logical_key(key))):
            answer: Response = await getattr(self._s3, xform_name(operation))(Bucket=bucket, Key=key, **asked)
        return answer


def at_least(now: Mapping[str, Any], wanted: Mapping[str, Any]) -> Response:
    """A retention that is as long and as strict as both are."""
    until = instant(wanted["RetainUntilDate"])
    if now.get("RetainUntilDate") is not None:
        until = max(until, now["RetainUntilDate"])
    strict = "COMPLIANCE" in (now.get("Mode"), wanted.get("Mode"))
    return {"Mode": "COMPLIANCE" if strict else wanted.get("Mode"), "RetainUntilDate": until}


def _refused(what: str, bucket: str, key: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"cannot call {what} for {where(bucket, key)}: it is stored as a delta, and the service would take the delta "
        "for the object. Read it with get_object, or store it plain (put_object with use_delta=False)."
    )
