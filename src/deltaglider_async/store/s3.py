"""The calls that the engine makes to S3. Each is one atomic call to the service, or one multipart upload."""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
import math
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import aiohttp
import anyio
from botocore.exceptions import BotoCoreError, ClientError
from botocore.utils import parse_to_aware_datetime

from deltaglider_async.errors import (
    DeltaGliderError,
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    StorageIOError,
)
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import code_of, is_missing_key, translated
from deltaglider_async.store.heads import Heads
from deltaglider_async.store.limits import limits, paced
from deltaglider_async.store.listed import Listed
from deltaglider_async.store.pauses import pauses
from deltaglider_async.store.puts import Puts
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.budget import ByteBudget
from deltaglider_async.streams.chunks import rechunk
from deltaglider_async.streams.digest import base64_sha256
from deltaglider_async.streams.threads import to_its_end

_log = logging.getLogger(__name__)

#: Up to here an object is sent as one PutObject. One request holds at most this much in memory.
LARGEST_SINGLE_PUT = 16 * CHUNK
_PART = 8 * CHUNK
#: The service copies at most this much in one CopyObject (S3's limit), and so much in each part of a larger copy.
LARGEST_SINGLE_COPY = 5 * 1024 * CHUNK
_COPIED_PART = 512 * CHUNK
#: S3's limit.
_MOST_PARTS = 10_000
#: Parts of one object that are sent at once; they bound memory together with the part size.
_PARTS_AT_ONCE = 3
#: Parts that the service copies at once; they take no memory here.
_COPIES_AT_ONCE = 8
#: Parts of one body that are read ahead side by side, and held in memory; bytes of each (`store/side_by_side.py`).
PARTS_AHEAD, PART_AHEAD = 4, 8 * CHUNK
_ABORT_SECONDS = 15
#: What S3 answers to a write that has been made already: its own condition is not met any more, or its upload is gone.
_MET_ITSELF = frozenset(
    {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchUpload", "NoSuchKey", "NotFound", "404"}
)

#: The conditions on which the bucket protocol rests. Left out, a request would do what it must not.
_DECIDING = {
    "PutObject": ("IfMatch", "IfNoneMatch"),
    "CompleteMultipartUpload": ("IfMatch", "IfNoneMatch"),
    "DeleteObject": ("IfMatch",),
}
_CONDITIONS = frozenset(name for names in _DECIDING.values() for name in names)

#: What services answer to a call that they do not have.
NO_SUCH_CALL = frozenset({"NotImplemented", "501", "MethodNotAllowed", "405"})

Response = dict[str, Any]
Arguments = Mapping[str, Any]
NONE: Arguments = MappingProxyType({})


class Store:
    """S3 as the engine sees it. `arguments` are boto3's; what an operation does not know is left out."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3
        self.ahead = ByteBudget(PARTS_AHEAD * PART_AHEAD)
        self._accepted: dict[str, frozenset[str]] = {}
        self._heads = Heads(s3)
        self._puts = Puts(s3)
        self._listed = Listed(s3)

    def accepted(self, operation: str, arguments: Arguments) -> Response:
        """Those of the arguments that an S3 operation (`PutObject`) knows."""
        if operation not in self._accepted:
            shape = self.s3.meta.service_model.operation_model(operation).input_shape
            self._accepted[operation] = frozenset(shape.members)
        for name in _DECIDING.get(operation, ()):
            if arguments.get(name) is not None and name not in self._accepted[operation]:
                raise InvalidRequestError(
                    f"this version of botocore does not know {name} of {operation}, and would send the request without "
                    "it. Upgrade aioboto3."
                )
        return {
            name: value for name, value in arguments.items() if name in self._accepted[operation] and value is not None
        }

    async def head(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        """HeadObject; None where there is no such object. 403 is an error, never "absent"."""
        try:
            answer = await self._head(bucket, key, arguments)
        except NotFoundError as error:
            if is_missing_key(error):
                return None
            raise
        return None if "Error" in answer else answer

    async def head_existing(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response:
        """HeadObject. Raises `NotFoundError` where there is no such object."""
        answer = await self._head(bucket, key, arguments)
        if "Error" in answer:
            with translated("read", f"s3://{bucket}/{key}"):
                raise self._heads.error(answer)
        return answer

    async def _head(self, bucket: str, key: str, arguments: Arguments) -> Response:
        with translated("read", f"s3://{bucket}/{key}"):
            return await self._heads.head(bucket, key, self.accepted("HeadObject", arguments))

    async def head_or_why(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response:
        """HeadObject. The error where there is none tells a missing key from a missing bucket: that of a GET does."""
        if (response := await self.head(bucket, key, arguments)) is None:
            response = await self.get_existing(bucket, key, arguments)
            response.pop("Body").close()
        return response

    async def seen(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        """As `head`. Also of an object that HEAD refuses without the customer's key that it is encrypted with: its
        ETag, size and age, which a listing tells.
        """
        try:
            return await self.head(bucket, key, arguments)
        except StorageIOError as error:
            if code_of(error) != "400":
                raise
            async with aclosing(self.pages(bucket, {**arguments, "Prefix": key, "MaxKeys": 1})) as pages:
                async for page in pages:
                    for item in page.get("Contents", ()):
                        if item["Key"] == key:
                            told = {name: item[name] for name in ("ETag", "LastModified")}
                            return {**told, "ContentLength": item["Size"], "Metadata": {}}
                    break
            raise

    async def object_parts(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        """`ObjectParts` of GetObjectAttributes; None where the service tells none."""
        with translated("read the parts of", f"s3://{bucket}/{key}"):
            answer: Response = await self.s3.get_object_attributes(
                Bucket=bucket,
                Key=key,
                ObjectAttributes=["ObjectParts"],
                **self.accepted("GetObjectAttributes", arguments),
            )
        return answer.get("ObjectParts")

    async def get(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        """GetObject; None where there is no such object. Its `Body` must be closed or read to its end."""
        try:
            return await self.get_existing(bucket, key, arguments)
        except NotFoundError as error:
            if is_missing_key(error):
                return None
            raise

    async def get_existing(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response:
        """GetObject. Raises `NotFoundError` where there is no such object."""
        with translated("read", f"s3://{bucket}/{key}"):
            for pause in (*pauses(), None):
                try:
                    response: Response = await self.s3.get_object(
                        Bucket=bucket, Key=key, **self.accepted("GetObject", arguments)
                    )
                    break
                except aiohttp.ClientError as error:  # botocore reads what explains an error outside of its retries
                    if pause is None:
                        message = f"cannot read s3://{bucket}/{key}: every answer broke off ({error}). Try again."
                        raise StorageIOError(message) from error
                    await anyio.sleep(pause)
        return response

    async def put(
        self,
        bucket: str,
        key: str,
        chunks: Chunks | bytes,
        size: int | None,
        *,
        metadata: Mapping[str, str],
        sha256: str | None = None,
        arguments: Arguments = NONE,
    ) -> Response:
        """Store a stream in one step: one PutObject, or a multipart upload that appears when it is complete.

        `chunks` are bytes where all is in memory, and no more than one PutObject takes (`LARGEST_SINGLE_PUT`).
        `size` is None for a stream of unknown length; `sha256` (hex) is that of the whole, where it is known.
        `IfMatch` and `IfNoneMatch` of `arguments` decide at that last step. An error of `chunks`, also at their
        very end, leaves the bucket as it was.

        A step that was taken, whose answer was lost, and which botocore then took again, is refused because it has
        been taken. The write knows itself by an id in the metadata.
        """
        arguments = {**arguments, "Bucket": bucket, "Key": key}
        if isinstance(chunks, bytes):
            if (pace := limits().pace) is not None:
                await pace.passed(len(chunks))
            return await self._put_whole(chunks, metadata, sha256, arguments)
        async with aclosing(rechunk(paced(chunks), _part_size(size))) as parts:
            first = await anext(parts, b"")
            second = await anext(parts, None) if first else None
            if second is None:
                return await self._put_whole(first, metadata, sha256, arguments)
            identity, arguments["Metadata"] = _identified(metadata, needed=True)
            with translated("put", f"s3://{bucket}/{key}"):
                # A checksum of the whole says nothing about parts; S3 computes those of the parts itself.
                arguments = {
                    name: value
                    for name, value in arguments.items()
                    if name == "ChecksumAlgorithm" or not name.startswith(("Checksum", "ContentMD5"))
                }
                self._check_all_sent(arguments)
                completed = await self._in_parts(
                    arguments, identity, lambda upload: self._send_parts(upload, first, second, parts)
                )
                said = self.s3.meta.service_model.operation_model("PutObject").output_shape.members
                return {name: completed[name] for name in completed if name in said or name == "ResponseMetadata"}

    async def _put_whole(
        self, data: bytes, metadata: Mapping[str, str], sha256: str | None, arguments: Response
    ) -> Response:
        """PutObject."""
        needed = any(arguments.get(name) is not None for name in _CONDITIONS)
        identity, arguments["Metadata"] = _identified(metadata, needed=needed)
        with translated("put", f"s3://{arguments['Bucket']}/{arguments['Key']}"):
            if sha256 is None and len(data) <= CHUNK:  # a small delta: S3 checks it, and it is sent as other small puts
                sha256 = hashlib.sha256(data).hexdigest()
            if sha256 is not None and not _has_checksum(arguments):
                # Named as well: S3 asks for that in a bucket with Object Lock.
                arguments |= {"ChecksumSHA256": base64_sha256(sha256), "ChecksumAlgorithm": "SHA256"}
            try:
                response = await self._puts.put(data, self.accepted("PutObject", arguments))
            except ClientError as error:
                return await self._written_already(error, arguments, identity)
        return response

    def _check_all_sent(self, arguments: Arguments) -> None:
        """Raise for an argument of a put that none of the requests of a multipart upload knows."""
        calls = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload")
        sent = set().union(*(self.accepted(call, arguments) for call in calls))
        for name in arguments.keys() - sent:
            if arguments[name] is not None:
                raise InvalidRequestError(
                    f"cannot put s3://{arguments['Bucket']}/{arguments['Key']} with {name}: the body is sent in parts, "
                    "which have no such argument. Nothing was stored."
                )

    async def copy(self, bucket: str, key: str, source: Mapping[str, str], arguments: Arguments) -> Response:
        """CopyObject by the service. `source` has `Bucket`, `Key` and perhaps `VersionId`; at most 5 GiB."""
        with translated("copy", f"s3://{source['Bucket']}/{source['Key']} to s3://{bucket}/{key}"):
            response: Response = await self.s3.copy_object(
                Bucket=bucket, Key=key, CopySource=dict(source), **self.accepted("CopyObject", arguments)
            )
        return response

    async def copy_parts(
        self,
        bucket: str,
        key: str,
        source: Mapping[str, str],
        size: int,
        arguments: Arguments,
        copied: Callable[[int], None],
    ) -> Response:
        """The same in parts, for an object of any `size` (bytes). `copied` is told how many bytes are done.

        Unlike CopyObject, this takes nothing over from the source: `arguments` give headers, `Metadata`, `Tagging`.
        `CopySourceIfMatch` holds for each part, so that all are of one object.
        """
        arguments = {**arguments, "Bucket": bucket, "Key": key, "CopySource": dict(source)}
        with translated("copy", f"s3://{source['Bucket']}/{source['Key']} to s3://{bucket}/{key}"):
            return await self._in_parts(arguments, "", lambda upload: self._copy_ranges(upload, size, copied))

    async def _written_already(self, error: ClientError, arguments: Response, identity: str) -> Response:
        """What S3 would have answered, if the object that is there is what this write made; else raises `error`."""
        if not identity or code_of(error) not in _MET_ITSELF:
            raise error
        asked = {name: value for name, value in arguments.items() if name not in _CONDITIONS}
        try:
            head = await self.head(asked.pop("Bucket"), asked.pop("Key"), asked)
        except DeltaGliderError:
            raise error from None  # not knowing is no success
        if head is None or meta.field(head.get("Metadata", {}), "put-id") != identity:
            raise error
        said = self.s3.meta.service_model.operation_model("PutObject").output_shape.members
        # A checksum that was sent is right, or nothing would be there.
        checksums = {name: value for name, value in arguments.items() if name in said and name.startswith("Checksum")}
        return checksums | {name: value for name, value in head.items() if name in said or name == "ResponseMetadata"}

    async def _in_parts(
        self, arguments: Response, identity: str, send: Callable[[Response], Awaitable[list[Response]]]
    ) -> Response:
        creating = asyncio.ensure_future(
            self.s3.create_multipart_upload(**self.accepted("CreateMultipartUpload", arguments))
        )
        try:
            # Not given up when this is cancelled: an upload whose id never arrived could not be aborted.
            arguments["UploadId"] = (await asyncio.shield(creating))["UploadId"]
            parts = await send(arguments)
            try:
                completed: Response = await self.s3.complete_multipart_upload(
                    **self.accepted("CompleteMultipartUpload", {**arguments, "MultipartUpload": {"Parts": parts}})
                )
            except ClientError as error:
                completed = await self._written_already(error, arguments, identity)
        except BaseException:
            await to_its_end(self.abort(arguments, creating))
            raise
        return completed

    async def abort(self, arguments: Response, creating: asyncio.Future[Response]) -> None:
        """Abort an upload whose creation may still be under way, and whose failure is not the error to raise."""
        try:
            with anyio.move_on_after(_ABORT_SECONDS):
                await asyncio.wait((creating,))
                if creating.cancelled() or creating.exception() is not None:
                    return
                arguments["UploadId"] = creating.result()["UploadId"]
                await self.s3.abort_multipart_upload(**self.accepted("AbortMultipartUpload", arguments))
        except (BotoCoreError, ClientError) as error:  # what made us abort is the error to raise
            if code_of(error) != "NoSuchUpload":
                _log.warning(
                    "cannot abort the multipart upload %s of s3://%s/%s: %s. Abort it later, or by a lifecycle rule.",
                    arguments["UploadId"],
                    arguments["Bucket"],
                    arguments["Key"],
                    error,
                )

    async def _send_parts(self, arguments: Response, first: bytes, second: bytes, rest: Chunks) -> list[Response]:
        finished: dict[int, Response] = {}
        free = anyio.Semaphore(min(_PARTS_AT_ONCE, limits().requests))

        async def send(number: int, part: bytes) -> None:
            try:
                answer = await self.s3.upload_part(
                    Body=io.BytesIO(part), **self.accepted("UploadPart", {**arguments, "PartNumber": number})
                )
                finished[number] = _part(number, answer)
            finally:
                free.release()

        number = 0
        try:
            async with anyio.create_task_group() as tasks:
                async for part in _in_order(first, second, rest):
                    number += 1
                    if number > _MOST_PARTS:
                        raise InvalidRequestError(
                            f"cannot put s3://{arguments['Bucket']}/{arguments['Key']}: the stream is longer than "
                            f"{_MOST_PARTS * len(first):,} bytes. Give its ContentLength for larger parts."
                        )
                    await free.acquire()
                    tasks.start_soon(send, number, part)
                    del part
        except BaseExceptionGroup as group:
            # The others were cancelled by the first, or failed for the same reason.
            raise group.exceptions[0] from group
        return [finished[number] for number in sorted(finished)]

    async def _copy_ranges(self, arguments: Response, size: int, copied: Callable[[int], None]) -> list[Response]:
        finished: dict[int, Response] = {}
        free = anyio.Semaphore(min(_COPIES_AT_ONCE, limits().requests))
        step = max(_COPIED_PART, math.ceil(size / _MOST_PARTS))
        done = 0

        async def copy(number: int, start: int, stop: int) -> None:
            nonlocal done
            async with free:
                asked = {**arguments, "PartNumber": number, "CopySourceRange": f"bytes={start}-{stop - 1}"}
                answer = await self.s3.upload_part_copy(**self.accepted("UploadPartCopy", asked))
            finished[number] = _part(number, answer["CopyPartResult"])
            done += stop - start
            copied(done)

        try:
            async with anyio.create_task_group() as tasks:
                for number, start in enumerate(range(0, size, step), 1):
                    tasks.start_soon(copy, number, start, min(size, start + step))
        except BaseExceptionGroup as group:
            # The others were cancelled by the first, or failed for the same reason.
            raise group.exceptions[0] from group
        return [finished[number] for number in sorted(finished)]

    async def tags(self, bucket: str, key: str, arguments: Arguments = NONE) -> str:
        """GetObjectTagging, as `Tagging` of a put spells it; empty too where the service has no tags."""
        try:
            with translated("read the tags of", f"s3://{bucket}/{key}"):
                answer: Response = await self.s3.get_object_tagging(
                    Bucket=bucket, Key=key, **self.accepted("GetObjectTagging", arguments)
                )
        except StorageIOError as error:
            if code_of(error) in NO_SUCH_CALL:
                return ""
            raise
        return urlencode([(tag["Key"], tag["Value"]) for tag in answer.get("TagSet", ())])

    async def delete(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response:
        """DeleteObject; with `IfMatch` only if the ETag is still that one (raises `PreconditionFailedError`)."""
        with translated("delete", f"s3://{bucket}/{key}"):
            try:
                response: Response = await self.s3.delete_object(
                    Bucket=bucket, Key=key, **self.accepted("DeleteObject", arguments)
                )
            except ClientError as error:
                # Sent more than once, and gone: the first attempt did it, and its answer was lost.
                if not _retries(error) or not await self._gone(error, bucket, key, arguments):
                    raise
                response = {"ResponseMetadata": error.response["ResponseMetadata"]}
        return response

    async def _gone(self, error: ClientError, bucket: str, key: str, arguments: Arguments) -> bool:
        """Whether a delete was refused because nothing is there."""
        asked = {name: value for name, value in arguments.items() if name not in _CONDITIONS}
        return code_of(error) in _MET_ITSELF and await self.head(bucket, key, asked) is None

    async def delete_if_unchanged(self, bucket: str, key: str, etag: str, arguments: Arguments = NONE) -> bool:
        """Delete an object that was seen with this ETag; False if another one is there now, which stays.

        True also where it has gone: it cannot be told whether by this call or by somebody else's. aiohttp itself sends
        a DELETE again when the connection broke, and tells nobody.
        """
        try:
            await self.delete(bucket, key, {**arguments, "IfMatch": etag})
        except (PreconditionFailedError, NotFoundError) as error:
            if isinstance(error, ClientError) and await self._gone(error, bucket, key, arguments):
                return True
            if isinstance(error, PreconditionFailedError) or is_missing_key(error):
                return False  # another one, which may have come after the delete
            raise
        return True

    async def pages(
        self, bucket: str, arguments: Arguments = NONE, *, metadata: bool = False
    ) -> AsyncGenerator[Response, None]:
        """ListObjectsV2, page after page, as stored. With `metadata`, items have theirs if the service tells them."""
        token: Response = {"MaxKeys": limits().most_keys(arguments.get("MaxKeys"))}
        while True:
            with translated("list", f"s3://{bucket}/{arguments.get('Prefix') or ''}"):
                asked = self.accepted("ListObjectsV2", {**arguments, **token})
                page = await self._listed.page({"Bucket": bucket, **asked}, metadata=metadata)
            yield page
            if not page.get("IsTruncated"):
                return
            token["ContinuationToken"] = page["NextContinuationToken"]


def _has_checksum(arguments: Arguments) -> bool:
    """Whether a put names a checksum of its own. S3 takes one."""
    others = {"ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1"}
    named = any(arguments.get(name) is not None for name in others)
    return named or arguments.get("ChecksumAlgorithm") not in (None, "SHA256")


def _retries(error: ClientError) -> int:
    """How often botocore sent a request again."""
    retries: int = error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
    return retries


def _identified(metadata: Mapping[str, str], *, needed: bool) -> tuple[str, dict[str, str]]:
    """The id by which a write knows itself, empty where it has none, and the metadata with it."""
    identity = metadata.get(meta.PUT_ID) or (_identity(metadata) if needed else "")
    return identity, {**metadata, meta.PUT_ID: identity} if identity else dict(metadata)


def _identity(metadata: Mapping[str, str]) -> str:
    """A random id for a write; empty where the user's metadata leaves no room, and the write cannot know itself."""
    identity = secrets.token_hex(8)
    # MinIO counts the headers' names as they are sent.
    headers = {f"x-amz-meta-{name}": value for name, value in {**metadata, meta.PUT_ID: identity}.items()}
    return identity if meta.fits(headers) else ""


def instant(value: Any) -> datetime:
    """A moment as boto3 takes it (`datetime`, text, seconds since 1970), aware of its time zone."""
    moment: datetime = parse_to_aware_datetime(value)
    return moment


def _part(number: int, answer: Mapping[str, Any]) -> Response:
    """A part as CompleteMultipartUpload wants it."""
    checksums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
    checksums.pop("ChecksumType", None)
    return {"PartNumber": number, "ETag": answer["ETag"], **checksums}


def _part_size(size: int | None) -> int:
    if size is None or size <= LARGEST_SINGLE_PUT:
        return LARGEST_SINGLE_PUT
    return max(_PART, math.ceil(size / _MOST_PARTS / CHUNK) * CHUNK)


async def _in_order(first: bytes, second: bytes, rest: Chunks) -> Chunks:
    yield first
    yield second
    del first, second
    async for part in rest:
        yield part
