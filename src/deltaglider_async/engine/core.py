"""What every operation works with, and how a reference at a known place comes to hand."""

from __future__ import annotations

import asyncio
import os
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from deltaglider_async.cache import Lease, ReferenceCache
from deltaglider_async.codec import Codec, xdelta
from deltaglider_async.codec.matchers import Workers
from deltaglider_async.codec.samples import Index
from deltaglider_async.engine.known import Known
from deltaglider_async.engine.record import note_reference
from deltaglider_async.errors import IntegrityMismatchError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.format.candidates import DeltaPolicy
from deltaglider_async.format.metadata import TOOL, recorded_sha256
from deltaglider_async.settings import MIB, Settings
from deltaglider_async.store.body import Request
from deltaglider_async.store.conditions import Conditions
from deltaglider_async.store.s3 import Store
from deltaglider_async.store.side_by_side import whole_body
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.budget import ByteBudget
from deltaglider_async.streams.prospect import Places
from deltaglider_async.streams.turns import Turn, Turns

Response = dict[str, Any]

#: What an encoder or a decoder takes besides the reference (docs/architecture.md, Memory).
PROCESS_MEMORY = 64 * MIB
#: Decoders that run at once where there are few cores: one waits for S3, or for whoever takes its output.
_FEWEST_DECODERS = 4
#: How many references' sizes are remembered; an entry takes some 300 bytes.
_MOST_KNOWN = 10_000
#: References of which it is remembered where they have what; one takes up to 40 MB.
_MOST_INDEXES = 2
_EXPIRY = re.compile(r'expiry-date="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference in the bucket. Size in bytes, digest in hex."""

    bucket: str
    key: str
    sha256: str
    size: int
    encryption: tuple[str | None, str | None] = (None, None)
    version: str = ""
    """The `VersionId` of one that is no longer the object at its key."""
    expires: datetime | None = None
    """When a lifecycle rule takes it, where one does."""
    archived: bool = False
    """It cannot be read before it is restored (GLACIER, DEEP_ARCHIVE)."""


class ReferenceGoneError(IntegrityMismatchError):
    """A reference that was there a moment ago is not, or is another one. Look for it again."""


class ObjectReplacedError(StorageIOError):
    """An object was replaced or deleted while it was being read."""


class First:
    """The reference of a deltaspace that a put of this client is about to create, for others that need it."""

    def __init__(self) -> None:
        self._drafted, self._ended = asyncio.Event(), asyncio.Event()
        self._draft: Reference | None = None
        self._created: Reference | None = None

    def draft(self, reference: Reference) -> None:
        """It is at hand, and on its way to its bucket."""
        self._draft = reference
        self._drafted.set()

    def end(self, created: Reference | None) -> None:
        """It is there; or it is not, or another one is. Said again, it changes nothing."""
        if not self._ended.is_set():
            self._created = created
            self._drafted.set()
            self._ended.set()

    async def drafted(self) -> Reference | None:
        """What it will be; None where nothing came of it."""
        await self._drafted.wait()
        return self._draft

    async def created(self) -> Reference | None:
        """What it is, once it is there; None where it is not."""
        await self._ended.wait()
        return self._created


@dataclass
class Engine:
    """The rooms below, for one client.

    Puts and gets draw from budgets of their own: a copy reads while it writes, and one waiting for the other
    must not be able to use up what the other needs.
    """

    store: Store
    cache: ReferenceCache
    settings: Settings
    tool: str = TOOL
    max_ratio: float = 0.5
    codec: Codec = xdelta
    puts: ByteBudget = field(init=False)
    gets: ByteBudget = field(init=False)
    decoders: Turns = field(init=False)
    conditions: Conditions = field(init=False)
    policy: DeltaPolicy = field(init=False)
    remembered: Known = field(default_factory=Known, init=False)
    encoders: Turns = field(init=False)
    places: OrderedDict[str, Places] = field(default_factory=OrderedDict, init=False)
    """What is looked for in targets, of the references used lately, by SHA-256."""
    firsts: dict[tuple[str, str], First] = field(default_factory=dict, init=False)
    """References under way, by bucket and deltaspace."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    """Held while that is made."""
    _workers: Workers = field(default_factory=Workers, init=False)
    _indexes: OrderedDict[str, Index] = field(default_factory=OrderedDict, init=False)
    _encoders: int = field(default=0, init=False)
    _known: OrderedDict[tuple[str, str, str], int] = field(default_factory=OrderedDict, init=False)

    def __post_init__(self) -> None:
        self.conditions = Conditions(self.store)
        self.policy = DeltaPolicy.of(self.settings)
        self.puts = ByteBudget(self.settings.memory_mb * MIB)
        self.gets = ByteBudget(self.settings.memory_mb * MIB)
        # More at once do not make better use of the cores, but worse of their caches.
        self.encoders = Turns((os.cpu_count() or 1) + 1)
        self.decoders = Turns(max(_FEWEST_DECODERS, 2 * (os.cpu_count() or 1)))

    async def reference(self, bucket: str, key: str, arguments: Mapping[str, Any]) -> tuple[Reference | None, bool]:
        """The reference at a key, and whether any object is there (one without our metadata is no reference)."""
        response = await self.store.head(bucket, key, access_only(arguments))
        if response is None:
            return None, False
        sha256 = recorded_sha256(response.get("Metadata", {}), bare=True)
        if sha256 is None:
            return None, True
        size = int(response["ContentLength"])
        self._remember((bucket, key, sha256), size)
        archived = is_archived(response)
        return Reference(
            bucket, key, sha256, size, encryption_of(response), expires=expiry_of(response), archived=archived
        ), True

    async def find_reference(
        self, bucket: str, space: str, arguments: Mapping[str, Any]
    ) -> tuple[Reference | None, bool]:
        """The reference that new deltas of a deltaspace are made against, and whether any object is there.

        On endpoints that may not keep conditions, where there is no `reference.bin`, the oldest of those that are
        kept under their digest.
        """
        reference, exists = await self.reference(bucket, keys.reference_key(space), arguments)
        if exists or self.conditions.trusted:
            return reference, exists
        listed = access_only(arguments) | {"Prefix": keys.addressed_references(space)}
        found: list[tuple[Any, str]] = []
        async with aclosing(self.store.pages(bucket, listed)) as pages:
            async for page in pages:
                items = page.get("Contents", ())
                found += [(item["LastModified"], item["Key"]) for item in items if keys.is_addressed(item["Key"])]
        for _, key in sorted(found):
            reference, _ = await self.reference(bucket, key, arguments)
            if reference is not None:
                return reference, True
        return None, False

    def known_reference(self, bucket: str, key: str, sha256: str) -> Reference | None:
        """A reference that was at a key when it was last looked for. One that is at hand needs no other proof."""
        size = self._known.get((bucket, key, sha256))
        return None if size is None else Reference(bucket, key, sha256, size)

    @asynccontextmanager
    async def lease(
        self, reference: Reference, arguments: Mapping[str, Any], *, arriving: bool = False
    ) -> AsyncIterator[Lease]:
        """The reference at hand: from the cache, or downloaded once however many operations wait for it.

        With `arriving`, it may still be on its way, unverified: see `ReferenceCache.lease`.
        """

        name = where(reference.bucket, reference.key)
        downloaded = False

        async def fetch() -> Chunks:
            nonlocal downloaded
            downloaded = True
            access = access_only(arguments) | {"VersionId": reference.version or None}
            request = Request(reference.bucket, reference.key, access, name)
            response = await self.store.get(request.bucket, request.key, request.arguments)
            if response is None:
                raise ReferenceGoneError(f"the reference {name} is missing. Put it back from a backup.")
            if (recorded_sha256(response.get("Metadata", {}), bare=True) or reference.sha256) != reference.sha256:
                response["Body"].close()
                raise ReferenceGoneError(f"the reference {name} is another one now. Put it back from a backup.")
            async with aclosing(whole_body(self.store, response, request, digest=True)) as chunks:
                async for chunk in chunks:
                    yield chunk

        try:
            async with self.cache.lease(reference.sha256, reference.size, fetch, arriving=arriving) as lease:
                note_reference(at_hand=not downloaded)
                yield lease
        except IntegrityMismatchError:
            self.forget(reference)
            raise

    @asynccontextmanager
    async def encoding(self) -> AsyncIterator[Turn]:
        """A turn at encoding, for the length of the block."""
        async with self._workers:  # also while it waits: they are not started again for each
            turn = await self.encoders.take()
            self._encoders += 1
            try:
                yield turn
            finally:
                self._encoders -= 1
                turn.end()

    @contextmanager
    def another_encoder(self, reference_size: int) -> Iterator[bool]:
        """Gives whether there are a core and memory for one more encoder, and holds them during the block."""
        with self.puts.if_free(reference_size + PROCESS_MEMORY) as free:
            granted = free and self._encoders < (os.cpu_count() or 1)
            self._encoders += granted
            try:
                yield granted
            finally:
                self._encoders -= granted

    def index_of(self, lease: Lease) -> Index | None:
        """Where what is encoded against a reference finds its content; kept for the next one. None of an empty one."""
        if not lease.size:
            return None
        index = self._indexes.setdefault(lease.sha256, Index(self._workers))
        self._indexes.move_to_end(lease.sha256)
        while len(self._indexes) > _MOST_INDEXES:
            self._indexes.popitem(last=False)
        return index

    def forget(self, reference: Reference) -> None:
        """A known reference is not where it was."""
        self._known.pop((reference.bucket, reference.key, reference.sha256), None)

    def _remember(self, reference: tuple[str, str, str], size: int) -> None:
        self._known[reference] = size
        self._known.move_to_end(reference)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def access_only(arguments: Mapping[str, Any]) -> Response:
    """Those of a call's arguments that say who asks and who pays; they go with every request that the call makes."""
    return {name: arguments[name] for name in ("RequestPayer", "ExpectedBucketOwner") if name in arguments}


def encryption_of(response: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """How an object is encrypted, as far as an answer or the arguments of a put say it."""
    kind = response.get("ServerSideEncryption")
    return kind, response.get("SSEKMSKeyId") if kind != "AES256" else None


def encryption_arguments(response: Mapping[str, Any]) -> Response:
    """The arguments of a put that encrypt an object as an answer says another one is."""
    kind, key = encryption_of(response)
    return {name: value for name, value in (("ServerSideEncryption", kind), ("SSEKMSKeyId", key)) if value}


def expiry_of(response: Mapping[str, Any]) -> datetime | None:
    """When a lifecycle rule will take an object, as an answer says it (`expiry-date="...", rule-id="..."`)."""
    stated = _EXPIRY.search(response.get("Expiration") or "")
    try:
        return parsedate_to_datetime(stated[1]) if stated else None
    except ValueError:
        return None


def is_archived(response: Mapping[str, Any]) -> bool:
    """Whether an object must be restored before it can be read, as an answer says it."""
    restored = 'ongoing-request="false"' in (response.get("Restore") or "")
    # INTELLIGENT_TIERING has archives of its own, of which only HEAD tells.
    archived = response.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE") or bool(response.get("ArchiveStatus"))
    return archived and not restored


def serves_encryption(asked: tuple[str | None, str | None], reference: tuple[str | None, str | None]) -> bool:
    """Whether a reference is encrypted as a put asks for: nothing asked for, or the same kind and key.

    An answer names a KMS key by its ARN, a put perhaps by the last part of that. An alias is not looked up.
    """
    if asked[0] is None:
        return True
    key, used = asked[1], reference[1]
    return asked[0] == reference[0] and (key == used or key is None or bool(used and used.endswith(f"/{key}")))


def where(bucket: str, key: str) -> str:
    """A key as messages name it."""
    return f"s3://{bucket}/{key}"
