"""Multipart uploads to logical keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, cast

from deltaglider_async.client.base import ClientBase, ignore
from deltaglider_async.client.objects import told
from deltaglider_async.engine import complete, copy_source, list_uploads, multipart, request
from deltaglider_async.engine.read_ahead import LARGEST_PAGE
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.store.errors import invalid_argument
from deltaglider_async.streams.source import make_source

if TYPE_CHECKING:
    from deltaglider_async.types import (
        AbortMultipartUploadResponse,
        CompleteMultipartUploadResponse,
        CreateMultipartUploadResponse,
        ListMultipartUploadsResponse,
        ListPartsResponse,
        Progress,
        UploadPartCopyResponse,
        UploadPartResponse,
    )
    from deltaglider_async.types.arguments import (
        AbortMultipartUploadArguments,
        CompleteMultipartUploadArguments,
        CreateMultipartUploadArguments,
        ListMultipartUploadsArguments,
        ListPartsArguments,
        UploadPartArguments,
        UploadPartCopyArguments,
    )


class Multipart(ClientBase):
    """Uploads in parts, which any process may send and complete.

    Raises `NotFoundError` (`client.exceptions.NoSuchUpload`) for an upload that is not there, and `StorageIOError`.

        where = {"Bucket": "releases", "Key": "app/app-1.2.zip"}
        upload = {**where, "UploadId": (await client.create_multipart_upload(**where))["UploadId"]}
        part = await client.upload_part(**upload, PartNumber=1, Body=Path("app-1.2.zip"))
        parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
        await client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    """

    async def create_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        Metadata: Mapping[str, str] | None = None,
        use_delta: bool | None = None,
        **arguments: Unpack[CreateMultipartUploadArguments],
    ) -> CreateMultipartUploadResponse:
        """Begin a multipart upload. Further arguments as boto3's.

        The parts of a delta candidate are kept under a temporary key until the completion makes a delta of them;
        others go to the key itself. `use_delta` as in `put_object`. `UploadId` is opaque, and all that another process
        needs to go on. Raises `InvalidRequestError` (reserved name, bad argument), `NotFoundError` (no such bucket),
        `StorageIOError`.

            upload = await client.create_multipart_upload(Bucket="releases", Key="app/app-1.2.zip")
        """
        given = {"Bucket": Bucket, "Key": Key, "Metadata": Metadata}
        self._check_arguments("CreateMultipartUpload", {**given, **arguments})
        begun = request.PutRequest(
            bucket=Bucket,
            key=Key,
            source=multipart.unread(),
            metadata=Metadata or {},
            arguments=arguments,
            max_ratio=self._engine.max_ratio,
            use_delta=use_delta,
        )
        return cast("CreateMultipartUploadResponse", await multipart.create(self._engine, begun))

    async def upload_part(
        self,
        *,
        Bucket: str,
        Key: str,
        PartNumber: int,
        UploadId: str,
        Body: Any = b"",
        ContentLength: int | None = None,
        **arguments: Unpack[UploadPartArguments],
    ) -> UploadPartResponse:
        """Upload a part: in any order, side by side with others, again to replace it. Further arguments as boto3's.

        `Body` as of `put_object`. What is longer than 16 MiB is spooled to an unlinked temporary file first. Returns
        boto3's response. Raises `NotFoundError` (no such upload), `InvalidRequestError`, `LocalIOError`,
        `SourceChangedError`, `StorageIOError`.
        """
        given = {"Bucket": Bucket, "Key": Key, "PartNumber": PartNumber, "UploadId": UploadId}
        self._check_arguments("UploadPart", {**given, **arguments})
        source = await make_source(Body, ContentLength)
        asked = {**arguments, "PartNumber": PartNumber}
        return cast(
            "UploadPartResponse",
            await multipart.put_part(self._engine, multipart.Upload.of(Bucket, Key, UploadId), source, asked),
        )

    async def upload_part_copy(
        self,
        *,
        Bucket: str,
        Key: str,
        CopySource: str | Mapping[str, Any],
        PartNumber: int,
        UploadId: str,
        progress: Progress = ignore,
        **arguments: Unpack[UploadPartCopyArguments],
    ) -> UploadPartCopyResponse:
        """Upload a part that is a copy of an object, or of a range of it. Further arguments as boto3's.

        `CopySource` as of `copy_object`, a logical key. A plain object is copied by the service, a delta is decoded
        here; `CopySourceRange` speaks of the original's bytes. Returns boto3's response. Raises what `copy_object` and
        `upload_part` raise.
        """
        given = {"Bucket": Bucket, "Key": Key, "PartNumber": PartNumber, "UploadId": UploadId}
        self._check_arguments("UploadPartCopy", {**given, **arguments})
        copied = copy_source.CopyRequest(
            bucket=Bucket,
            key=Key,
            source=copy_source.parse_source(CopySource),
            metadata={},
            arguments={**arguments, "PartNumber": PartNumber},
            max_ratio=self._engine.max_ratio,
            progress=progress,
        )
        return cast(
            "UploadPartCopyResponse",
            await multipart.copy_part(self._engine, multipart.Upload.of(Bucket, Key, UploadId), copied),
        )

    async def list_parts(
        self, *, Bucket: str, Key: str, UploadId: str, **arguments: Unpack[ListPartsArguments]
    ) -> ListPartsResponse:
        """boto3's `list_parts`."""
        self._check_arguments("ListParts", {"Bucket": Bucket, "Key": Key, "UploadId": UploadId} | arguments)
        return cast(
            "ListPartsResponse",
            await multipart.parts(self._engine, multipart.Upload.of(Bucket, Key, UploadId), arguments),
        )

    async def complete_multipart_upload(
        self,
        *,
        Bucket: str,
        Key: str,
        UploadId: str,
        max_ratio: float | None = None,
        progress: Progress = ignore,
        **arguments: Unpack[CompleteMultipartUploadArguments],
    ) -> CompleteMultipartUploadResponse:
        """Make the object of its parts, as a delta where that pays. Arguments as boto3's (`MultipartUpload`, ...).

        If this ends early, call it again, from any process: it goes on where it was, and ends the same way.
        `IfMatch` and `IfNoneMatch` speak of the logical key. `max_ratio` beats the client's.

        Returns boto3's response; `ETag`, `ChecksumSHA256` and `DeltaGliderInfo` as of `put_object`, except for what
        went straight to its key. Raises what S3 raises (`EntityTooSmall`, `InvalidPart`, `InvalidPartOrder`,
        `NoSuchUpload`), and what `put_object` raises; nothing is at the key then that was not there before.
        """
        if max_ratio is not None and not 0 <= max_ratio <= 1:
            raise InvalidRequestError(f"max_ratio is {max_ratio!r}. Accepted: 0.0 to 1.0.")
        self._check_arguments(
            "CompleteMultipartUpload", {"Bucket": Bucket, "Key": Key, "UploadId": UploadId} | arguments
        )
        ratio = self._engine.max_ratio if max_ratio is None else max_ratio
        completion = complete.Completion(multipart.Upload.of(Bucket, Key, UploadId), arguments, ratio, progress)
        result = await complete.complete(self._engine, completion)
        return cast("CompleteMultipartUploadResponse", {**result.response, "DeltaGliderInfo": told(result)})

    async def abort_multipart_upload(
        self, *, Bucket: str, Key: str, UploadId: str, **arguments: Unpack[AbortMultipartUploadArguments]
    ) -> AbortMultipartUploadResponse:
        """boto3's `abort_multipart_upload`. It also removes what a completion left that ended early."""
        self._check_arguments("AbortMultipartUpload", {"Bucket": Bucket, "Key": Key, "UploadId": UploadId} | arguments)
        return cast(
            "AbortMultipartUploadResponse",
            await multipart.abort(self._engine, multipart.Upload.of(Bucket, Key, UploadId), arguments),
        )

    async def list_multipart_uploads(
        self,
        *,
        Bucket: str,
        Prefix: str | None = None,
        Delimiter: str | None = None,
        KeyMarker: str | None = None,
        UploadIdMarker: str | None = None,
        MaxUploads: int | None = None,
        EncodingType: str | None = None,
        **arguments: Unpack[ListMultipartUploadsArguments],
    ) -> ListMultipartUploadsResponse:
        """A page of unfinished uploads: logical keys in S3's order. Arguments and response as boto3's."""
        operation = "ListMultipartUploads"
        given = {
            "Bucket": Bucket,
            "Prefix": Prefix,
            "Delimiter": Delimiter,
            "KeyMarker": KeyMarker,
            "UploadIdMarker": UploadIdMarker,
            "MaxUploads": MaxUploads,
            "EncodingType": EncodingType,
        }
        self._check_arguments(operation, {**given, **arguments})
        most = LARGEST_PAGE if MaxUploads is None else MaxUploads
        if most < 0:
            raise invalid_argument(operation, f"MaxUploads is {most}. Accepted: 0 and more.")
        if EncodingType not in (None, "url"):
            raise invalid_argument(operation, f"EncodingType is {EncodingType!r}. Accepted: url.")
        asked = list_uploads.Asked(
            Bucket, Prefix or "", Delimiter or "", KeyMarker or "", UploadIdMarker or "", most, EncodingType
        )
        return cast("ListMultipartUploadsResponse", await list_uploads.page(self._engine, asked, arguments))
