"""Listings in logical keys, in S3's order.

Stored names do not sort like logical ones: `app.delta` comes after `app-1.zip` and `app.a`, but is logical `app`,
which comes before both. So before a key K is given out, it must be known for each prefix X of K after which K
goes on with something that sorts below `.delta` whether `X.delta` exists. Mostly the stored keys at hand tell;
where they do not reach that far, one short LIST does. Where a plain X and `X.delta` exist, the plain one is the object.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote_plus

from deltaglider_async.engine import kept_sizes
from deltaglider_async.engine.core import Engine, Response, access_only
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.engine.read_ahead import ReadAhead, rolled_up
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import invalid_argument
from deltaglider_async.store.pages import ObjectPages

#: HEADs at once for `FetchMetadata` and statistics: as many as there are connections. At 0.2 ms of work each they keep
#: one core busy where an answer takes 13 ms.
HEADS_AT_ONCE = 64
#: So many HEADs are worth a look for the sizes that statistics keep in the bucket.
_WORTH_A_LOOK = 32
#: What a first page has more than is wanted, and at least an eighth: for hidden names, and to see what follows.
_SPARE = 16


@dataclass(slots=True)
class Entry:
    """A logical object of a listing, or a common prefix (`item` is None)."""

    key: str
    item: Response | None = None
    is_delta: bool = False
    delta: meta.DeltaMetadata | None = None
    """What a HEAD of a delta told, where one was made."""
    original_size: int | None = None
    """What is remembered of a delta, in bytes."""
    foreign: bool = False
    """A HEAD told that it is no delta but somebody else's object under such a name."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What to list: logical keys and common prefixes that come after `after`."""

    bucket: str
    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    metadata: bool = False
    """Whether `fetch_metadata` follows."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing, whether more follows, and what S3 said of the request."""

    entries: list[Entry]
    truncated: bool
    answer: Response


def hidden_before(name: str, prefix: str) -> Iterator[str]:
    """The logical keys that sort before `name` although their delta form would sort after it, in order."""
    if keys.is_internal(name):
        return  # it is not given out; whatever is, looks itself
    for position in range(max(1, len(prefix)), len(name)):
        if name[position] <= "." and name[position:] < keys.DELTA_SUFFIX:
            yield name[:position]


async def read_page(engine: Engine, listing: Listing, most: int) -> Page:
    """The first entries of a listing, objects and common prefixes, `most` at most, in S3's order."""
    source = ObjectPages(engine.store, listing.bucket, listing.arguments, metadata=listing.metadata)
    found: list[Entry] = []
    truncated = False
    ahead = ReadAhead(source, listing.prefix, listing.delimiter, listing.after, most + max(_SPARE, most // 8))
    async with aclosing(ahead):
        await ahead.begin()
        async with aclosing(_entries(ahead, listing)) as entries:
            while most > 0 and (entry := await anext(entries, None)) is not None:
                if truncated := len(found) >= most:
                    break
                found.append(entry)
    return Page(found, truncated, ahead.answer)


async def _entries(ahead: ReadAhead, listing: Listing) -> AsyncGenerator[Entry, None]:
    last = listing.after
    async with aclosing(_objects(ahead, listing)) as objects:
        async for entry in objects:
            if entry.item is not None and (common := rolled_up(entry.key, listing.prefix, listing.delimiter)):
                entry = Entry(common)
            if entry.key > last:
                last = entry.key
                yield entry


async def _objects(ahead: ReadAhead, listing: Listing) -> AsyncGenerator[Entry, None]:
    settled: set[str] = set()  # logical keys of which no delta form must be given out any more
    while (name := await ahead.first()) is not None:
        for logical in hidden_before(name, listing.prefix):
            if logical > listing.after and logical not in settled and not keys.is_internal(logical):
                settled.add(logical)
                for item in await ahead.look_up(keys.delta_key(logical)):
                    yield Entry(logical, item, is_delta=True)
        items = ahead.take()
        is_delta = bool(items) and name.endswith(keys.DELTA_SUFFIX)
        logical = keys.logical_key(name) if is_delta else name
        if not keys.is_internal(logical) and logical.startswith(listing.prefix) and logical not in settled:
            yield Entry(logical, items[0] if items else None, is_delta)
        settled = {key for key in settled if name < keys.delta_key(key)}
        if not is_delta:
            settled.add(name)  # the plain form is the object


async def fetch_metadata(engine: Engine, bucket: str, page: list[Entry], arguments: Mapping[str, Any]) -> None:
    """Ask what the deltas among the entries are deltas of, by HEADs side by side where the listing did not tell."""

    async def ask(entry: Entry) -> None:
        head = await engine.store.head(bucket, keys.delta_key(entry.key), access_only(arguments))
        if head is not None:
            read(entry, head)

    def read(entry: Entry, head: Response) -> None:
        stored_key = keys.delta_key(entry.key)
        if meta.is_delta(head.get("Metadata", {})):
            entry.delta = meta.DeltaMetadata.parse(head["Metadata"], stored_key, bucket)
            engine.remembered.learn(bucket, stored_key, head["ETag"], entry.delta.file_size)
        else:
            entry.foreign = True

    async def deltas() -> AsyncIterator[Entry]:
        for entry in page:
            if entry.is_delta and entry.item is not None:
                if {"ETag", "Metadata"} <= entry.item.keys():
                    read(entry, entry.item)
                else:
                    yield entry

    await for_each(deltas(), ask, HEADS_AT_ONCE)


async def fetch_sizes(engine: Engine, bucket: str, page: list[Entry], arguments: Mapping[str, Any]) -> None:
    """As `fetch_metadata`, for those deltas whose original's size is not remembered, nor kept in the bucket."""

    def unknown() -> list[Entry]:
        return [entry for entry in page if entry.is_delta and entry.original_size is None]

    untold = [entry for entry in unknown() if "Metadata" not in (entry.item or {})]
    if len(untold) > _WORTH_A_LOOK and not engine.remembered.sizes(bucket):
        kept = await kept_sizes.read(engine, bucket, access_only(arguments), [])
        engine.remembered.replace_sizes(bucket, dict(islice(kept.items(), engine.remembered.most_sizes)))
        recall(engine, bucket, page)
    await fetch_metadata(engine, bucket, unknown(), arguments)


def recall(engine: Engine, bucket: str, page: list[Entry]) -> None:
    """What earlier HEADs told of the deltas among the entries: their originals' sizes."""
    for entry in page:
        # Not every service lists ETags.
        if entry.is_delta and entry.item is not None and "ETag" in entry.item:
            size = engine.remembered.size(bucket, keys.delta_key(entry.key), entry.item["ETag"])
            entry.original_size = None if size is None or size < 0 else size


def shown(entry: Entry) -> Response:
    """An entry as `Contents` shows it. `Size` of a delta is the original's where a HEAD told it, else as stored."""
    assert entry.item is not None
    delta, stored = entry.delta, int(entry.item["Size"])
    is_delta = entry.is_delta and not entry.foreign
    original = delta.file_size if delta else entry.original_size if is_delta else stored
    size = stored if original is None else original
    ratio = "unknown" if original is None else f"{max(0.0, 1 - stored / size) if size else 0.0:.4f}"
    metadata = {
        "deltaglider-is-delta": "true" if is_delta else "false",
        "deltaglider-original-size": "unknown" if original is None else str(original),
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
    """The key or common prefix after which a page begins. Raises what S3 raises for a token that is not ours."""
    try:
        after = json.loads(base64.urlsafe_b64decode(token.encode()))["after"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        after = None
    if not isinstance(after, str):
        raise invalid_argument("ListObjectsV2", f"ContinuationToken {token!r} is none that list_objects_v2 gave out.")
    return after


def url_encoded(text: str) -> str:
    """A name as S3 gives it with `EncodingType="url"`."""
    return quote_plus(text, safe="/*").replace("~", "%7E")
