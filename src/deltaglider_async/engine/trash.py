"""References that are no longer used: dropped, found again, put back.

Theory of operation. Where the last delta of a deltaspace goes, its reference goes too, although somebody may be making
a delta against it at this moment. So a drop never destroys it:

1. look that there is no delta;
2. copy the reference, by the server, to an entry of this drop's own
   (`<prefix>/.deltaglider/trash/<sha256>/<random>/reference.bin`);
3. delete the reference if it still has its ETag;
4. look again: where there is a delta now, put the reference back from the entry; if another one is in its place, under
   its digest.

A writer looks for its reference after it has written its delta, and puts it back where it is gone. So either the
writer finds it gone, or the drop finds the delta. A drop that dies after step 3 leaves deltas whose reference is in the
trash alone, where readers look for it; `gc` puts it back. Entries are a drop's own, because a shared one could be
removed by `gc` for one drop while another relies on it. `gc` touches only entries that are older than a day, and a drop
gives up after an hour.

Where the endpoint deletes whether a condition holds or not, nothing is dropped but what somebody asks for by its name.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import anyio

from deltaglider_async.engine.core import Engine, Reference, Response, encryption_arguments, where
from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.format import keys
from deltaglider_async.format.metadata import recorded_sha256
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.conditions import Operation
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.streams.body import verified

_log = logging.getLogger(__name__)

#: Between the copy to the trash and the delete of the reference. `gc` leaves the copy alone for a day.
_LONGEST_DROP_SECONDS = 3600
#: Keys of the first look for deltas.
_SHORT_PAGE = 20
Arguments = Mapping[str, Any]


async def dropped(engine: Engine, bucket: str, space: str, sha256: str, access: Arguments) -> Reference | None:
    """A dropped reference with this digest."""
    async with aclosing(engine.store.pages(bucket, {**access, "Prefix": keys.trash(space, sha256)})) as pages:
        async for page in pages:
            for item in page.get("Contents", ()):
                reference, _ = await engine.reference(bucket, item["Key"], access)
                if reference is not None and reference.sha256 == sha256:
                    return reference
    return None


async def has_deltas(engine: Engine, bucket: str, space: str, access: Arguments) -> bool:
    """Whether any delta form is in a deltaspace."""
    # Mostly there are others, near the beginning: a short page tells for a fraction of what a long one takes.
    async with aclosing(_pages(engine, bucket, space, {**access, "MaxKeys": _SHORT_PAGE})) as pages:
        async for page in pages:
            if any(map(_is_delta, page.get("Contents", ()))):
                return True
            if page.get("IsTruncated"):
                break
        else:
            return False
    async with aclosing(delta_keys(engine, bucket, space, access)) as found:
        return await anext(found, None) is not None


async def delta_keys(engine: Engine, bucket: str, space: str, access: Arguments) -> AsyncGenerator[str, None]:
    """The keys of all delta forms in a deltaspace, as stored."""
    async with aclosing(_pages(engine, bucket, space, access)) as pages:
        async for page in pages:
            for item in filter(_is_delta, page.get("Contents", ())):
                yield item["Key"]


async def _pages(engine: Engine, bucket: str, space: str, arguments: Arguments) -> AsyncGenerator[Response, None]:
    for prefix in (f"{space}/",) if space else ("", "/"):  # `/app.zip` shares the root's reference
        async with aclosing(engine.store.pages(bucket, {**arguments, "Prefix": prefix, "Delimiter": "/"})) as pages:
            async for page in pages:
                yield page


def _is_delta(item: Response) -> bool:
    return str(item["Key"]).endswith(keys.DELTA_SUFFIX)


@dataclass(frozen=True, slots=True)
class Dropped:
    """The references that a drop removed, and why others stay that it should have removed; empty where none do."""

    keys: tuple[str, ...] = ()
    warning: str = ""


async def drop_unused(engine: Engine, bucket: str, space: str, access: Arguments) -> Dropped:
    """Drop the references of a deltaspace that has no delta, where that is safe.

    What S3 refuses is told, not raised: who deleted the last delta has done so, and `gc` comes by later.
    """
    dropped: list[str] = []
    warning = ""
    try:
        if await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access) and not await has_deltas(
            engine, bucket, space, access
        ):
            found = [keys.reference_key(space), *await _addressed(engine, bucket, space, access)]
            dropped.extend([key for key in found if await _drop(engine, bucket, space, key, access)])
    except (StorageIOError, NotFoundError) as error:
        warning = f"the references of {where(bucket, space)}, which nothing uses, stay: {error}"
        _log.warning("%s", warning)
    return Dropped(tuple(dropped), warning)


async def drop_named(engine: Engine, bucket: str, key: str, access: Arguments) -> bool:
    """Drop one reference where the endpoint deletes whether a condition holds or not. Whether it is gone by this.

    Only for somebody who asks for it: what took its place within the last moment would go instead.
    """
    return await _drop(engine, bucket, keys.reference_space(key), key, access, conditional=False)


async def _drop(
    engine: Engine, bucket: str, space: str, key: str, access: Arguments, *, conditional: bool = True
) -> bool:
    """Whether a reference is gone by this."""
    head = await engine.store.head(bucket, key, access)
    sha256 = recorded_sha256((head or {}).get("Metadata", {}), bare=True)
    entry = keys.trash_key(space, sha256 or "", secrets.token_hex(8))
    if head is None or sha256 is None or not keys.fits(entry):
        return False  # none there, not one of ours, or no room to keep it
    with anyio.move_on_after(_LONGEST_DROP_SECONDS):
        if not await _bury(engine, bucket, key, entry, head, access):
            return False
        if conditional:
            if not await engine.store.delete_if_unchanged(bucket, key, head["ETag"], access):
                return False
        else:
            now = await engine.store.head(bucket, key, access)
            if now is None or now["ETag"] != head["ETag"]:
                return False
            await engine.store.delete(bucket, key, access)
        if not await has_deltas(engine, bucket, space, access):
            return True
        if not await restore(engine, bucket, entry, key, access):
            there, _ = await engine.reference(bucket, key, access)
            if there is None or there.sha256 != sha256:  # another one was created meanwhile
                await restore(engine, bucket, entry, keys.addressed_reference_key(space, sha256), access)
    return False


async def _bury(engine: Engine, bucket: str, key: str, entry: str, head: Response, access: Arguments) -> bool:
    arguments = {**access, **encryption_arguments(head), "CopySourceIfMatch": head["ETag"]}
    try:
        await engine.store.copy(bucket, entry, {"Bucket": bucket, "Key": key}, arguments)
    except (NotFoundError, PreconditionFailedError):
        return False  # another drop was quicker
    return True


async def _addressed(engine: Engine, bucket: str, space: str, access: Arguments) -> list[str]:
    listed = {**access, "Prefix": keys.addressed_references(space)}
    async with aclosing(engine.store.pages(bucket, listed)) as pages:
        found = [item["Key"] async for page in pages for item in page.get("Contents", ())]
    return list(filter(keys.is_addressed, found))


async def restore(engine: Engine, bucket: str, entry: str, key: str, access: Arguments, version: str = "") -> bool:
    """Put a reference back from another object, an entry of the trash or one of its own `version`s.

    Its SHA-256 is checked on the way. It goes to `key` if nothing is there, or, where the endpoint creates whether
    something is there or not, to the key of its digest. False if nothing was to be done: there is an object
    already, or the entry is gone. Raises `IntegrityMismatchError` if the entry is damaged.
    """
    request = Request(bucket, entry, {**access, "VersionId": version or None}, where(bucket, entry))
    response = await engine.store.get(bucket, entry, request.arguments)
    if response is None:
        return False
    name, metadata, size = where(bucket, entry), response.get("Metadata", {}), int(response["ContentLength"])
    sha256 = recorded_sha256(metadata, bare=True)
    operation: Operation = "CompleteMultipartUpload" if size > LARGEST_SINGLE_PUT else "PutObject"
    space = keys.reference_space(key)
    # Such a key says what it holds, or is nobody else's.
    own = keys.is_addressed(key) or keys.is_trash(key)
    if not own and not await engine.conditions.keeps(bucket, space, operation, "IfNoneMatch", access):
        key, own = keys.addressed_reference_key(space, sha256 or ""), True
    condition = {} if own else {"IfNoneMatch": "*"}
    chunks = verified(body_chunks(engine.store, response, request), size=size, sha256=sha256, name=name)
    try:
        await engine.store.put(
            bucket,
            key,
            chunks,
            size,
            metadata=metadata,
            sha256=sha256,
            arguments={**access, **encryption_arguments(response), **condition},
        )
    except PreconditionFailedError:
        return False
    return True
