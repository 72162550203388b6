"""Versions of logical keys, in S3's order: keys ascending, of each the newest first.

A logical key has versions in its plain form and in its delta form. In the order of time they are one history, in which
exactly one version or delete marker is the latest. The two forms have no common counter, only times, which AWS gives in
whole seconds; within one, the order is that in which the bucket protocol can have written them. The delete marker of a
delta that a put in the plain form replaced is no delete, and is left out.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.listing import Entry, Listing, Page, hidden_before
from deltaglider_async.engine.read_ahead import ReadAhead, look_up, rolled_up
from deltaglider_async.format import keys
from deltaglider_async.store.pages import Source, VersionPages, newest_first

Versions = list[Response]


def is_marker(item: Response) -> bool:
    """Whether this is a delete marker."""
    return "ETag" not in item


def history(plain: Versions, delta: Versions) -> Versions:
    """The versions and delete markers of a logical key, newest first, from those of its two forms."""
    ahead_plain, ahead_delta = newest_first(plain), [_undressed(item) for item in newest_first(delta)]
    found: Versions = []
    last_plain: Response | None = None
    last_delta: Response | None = None
    while ahead_plain or ahead_delta:  # from the oldest on
        plain_lives = last_plain is not None and not is_marker(last_plain)
        delta_lives = last_delta is not None and not is_marker(last_delta)
        if not ahead_delta or (
            ahead_plain and _plain_is_older(ahead_plain[-1], ahead_delta[-1], plain_lives, delta_lives)
        ):
            last_plain = ahead_plain.pop()
            found.append(last_plain)
        else:
            last_delta = ahead_delta.pop()
            if not (plain_lives and is_marker(last_delta)):
                found.append(last_delta)
    for latest in (last_plain, last_delta):  # plain wins, whatever was written later
        if latest is not None and not is_marker(latest):
            found = [item for item in found if item is not latest] + [latest]
            break
    return [{**item, "IsLatest": age == 0} for age, item in enumerate(reversed(found))]


def _plain_is_older(plain: Response, delta: Response, plain_lives: bool, delta_lives: bool) -> bool:
    if plain["LastModified"] != delta["LastModified"]:
        return bool(plain["LastModified"] < delta["LastModified"])
    if not is_marker(delta):  # is put only where there is no plain form, and replaced by one
        return plain_lives or (is_marker(plain) and not delta_lives)
    return not plain_lives and not is_marker(plain)  # rather what a put in the plain form left over than a delete


async def read_versions(engine: Engine, listing: Listing, version: str, most: int) -> Page:
    """The first entries of a listing of versions, `most` at most. An entry's `item` is as S3 gives it.

    `version`: where it is not empty, the listing goes on after this version of the key `listing.after`.
    """
    source = VersionPages(engine.store, listing.bucket, listing.arguments)
    found: list[Entry] = []
    truncated = False
    ahead = ReadAhead(source, listing.prefix, listing.delimiter, listing.after)
    async with aclosing(ahead):
        await ahead.begin()
        async with aclosing(_entries(ahead, source, listing, version)) as entries:
            while most > 0 and (entry := await anext(entries, None)) is not None:
                if truncated := len(found) >= most:
                    break
                found.append(entry)
    return Page(found, truncated, ahead.answer)


async def _entries(ahead: ReadAhead, source: Source, listing: Listing, version: str) -> AsyncGenerator[Entry, None]:
    last = listing.after
    if version and _is_listed(last, listing) and not rolled_up(last, listing.prefix, listing.delimiter):
        versions = history(await look_up(source, last), await look_up(source, keys.delta_key(last)))
        # One that is gone, because whoever goes through the pages deletes them, was among the first.
        after = [number for number, item in enumerate(versions, 1) if item.get("VersionId") == version]
        for item in versions[after[0] if after else 0 :]:
            yield Entry(last, item)
    async with aclosing(_keys(ahead, listing)) as found:
        async for key, items in found:
            common = key if items is None else rolled_up(key, listing.prefix, listing.delimiter)
            if (common or key) <= last:
                continue
            last = common or key
            if common:
                yield Entry(common)
                continue
            for item in items or ():
                yield Entry(key, item)


async def _keys(ahead: ReadAhead, listing: Listing) -> AsyncGenerator[tuple[str, Versions | None], None]:
    """Logical keys and their histories, in order; None for a common prefix."""
    settled: set[str] = set()
    while (name := await ahead.first()) is not None:
        for logical in hidden_before(name, listing.prefix):
            if logical > listing.after and logical not in settled and not keys.is_internal(logical):
                settled.add(logical)
                if versions := await ahead.look_up(keys.delta_key(logical)):
                    yield logical, history([], versions)
        items = ahead.take()
        is_delta = bool(items) and name.endswith(keys.DELTA_SUFFIX)
        logical = keys.logical_key(name) if is_delta else name
        shown = _is_listed(logical, listing) and logical not in settled
        settled = {key for key in settled if name < keys.delta_key(key)}
        if not items:
            yield name, None
        elif is_delta and shown:
            yield logical, history([], items)
        elif shown:
            settled.add(name)
            if logical > listing.after:
                yield logical, history(items, await ahead.look_up(keys.delta_key(name)))


def _is_listed(key: str, listing: Listing) -> bool:
    return key.startswith(listing.prefix) and not keys.is_internal(key)


def _undressed(item: Response) -> Response:
    """A version of a delta without what S3 says of its bytes, which is not true of the original's."""
    return {name: value for name, value in item.items() if not name.startswith("Checksum")}
