"""Deletes of logical keys."""

from __future__ import annotations

from typing import Unpack, cast

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import delete
from deltaglider_async.types import (
    DeleteObjectResponse,
)
from deltaglider_async.types.arguments import (
    DeleteObjectArguments,
)


class Deletes(ClientBase):
    """Deletes of logical keys."""

    async def delete_object(
        self, *, Bucket: str, Key: str, **arguments: Unpack[DeleteObjectArguments]
    ) -> DeleteObjectResponse:
        """boto3's `delete_object`; a missing key is no error.

        `DeltaGliderInfo`: `Type` (`delta`, `direct`, `reference`, `internal`, `not_found`), `Deleted`, `Warnings`,
        `DependentDeltas`. Raises `InvalidRequestError` for a reference that deltas use.
        """
        self._check_arguments("DeleteObject", {"Bucket": Bucket, "Key": Key, **arguments})
        return cast("DeleteObjectResponse", await delete.delete(self._engine, Bucket, Key, arguments))
