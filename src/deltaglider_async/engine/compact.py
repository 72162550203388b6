"""Theory of operation of a compaction: a plain object becomes a delta at its own place.

1. Read the plain form, pinned by its ETag, and encode it. The delta is decoded and compared before anything is written.
2. Write `<key>.delta`, and make sure of its reference, as a put does. The plain form is still there, and still is the
   object: where both are, the plain one counts.
3. Read the delta back from the bucket, decode it, and compare its SHA-256 with that of step 1.
4. Delete the plain form, if its ETag still is that of step 1. From here on the delta is the object.

So at every moment the object can be read, and has the same bytes: before step 4 from the plain form, afterwards from
the delta, which is proven by then. Whoever reads while step 4 happens finds no plain form and then the delta. A process
that dies before step 4 leaves a leftover delta, or an unused reference, which nobody reads; the same call again begins
anew and writes over them. After step 4 there is nothing to be done.

This breaks a rule of the protocol, for a put never removes a plain form. It is safe only while nobody else writes
there: a put of the same bytes gives the plain form the same ETag and then removes the delta of step 2, which it has
seen as leftover; step 4 would take the last copy. `dg gc --exclusive` would, too. Hence the caller has to say that he
is alone.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from deltaglider_async.engine import copy_source
from deltaglider_async.engine.copy_source import CopyRequest, as_put
from deltaglider_async.engine.core import Engine, Response, encryption_arguments, where
from deltaglider_async.engine.encode import compression_of
from deltaglider_async.engine.get import Found, decoded, find
from deltaglider_async.engine.put import put_delta, why_plain
from deltaglider_async.engine.request import IN_MEMORY, PutRequest, PutResult, Refused
from deltaglider_async.errors import IntegrityMismatchError, SourceChangedError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.streams.digest import Digest
from deltaglider_async.streams.source import replayable, settle

if TYPE_CHECKING:
    from deltaglider_async.types import Progress

#: What belongs to the stored object and stays as it is, beside what every copy keeps.
_KEPT = ("StorageClass", "WebsiteRedirectLocation")


async def compact(
    engine: Engine, bucket: str, key: str, access: Response, progress: Progress = lambda phase, position: None
) -> PutResult:
    """Turn a plain object into a delta at its place, where a put of it would become one.

    `operation` of the result is `create_delta`, `create_reference`, or, where nothing was changed, `copy_delta` (it was
    one) or `copy_plain` (with the `reason` for which it stays plain). Raises what is in `errors`; the object then is as
    it was.
    """
    keys.check_writable(bucket, key)
    found = await find(engine.store.head, engine.store.head_or_why, bucket, key, access)
    if found.delta is not None:
        return _unchanged(found, Refused("it is a delta already"))
    source = {"Bucket": bucket, "Key": key}
    kept = {name: found.response[name] for name in _KEPT if found.response.get(name)}
    arguments = {**access, **kept, **encryption_arguments(found.response)}
    request = CopyRequest(bucket, key, source, {}, arguments, engine.max_ratio, progress)
    try:
        result = await _written(engine, replace(await as_put(engine, request, found), use_delta=None))
    except copy_source.SourceChangedError:
        raise _changed(bucket, key) from None
    if isinstance(result, Refused):
        return _unchanged(found, result)
    await _prove(engine, bucket, key, result, access)
    await _delete_plain(engine, found, access)
    return result


async def _written(engine: Engine, request: PutRequest) -> PutResult | Refused:
    """Steps 1 and 2."""
    source = await settle(request.source, IN_MEMORY)
    if refused := why_plain(engine, replace(request, source=source)):
        return refused
    async with replayable(source) as source:
        if compression := await compression_of(source):
            return Refused(f"it is a {compression} stream")
        return await put_delta(engine, replace(request, source=source), beside_plain=True)


async def _prove(engine: Engine, bucket: str, key: str, result: PutResult, access: Response) -> None:
    """Step 3. Raises `IntegrityMismatchError` if the bucket's delta does not give back the object."""
    stored_key, name = keys.delta_key(key), where(bucket, key)
    response = await engine.store.get_existing(bucket, stored_key, access)
    try:
        metadata = meta.DeltaMetadata.parse(response.get("Metadata", {}), stored_key, bucket)
    except BaseException:
        response["Body"].close()
        raise
    digest = Digest()
    stored = Found(bucket, stored_key, response, metadata)
    async with aclosing(decoded(engine, stored, name, access, _nobody)) as chunks:
        async for chunk in chunks:
            await digest.update(chunk)
    if (digest.size, await digest.hexdigest()) != (result.original_size, result.sha256):
        raise IntegrityMismatchError(
            f"cannot compact {name}: its delta was written, but gives back other bytes. The object stays plain."
        )


async def _delete_plain(engine: Engine, found: Found, access: Response) -> None:
    """Step 4. Raises `SourceChangedError` if the plain form is another one by now; it stays."""
    bucket, key, etag = found.bucket, found.stored_key, found.response["ETag"]
    if await engine.conditions.keeps(bucket, keys.deltaspace(key), "DeleteObject", "IfMatch", access):
        unchanged = await engine.store.delete_if_unchanged(bucket, key, etag, access)
    else:  # the caller is alone: what it is now, it is in a moment
        now = await engine.store.head(bucket, key, access)
        unchanged = now is not None and now["ETag"] == etag
        if unchanged:
            await engine.store.delete(bucket, key, access)
    if not unchanged:
        raise _changed(bucket, key)


def _unchanged(found: Found, refused: Refused) -> PutResult:
    return PutResult(
        found.response,
        "copy_delta" if found.delta else "copy_plain",
        found.size,
        found.stored_size,
        found.sha256 or "",
        refused.ratio,
        reason=refused.reason,
    )


def _changed(bucket: str, key: str) -> SourceChangedError:
    return SourceChangedError(
        f"{where(bucket, key)} was written while it was compacted: the new one stays, as it is. Compact only where "
        "nobody else writes, and do it again."
    )


def _nobody(phase: str, position: int) -> None:
    """The progress of reading back."""
