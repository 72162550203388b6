"""What a stored name is, and the stored objects of a bucket as they come, deltaspace by deltaspace.

A deltaspace's objects lie between those of the folders in it. It is complete when the listing has left its prefix;
so as many deltaspaces are open at a time as the names at hand have folders, and no more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, TypeVar

from deltaglider_async.engine.core import Engine, Response
from deltaglider_async.engine.lifecycle import Fate
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta

Role = Literal["plain", "delta", "reference", "trash", "temporary", "probe", "statistics", "upload", "internal"]

#: How many keys of objects that suffer from the same thing are remembered.
MOST_NAMED = 100

_TRASH = re.compile(rf"(?:(.*)/)?\{keys.INTERNAL_FOLDER}/trash/([0-9a-f]{{64}})/[^/]+/{keys.REFERENCE_NAME}")
_STATISTICS = re.compile(rf"\{keys.INTERNAL_FOLDER}/stats_[a-z]+\.json")

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored object as a listing shows it. Size in bytes."""

    key: str
    size: int
    modified: datetime
    etag: str
    role: Role
    storage_class: str = "STANDARD"
    hidden: bool = False
    """There is a plain form beside this delta."""


def role(key: str) -> Role:
    """What a stored name says about its object."""
    inside = f"/{key}".rpartition(f"/{keys.INTERNAL_FOLDER}/")[2]
    if not keys.is_internal(key):
        return "delta" if key.endswith(keys.DELTA_SUFFIX) else "plain"
    if keys.is_reference(key):
        return "reference"
    if _TRASH.fullmatch(key):
        return "trash"
    if key == keys.SIZES_KEY or _STATISTICS.fullmatch(key):
        return "statistics"
    if keys.multipart_target(key) is not None:
        return "upload"
    return "temporary" if inside.startswith("tmp/") else "probe" if inside.startswith("probe/") else "internal"


def trashed(key: str) -> tuple[str, str]:
    """The deltaspace and the digest that an entry of the trash names."""
    match = _TRASH.fullmatch(key)
    assert match is not None
    return match[1] or "", match[2]


def space_of(stored: Stored) -> str:
    """The deltaspace that a delta, a reference or an entry of the trash belongs to."""
    if stored.role == "reference":
        return keys.reference_space(stored.key)
    return trashed(stored.key)[0] if stored.role == "trash" else keys.deltaspace(stored.key)


@dataclass(slots=True)
class Affected:
    """Logical keys, all of them counted and the first ones remembered."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        """Count a key."""
        self.count += 1
        if len(self.named) < MOST_NAMED:
            self.named.append(key)


@dataclass(slots=True)
class Need:
    """What the deltas of a deltaspace need that were made against one reference."""

    ref_key: str
    sha256: str
    deltas: Affected = field(default_factory=Affected)
    latest: Fate | None = None
    """When the last of them goes."""


@dataclass(slots=True)
class Space:
    """What was seen of a deltaspace."""

    name: str
    deltas: int = 0
    references: list[Stored] = field(default_factory=list)
    trash: list[Stored] = field(default_factory=list)
    digests: dict[str, str | None] = field(default_factory=dict)
    """Of its references by key, where they were asked for."""
    needs: dict[tuple[str, str], Need] = field(default_factory=dict)

    def need(self, delta: meta.DeltaMetadata) -> Need:
        """The need that a delta shares with those made against the same reference."""
        return self.needs.setdefault((delta.ref_key, delta.ref_sha256), Need(delta.ref_key, delta.ref_sha256))


class Spaces:
    """The deltaspaces of which more may come."""

    def __init__(self) -> None:
        self._open: dict[str, Space] = {}

    def add(self, stored: Stored) -> Space | None:
        """Take note of an object; its deltaspace, if it has to do with deltas."""
        if stored.role not in ("delta", "reference", "trash"):
            return None
        name = space_of(stored)
        space = self._open.setdefault(name, Space(name))
        if stored.role == "reference":
            space.references.append(stored)
        elif stored.role == "trash":
            space.trash.append(stored)
        else:
            space.deltas += 1
        return space

    def left_before(self, key: str) -> list[Space]:
        """Those of which nothing comes any more when a listing has reached this key. They are no longer open."""
        # The root's stay open: `/app.zip`, which begins with its prefix too, may be anywhere.
        left = [name for name in self._open if name and not key.startswith(f"{name}/")]
        return [self._open.pop(name) for name in left]

    def rest(self) -> list[Space]:
        """All that are open still."""
        spaces, self._open = list(self._open.values()), {}
        return spaces


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing. `now` is the time by the service's clock, which also made `modified`."""

    items: list[Stored]
    now: datetime


async def scan(
    engine: Engine,
    bucket: str,
    prefix: str,
    progress: Callable[[int], None],
    access: Response,
) -> AsyncGenerator[Page, None]:
    """All stored objects below a prefix. `progress` gets how many were seen."""
    plain: set[str] = set()
    seen = 0
    async with aclosing(engine.store.pages(bucket, access | {"Prefix": prefix})) as pages:
        async for answer in pages:
            items = []
            for item in answer.get("Contents", ()):
                key = item["Key"]
                # A plain X sorts before X.delta; what can no longer have one is forgotten.
                plain = {name for name in plain if key <= keys.delta_key(name)}
                what = role(key)
                if what == "plain":
                    plain.add(key)
                items.append(
                    Stored(
                        key,
                        int(item["Size"]),
                        item["LastModified"],
                        item["ETag"],
                        what,
                        item.get("StorageClass", "STANDARD"),
                        what == "delta" and keys.logical_key(key) in plain,
                    )
                )
            seen += len(items)
            yield Page(items, service_time(answer))
            progress(seen)


def service_time(answer: Response) -> datetime:
    """When the service gave an answer, by its own clock."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else datetime.now(UTC)


async def names_of_deltas(engine: Engine, bucket: str, space: str, access: Response) -> AsyncGenerator[str, None]:
    """The keys of a deltaspace's deltas, by a new listing."""
    for prefix in (f"{space}/",) if space else ("", "/"):  # `/app.zip` shares the root's reference
        listed = access | {"Prefix": prefix, "Delimiter": "/"}
        async with aclosing(engine.store.pages(bucket, listed)) as pages:
            async for page in pages:
                for item in page.get("Contents", ()):
                    if item["Key"].endswith(keys.DELTA_SUFFIX):
                        yield item["Key"]


async def digests_needed(engine: Engine, bucket: str, space: str, access: Response, at_once: int) -> Counter[str]:
    """How many deltas of a deltaspace need which reference, by a new listing and HEADs.

    Deltas whose metadata do not tell, which may need any, are counted under the empty string.
    """
    found = Counter[str]()

    async def ask(key: str) -> None:
        head = await engine.store.head(bucket, key, access)
        metadata = (head or {}).get("Metadata", {})
        if meta.is_delta(metadata):
            found[(meta.field(metadata, "ref-sha256") or "").lower()] += 1

    async with aclosing(names_of_deltas(engine, bucket, space, access)) as names:
        await for_each(names, ask, at_once)
    return found


async def each_at_once(
    items: Iterable[T], work: Callable[[T], AsyncIterator[R]], at_once: int, key: Callable[[R], str]
) -> list[R]:
    """What the work on each of the items found, at most `at_once` at a time, in the order of their keys."""
    found: list[R] = []

    async def one(item: T) -> None:
        async for result in work(item):
            found.append(result)  # noqa: PERF401, async comprehension would hold several lists

    async def given() -> AsyncIterator[T]:
        for item in items:
            yield item

    await for_each(given(), one, at_once)
    return sorted(found, key=key)
