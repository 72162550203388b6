"""HeadObject, without botocore where that can be (`direct.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deltaglider_async.store.answers import Response
from deltaglider_async.store.direct import Direct
from deltaglider_async.store.templates import NOTHING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

#: Arguments that are the same for many keys. Versions are not, and a customer's encryption key is not to be kept.
_CONSTANT = frozenset({"ChecksumMode", "ExpectedBucketOwner", "RequestPayer"})


class Heads:
    """HeadObject through an S3 client of aiobotocore, or something that has its `head_object`."""

    def __init__(self, s3: Any) -> None:
        self._direct = Direct(s3, "HeadObject")

    async def head(self, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
        """What the client's `head_object` answers or raises. Where there is no such object it may also answer what such
        an error has as its `response`, with `Error`.
        """
        asked = {"Bucket": bucket, "Key": key, **arguments}
        if not key or not arguments.keys() <= _CONSTANT:
            return await self._direct.by_botocore(asked)
        return await self._direct.call(asked, tuple(sorted(arguments.items())), NOTHING)

    def error(self, answer: Response) -> ClientError:
        """What the client raises for an answer with `Error`."""
        return self._direct.error(answer)
