"""Pages of what is stored, as plain values: names in S3's order, and what S3 says of each."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from deltaglider_async.store.errors import translated
from deltaglider_async.store.limits import limits
from deltaglider_async.store.s3 import Arguments, Response, Store


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A part of a listing. `names` are in order; of a common prefix there are no items."""

    names: dict[str, list[Response]]
    truncated: bool
    answer: Response
    """What S3 says of the request: `ResponseMetadata`, `RequestCharged`."""


class Source(Protocol):
    """Something that is listed page by page: the objects of a bucket, or all their versions."""

    grouped: bool
    """Whether a name can have several items, which may go on on the next page."""

    def pages(self, prefix: str, delimiter: str, after: str, most: int) -> AsyncGenerator[StoredPage, None]:
        """Names that begin with `prefix` and come after `after`, rolled up at `delimiter`, `most` to a page."""
        ...


class ObjectPages:
    """The objects of a bucket. Of each name there is one item. `metadata` is that of `Store.pages`."""

    grouped = False

    def __init__(self, store: Store, bucket: str, arguments: Arguments, *, metadata: bool = False) -> None:
        self._store, self._bucket, self._arguments, self._metadata = store, bucket, arguments, metadata

    async def pages(self, prefix: str, delimiter: str, after: str, most: int) -> AsyncGenerator[StoredPage, None]:
        """ListObjectsV2."""
        asked = {"Prefix": prefix, "Delimiter": delimiter or None, "StartAfter": after or None, "MaxKeys": most}
        listed = self._store.pages(self._bucket, {**self._arguments, **asked}, metadata=self._metadata)
        async with aclosing(listed) as pages:
            async for page in pages:
                names: dict[str, list[Response]] = {item["Key"]: [item] for item in page.get("Contents", ())}
                yield _stored_page(names, page)


class VersionPages:
    """All versions and delete markers of a bucket. Of each name there are one or more, newest first.

    A delete marker is an item without `ETag`.
    """

    grouped = True

    def __init__(self, store: Store, bucket: str, arguments: Arguments) -> None:
        self._store, self._bucket, self._arguments = store, bucket, arguments

    async def pages(self, prefix: str, delimiter: str, after: str, most: int) -> AsyncGenerator[StoredPage, None]:
        """ListObjectVersions. Only the names of a page are in order: S3 gives versions and delete markers apart."""
        asked: Response = {"Prefix": prefix, "Delimiter": delimiter or None, "MaxKeys": limits().most_keys(most)}
        marker: Response = {"KeyMarker": after or None}
        while True:
            with translated("list the versions of", f"s3://{self._bucket}/{prefix}"):
                arguments = self._store.accepted("ListObjectVersions", {**self._arguments, **asked, **marker})
                page: Response = await self._store.s3.list_object_versions(Bucket=self._bucket, **arguments)
            names: dict[str, list[Response]] = {}
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                names.setdefault(item["Key"], []).append(item)
            yield _stored_page(names, page)
            if not page.get("IsTruncated"):
                return
            # Empty where the page ends with a common prefix; it is refused as a version then.
            version = page.get("NextVersionIdMarker") or None
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": version}


def newest_first(items: list[Response]) -> list[Response]:
    """The versions and delete markers of one name in S3's order. Within one second, it is that of S3 where known."""

    def age(item: Response) -> tuple[bool, Any]:
        return not item.get("IsLatest"), -item["LastModified"].timestamp()

    return sorted(items, key=age)


def _stored_page(names: dict[str, list[Response]], page: Response) -> StoredPage:
    names |= {common["Prefix"]: [] for common in page.get("CommonPrefixes", ())}
    answer: Response = {name: page[name] for name in ("ResponseMetadata", "RequestCharged") if name in page}
    # UTF-8, in which S3 sorts, and code points, in which Python compares, agree on the order.
    return StoredPage(dict(sorted(names.items())), bool(page.get("IsTruncated")), answer)
