"""Listings in logical keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from deltaglider_async.client.base import ClientBase
from deltaglider_async.engine import versions as histories
from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.listing import (
    Entry,
    Listing,
    Page,
    decode_token,
    encode_token,
    fetch_metadata,
    fetch_sizes,
    read_page,
    recall,
    shown,
    url_encoded,
)
from deltaglider_async.engine.read_ahead import LARGEST_PAGE
from deltaglider_async.store.errors import invalid_argument

if TYPE_CHECKING:
    from deltaglider_async.types import (
        ListObjectsResponse,
        ListObjectsV2Response,
        ListObjectVersionsResponse,
    )
    from deltaglider_async.types.arguments import (
        ListObjectsArguments,
        ListObjectsV2Arguments,
        ListObjectVersionsArguments,
    )


class Listings(ClientBase):
    """Pages of logical keys, in S3's order."""

    async def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str | None = None,
        Delimiter: str | None = None,
        MaxKeys: int | None = None,
        ContinuationToken: str | None = None,
        StartAfter: str | None = None,
        EncodingType: str | None = None,
        FetchMetadata: bool | Literal["sizes"] = False,
        **arguments: Unpack[ListObjectsV2Arguments],
    ) -> ListObjectsV2Response:
        """A page of logical keys, in S3's order. boto3's arguments and response.

        Each entry carries `Metadata` with the strings `deltaglider-is-delta`, `deltaglider-original-size`,
        `deltaglider-compression-ratio` (share saved) and `deltaglider-reference-key`. `Size` of a delta is its
        stored size, until a HEAD told this client the original's; `FetchMetadata=True` asks, by concurrent HEADs, or
        has MinIO tell it in the listing. `"sizes"` does so only for deltas whose original's size this client does not
        know, and statistics have not kept in the bucket (`remember=True`); of the others there is no
        `deltaglider-reference-key`.

        Raises `NotFoundError` (no such bucket), `InvalidRequestError` (a foreign token, a bad argument),
        `StorageIOError`.

            page = await client.list_objects_v2(Bucket="releases", Prefix="app/", Delimiter="/")
            names = [item["Key"] for item in page.get("Contents", [])]
        """
        asked = {
            "Bucket": Bucket,
            "Prefix": Prefix,
            "Delimiter": Delimiter,
            "MaxKeys": MaxKeys,
            "ContinuationToken": ContinuationToken,
            "StartAfter": StartAfter,
            "EncodingType": EncodingType,
        }
        most = self._checked("ListObjectsV2", asked | arguments)
        after = StartAfter or "" if ContinuationToken is None else decode_token(ContinuationToken)
        listing = Listing(Bucket, Prefix or "", Delimiter or "", after, _passed(arguments), bool(FetchMetadata))
        page = await read_page(self._engine, listing, most)
        await _fetch(self._engine, Bucket, page.entries, arguments, FetchMetadata)
        response = _answer(page, asked, most) | {"KeyCount": len(page.entries)}
        if page.truncated:
            response["NextContinuationToken"] = encode_token(page.entries[-1])
        optional = {"StartAfter": StartAfter, "ContinuationToken": ContinuationToken}
        return cast(
            "ListObjectsV2Response",
            _encoded(response | {name: value for name, value in optional.items() if value}, EncodingType),
        )

    async def list_objects(
        self,
        Bucket: str,
        Prefix: str | None = None,
        Delimiter: str | None = None,
        MaxKeys: int | None = None,
        ContinuationToken: str | None = None,
        StartAfter: str | None = None,
        FetchMetadata: bool | Literal["sizes"] = False,
        *,
        Marker: str | None = None,
        EncodingType: str | None = None,
        **arguments: Unpack[ListObjectsArguments],
    ) -> ListObjectsResponse:
        """boto3's first version of the listing, and the original's arguments. `Contents` is always present.

        `NextMarker` (always given where `IsTruncated`) and `NextContinuationToken` both lead on. `Metadata` of the
        entries, `FetchMetadata` and errors as of `list_objects_v2`.

            page = await client.list_objects(Bucket="releases", Prefix="app/", FetchMetadata=True)
            for entry in page["Contents"]:
                print(entry["Key"], entry["Size"], entry["Metadata"]["deltaglider-compression-ratio"])
        """
        asked = {
            "Bucket": Bucket,
            "Prefix": Prefix,
            "Delimiter": Delimiter,
            "MaxKeys": MaxKeys,
            "Marker": Marker,
            "EncodingType": EncodingType,
        }
        most = self._checked("ListObjects", asked | arguments)
        after = Marker or StartAfter or "" if ContinuationToken is None else decode_token(ContinuationToken)
        # The second version can say all that the first one does, owners if asked.
        owners = _passed(arguments) | {"FetchOwner": True}
        listing = Listing(Bucket, Prefix or "", Delimiter or "", after, owners, bool(FetchMetadata))
        page = await read_page(self._engine, listing, most)
        await _fetch(self._engine, Bucket, page.entries, arguments, FetchMetadata)
        response: Response = {"Contents": []} | _answer(page, asked, most) | {"Marker": Marker or ""}
        if page.truncated:
            response |= {"NextMarker": page.entries[-1].key, "NextContinuationToken": encode_token(page.entries[-1])}
        return cast("ListObjectsResponse", _encoded(response, EncodingType))

    async def list_object_versions(
        self,
        *,
        Bucket: str,
        Prefix: str | None = None,
        Delimiter: str | None = None,
        MaxKeys: int | None = None,
        KeyMarker: str | None = None,
        VersionIdMarker: str | None = None,
        EncodingType: str | None = None,
        **arguments: Unpack[ListObjectVersionsArguments],
    ) -> ListObjectVersionsResponse:
        """A page of versions and delete markers of logical keys, in S3's order. boto3's arguments and response.

        A key's versions in plain and in delta form are one history: each `VersionId` is what `get_object` and
        `head_object` take. `Size` of a delta is its stored size. Memory: all versions of one key. Errors as of
        `list_objects_v2`.

            page = await client.list_object_versions(Bucket="releases", Prefix="app/app-1.2.zip")
            newest = [version for version in page.get("Versions", []) if version["IsLatest"]]
        """
        asked = {
            "Bucket": Bucket,
            "Prefix": Prefix,
            "Delimiter": Delimiter,
            "MaxKeys": MaxKeys,
            "KeyMarker": KeyMarker,
            "VersionIdMarker": VersionIdMarker,
            "EncodingType": EncodingType,
        }
        most = self._checked("ListObjectVersions", asked | arguments)
        if VersionIdMarker and not KeyMarker:
            raise invalid_argument("ListObjectVersions", "VersionIdMarker needs a KeyMarker.")
        listing = Listing(Bucket, Prefix or "", Delimiter or "", KeyMarker or "", _passed(arguments))
        page = await histories.read_versions(self._engine, listing, VersionIdMarker or "", most)
        response = _answer(page, asked, most, versions=True)
        response |= {"KeyMarker": KeyMarker or "", "VersionIdMarker": VersionIdMarker or ""}
        if page.truncated:
            last = page.entries[-1]
            response["NextKeyMarker"] = last.key
            if last.item is not None:
                response["NextVersionIdMarker"] = last.item["VersionId"]
        return cast("ListObjectVersionsResponse", _encoded(response, EncodingType))

    def _checked(self, operation: str, arguments: Response) -> int:
        """How many entries a page has at most. Raises for what S3 or boto3 would not take."""
        self._check_arguments(operation, arguments)
        most = arguments.get("MaxKeys")
        if most is not None and most < 0:
            raise invalid_argument(operation, f"MaxKeys is {most}. Accepted: 0 and more.")
        if arguments.get("EncodingType") not in (None, "url"):
            raise invalid_argument(operation, f"EncodingType is {arguments['EncodingType']!r}. Accepted: url.")
        return LARGEST_PAGE if most is None else min(most, LARGEST_PAGE)


async def _fetch(
    engine: Engine, bucket: str, page: list[Entry], arguments: Mapping[str, Any], wanted: bool | Literal["sizes"]
) -> None:
    """What is to be known of the deltas of a page, besides what the listing tells."""
    recall(engine, bucket, page)
    if wanted:
        await (fetch_sizes if wanted == "sizes" else fetch_metadata)(engine, bucket, page, arguments)


def _passed(arguments: Mapping[str, Any]) -> Response:
    """What S3 itself is told."""
    names = ("FetchOwner", "OptionalObjectAttributes")
    return {name: arguments[name] for name in names if name in arguments} | access_only(arguments)


def _answer(page: Page, asked: Response, most: int, *, versions: bool = False) -> Response:
    """What the answers of all listings have. boto3 always asks for encoded names, and S3 says so."""
    response = page.answer | {
        "Name": asked["Bucket"],
        "Prefix": asked["Prefix"] or "",
        "MaxKeys": most,
        "IsTruncated": page.truncated,
        "EncodingType": "url",
    }
    found = [entry for entry in page.entries if entry.item is not None]
    if versions:
        response["Versions"] = [_version(entry) for entry in found if not histories.is_marker(entry.item or {})]
        response["DeleteMarkers"] = [_version(entry) for entry in found if histories.is_marker(entry.item or {})]
    else:
        response["Contents"] = [shown(entry) for entry in found]
    response["CommonPrefixes"] = [{"Prefix": entry.key} for entry in page.entries if entry.item is None]
    response["Delimiter"] = asked["Delimiter"] or None
    return {name: value for name, value in response.items() if value not in (None, [])}


def _version(entry: Entry) -> Response:
    return {**(entry.item or {}), "Key": entry.key}


_NAMES = ("Prefix", "Delimiter", "StartAfter", "Marker", "NextMarker", "KeyMarker", "NextKeyMarker")
_LISTS = (("Contents", "Key"), ("Versions", "Key"), ("DeleteMarkers", "Key"), ("CommonPrefixes", "Prefix"))


def _encoded(response: Response, encoding: str | None) -> Response:
    """boto3 decodes names unless the caller asked for encoded ones."""
    if encoding is not None:
        response |= {name: url_encoded(response[name]) for name in _NAMES if name in response}
        for name, inner in _LISTS:
            for item in response.get(name, ()):
                item[inner] = url_encoded(item[inner])
    return response
