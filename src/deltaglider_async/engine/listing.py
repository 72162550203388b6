"""Listings in logical keys, in S3's order.

Stored names do not sort like logical ones: `app.delta` comes after `app-1.zip` and `app.a`, but is logical `app`,
which comes before both. So before a key K is given out, it must be known for each prefix X of K after which K
goes on with something that sorts below `.delta` whether `X.delta` exists. Mostly the stored keys at hand tell;
where they do not reach that far, one HEAD does. Where a plain X and `X.delta` exist, the plain one is the object.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta

#: HEADs at once for `FetchMetadata` and statistics: about what keeps one core busy at 1 ms of work each.
HEADS_AT_ONCE = 32
#: S3's limit for a page.
LARGEST_PAGE = 1000


@dataclass(slots=True)
class Entry:
    """A logical object of a listing, or a common prefix (`item` is None)."""

    key: str
    item: Response | None = None
    is_delta: bool = False
    delta: meta.DeltaMetadata | None = None
    """What a HEAD of a delta told, where one was made."""
    foreign: bool = False
    """A HEAD told that it is no delta but somebody else's object under such a name."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list. `resumed`: `after` is the last entry of an earlier page rather than a caller's `StartAfter`."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    resumed: bool = False
    arguments: Mapping[str, Any] | None = None


def hidden_before(name: str, prefix: str) -> Iterator[str]:
    """The logical keys that sort before `name` although their delta form would sort after it, in order."""
    for position in range(max(1, len(prefix)), len(name)):
        if name[position] <= "." and name[position:] < keys.DELTA_SUFFIX:
            yield name[:position]


class _ReadAhead:
    """The stored names of a listing, with what is known of those that follow."""

    def __init__(self, engine: Engine, listing: Listing) -> None:
        self._engine = engine
        self._bucket = listing.bucket
        self._access = access_only(listing.arguments or {})
        # The service rolls up `/`; any other delimiter could cut `.delta` in two, and is applied here.
        self._pages = engine.store.pages(
            listing.bucket,
            {
                **(listing.arguments or {}),
                "Prefix": listing.prefix,
                "Delimiter": "/" if listing.delimiter == "/" else None,
                "StartAfter": listing.after or None,
                "MaxKeys": LARGEST_PAGE,
            },
        )
        self._names: deque[str] = deque()
        self._items: dict[str, Response | None] = {}
        self._complete = False

    async def aclose(self) -> None:
        await self._pages.aclose()

    async def first(self) -> str | None:
        """The next stored name; None at the end."""
        while not self._names and not self._complete:
            await self._read_page()
        return self._names[0] if self._names else None

    def take(self) -> Response | None:
        """The item of the next stored name, which is passed; None for a common prefix."""
        return self._items.pop(self._names.popleft())

    async def delta_form(self, logical: str) -> Response | None:
        """The item of a logical key's delta form, which is further ahead."""
        name = keys.delta_key(logical)
        if not self._reaches(name) and len(self._names) < LARGEST_PAGE:
            await self._read_page()  # wanted next anyway, and mostly tells
        if self._reaches(name):
            return self._items.get(name)
        if not keys.fits(name):
            return None
        head = await self._engine.store.head(self._bucket, name, self._access)
        return head and _item_of_head(name, head)

    def _reaches(self, name: str) -> bool:
        return self._complete or bool(self._names and self._names[-1] >= name)

    async def _read_page(self) -> None:
        page = await anext(self._pages, None)
        self._complete = page is None or not page.get("IsTruncated")
        if page is not None:
            items: dict[str, Response | None] = {item["Key"]: item for item in page.get("Contents", ())}
            items.update((common["Prefix"], None) for common in page.get("CommonPrefixes", ()))
            self._items |= items
            # UTF-8, in which S3 sorts, and code points, in which Python compares, agree on the order.
            self._names += sorted(items)


async def entries(engine: Engine, listing: Listing) -> AsyncGenerator[Entry, None]:
    """Everything logical below a prefix, in S3's order, common prefixes among the objects."""
    last_prefix = listing.after if listing.resumed else ""
    delimiter = "" if listing.delimiter == "/" else listing.delimiter
    async with aclosing(_objects(engine, listing)) as objects:
        async for entry in objects:
            cut = entry.key.find(delimiter, len(listing.prefix)) if delimiter else -1
            if cut >= 0:
                entry = Entry(entry.key[: cut + len(delimiter)])
            if entry.item is None:
                if entry.key <= last_prefix:
                    continue
                last_prefix = entry.key
            yield entry


async def _objects(engine: Engine, listing: Listing) -> AsyncGenerator[Entry, None]:
    settled: set[str] = set()  # logical keys of which no delta form must be given out any more
    ahead = _ReadAhead(engine, listing)
    try:
        while (name := await ahead.first()) is not None:
            for logical in hidden_before(name, listing.prefix):
                if logical > listing.after and logical not in settled and not keys.is_internal(logical):
                    settled.add(logical)
                    if (item := await ahead.delta_form(logical)) is not None:
                        yield Entry(logical, item, is_delta=True)
            item = ahead.take()
            is_delta = item is not None and name.endswith(keys.DELTA_SUFFIX)
            logical = keys.logical_key(name) if is_delta else name
            shown = not keys.is_internal(logical) and logical.startswith(listing.prefix) and logical not in settled
            if shown and (item is None or logical > listing.after):
                yield Entry(logical, item, is_delta)
            settled = {key for key in settled if name < keys.delta_key(key)}
            if not is_delta:
                settled.add(name)  # the plain form is the object
    finally:
        await ahead.aclose()


async def fetch_metadata(engine: Engine, bucket: str, page: list[Entry], arguments: Mapping[str, Any]) -> None:
    """Ask what the deltas among the entries are deltas of, by HEADs side by side."""

    async def ask(entry: Entry) -> None:
        head = await engine.store.head(bucket, keys.delta_key(entry.key), access_only(arguments))
        metadata = (head or {}).get("Metadata", {})
        if meta.is_delta(metadata):
            entry.delta = meta.DeltaMetadata.parse(metadata, keys.delta_key(entry.key), bucket)
        elif head is not None:
            entry.foreign = True

    async def deltas() -> AsyncIterator[Entry]:
        for entry in page:
            if entry.is_delta:
                yield entry

    await for_each(deltas(), ask, HEADS_AT_ONCE)


def shown(entry: Entry) -> Response:
    """An entry as `Contents` shows it. `Size` of a delta is the original's where a HEAD told it, else as stored."""
    assert entry.item is not None
    delta, stored = entry.delta, int(entry.item["Size"])
    is_delta = entry.is_delta and not entry.foreign
    size = delta.file_size if delta else stored
    ratio = "unknown" if is_delta and not delta else f"{max(0.0, 1 - stored / size) if size else 0.0:.4f}"
    metadata = {
        "deltaglider-is-delta": "true" if is_delta else "false",
        "deltaglider-original-size": str(size) if delta or not is_delta else "unknown",
        "deltaglider-compression-ratio": ratio,
    }
    if delta:
        metadata["deltaglider-reference-key"] = delta.ref_key
    item = {name: value for name, value in entry.item.items() if not (is_delta and name.startswith("Checksum"))}
    return {
        **item,
        "Key": keys.delta_key(entry.key) if entry.foreign else entry.key,
        "Size": size,
        "Metadata": metadata,
    }


def encode_token(entry: Entry) -> str:
    """A continuation token: where the next page begins."""
    return base64.urlsafe_b64encode(json.dumps({"after": entry.key}).encode()).decode()


def decode_token(token: str) -> str:
    """The key or common prefix after which a page begins. Raises `InvalidRequestError` for a token that is not ours."""
    try:
        after = json.loads(base64.urlsafe_b64decode(token.encode()))["after"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        after = None
    if not isinstance(after, str):
        raise InvalidRequestError(f"ContinuationToken {token!r} is none that list_objects_v2 gave out.")
    return after


def _item_of_head(name: str, head: Response) -> Response:
    return {
        "Key": name,
        "Size": int(head["ContentLength"]),
        "LastModified": head["LastModified"],
        "ETag": head["ETag"],
        "StorageClass": head.get("StorageClass", "STANDARD"),
    }
