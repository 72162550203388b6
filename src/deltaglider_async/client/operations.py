"""Which of S3's operations are delta-aware; all others go to botocore's client as they are."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError

from deltaglider_async.format import keys

#: Those that touch the data or the name of an object.
DELTA_AWARE = frozenset(
    {
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteObject",
        "DeleteObjectTagging", "DeleteObjects", "GetObject", "GetObjectAcl", "GetObjectAttributes",
        "GetObjectLegalHold", "GetObjectRetention", "GetObjectTagging", "HeadObject", "ListMultipartUploads",
        "ListObjectVersions", "ListObjects", "ListObjectsV2", "ListParts", "PutObject", "PutObjectAcl",
        "PutObjectLegalHold", "PutObjectRetention", "PutObjectTagging", "RestoreObject", "UploadPart",
        "UploadPartCopy",
    }
)  # fmt: skip

Client = TypeVar("Client", bound=type)
Method = Callable[..., Awaitable[Any]]


def answers_for_itself(client: Client) -> Client:
    """A client whose errors speak of what the caller asked for, not of the calls that it took."""
    for operation in DELTA_AWARE:
        name = xform_name(operation)
        if (method := getattr(client, name, None)) is not None:
            setattr(client, name, _answering(operation, method))
    return client


def _answering(operation: str, method: Method) -> Method:
    @functools.wraps(method)
    async def call(self: Any, /, *positional: Any, **arguments: Any) -> Any:
        try:
            return await method(self, *positional, **arguments)
        except ClientError as error:
            _speak_of(error, operation, arguments)
            raise

    return call


def _speak_of(error: ClientError, operation: str, arguments: dict[str, Any]) -> None:
    """Name the operation, and the stored object by the name that the caller gave it."""
    error.operation_name = operation
    told: dict[str, Any] = dict(error.response.get("Error", {}))
    if told.get("Code") == "403" and operation != "HeadObject":
        told["Code"] = "AccessDenied"  # the answer to a HEAD has no room for the word
    if "Key" in told and keys.is_reserved(told["Key"]):
        told["Key"] = arguments.get("Key", told["Key"])
        if "Resource" in told:
            told["Resource"] = f"/{arguments.get('Bucket')}/{told['Key']}"
    if "UploadId" in told:
        told["UploadId"] = arguments.get("UploadId", told["UploadId"])
    error.response = {**error.response, "Error": told}  # type: ignore[typeddict-item]
