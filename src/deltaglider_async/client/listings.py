"""Listings in logical keys."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine.core import Response, access_only
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
from deltaglider_async.errors import InvalidRequestError


class Listings(ClientBase):
    """Pages of logical keys, in S3's order."""

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
