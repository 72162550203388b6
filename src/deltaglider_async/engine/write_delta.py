"""The delta form of a put: written in one step, and its reference made sure of afterwards."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from deltaglider_async.cache import Lease
from deltaglider_async.engine.core import (
    Engine,
    Reference,
    Response,
    access_only,
    encryption_arguments,
    encryption_of,
    expiry_of,
    where,
)
from deltaglider_async.engine.encode import Delta
from deltaglider_async.engine.references import leased
from deltaglider_async.engine.request import (
    PutRequest,
    PutResult,
    Refused,
    keeps,
    of_the_whole,
)
from deltaglider_async.errors import (
    NotFoundError,
    PreconditionFailedError,
    StorageIOError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta

_log = logging.getLogger(__name__)


async def write_delta(
    engine: Engine, request: PutRequest, delta: Delta, reference: Reference, lease: Lease | None
) -> PutResult | Refused:
    """Write the delta form, then make sure of its reference, which a lease is needed for only if that has gone."""
    request.progress("sending", delta.size)
    response = await _send_delta(engine, request, delta, delta.metadata, {})
    secured = await _secured(engine, request, delta, reference, lease, response)
    if isinstance(secured, Refused):
        return secured
    return PutResult(
        of_the_whole(response, request, delta.sha256),
        "create_delta",
        delta.size,
        delta.spool.size,
        delta.sha256,
        delta.ratio,
        secured.key,
    )


async def _secured(
    engine: Engine, request: PutRequest, delta: Delta, reference: Reference, lease: Lease | None, written: Response
) -> Reference | Refused:
    """The reference of a delta that has been written, now certainly there.

    The delta is not made again, whatever is found: the object may have been deleted or put by others since it was
    written, and would come back for a second time.
    """
    access, stored_key = access_only(request.arguments), keys.delta_key(request.key)
    while True:
        now, exists = await engine.reference(request.bucket, reference.key, access)
        if now is not None and now.sha256 == reference.sha256:
            if not _goes_first(now, written):
                return now
            if (renewed := await _renew(engine, now, access)) is None:
                continue  # it went meanwhile
            if not _goes_first(renewed, written):
                return renewed
            return Refused("a lifecycle rule would take the deltaspace's reference first")
        if lease is None:
            # A moved delta's. Whoever dropped it has left it in the trash.
            metadata = meta.DeltaMetadata.parse(delta.metadata, stored_key, request.bucket)
            try:
                async with leased(engine, request.bucket, stored_key, metadata, written["ETag"], access) as found:
                    return await _secured(engine, request, delta, reference, found, written)
            except StorageIOError:
                return reference  # another put or delete has come after this one
        if exists:
            return await _keep_addressed(engine, request, delta, reference, lease, written)
        if (created := await create_reference(engine, request, reference.key, lease)) is not None:
            return created


async def _send_delta(
    engine: Engine, request: PutRequest, delta: Delta, metadata: Mapping[str, str], condition: Mapping[str, str]
) -> Response:
    # A checksum that was given is the original's; `ChecksumAlgorithm` guards the delta on its way.
    arguments = {
        name: value
        for name, value in request.arguments.items()
        if name == "ChecksumAlgorithm" or not name.startswith(("Checksum", "ContentMD5"))
    }
    return await engine.store.put(
        request.bucket,
        keys.delta_key(request.key),
        delta.spool.chunks(),
        delta.spool.size,
        metadata=metadata,
        arguments={**arguments, **condition},
    )


async def _keep_addressed(
    engine: Engine, request: PutRequest, delta: Delta, reference: Reference, lease: Lease, written: Response
) -> Reference:
    """The reference of a delta that has been written, kept under its digest because another has taken its place."""
    key = keys.addressed_reference_key(keys.reference_space(reference.key), reference.sha256)
    if not keys.fits(key):
        return reference  # the trash has it, too
    await create_reference(engine, request, key, lease)
    if await keeps(engine, request, delta.spool.size, "IfMatch"):
        # So that the original finds it; the same bytes, and only if the object is still this one.
        metadata = {**delta.metadata, "dg-ref-key": meta.ascii_only(key)}
        own = {"IfMatch": written["ETag"]}
        with contextlib.suppress(PreconditionFailedError, NotFoundError):
            await _send_delta(engine, request, delta, metadata, own)
    return replace(reference, key=key)


def _goes_first(reference: Reference, delta: Mapping[str, Any]) -> bool:
    """Whether lifecycle rules take a reference a day or more before a delta that needs it."""
    expires = expiry_of(delta)
    return reference.expires is not None and (expires is None or expires - reference.expires >= timedelta(days=1))


async def _renew(engine: Engine, reference: Reference, access: Mapping[str, Any]) -> Reference | None:
    """Make a reference as young as the delta that was just written: a copy onto itself. None if it has gone."""
    bucket, key = reference.bucket, reference.key
    head = await engine.store.head(bucket, key, access)
    if head is None:
        return None
    kept: Response = {name: head[name] for name in ("Metadata", "ContentType", "StorageClass") if name in head}
    pinned = {"CopySourceIfMatch": head["ETag"], "MetadataDirective": "REPLACE"}
    try:
        await engine.store.copy(
            bucket, key, {"Bucket": bucket, "Key": key}, {**access, **kept, **encryption_arguments(head), **pinned}
        )
    except (PreconditionFailedError, NotFoundError):
        return None
    except StorageIOError as error:
        _log.warning("cannot renew %s, which a lifecycle rule takes soon: %s", where(bucket, key), error)
        return reference
    return (await engine.reference(bucket, key, access))[0]


async def new_reference_key(engine: Engine, request: PutRequest, space: str, lease: Lease) -> str:
    """The key under which no race can replace a new reference by another one. It may be too long."""
    if await keeps(engine, request, lease.size, "IfNoneMatch"):
        return keys.reference_key(space)
    return keys.addressed_reference_key(space, lease.sha256)


async def create_reference(engine: Engine, request: PutRequest, key: str, lease: Lease) -> Reference | None:
    """Create a reference from a lease; None if there is one already."""
    # A key that names its content needs no condition, and is used where none is kept.
    condition = {} if keys.is_addressed(key) else {"IfNoneMatch": "*"}
    names = ("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled")
    arguments = {name: request.arguments[name] for name in names if name in request.arguments}
    try:
        response = await engine.store.put(
            request.bucket,
            key,
            lease.chunks(),
            lease.size,
            metadata=meta.reference_metadata(request.name, lease.sha256, tool=engine.tool),
            sha256=lease.sha256,
            arguments={**arguments, **access_only(request.arguments), **condition},
        )
    except PreconditionFailedError:
        return None
    return Reference(request.bucket, key, lease.sha256, lease.size, encryption_of(response))
