"""The calls to S3 that only checking and cleaning up need. What a service does not have, or does not let us ask, is
`Unknown`, not an error."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from botocore import xform_name

from deltaglider_async.errors import DeltaGliderError, NotFoundError, StorageIOError
from deltaglider_async.store.errors import code_of, translated
from deltaglider_async.store.s3 import NONE, Arguments, Response, Store

_UNASKABLE = frozenset(
    {"NotImplemented", "501", "MethodNotAllowed", "405", "AccessDenied", "403", "Forbidden", "InvalidRequest", "400"}
)
_NONE_SET = frozenset({"NoSuchLifecycleConfiguration", "NoSuchTagSet", "NoSuchTagSetError"})


class Unknown(Exception):  # noqa: N818, it is an answer
    """The service has no answer to a question, or not for us."""


async def lifecycle_rules(store: Store, bucket: str, arguments: Arguments = NONE) -> list[Response]:
    """The lifecycle rules of a bucket. Raises `Unknown`."""
    answer = await _ask(store, "GetBucketLifecycleConfiguration", {**arguments, "Bucket": bucket})
    rules: list[Response] = answer.get("Rules", [])
    return rules


async def tags(store: Store, bucket: str, key: str, arguments: Arguments = NONE) -> frozenset[tuple[str, str]]:
    """The tags of an object; none if there is no object. Raises `Unknown`."""
    answer = await _ask(store, "GetObjectTagging", {**arguments, "Bucket": bucket, "Key": key}, missing="NoSuchKey")
    return frozenset((tag["Key"], tag["Value"]) for tag in answer.get("TagSet", ()))


async def older_versions(
    store: Store, bucket: str, key: str, arguments: Arguments = NONE
) -> AsyncGenerator[Response, None]:
    """The versions of an object that are not the current one, newest first. Raises `Unknown`."""
    marker: Response = {}
    while True:
        answer = await _ask(store, "ListObjectVersions", {**arguments, "Bucket": bucket, "Prefix": key, **marker})
        for version in answer.get("Versions", ()):
            if version["Key"] != key:
                return  # the prefix of another one
            if not version.get("IsLatest") and version.get("VersionId", "null") != "null":
                yield version
        if not answer.get("IsTruncated"):
            return
        marker = {"KeyMarker": answer["NextKeyMarker"], "VersionIdMarker": answer.get("NextVersionIdMarker")}


@dataclass(frozen=True, slots=True)
class Upload:
    """A multipart upload that is neither completed nor aborted."""

    key: str
    upload_id: str
    initiated: Any


async def uploads(store: Store, bucket: str, prefix: str, arguments: Arguments = NONE) -> AsyncGenerator[Upload, None]:
    """The unfinished multipart uploads below a prefix. Raises `Unknown`."""
    marker: Response = {}
    while True:
        request = {**arguments, "Bucket": bucket, "Prefix": prefix, **marker}
        answer = await _ask(store, "ListMultipartUploads", request, missing="NoSuchUpload")  # rclone's word for "none"
        for each in answer.get("Uploads", ()):
            if each["Key"].startswith(prefix):  # not every service filters
                yield Upload(each["Key"], each["UploadId"], each["Initiated"])
        if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
            return
        marker = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer.get("NextUploadIdMarker")}


async def abort(store: Store, bucket: str, upload: Upload, arguments: Arguments = NONE) -> None:
    """Abort an upload, if it is still there."""
    target = {**arguments, "Bucket": bucket, "Key": upload.key, "UploadId": upload.upload_id}
    try:
        with translated("abort the multipart upload of", f"s3://{bucket}/{upload.key}"):
            await store.s3.abort_multipart_upload(**store.accepted("AbortMultipartUpload", target))
    except NotFoundError as error:
        if code_of(error) != "NoSuchUpload":
            raise


async def last_part(store: Store, bucket: str, upload: Upload, arguments: Arguments = NONE) -> Any:
    """When the last part of an upload came, or when it was begun. Raises `Unknown`."""
    target = {**arguments, "Bucket": bucket, "Key": upload.key, "UploadId": upload.upload_id}
    latest, marker = upload.initiated, Response()
    while True:
        answer = await _ask(store, "ListParts", {**target, **marker}, missing="NoSuchUpload")
        latest = max([latest, *(part["LastModified"] for part in answer.get("Parts", ()))])
        if not answer.get("IsTruncated") or not answer.get("NextPartNumberMarker"):
            return latest
        marker = {"PartNumberMarker": answer["NextPartNumberMarker"]}


async def rewrite(store: Store, bucket: str, key: str, head: Response, arguments: Arguments = NONE) -> None:
    """Copy an object onto itself, if it is still what `head` says, so that its age begins anew.

    Metadata, type, encryption and storage class stay; the service keeps tags.
    """
    same = ("Metadata", "ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage",
            "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled", "StorageClass")  # fmt: skip
    request = {
        **arguments,
        **{name: head[name] for name in same if name in head},
        "Bucket": bucket,
        "Key": key,
        "CopySource": {"Bucket": bucket, "Key": key},
        "CopySourceIfMatch": head["ETag"],
        "MetadataDirective": "REPLACE",
    }
    with translated("refresh", f"s3://{bucket}/{key}"):
        await store.s3.copy_object(**store.accepted("CopyObject", request))


async def _ask(store: Store, operation: str, arguments: Arguments, missing: str = "") -> Response:
    call = getattr(store.s3, xform_name(operation))
    where = f"s3://{arguments['Bucket']}/{arguments.get('Key') or arguments.get('Prefix') or ''}"
    try:
        with translated(f"ask ({operation})", where):
            answer: Response = await call(**store.accepted(operation, arguments))
    except DeltaGliderError as error:
        code = code_of(error)
        if code in _NONE_SET or (missing and code == missing):
            return {}
        if isinstance(error, StorageIOError) and code in _UNASKABLE:
            raise Unknown(str(error)) from error
        raise
    return answer
