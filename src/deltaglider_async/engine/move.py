"""Moves a delta: its bytes are read and written with a new nonce, and nothing is decoded.

Without a new nonce, as after a copy by the service, two deltas would have the same ETag, and "delete it if it still
has that ETag" could hit the wrong one.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

from deltaglider_async.cache import Lease
from deltaglider_async.codec import xdelta
from deltaglider_async.engine.copy_source import CopyRequest, SourceChangedError, pinned, reading
from deltaglider_async.engine.core import Engine, Reference, ReferenceGoneError
from deltaglider_async.engine.encode import Delta
from deltaglider_async.engine.get import Found
from deltaglider_async.engine.references import reference_of
from deltaglider_async.engine.request import PutRequest, PutResult, Refused, keeps
from deltaglider_async.engine.write_delta import create_reference, new_reference_key, write_delta
from deltaglider_async.errors import DiffDecodeError, IntegrityMismatchError, NotFoundError, PreconditionFailedError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.format.candidates import MAGIC_LENGTH, compressed_stream
from deltaglider_async.store.body import body_chunks
from deltaglider_async.store.errors import is_missing_key
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.spool import Spool


async def move(
    engine: Engine, request: CopyRequest, put_request: PutRequest, found: Found, reference: Reference | None
) -> PutResult | Refused | None:
    """Move a delta's bytes to a reference with the same content, which is created where there is none.

    None if a reference changed meanwhile, before anything was written.
    """
    delta = found.delta
    assert delta is not None
    async with Spool() as spool:
        received = 0

        def count(phase: str, position: int) -> None:
            nonlocal received
            received = position

        try:
            chunks = xdelta.renewed(reported(_stored_bytes(engine, request, found), count, "receiving"))
            async with aclosing(chunks):
                async for chunk in chunks:
                    await spool.write(chunk)
        except DiffDecodeError as error:
            return Refused(str(error))  # whatever it is, a decode tells
        if received != (found.stored_size if delta.delta_size is None else delta.delta_size):
            return Refused("it has another size than was recorded")
        if reference is not None:
            return await _write(engine, request, put_request, found, spool, reference, None)

        try:
            own = await reference_of(engine, found.bucket, found.stored_key, delta, request.reading)
        except IntegrityMismatchError:
            now = await engine.store.head(found.bucket, found.stored_key, request.reading | request.version)
            if now is None or now["ETag"] != found.response["ETag"]:
                raise SourceChangedError from None  # its reference has gone with it
            raise
        if own.size > engine.settings.max_reference_size:
            return Refused("there is no reference yet, and its own is larger than DG_MAX_REFERENCE_SIZE")
        put_request.progress("reading reference", 0)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(engine.puts.take(own.size))
            try:
                lease = await stack.enter_async_context(engine.lease(own, request.reading))
            except ReferenceGoneError:
                return None
            if compression := compressed_stream(await lease.read(0, MAGIC_LENGTH)):
                return Refused(f"its reference is a {compression} stream")
            key = await new_reference_key(engine, put_request, keys.deltaspace(request.key), lease)
            if not keys.fits(key) or not _metadata(engine, put_request, found, spool, key):
                return Refused("the reference's key would be too long")
            created = await create_reference(engine, put_request, key, lease)
            if created is None:
                return None
            result = await _write(engine, request, put_request, found, spool, created, lease)
            if not isinstance(result, PutResult):
                return result
            return replace(result, operation="copy_reference", stored_size=lease.size + spool.size)


async def _write(
    engine: Engine,
    request: CopyRequest,
    put_request: PutRequest,
    found: Found,
    spool: Spool,
    reference: Reference,
    lease: Lease | None,
) -> PutResult | Refused:
    metadata = _metadata(engine, put_request, found, spool, reference.key)
    if not metadata:
        return Refused("metadata of a delta and the user's together are too large")
    swaps = request.onto_itself(found) and await keeps(engine, put_request, spool.size, "IfMatch")
    if swaps:  # so that no put between is undone
        put_request = replace(put_request, arguments={**put_request.arguments, "IfMatch": found.response["ETag"]})
    moved = Delta(spool, metadata, found.size, found.sha256 or "")
    try:
        result = await write_delta(engine, put_request, moved, reference, lease)
    except (PreconditionFailedError, NotFoundError) as error:
        if swaps and (isinstance(error, PreconditionFailedError) or is_missing_key(error)):
            raise SourceChangedError from error
        raise
    return replace(result, operation="copy_delta") if isinstance(result, PutResult) else result


def _metadata(
    engine: Engine, put_request: PutRequest, found: Found, spool: Spool, reference_key: str
) -> dict[str, str] | None:
    """The metadata of a moved delta, None if it is more than S3 takes."""
    assert found.delta is not None
    ours = replace(found.delta, ref_key=reference_key, original_name=put_request.name, delta_size=spool.size).encode(
        tool=engine.tool
    )
    metadata = {name: value for name, value in ours.items() if value} | dict(put_request.metadata)
    return metadata if meta.fits(metadata) else None


async def _stored_bytes(engine: Engine, request: CopyRequest, found: Found) -> Chunks:
    response = await pinned(engine, request, found)
    async with aclosing(body_chunks(engine.store, response, reading(request, found))) as chunks:
        async for chunk in chunks:
            yield chunk
