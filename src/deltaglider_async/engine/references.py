"""The reference of a delta, wherever it is.

It is looked for where the metadata says, then beside the delta (which may have been moved), then under its digest, then
in the trash, and last among older versions. Its SHA-256 decides each time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

from deltaglider_async.cache import Lease
from deltaglider_async.engine import trash
from deltaglider_async.engine.core import (
    PROCESS_MEMORY,
    Engine,
    ObjectReplacedError,
    Reference,
    ReferenceGoneError,
    access_only,
    where,
)
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.format import keys
from deltaglider_async.format.metadata import DeltaMetadata, recorded_sha256
from deltaglider_async.store import upkeep

if TYPE_CHECKING:
    from deltaglider_async.types import Progress

#: How often a reference is looked for that is gone each time it is fetched.
_LOOKS = 4


@asynccontextmanager
async def leased(
    engine: Engine,
    bucket: str,
    stored_key: str,
    delta: DeltaMetadata,
    etag: str,
    arguments: Mapping[str, Any],
    progress: Progress = lambda phase, position: None,
    *,
    arriving: bool = False,
) -> AsyncIterator[Lease]:
    """The reference of a delta at hand, within the budget for reading; or, with `arriving`, on its way, unverified.
    `etag` is the delta's.

    Raises `IntegrityMismatchError` if it is nowhere, `ObjectReplacedError` if that is so because the delta has gone or
    been replaced meanwhile.
    """
    async with AsyncExitStack() as stack:
        try:
            reference = await reference_of(engine, bucket, stored_key, delta, arguments)
            progress("reading reference", 0)
            await stack.enter_async_context(engine.gets.take(2 * reference.size + PROCESS_MEMORY))
            for looks in range(_LOOKS):
                try:
                    lease = await stack.enter_async_context(engine.lease(reference, arguments, arriving=arriving))
                    break
                except ReferenceGoneError:
                    if looks == _LOOKS - 1:
                        raise
                    reference = await reference_of(engine, bucket, stored_key, delta, arguments)
        except IntegrityMismatchError as error:
            await _raise_if_replaced(engine, bucket, stored_key, etag, arguments, error)
            raise
        try:
            yield lease
        except IntegrityMismatchError as error:
            if arriving:  # it turned out to be damaged when all of it was there
                await _raise_if_replaced(engine, bucket, stored_key, etag, arguments, error)
            raise


async def _raise_if_replaced(
    engine: Engine, bucket: str, stored_key: str, etag: str, arguments: Mapping[str, Any], error: Exception
) -> None:
    pinned = {name: arguments[name] for name in ("VersionId",) if name in arguments}
    now = await engine.store.head(bucket, stored_key, access_only(arguments) | pinned)
    if now is None or now["ETag"] != etag:
        raise ObjectReplacedError(
            f"cannot read {where(bucket, keys.logical_key(stored_key))}: it was replaced or deleted while it "
            "was being read. Get it again."
        ) from error


async def reference_of(
    engine: Engine, bucket: str, stored_key: str, delta: DeltaMetadata, arguments: Mapping[str, Any]
) -> Reference:
    """The reference that a delta was made against. Raises `IntegrityMismatchError` if it is nowhere."""
    if known := engine.known_reference(bucket, delta.ref_key, delta.ref_sha256):
        return known
    access = access_only(arguments)
    sha256 = delta.ref_sha256
    # That of its own folder, and of the folder that the metadata names, where it was moved from.
    spaces = dict.fromkeys((keys.deltaspace(stored_key), keys.reference_space(delta.ref_key)))
    usual = (delta.ref_key, *map(keys.reference_key, spaces))
    found = []
    for key in dict.fromkeys((*usual, *(keys.addressed_reference_key(space, sha256) for space in spaces))):
        if not keys.fits(key):
            continue
        reference, exists = await engine.reference(bucket, key, access)
        if reference is not None and reference.sha256 == sha256:
            return reference
        if key in usual:
            what = f"has SHA-256 {reference.sha256}" if reference else "is no reference" if exists else "is missing"
            found.append(f"{where(bucket, key)} {what}")
    for space in spaces:
        if reference := await trash.dropped(engine, bucket, space, sha256, access):
            return reference
    for key in dict.fromkeys(usual):
        if reference := await older_version(engine, bucket, key, sha256, access):
            return reference
    raise IntegrityMismatchError(
        f"cannot read {where(bucket, keys.logical_key(stored_key))}: its delta needs the reference with SHA-256 "
        f"{sha256}, but {' and '.join(found)}, and it is not in the trash. Put that reference back from a backup."
    )


async def older_version(
    engine: Engine, bucket: str, key: str, sha256: str, access: Mapping[str, Any]
) -> Reference | None:
    """A reference with this digest among the older versions of a key, where the bucket keeps versions."""
    try:
        async with aclosing(upkeep.older_versions(engine.store, bucket, key, access)) as versions:
            async for version in versions:
                name = version["VersionId"]
                head = await engine.store.head(bucket, key, {**access, "VersionId": name})
                if head is not None and recorded_sha256(head.get("Metadata", {}), bare=True) == sha256:
                    return Reference(bucket, key, sha256, int(head["ContentLength"]), version=name)
    except upkeep.Unknown:
        pass  # a service without versions, or no permission to see them; the caller says what is missing
    return None
