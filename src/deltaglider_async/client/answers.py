"""Errors speak of what the caller asked for."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from botocore import xform_name
from botocore.exceptions import ClientError

from deltaglider_async.client.operations import DELTA_AWARE, STORED_OBJECT
from deltaglider_async.format import keys

Client = TypeVar("Client", bound=type)
Method = Callable[..., Awaitable[Any]]


def answers_for_itself(client: Client) -> Client:
    """A client whose errors speak of what the caller asked for, not of the calls that it took."""
    for operation in DELTA_AWARE | STORED_OBJECT:
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
    if "Key" in arguments and keys.is_reserved(told.get("Key", "")):
        told["Key"] = arguments["Key"]
    if "Key" in arguments and keys.is_reserved(told.get("Resource", "")):
        told["Resource"] = f"/{arguments['Bucket']}/{arguments['Key']}"
    if "UploadId" in told:
        told["UploadId"] = arguments.get("UploadId", told["UploadId"])
    error.response = {**error.response, "Error": told}  # type: ignore[typeddict-item]
