"""PutObject, without botocore where that can be (`direct.py`)."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from deltaglider_async.store.answers import Response
from deltaglider_async.store.direct import Direct
from deltaglider_async.store.templates import Part
from deltaglider_async.streams import CHUNK

#: Arguments that are the same for many objects. A customer's encryption key is not to be kept, an ETag serves once, and
#: what botocore computes of the body, or encodes in ways of its own, is botocore's.
_CONSTANT = frozenset(
    {
        "ACL", "CacheControl", "ChecksumAlgorithm", "ContentDisposition", "ContentEncoding", "ContentLanguage",
        "ContentType", "ExpectedBucketOwner", "IfNoneMatch", "RequestPayer", "SSEKMSKeyId", "ServerSideEncryption",
        "StorageClass", "Tagging",
    }
)  # fmt: skip
_CHECKSUM, _USER = "x-amz-checksum-sha256", "x-amz-meta-"
_OF_ONE = frozenset({"Bucket", "Key", "Metadata", "ChecksumSHA256"})


class Puts:
    """PutObject through an S3 client of aiobotocore, or something that has its `put_object`."""

    def __init__(self, s3: Any) -> None:
        self._direct = Direct(s3, "PutObject")

    async def put(self, data: bytes, arguments: Mapping[str, Any]) -> Response:
        """What the client's `put_object` answers or raises, for arguments besides `Body`."""
        # aiohttp does not want large ones as bytes.
        whole = {**arguments, "Body": data if len(data) <= CHUNK else io.BytesIO(data)}
        if not data or len(data) > CHUNK or (part := _part(data, arguments)) is None:
            return await self._direct.by_botocore(whole)
        constant = tuple(sorted((name, value) for name, value in arguments.items() if name not in _OF_ONE))
        return await self._direct.call(whole, constant, part)


def _part(data: bytes, arguments: Mapping[str, Any]) -> Part | None:
    """What is of one object; None where an argument is not known here, or a value not as plain as it is sent."""
    given = arguments.keys() - _OF_ONE
    checksum = arguments.get("ChecksumSHA256")
    if checksum is None or not given <= _CONSTANT or not all(isinstance(arguments[name], str) for name in given):
        return None
    metadata = arguments.get("Metadata", {})
    headers = {f"{_USER}{name}": value for name, value in metadata.items()}
    if not arguments["Key"] or not all(_is_plain(value) for value in headers.values()):
        return None
    headers[_CHECKSUM] = checksum
    return Part(data, base64.b64decode(checksum).hex(), headers)


def _is_plain(value: Any) -> bool:
    """Whether the header is the value, as it stands."""
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip(" ")
