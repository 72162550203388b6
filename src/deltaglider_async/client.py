"""The client: boto3's names and shapes as coroutines, over logical keys."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from deltaglider_async.engine import copy, delete, fsck, gc, get, put, stats
from deltaglider_async.engine.copy_source import CopyRequest, parse_source
from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.engine.encode import PutRequest
from deltaglider_async.engine.listing import (
    LARGEST_PAGE,
    Entry,
    Listing,
    decode_token,
    encode_token,
    entries,
    fetch_metadata,
    shown,
)
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    InvalidRequestError,
    StorageIOError,
)
from deltaglider_async.format import keys
from deltaglider_async.format.metadata import recorded_sha256
from deltaglider_async.store.errors import code_of, translated
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.part_file import write_file
from deltaglider_async.streams.source import make_source
from deltaglider_async.streams.threads import in_thread
from deltaglider_async.types import BucketStats, Finding, Progress, StatsMode, UploadSummary, VerifyResult

if TYPE_CHECKING:
    from os import PathLike


def _ignore(phase: str, position: int) -> None:
    pass


class DeltaGliderClient:
    """S3 with deltas. Made by `create_client`; safe for any number of concurrent calls on one event loop.

    Methods in boto3's names take boto3's arguments and return boto3's responses, for logical keys: no
    `.delta`, no `reference.bin`, no `.deltaglider/`. What S3 answers with an error is raised as an exception
    that is both botocore's (`client.exceptions.NoSuchKey`, `ClientError`) and one of `deltaglider_async.errors`.
    """

    def __init__(self, engine: Engine, close: Callable[[], Awaitable[None]]) -> None:
        self._rooms = engine
        self._close = close
        self._closed = False

    async def aclose(self) -> None:
        """Close connections and cache. `async with create_client(...)` does it."""
        self._closed = True
        await self._close()

    @property
    def _engine(self) -> Engine:
        if self._closed:  # botocore would open connections again, which nobody closes
            raise InvalidRequestError(
                "the client is closed. Use it inside its `async with` block, or before `aclose()`."
            )
        return self._rooms

    @property
    def _s3(self) -> Any:
        return self._engine.store.s3

    def __repr__(self) -> str:
        return f"<DeltaGliderClient {self.meta.endpoint_url}>"

    @property
    def exceptions(self) -> Any:
        """botocore's exception classes of this client."""
        return self._rooms.store.s3.exceptions

    @property
    def meta(self) -> Any:
        """botocore's description of this client (`endpoint_url`, `region_name`, `config`, ...)."""
        return self._rooms.store.s3.meta

    # -- objects

    async def put_object(
        self,
        *,
        Bucket: str,
        Key: str,
        Body: Any = b"",
        Metadata: Mapping[str, str] | None = None,
        ContentLength: int | None = None,
        max_ratio: float | None = None,
        use_delta: bool | None = None,
        progress: Progress = _ignore,
        **arguments: Any,
    ) -> Response:
        """Store an object, as a delta where that pays.

        `Body`: bytes-like, text (`str`, as UTF-8), `os.PathLike`, a binary file, an async file or reader
        (aiohttp, Starlette), or an async iterator of bytes. Further arguments as boto3's `put_object`.
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
        return {**result.response, "DeltaGliderInfo": _info(result)}

    async def copy_object(
        self,
        *,
        Bucket: str,
        Key: str,
        CopySource: str | Mapping[str, str],
        Metadata: Mapping[str, str] | None = None,
        progress: Progress = _ignore,
        **arguments: Any,
    ) -> Response:
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
        self._check_arguments(
            "CopyObject", {name: value for name, value in arguments.items() if name not in conditions}
        )
        request = CopyRequest(
            bucket=Bucket,
            key=Key,
            source=parse_source(CopySource),
            metadata=Metadata or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio,
            progress=progress,
        )
        result = await copy.copy(self._engine, request)
        return {**result.response, "DeltaGliderInfo": _info(result)}

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
    ) -> put.PutResult:
        if max_ratio is not None and not 0 <= max_ratio <= 1:
            raise InvalidRequestError(f"max_ratio is {max_ratio!r}. Accepted: 0.0 to 1.0.")
        self._check_arguments("PutObject", arguments)
        request = PutRequest(
            bucket=bucket,
            key=key,
            source=await make_source(body, content_length),
            metadata=metadata or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio if max_ratio is None else max_ratio,
            use_delta=use_delta,
            progress=progress,
        )
        return await put.put(self._engine, request)

    async def get_object(self, *, Bucket: str, Key: str, progress: Progress = _ignore, **arguments: Any) -> Response:
        """Read an object. `Body` is an `ObjectBody`: `read`, `iter_chunks`, async iteration, `async with`.

        boto3's response of the original: `ContentLength`, `Metadata` as given to the put, `ChecksumSHA256`
        (base64) where it is known. The last chunk of `Body` comes only if the SHA-256 matched, so that whoever
        reads to the end has the right bytes. A body that is being read holds memory and a process until it is read to
        its end or closed; several that are read in turn need `DG_MEMORY_MB` for all of them.
        `Range`, `IfMatch`, `IfNoneMatch`, ... as in boto3.

        Raises `NotFoundError` (also `client.exceptions.NoSuchKey`), `PreconditionFailedError`, `StorageIOError`;
        while reading `IntegrityMismatchError`, `DiffDecodeError`, `StorageIOError`.

            async with (await client.get_object(Bucket="releases", Key="app/app-1.2.zip"))["Body"] as body:
                async for chunk in body:
                    ...
        """
        self._check_arguments("GetObject", arguments)
        return await get.get(self._engine, Bucket, Key, arguments, progress)

    async def head_object(self, *, Bucket: str, Key: str, **arguments: Any) -> Response:
        """boto3's `head_object` of the original, with `DeltaGliderInfo`. Raises `NotFoundError`."""
        self._check_arguments("HeadObject", arguments)
        return await get.head(self._engine, Bucket, Key, arguments)

    async def delete_object(self, *, Bucket: str, Key: str, **arguments: Any) -> Response:
        """boto3's `delete_object`; a missing key is no error.

        `DeltaGliderInfo`: `Type` (`delta`, `direct`, `reference`, `internal`, `not_found`), `Deleted`, `Warnings`,
        `DependentDeltas`. Raises `InvalidRequestError` for a reference that deltas use.
        """
        self._check_arguments("DeleteObject", arguments)
        return await delete.delete(self._engine, Bucket, Key, arguments)

    # -- listings

    async def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        Delimiter: str = "",
        MaxKeys: int = LARGEST_PAGE,
        ContinuationToken: str | None = None,
        StartAfter: str = "",
        FetchMetadata: bool = False,
        **arguments: Any,
    ) -> Response:
        """A page of logical keys, in S3's order.

        Each entry carries `Metadata` with the strings `deltaglider-is-delta`, `deltaglider-original-size`,
        `deltaglider-compression-ratio` (share saved) and `deltaglider-reference-key`. `Size` of a delta is its
        stored size; with `FetchMetadata=True`, which asks by concurrent HEADs, the original's.

        Raises `NotFoundError` (no such bucket), `InvalidRequestError` (a foreign token), `StorageIOError`.
        """
        page, truncated = await self._page(
            Bucket, Prefix, Delimiter, MaxKeys, ContinuationToken, StartAfter, FetchMetadata, arguments
        )
        response: Response = {
            "Name": Bucket,
            "Prefix": Prefix,
            "MaxKeys": MaxKeys,
            "KeyCount": len(page),
            "IsTruncated": truncated,
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }
        contents = [shown(entry) for entry in page if entry.item is not None]
        prefixes = [{"Prefix": entry.key} for entry in page if entry.item is None]
        optional = {
            "Contents": contents,
            "CommonPrefixes": prefixes,
            "Delimiter": Delimiter,
            "StartAfter": StartAfter,
            "ContinuationToken": ContinuationToken,
            "NextContinuationToken": encode_token(page[-1]) if truncated else None,
        }
        return response | {name: value for name, value in optional.items() if value}

    async def list_objects(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        Delimiter: str = "",
        MaxKeys: int = LARGEST_PAGE,
        Marker: str = "",
        ContinuationToken: str | None = None,
        StartAfter: str = "",
        FetchMetadata: bool = False,
        **arguments: Any,
    ) -> Response:
        """boto3's first version of the listing, and the original's arguments. `Contents` is always present.

        `NextMarker` (always given where `IsTruncated`) and `NextContinuationToken` both lead on.
        """
        page, truncated = await self._page(
            Bucket, Prefix, Delimiter, MaxKeys, ContinuationToken, Marker or StartAfter, FetchMetadata, arguments,
            resumed=bool(Marker),
        )  # fmt: skip
        response: Response = {
            "Name": Bucket,
            "Prefix": Prefix,
            "Marker": Marker,
            "MaxKeys": MaxKeys,
            "IsTruncated": truncated,
            "Contents": [shown(entry) for entry in page if entry.item is not None],
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }
        if Delimiter:
            response["Delimiter"] = Delimiter
        if prefixes := [{"Prefix": entry.key} for entry in page if entry.item is None]:
            response["CommonPrefixes"] = prefixes
        if truncated:
            response |= {"NextMarker": page[-1].key, "NextContinuationToken": encode_token(page[-1])}
        return response

    async def _page(
        self,
        bucket: str,
        prefix: str,
        delimiter: str,
        max_keys: int,
        token: str | None,
        after: str,
        with_metadata: bool,
        arguments: Mapping[str, Any],
        resumed: bool = False,
    ) -> tuple[list[Entry], bool]:
        self._check_arguments("ListObjectsV2", arguments)
        if token:
            after, resumed = decode_token(token), True
        most = min(max_keys, LARGEST_PAGE)
        if most < 0:
            raise InvalidRequestError(f"MaxKeys is {max_keys}. Accepted: 0 and more.")
        passed = {
            name: value for name, value in arguments.items() if name in ("FetchOwner", "OptionalObjectAttributes")
        }
        listing = Listing(bucket, prefix, delimiter, after, resumed, passed | access_only(arguments))
        page: list[Entry] = []
        truncated = False
        async with aclosing(entries(self._engine, listing)) as found:
            async for entry in found:
                if len(page) >= most:
                    truncated = most > 0
                    break
                page.append(entry)
        if with_metadata:
            await fetch_metadata(self._engine, bucket, page, arguments)
        return page, truncated

    # -- buckets

    async def create_bucket(self, *, Bucket: str, **arguments: Any) -> Response:
        """boto3's `create_bucket`."""
        with translated("create bucket", Bucket):
            response: Response = await self._s3.create_bucket(Bucket=Bucket, **arguments)
        return response

    async def delete_bucket(self, *, Bucket: str, **arguments: Any) -> Response:
        """boto3's `delete_bucket`. References that no delta uses count as content: the error names them."""
        try:
            with translated("delete bucket", Bucket):
                response: Response = await self._s3.delete_bucket(Bucket=Bucket, **arguments)
        except StorageIOError as error:
            if code_of(error) == "BucketNotEmpty" and (hidden := await self._only_hidden(Bucket, arguments)):
                error.args = (f"{error.args[0]} No objects are left but the format's own: {', '.join(hidden)}.",)
            raise
        return response

    async def _only_hidden(self, bucket: str, arguments: Mapping[str, Any]) -> list[str]:
        hidden: list[str] = []
        async with aclosing(self._engine.store.pages(bucket, access_only(arguments))) as pages:
            async for page in pages:
                names = [item["Key"] for item in page.get("Contents", ())]
                if not all(map(keys.is_internal, names)):
                    return []
                hidden += names[: 3 - len(hidden)]
        return hidden

    async def head_bucket(self, *, Bucket: str, **arguments: Any) -> Response:
        """boto3's `head_bucket`. Raises `NotFoundError`."""
        with translated("reach bucket", Bucket):
            response: Response = await self._s3.head_bucket(Bucket=Bucket, **arguments)
        return response

    async def list_buckets(self, **arguments: Any) -> Response:
        """boto3's `list_buckets`."""
        with translated("list", "buckets"):
            response: Response = await self._s3.list_buckets(**arguments)
        return response

    # -- the original's own methods

    async def upload(
        self,
        file_path: str | PathLike[str],
        s3_url: str,
        tags: Mapping[str, str] | None = None,
        max_ratio: float | None = None,
        *,
        use_delta: bool | None = None,
        progress: Progress = _ignore,
        **arguments: Any,
    ) -> UploadSummary:
        """Upload a local file. A URL that ends in `/` (or has no key) is "into", any other is the name.

        `arguments` are boto3's for `put_object` (`Metadata`, `ContentType`, ...). Raises as `put_object`.
        """
        path = Path(file_path)
        bucket, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            key += path.name
        if tags:
            arguments["Tagging"] = urlencode(tags)
        metadata = arguments.pop("Metadata", None)
        result = await self._put(bucket, key, path, metadata, None, arguments, max_ratio, use_delta, progress)
        return UploadSummary(
            operation=result.operation,
            bucket=bucket,
            key=key,
            original_size=result.original_size,
            stored_size=result.stored_size,
            is_delta=result.operation == "create_delta",
            delta_ratio=result.ratio,
            reason=result.reason,
        )

    async def download(
        self, s3_url: str, output_path: str | PathLike[str], *, progress: Progress = _ignore, **arguments: Any
    ) -> None:
        """Download an object. The file appears under its name, replacing an older one, only when it is verified.

        `output_path` is a file's name, or a folder that exists. `arguments` are boto3's for `get_object`. Raises as
        `get_object` and its body, and `LocalIOError`; the file then is as it was before.
        """
        bucket, key = keys.parse_url(s3_url)
        if not key or key.endswith("/"):
            raise InvalidRequestError(f"cannot download {s3_url}: it names no object.")
        path = Path(output_path)
        if await in_thread(path.is_dir):
            path /= key.rpartition("/")[2]
        response = await self.get_object(Bucket=bucket, Key=key, progress=progress, **arguments)
        async with response["Body"] as body:
            await write_file(path, body)

    async def verify(self, s3_url: str) -> VerifyResult:
        """Read an object as a get would, and compare with the SHA-256 recorded at its put. Raises as `get_object`."""
        bucket, key = keys.parse_url(s3_url)
        response = await self.get_object(Bucket=bucket, Key=key)
        expected = _hex(response.get("ChecksumSHA256", ""))
        digest = Digest()
        try:
            async with response["Body"] as body:
                while chunk := await body.readany():
                    await digest.update(chunk)
        except CodecUnavailableError:
            raise  # says nothing about the object
        except (IntegrityMismatchError, DiffDecodeError) as error:
            return VerifyResult(False, expected, await digest.hexdigest(), str(error))
        actual = await digest.hexdigest()
        if not expected:
            return VerifyResult(True, "", actual, "no SHA-256 was recorded at the put; all bytes could be read")
        return VerifyResult(True, expected, actual, "the content has the SHA-256 recorded at the put")

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
        older_than: timedelta = gc.DAY,
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

    async def clear_cache(self) -> None:
        """Forget all cached references. Operations that use them go on."""
        await self._engine.cache.clear()

    async def evict_cache(self, s3_url: str) -> None:
        """Forget one reference, given by its URL (`s3://bucket/prefix/reference.bin`). Raises `NotFoundError`."""
        bucket, key = keys.parse_url(s3_url)
        head = await self._engine.store.head_existing(bucket, key)
        if (sha256 := recorded_sha256(head.get("Metadata", {}), bare=True)) is None:
            raise InvalidRequestError(f"{where(bucket, key)} is no reference: its metadata has no SHA-256.")
        await self._engine.cache.evict(sha256)

    def _access(self, arguments: Mapping[str, Any]) -> Response:
        access = access_only(arguments)
        for name in arguments.keys() - access.keys():
            raise InvalidRequestError(f"there is no argument {name!r}.")
        return access

    def _check_arguments(self, operation: str, arguments: Mapping[str, Any]) -> None:
        """Raise for a misspelled argument: boto3 does, and one that is left out would be lost in silence."""
        known = self._engine.store.accepted(operation, arguments)
        for name, value in arguments.items():
            if name not in known and value is not None:
                raise InvalidRequestError(f"{operation} has no argument {name!r}.")


def _folder(prefix: str) -> str:
    """A prefix that does not separate deltas from their reference."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


_STORED_AS = {
    "create_reference": "reference+delta",
    "create_delta": "delta",
    "upload_direct": "plain",
    "copy_plain": "plain",
    "copy_delta": "delta",
    "copy_reference": "reference+delta",
}


def _info(result: put.PutResult) -> Response:
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


def _hex(checksum: str) -> str:
    return base64.b64decode(checksum).hex()
