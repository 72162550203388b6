"""One object: put, get, head, copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, cast

from deltaglider_async.client.base import ClientBase, ignore
from deltaglider_async.engine import attributes, copy, copy_source, get, put, request
from deltaglider_async.engine.core import Response
from deltaglider_async.engine.record import recorded
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.streams.source import make_source

if TYPE_CHECKING:
    from deltaglider_async.engine.request import PutResult
    from deltaglider_async.types import (
        CopyObjectResponse,
        GetObjectAttributesResponse,
        GetObjectResponse,
        HeadObjectResponse,
        Progress,
        PutObjectResponse,
    )
    from deltaglider_async.types.arguments import (
        CopyObjectArguments,
        GetObjectArguments,
        GetObjectAttributesArguments,
        HeadObjectArguments,
        PutObjectArguments,
    )


class Objects(ClientBase):
    """Puts, gets and copies of logical keys."""

    async def put_object(
        self,
        Bucket: str,
        Key: str,
        Body: Any = b"",
        Metadata: Mapping[str, str] | None = None,
        *,
        ContentLength: int | None = None,
        max_ratio: float | None = None,
        use_delta: bool | None = None,
        progress: Progress = ignore,
        **arguments: Unpack[PutObjectArguments],
    ) -> PutObjectResponse:
        """Store an object, as a delta where that pays.

        `Body`: bytes-like, text (`str`, as UTF-8), `os.PathLike`, a binary file, an async file or reader
        (aiohttp, Starlette), or an async iterator of bytes. Further arguments as boto3's `put_object`.
        A checksum that is given is compared with the body before anything is stored.
        `max_ratio` (0.0 to 1.0) beats the client's; `use_delta` False stores plain, True tries a delta whatever
        the name.

        Returns boto3's response; `ETag` is the stored object's, `ChecksumSHA256` (base64) the original's.
        `DeltaGliderInfo`: `OriginalSize`, `StoredSize` (bytes; with the reference where this put made one),
        `OriginalSizeMB`, `StoredSizeMB`, `IsDelta` (not for the file that became the reference), `CompressionRatio`
        (delta divided by original, small is good, also where the delta was refused; 1.0 where there was none),
        `SavingsPercent` (of what is stored now), `StoredAs` (`delta`, `reference+delta`, `plain`),
        `Operation`, `ReferenceKey`, `Reason` (why plain, else None).

        Raises `InvalidRequestError` (reserved name, bad argument), `LocalIOError`, `SourceChangedError`,
        `DiffEncodeError`, `CodecUnavailableError`, `StorageIOError`, `NotFoundError` (no such bucket). After
        any of them the object is as it was before.

            await client.put_object(Bucket="releases", Key="app/app-1.2.zip", Body=Path("app-1.2.zip"))
        """
        result = await self._put(Bucket, Key, Body, Metadata, ContentLength, arguments, max_ratio, use_delta, progress)
        return cast("PutObjectResponse", {**result.response, "DeltaGliderInfo": told(result)})

    async def copy_object(
        self,
        *,
        Bucket: str,
        Key: str,
        CopySource: str | Mapping[str, Any],
        Metadata: Mapping[str, str] | None = None,
        progress: Progress = ignore,
        **arguments: Unpack[CopyObjectArguments],
    ) -> CopyObjectResponse:
        """Copy an object to another key, or another bucket of this endpoint, with as few bytes as its form allows.

        `CopySource`: `{"Bucket": ..., "Key": ..., "VersionId": ...}` or `"bucket/key"`, not percent-encoded. Further
        arguments as boto3's `copy_object`; `IfMatch` and `IfNoneMatch` speak of the destination, as in `put_object`.
        A plain object stays plain and is copied by the service. A delta stays one where the destination's folder has
        the same reference, or none yet; else it is decoded and put as `put_object` would.

        Returns boto3's response: `CopyObjectResult` with `ETag` (the stored object's), `LastModified` (of a delta,
        when the service answered), and `ChecksumSHA256` (base64, the original's) where it is known. `DeltaGliderInfo`
        as of `put_object`; `Operation` may be `copy_plain`, `copy_delta` or `copy_reference` too.

        Raises what `put_object` and `get_object` raise, and `PreconditionFailedError` for `CopySourceIfMatch` and its
        like. After any of them the object at the destination is as it was before.

            source = {"Bucket": "nightly", "Key": "app/app-1.2.zip"}
            await client.copy_object(Bucket="releases", Key="app/app-1.2.zip", CopySource=source)
        """
        conditions = ("IfMatch", "IfNoneMatch")  # not every botocore knows them of CopyObject
        known = {name: value for name, value in arguments.items() if name not in conditions}
        self._check_arguments("CopyObject", {"Bucket": Bucket, "Key": Key, "Metadata": Metadata, **known})
        asked = copy_source.CopyRequest(
            bucket=Bucket,
            key=Key,
            source=copy_source.parse_source(CopySource),
            metadata=Metadata or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio,
            progress=progress,
        )
        result = await copy.copy(self._engine, asked)
        return cast("CopyObjectResponse", {**result.response, "DeltaGliderInfo": told(result)})

    async def _put(
        self,
        bucket: str,
        key: str,
        body: Any,
        metadata: Mapping[str, str] | None,
        content_length: int | None,
        arguments: Mapping[str, Any],
        max_ratio: float | None,
        use_delta: bool | None,
        progress: Progress,
    ) -> PutResult:
        if max_ratio is not None and not 0 <= max_ratio <= 1:
            raise InvalidRequestError(f"max_ratio is {max_ratio!r}. Accepted: 0.0 to 1.0.")
        self._check_arguments("PutObject", {"Bucket": bucket, "Key": key, "Metadata": metadata, **arguments})
        asked = request.PutRequest(
            bucket=bucket,
            key=key,
            source=await make_source(body, content_length),
            metadata=metadata or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio if max_ratio is None else max_ratio,
            use_delta=use_delta,
            progress=progress,
        )
        with recorded("put_object", bucket, key) as record:
            result = await put.put(self._engine, asked)
            record.sized(told(result))
        return result

    async def get_object(
        self, Bucket: str, Key: str, *, progress: Progress = ignore, **arguments: Unpack[GetObjectArguments]
    ) -> GetObjectResponse:
        """Read an object. `Body` is an `ObjectBody`: `read`, `iter_chunks`, async iteration, `async with`.

        boto3's response of the original: `ContentLength`, `Metadata` as given to the put, `ChecksumSHA256`
        (base64) where it is known. The last chunk of `Body` comes only if the SHA-256 matched, so that whoever
        reads to the end has the right bytes. A body that is being read holds memory and a process until it is read to
        its end or closed; several that are read in turn need `DG_MEMORY_MB` for all of them.
        `Range`, `PartNumber` (a delta is one part), `IfMatch` and the other conditions, `ResponseContentType` and its
        family, `ChecksumMode`, `VersionId`, ... as in boto3.

        Raises `NotFoundError` (also `client.exceptions.NoSuchKey`), `PreconditionFailedError` (botocore's `ClientError`
        with 412, or 304 for what is not modified), `StorageIOError` (also `client.exceptions.InvalidObjectState` for an
        archived object); while reading `IntegrityMismatchError`, `DiffDecodeError`, `StorageIOError` (for a delta whose
        reference is archived, `InvalidObjectState` comes here).

            async with (await client.get_object(Bucket="releases", Key="app/app-1.2.zip"))["Body"] as body:
                async for chunk in body:
                    ...
        """
        return await self._get(Bucket, Key, arguments, progress)

    async def _get(
        self, bucket: str, key: str, arguments: Mapping[str, Any], progress: Progress, *, checksums: bool = False
    ) -> GetObjectResponse:
        self._check_arguments("GetObject", {"Bucket": bucket, "Key": key, **arguments})
        with recorded("get_object", bucket, key) as record:
            response = await get.get(self._engine, bucket, key, arguments, progress, record, checksums=checksums)
        return cast("GetObjectResponse", response)

    async def head_object(self, Bucket: str, Key: str, **arguments: Unpack[HeadObjectArguments]) -> HeadObjectResponse:
        """boto3's `head_object` of the original, with `DeltaGliderInfo`. Arguments as of `get_object`.

        `ChecksumSHA256` (base64) is the original's, where it is known. Raises `NotFoundError`,
        `PreconditionFailedError`, `StorageIOError`.

            head = await client.head_object(Bucket="releases", Key="app/app-1.2.zip")
            print(head["ContentLength"], head["DeltaGliderInfo"]["StoredSize"])
        """
        self._check_arguments("HeadObject", {"Bucket": Bucket, "Key": Key, **arguments})
        return cast("HeadObjectResponse", await get.head(self._engine, Bucket, Key, arguments))

    async def get_object_attributes(
        self,
        *,
        Bucket: str,
        Key: str,
        ObjectAttributes: Sequence[str],
        **arguments: Unpack[GetObjectAttributesArguments],
    ) -> GetObjectAttributesResponse:
        """boto3's `get_object_attributes` of the original, also where the service has no such call.

        `ObjectAttributes`: any of `ETag`, `Checksum` (with the original's `ChecksumSHA256` where it is known),
        `ObjectParts` (only of plain objects that came in parts), `StorageClass`, `ObjectSize` (bytes). Needs the
        permission of a HEAD. Raises `NotFoundError` (also `client.exceptions.NoSuchKey`), `InvalidRequestError`,
        `StorageIOError`.

            where = {"Bucket": "releases", "Key": "app/app-1.2.zip"}
            told = await client.get_object_attributes(**where, ObjectAttributes=["ObjectSize"])
            print(told["ObjectSize"])
        """
        asked = {"Bucket": Bucket, "Key": Key, "ObjectAttributes": ObjectAttributes, **arguments}
        self._check_arguments("GetObjectAttributes", asked)
        told = await attributes.attributes(self._engine, Bucket, Key, ObjectAttributes, arguments)
        return cast("GetObjectAttributesResponse", told)


_STORED_AS = {
    "create_reference": "reference+delta",
    "create_delta": "delta",
    "upload_direct": "plain",
    "copy_plain": "plain",
    "copy_delta": "delta",
    "copy_reference": "reference+delta",
}


def told(result: PutResult) -> Response:
    """The `DeltaGliderInfo` of what was written."""
    return {
        "OriginalSize": result.original_size,
        "StoredSize": result.stored_size,
        "OriginalSizeMB": result.original_size / 1024**2,
        "StoredSizeMB": result.stored_size / 1024**2,
        "IsDelta": result.operation in ("create_delta", "copy_delta", "copy_reference"),
        "CompressionRatio": result.ratio or 1.0,
        "SavingsPercent": 100 * (1 - result.stored_size / result.original_size) if result.original_size else 0.0,
        "StoredAs": _STORED_AS[result.operation],
        "Operation": result.operation,
        "ReferenceKey": result.reference_key or None,
        "Reason": result.reason or None,
    }
