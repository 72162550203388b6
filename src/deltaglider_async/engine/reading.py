"""The part of fsck that reads: every delta decoded, every recorded digest compared."""

from __future__ import annotations

from collections.abc import AsyncIterator

from deltaglider_async.engine import get
from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.lifecycle import ARCHIVES, readable_again
from deltaglider_async.engine.mend import digest_at
from deltaglider_async.engine.references import reference_of
from deltaglider_async.engine.scan import Stored
from deltaglider_async.errors import CodecUnavailableError, DiffDecodeError, IntegrityMismatchError, NotFoundError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.types import Finding

#: Objects that are read at once. Decoders draw from the client's budget of memory besides.
READS_AT_ONCE = 4

_ADVICE = "Put it again, or put the stored object back from a backup."


class Reading:
    """Reads objects as a get does."""

    def __init__(self, engine: Engine, bucket: str, access: Response) -> None:
        self._engine = engine
        self._bucket = bucket
        self._access = access
        #: Whether the bytes at a key have the digest that deltas need, by both. Asked where a delta cannot be decoded.
        self._sound: dict[tuple[str, str], bool] = {}

    async def check(self, stored: Stored) -> AsyncIterator[Finding]:
        """What is wrong with an object's bytes."""
        if stored.role == "reference":
            finding = await self._reference(stored)
        elif stored.role == "plain" or (stored.role == "delta" and not stored.hidden):
            finding = await self._object(stored)
        else:
            return
        if finding is not None:
            yield finding

    async def _object(self, stored: Stored) -> Finding | None:
        head = await self._engine.store.head(self._bucket, stored.key, self._access)
        metadata = (head or {}).get("Metadata", {})
        delta = None
        if stored.role == "delta":
            if not meta.is_delta(metadata):
                return None
            try:
                delta = meta.DeltaMetadata.parse(metadata, stored.key, self._bucket)
            except IntegrityMismatchError:
                return None  # found without reading
            if delta.codec:
                return self._unchecked(stored, f"its codec {delta.codec!r} is of a later version")
        elif meta.recorded_sha256(metadata) is None:
            return None
        if head is not None and head.get("StorageClass") in ARCHIVES and not readable_again(head):
            return self._unchecked(stored, f"it is archived ({head['StorageClass']})")
        logical = keys.logical_key(stored.key) if delta else stored.key
        problem = await self._problem(logical)
        if problem is None or (delta and not await self._reference_is_sound(stored, delta)):
            return None  # or the reference is what is wrong, and is found there
        problem = await self._problem(logical)  # not while it was being replaced
        if problem is None:
            return None
        return Finding(
            "damaged-data", "error", self._bucket, stored.key, problem, _ADVICE, affected=(logical,), affected_count=1
        )

    async def _problem(self, key: str) -> str | None:
        try:
            response = await get.get(self._engine, self._bucket, key, self._access, checksums=True)
            async with response["Body"] as body:
                while await body.readany():
                    pass
        except NotFoundError:
            return None  # deleted meanwhile
        except (IntegrityMismatchError, DiffDecodeError) as error:
            if isinstance(error, CodecUnavailableError):
                raise  # says nothing about the object
            return str(error)
        return None

    async def _reference_is_sound(self, stored: Stored, delta: meta.DeltaMetadata) -> bool:
        try:
            reference = await reference_of(self._engine, self._bucket, stored.key, delta, self._access)
        except IntegrityMismatchError:
            return False
        question = (reference.key, reference.sha256)
        if question not in self._sound:
            self._sound[question] = (
                await digest_at(self._engine, self._bucket, reference.key, self._access) == reference.sha256
            )
        return self._sound[question]

    async def _reference(self, stored: Stored) -> Finding | None:
        reference, _ = await self._engine.reference(self._bucket, stored.key, self._access)
        if reference is None or stored.storage_class in ARCHIVES:
            return None
        found = await digest_at(self._engine, self._bucket, stored.key, self._access)
        again, _ = await self._engine.reference(self._bucket, stored.key, self._access)
        if found in (None, reference.sha256) or again != reference:
            return None  # right, or dropped or replaced meanwhile
        detail = f"its content has SHA-256 {found}, but {reference.sha256} is recorded: no delta against it can be read"
        advice = f"Put the content with that SHA-256 back from a backup, as {where(self._bucket, stored.key)}."
        return Finding("damaged-reference", "error", self._bucket, stored.key, detail, advice)

    def _unchecked(self, stored: Stored, why: str) -> Finding:
        return Finding("unchecked", "note", self._bucket, stored.key, f"not read: {why}")
