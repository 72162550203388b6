"""Presigned URLs and forms: S3 itself answers whoever has them, and S3 knows stored objects only."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deltaglider_async.client.base import ClientBase
from deltaglider_async.client.operations import REFUSED_ON_DELTAS, STORED_OBJECT, kind_of
from deltaglider_async.engine import copy_source, multipart, rehydrate
from deltaglider_async.engine import stored as objects
from deltaglider_async.engine.core import Response, access_only, where
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.store.errors import translated

if TYPE_CHECKING:
    from deltaglider_async.engine.stored import Stored
    from deltaglider_async.types import PresignedPost, PurgedFiles

#: Operations whose answer would be of stored objects, and that name none of their own.
_OF_STORED_NAMES = frozenset(
    {"ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads", "DeleteObjects"}
)
_READS = frozenset({"GetObject", "HeadObject", "GetObjectAttributes"}) | REFUSED_ON_DELTAS
#: The longest that a signature of S3's current kind can last: a week.
_LONGEST_SECONDS = 7 * 24 * 3600


class Presigning(ClientBase):
    """URLs that anybody can use, for as long as they last."""

    async def generate_presigned_url(
        self,
        ClientMethod: str,
        Params: Mapping[str, Any] | None = None,
        ExpiresIn: int = 3600,
        HttpMethod: str | None = None,
    ) -> str:
        """boto3's `generate_presigned_url`, as a coroutine.

        Of an object that is stored as a delta, `get_object` and `head_object` are refused: whoever fetched the URL
        would get the delta. `put_object` signs a put in the plain form, which is the object from then on.
        `delete_object` and operations on properties are signed for the form that is stored now.

        Raises `InvalidRequestError` for what S3 cannot do by itself, botocore's `UnknownClientMethodError` for a method
        that is none.

            url = await client.generate_presigned_url("get_object", {"Bucket": "releases", "Key": "notes.txt"}, 600)
        """
        params = dict(Params or {})
        operation = self._s3.meta.method_to_api_mapping.get(ClientMethod)
        if operation is not None:
            self._check_arguments(operation, params)
            params |= await self._stored_params(operation, ClientMethod, params)
        with translated(f"sign {ClientMethod} for", where(str(params.get("Bucket")), str(params.get("Key", "")))):
            url: str = await self._s3.generate_presigned_url(
                ClientMethod, Params=params, ExpiresIn=ExpiresIn, HttpMethod=HttpMethod
            )
        return url

    async def generate_presigned_post(
        self,
        Bucket: str,
        Key: str,
        Fields: Mapping[str, Any] | None = None,
        Conditions: Sequence[Any] | None = None,
        ExpiresIn: int = 3600,
    ) -> PresignedPost:
        """boto3's `generate_presigned_post`, as a coroutine. What is posted is stored plain, and is the object then.

        Raises `InvalidRequestError` for a reserved name. One that a browser completes (`${filename}`) is not checked.

            form = await client.generate_presigned_post("releases", "uploads/${filename}", ExpiresIn=600)
            print(form["url"], form["fields"])
        """
        keys.check_writable(Bucket, Key)
        with translated("sign a form for", where(Bucket, Key)):
            form: PresignedPost = await self._s3.generate_presigned_post(
                Bucket,
                Key,
                Fields=None if Fields is None else dict(Fields),
                Conditions=None if Conditions is None else list(Conditions),
                ExpiresIn=ExpiresIn,
            )
        return form

    async def generate_presigned_url_with_rehydration(
        self,
        Bucket: str | None = None,
        Key: str | None = None,
        ExpiresIn: int = 3600,
        *,
        ClientMethod: str = "get_object",
        Params: Mapping[str, Any] | None = None,
        HttpMethod: str | None = None,
    ) -> str:
        """A URL from which anybody gets the object, also one that is stored as a delta.

        Of that, a temporary copy is written first (`rehydrate_for_download`); its URL has the file's name in
        `Content-Disposition`. `Bucket` and `Key`, or `Params` as of `generate_presigned_url`, for `get_object` or
        `head_object`.

        Raises `NotFoundError`, and what reading a delta can raise.

            url = await client.generate_presigned_url_with_rehydration("releases", "app/app-1.2.zip", ExpiresIn=600)
        """
        if ClientMethod not in ("get_object", "head_object"):
            raise InvalidRequestError(f"ClientMethod is {ClientMethod!r}. Accepted: get_object, head_object.")
        params = {"Bucket": Bucket, "Key": Key, **(Params or {})}
        if not params["Bucket"] or not params["Key"]:
            raise InvalidRequestError("a URL needs a Bucket and a Key.")
        self._check_arguments("GetObject", params)
        name = keys.logical_key(str(params["Key"])).rpartition("/")[2]
        copy = await self._rehydrate(params, ExpiresIn)
        if copy is not None:
            params = {name: value for name, value in params.items() if name != "VersionId"} | {"Key": copy}
            if ClientMethod == "get_object":
                params.setdefault("ResponseContentDisposition", _attachment(name))
        with translated(f"sign {ClientMethod} for", where(str(params["Bucket"]), str(params["Key"]))):
            url: str = await self._s3.generate_presigned_url(
                ClientMethod, Params=params, ExpiresIn=ExpiresIn, HttpMethod=HttpMethod
            )
        return url

    async def rehydrate_for_download(
        self, Bucket: str, Key: str, ExpiresIn: int = 3600, **arguments: Any
    ) -> str | None:
        """Write a temporary copy of an object that is stored as a delta, and return its key; None if it is none.

        The copy is in `.deltaglider/tmp/` of the bucket, for anything that reads S3 by itself. `purge_temp_files` and
        `gc` remove it `ExpiresIn` seconds later. `VersionId`, `RequestPayer` and `ExpectedBucketOwner` as in boto3.
        Raises `NotFoundError`, and what reading a delta can raise; there is no copy then.

            copy = await client.rehydrate_for_download("releases", "app/app-1.2.zip", ExpiresIn=3600)
        """
        self._check_arguments("GetObject", {"Bucket": Bucket, "Key": Key, **arguments})
        return await self._rehydrate({"Bucket": Bucket, "Key": Key, **arguments}, ExpiresIn)

    async def purge_temp_files(self, Bucket: str, *, dry_run: bool = False, **arguments: Any) -> PurgedFiles:
        """Remove temporary copies that have expired, by the service's clock. `dry_run` counts them only.

        Returns `deleted_count`, `expired_count`, `error_count`, `total_size_freed` (bytes), `duration_seconds` and
        `errors` (messages). Raises `NotFoundError` (no such bucket), `StorageIOError`.

            purged = await client.purge_temp_files("releases", dry_run=True)
            print(purged["expired_count"])
        """
        began = time.monotonic()
        done = await rehydrate.purge(self._engine, Bucket, self._access(arguments), dry_run=dry_run)
        return {
            "deleted_count": done.deleted,
            "expired_count": done.expired,
            "error_count": len(done.errors),
            "total_size_freed": done.freed,
            "duration_seconds": time.monotonic() - began,
            "errors": done.errors,
        }

    async def _rehydrate(self, params: Mapping[str, Any], seconds: int) -> str | None:
        if not 0 < seconds <= _LONGEST_SECONDS:
            raise InvalidRequestError(f"ExpiresIn is {seconds!r}. Accepted: 1 to {_LONGEST_SECONDS} seconds, a week.")
        asked = access_only(params) | {name: params[name] for name in ("VersionId",) if name in params}
        bucket, key = str(params["Bucket"]), str(params["Key"])
        return await rehydrate.rehydrate(self._engine, bucket, key, timedelta(seconds=seconds), asked)

    async def _stored_params(self, operation: str, method: str, params: Response) -> Response:
        """What of the arguments is another one for the stored object. Raises for what S3 would get wrong."""
        kind = kind_of(self._s3.meta.service_model, operation)
        if kind == "unknown" or operation in _OF_STORED_NAMES:
            raise InvalidRequestError(f"cannot sign {method}: its answer would be about stored objects. Call it here.")
        bucket, key = str(params.get("Bucket", "")), str(params.get("Key", ""))
        if kind == "passed through" or not key:
            return {}
        name = where(bucket, key)
        if "CopySource" in params:
            source, access = copy_source.parse_source(params["CopySource"]), access_only(params)
            if (await objects.stored_object(self._engine, source["Bucket"], source["Key"], access | source)).is_delta:
                raise InvalidRequestError(f"cannot sign {method} for {name}: its source is stored as a delta.")
        if operation in ("PutObject", "CopyObject", "CreateMultipartUpload", "RenameObject"):
            keys.check_writable(bucket, key)
            return {}
        if "UploadId" in params:
            upload = multipart.Upload.of(bucket, key, str(params["UploadId"]))
            if upload.put_id and operation in ("CompleteMultipartUpload", "ListParts"):
                raise InvalidRequestError(f"cannot sign {method} for {name}: its parts are elsewhere. Call it here.")
            return upload.target
        if operation not in _READS | STORED_OBJECT | {"DeleteObject"}:
            return {}  # S3 itself says what is missing
        if operation == "DeleteObject" and keys.is_reference(key):
            raise InvalidRequestError(
                f"cannot sign {method} for {name}: deltas that are made against it by then would be lost. Call it here."
            )
        stored = await objects.stored_object(self._engine, bucket, key, params)
        if operation in _READS and stored.is_delta:
            raise InvalidRequestError(
                f"cannot sign {method} for {name}: it is stored as a delta, which is what the URL would give out. Use "
                "generate_presigned_url_with_rehydration."
            )
        if operation == "DeleteObject":
            await self._refuse_leftover(bucket, key, stored, params)
        return {"Key": stored.key} if stored.is_delta else {}

    async def _refuse_leftover(self, bucket: str, key: str, stored: Stored, params: Response) -> None:
        """Where both forms are there, a delete of the plain one alone would make an older delta the object."""
        if stored.is_delta or stored.head is None or params.get("VersionId") is not None:
            return
        if (await objects.stored_object(self._engine, bucket, keys.delta_key(key), params)).is_delta:
            raise InvalidRequestError(
                f"cannot sign delete_object for {where(bucket, key)}: beside it is a delta that it replaced, and that "
                "would be the object then. Delete it here, or run `dg gc` first."
            )


def _attachment(name: str) -> str:
    """`Content-Disposition` of a download. RFC 6266: a name that is not ASCII goes beside one that is."""
    quoted = "".join(letter if letter.isascii() and letter.isprintable() else "_" for letter in name)
    plain = quoted.replace('"', "_").replace("\\", "_")
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'attachment; filename="{plain}"{extended}'
