"""Errors and log records speak of what the caller asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError

from deltaglider_async.client.operations import DELTA_AWARE, REFUSED_ON_DELTAS, STORED_OBJECT
from deltaglider_async.engine.record import recorded
from deltaglider_async.format import keys

Client = TypeVar("Client", bound=type)
Method = Callable[..., Awaitable[Any]]

#: Methods that boto3 has not, or under another name, and that are operations of their own in the log.
_OURS = (
    "copy",
    "delete_objects_recursive",
    "estimate_compression",
    "find_similar_files",
    "get_bucket_stats",
    "get_deltaspace_stats",
    "purge_temp_files",
    "rehydrate_for_download",
)
#: They write their records themselves: one may be part of another operation, the other ends with its body.
_RECORDED = frozenset({"PutObject", "GetObject"})


def answers_for_itself(client: Client) -> Client:
    """A client whose errors speak of what the caller asked for, not of the calls that it took; and so does its log."""
    for operation in DELTA_AWARE | STORED_OBJECT | REFUSED_ON_DELTAS:
        name = xform_name(operation)
        if (method := getattr(client, name, None)) is not None:
            logged = method if operation in _RECORDED else _logged(name, method)
            setattr(client, name, _answering(operation, logged))
    for name in _OURS:
        setattr(client, name, _logged(name, getattr(client, name)))
    return client


def _named(method: Method) -> Callable[..., dict[str, Any]]:
    """All arguments of a call by their names."""
    names = tuple(inspect.signature(method).parameters)[1:]
    return lambda positional, arguments: dict(zip(names, positional, strict=False)) | arguments


def _answering(operation: str, method: Method) -> Method:
    named = _named(method)

    @functools.wraps(method)
    async def call(self: Any, /, *positional: Any, **arguments: Any) -> Any:
        try:
            return await method(self, *positional, **arguments)
        except ClientError as error:
            _speak_of(error, operation, named(positional, arguments))
            raise

    return call


def _logged(name: str, method: Method) -> Method:
    named = _named(method)

    @functools.wraps(method)
    async def call(self: Any, /, *positional: Any, **arguments: Any) -> Any:
        given = named(positional, arguments)
        bucket, key = (
            next((str(given[word]) for word in words if given.get(word) is not None), "")
            for words in (("Bucket", "bucket"), ("Key", "Prefix", "prefix"))
        )
        with recorded(name, bucket, key) as record:
            answer = await method(self, *positional, **arguments)
            record.sized(answer.get("DeltaGliderInfo", {}) if isinstance(answer, dict) else {})
        return answer

    return call


def _speak_of(error: ClientError, operation: str, arguments: dict[str, Any]) -> None:
    """Name the operation, and the stored object by the name that the caller gave it."""
    error.operation_name = operation
    told: dict[str, Any] = dict(error.response.get("Error", {}))
    if told.get("Code") == "403" and operation != "HeadObject":
        told["Code"] = "AccessDenied"  # the answer to a HEAD has no room for the word
    if "Key" in arguments and keys.is_reserved(told.get("Key", "")):
        told["Key"] = arguments["Key"]
    if "Key" in arguments and keys.is_reserved(told.get("Resource", "")):
        told["Resource"] = f"/{arguments['Bucket']}/{arguments['Key']}"
    if "UploadId" in told:
        told["UploadId"] = arguments.get("UploadId", told["UploadId"])
    error.response = {**error.response, "Error": told}  # type: ignore[typeddict-item]
