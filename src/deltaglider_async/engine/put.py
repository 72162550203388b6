"""Theory of operation of a put.

A logical key has two possible forms: plain (the key itself) and delta (`<key>.delta`). If both exist, the plain
one is the object and the delta is leftover. A put changes exactly one form, in one atomic step:

* plain, for what cannot or need not be a delta, and wherever a plain form exists: remember the delta's ETag,
  write the key, delete the delta if it still has that ETag. A put never removes a plain form.
* delta, only where no plain form was seen: encode against the reference, decode what was encoded and compare
  digests, write `<key>.delta`, then look whether the reference is still there with the same SHA-256. If it is
  gone, put it back; if it is another one, keep it under its digest. If a lifecycle rule would take the reference
  before the delta, renew it, or else store plain. Only then is the put acknowledged.

A reference is created with `If-None-Match: *` and never replaced; who loses the race uses the winner's. Where the
endpoint does not keep that condition, it is written under a key that names its digest, which no race can overwrite
with other bytes. Nothing is sent before the delta is complete and proven. Nobody may break these rules, in this
module or elsewhere.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from deltaglider_async.cache import Lease
from deltaglider_async.engine.announced import Announced, uncheckable
from deltaglider_async.engine.core import (
    PROCESS_MEMORY,
    Engine,
    Reference,
    ReferenceGoneError,
    Response,
    access_only,
    encryption_arguments,
    encryption_of,
    expiry_of,
    serves_encryption,
    where,
)
from deltaglider_async.engine.encode import Delta, PutRequest, Refused, compression_of, encode
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.engine.references import leased
from deltaglider_async.engine.trash import drop_unused
from deltaglider_async.errors import (
    InvalidRequestError,
    NotFoundError,
    PreconditionFailedError,
    ReferenceCreationRaceError,
    StorageIOError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.format.candidates import MAGIC_LENGTH, compressed_stream
from deltaglider_async.settings import LARGEST_REFERENCE
from deltaglider_async.store.conditions import Condition
from deltaglider_async.store.conditions import Operation as Call
from deltaglider_async.store.errors import service_error
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest, base64_sha256, digested
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.source import Source, changed, digest_of, replayable, same_again, settle
from deltaglider_async.streams.spool import Spool
from deltaglider_async.types import Operation

_log = logging.getLogger(__name__)

#: Sources up to here are read once and kept, instead of being read again where a second pass is needed.
IN_MEMORY = 8 * 1024 * 1024
#: How often a put begins again because the reference changed under it.
ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class PutResult:
    """What became of a put. Sizes in bytes, digest in hex (empty for a stream of unknown length)."""

    response: Response
    operation: Operation
    original_size: int
    stored_size: int
    sha256: str
    ratio: float = 0.0
    """Delta size divided by original size, also when the delta was refused; 0.0 where none was tried."""
    reference_key: str = ""
    reason: str = ""


async def put(engine: Engine, request: PutRequest) -> PutResult:
    """Store an object. Raises what is in `errors`; the bucket then is as it was before."""
    keys.check_writable(request.bucket, request.key)
    if request.arguments.get("WriteOffsetBytes") is not None:
        raise InvalidRequestError(
            f"cannot put {where(request.bucket, request.key)} with WriteOffsetBytes: objects are stored whole, so "
            "that their bytes can be checked. Nothing was stored."
        )
    for condition in CONDITIONS:
        if request.arguments.get(condition) is not None:
            await require(engine, request, condition)
    meta.check_user_metadata(request.metadata)
    announced = Announced(request.arguments, where(request.bucket, request.key))
    source = await settle(announced.watched(request.source), IN_MEMORY)
    request = replace(request, source=source, announced=announced)
    swap = request.arguments.get("IfMatch") is not None
    refused = await _why_no_swap(engine, request) if swap else why_plain(engine, request)
    if refused:
        return await _put_plain(engine, request, refused)
    async with replayable(source) as source:
        request = replace(request, source=source)
        if not swap and (compression := await compression_of(source)):
            return await _put_plain(engine, request, Refused(f"it is a {compression} stream"))
        return await _put_candidate(engine, request)


CONDITIONS: tuple[Condition, ...] = ("IfNoneMatch", "IfMatch")


async def require(engine: Engine, request: PutRequest, condition: Condition) -> None:
    """Raise where the caller's condition would be ignored by the endpoint."""
    # A body of unknown size may be sent either way.
    sizes = (0, LARGEST_SINGLE_PUT + 1) if request.source.size is None else (request.source.size,)
    for size in sizes:
        if not await keeps(engine, request, size, condition):
            raise InvalidRequestError(
                f"cannot put {where(request.bucket, request.key)} with {condition}: this endpoint answers 200 whether "
                "the condition holds or not. Nothing was stored."
            )


async def keeps(engine: Engine, request: PutRequest, size: int, condition: Condition) -> bool:
    """Whether the endpoint keeps a condition on the write of `size` bytes."""
    operation: Call = "CompleteMultipartUpload" if size > LARGEST_SINGLE_PUT else "PutObject"
    space = keys.deltaspace(request.key)
    return await engine.conditions.keeps(request.bucket, space, operation, condition, access_only(request.arguments))


async def _why_no_swap(engine: Engine, request: PutRequest) -> Refused | None:
    """With `IfMatch`, the form that has the ETag is kept, whatever the name, the content or the ratio."""
    access = access_only(request.arguments)
    if await engine.store.seen(request.bucket, request.key, access) is not None:
        return Refused("IfMatch keeps the form that is there")
    key = keys.delta_key(request.key)
    delta = await engine.store.head(request.bucket, key, access) if keys.fits(key) else None
    if delta is None or not meta.is_delta(delta.get("Metadata", {})):
        return Refused("there is nothing to match")  # S3 says so
    if delta["ETag"].strip('"') != request.arguments["IfMatch"].strip('"'):
        raise _unmet(request)
    if unfit := unfit_for_a_delta(request.arguments):
        raise _cannot_stay(request, unfit)
    return None


def _cannot_stay(request: PutRequest, reason: str) -> Exception:
    """`IfMatch` cannot be kept on two keys at once."""
    return InvalidRequestError(
        f"cannot put {where(request.bucket, request.key)} with IfMatch: the object there is a delta, and the new one "
        f"cannot be: {reason}. Put it without the condition."
    )


def _unmet(request: PutRequest) -> Exception:
    message = f"cannot put {where(request.bucket, request.key)}: the object there does not meet the condition."
    return service_error("PreconditionFailed", 412, "PutObject", message)


def why_plain(engine: Engine, request: PutRequest) -> Refused | None:
    """Reasons that are known without asking S3."""
    arguments = request.arguments
    if request.use_delta is False:
        return Refused("no delta was asked for")
    if request.use_delta is None:
        # What is left of unknown length by now is longer than what is kept in memory.
        size = IN_MEMORY + 1 if request.source.size is None else request.source.size
        if reason := engine.policy.why_not(request.bucket, request.key, size):
            return Refused(reason)
    if request.max_ratio <= 0:
        return Refused("max_ratio is 0")
    if not keys.fits(keys.delta_key(request.key)):
        return Refused(f"the key leaves no room for {keys.DELTA_SUFFIX} within {keys.LONGEST_KEY} bytes")
    if unfit := unfit_for_a_delta(arguments):
        return Refused(unfit)
    if arguments.get("IfNoneMatch"):
        return Refused("IfNoneMatch compares and swaps on the plain form")
    if request.source.size == 0:
        return Refused("it is empty")
    return None


def unfit_for_a_delta(arguments: Mapping[str, Any]) -> str:
    """Why a put with these arguments cannot be stored as a delta; empty if it can."""
    if arguments.get("SSECustomerKey") is not None or arguments.get("SSECustomerAlgorithm") is not None:
        return "a customer's encryption key cannot serve a shared reference"
    if arguments.get("WebsiteRedirectLocation") is not None:
        return "a website redirects from the plain form only"
    if unchecked := uncheckable(arguments):
        return f"{unchecked[0]} speaks of the bytes as sent"
    return ""


async def _put_candidate(engine: Engine, request: PutRequest) -> PutResult:
    result = await put_delta(engine, request)
    if isinstance(result, PutResult):
        return result
    if result.absent and request.arguments.get("IfMatch") is not None:
        raise _cannot_stay(request, result.reason)
    return await _put_plain(engine, request, result)


async def put_delta(engine: Engine, request: PutRequest, *, beside_plain: bool = False) -> PutResult | Refused:
    """Write the delta form, or say why there is none. `beside_plain`: also where a plain form is, which stays."""
    access = access_only(request.arguments)
    space = keys.deltaspace(request.key)
    for _ in range(ATTEMPTS):
        plain, delta, (reference, exists) = await look(engine, request, space, access)
        result: PutResult | Refused | None
        if plain is not None and not beside_plain:
            result = Refused("a plain form of this key exists")
        elif delta is not None and not meta.is_delta(delta.get("Metadata", {})):
            result = Refused(f"{where(request.bucket, keys.delta_key(request.key))} is an object of another tool")
        elif exists and reference is None:
            result = Refused(f"{where(request.bucket, keys.reference_key(space))} is not a reference of ours")
        elif reference is None:
            result = await _put_first(engine, request, space)
        else:
            result = await _put_against(engine, request, reference)
        if isinstance(result, Refused):
            return replace(result, absent=plain is None)
        if result is not None:
            return result
    raise ReferenceCreationRaceError(
        f"cannot put {where(request.bucket, request.key)}: the reference of its folder was created, removed or "
        f"replaced {ATTEMPTS} times meanwhile. Try again; if it stays, look for a tool that rewrites references."
    )


async def look(
    engine: Engine, request: PutRequest, space: str, access: Response
) -> tuple[Response | None, Response | None, tuple[Reference | None, bool]]:
    """The plain form, the delta form and the reference, asked for side by side."""
    heads: dict[str, Response | None] = {}
    reference: tuple[Reference | None, bool] = (None, False)

    async def look_for(key: str) -> None:
        heads[key] = await engine.store.seen(request.bucket, key, access)

    async def look_reference() -> None:
        nonlocal reference
        reference = await engine.find_reference(request.bucket, space, access)

    delta_key = keys.delta_key(request.key)
    await concurrently(lambda: look_for(request.key), lambda: look_for(delta_key), look_reference)
    return heads[request.key], heads[delta_key], reference


async def _put_against(engine: Engine, request: PutRequest, reference: Reference) -> PutResult | Refused | None:
    """Delta form against an existing reference; None if that went meanwhile."""
    if not serves_encryption(encryption_of(request.arguments), reference.encryption):
        return Refused("its encryption is not that of the deltaspace's reference")
    if reference.size > LARGEST_REFERENCE:
        return Refused("the deltaspace's reference is larger than xdelta3 can use")
    if reference.expires is None and reference.archived:
        return Refused("the deltaspace's reference is archived")
    request.progress("reading reference", 0)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine.puts.take(2 * reference.size + 2 * PROCESS_MEMORY))
        try:
            lease = await stack.enter_async_context(engine.lease(reference, request.arguments))
        except ReferenceGoneError:
            return None
        if compression := compressed_stream(await lease.read(0, MAGIC_LENGTH)):
            return Refused(f"the deltaspace's reference is a {compression} stream")
        async with Spool() as spool:
            delta = await encode(engine, request, lease, reference.key, spool)
            if isinstance(delta, Refused):
                return delta
            return await write_delta(engine, request, delta, reference, lease)


async def _put_first(engine: Engine, request: PutRequest, space: str) -> PutResult | Refused | None:
    """The first file of a deltaspace: reference, and delta of itself; None if another's reference came first."""
    size = request.source.size
    if size is None:
        size = (await digest_of(request.source)).size
    if size > engine.settings.max_reference_size:
        return Refused("there is no reference yet, and it is larger than DG_MAX_REFERENCE_SIZE")
    async with (
        engine.puts.take(2 * size + 2 * PROCESS_MEMORY),
        engine.cache.draft(request.source.open(), limit=size) as lease,
    ):
        if lease is None:
            raise changed(request.source.name, f"it had {size:,} bytes when the put began, now more")
        reference_key = await new_reference_key(engine, request, space, lease)
        if not keys.fits(reference_key):
            return Refused("the key of its reference would be too long")
        async with Spool() as spool:
            own = replace(
                request, source=Source(lambda: lease.chunks(), lease.size, rereadable=True, name=request.source.name)
            )
            delta = await encode(engine, own, lease, reference_key, spool, note="zero-diff (reference identical)")
            if isinstance(delta, Refused):
                return delta
            request.progress("sending", 0)
            reference = None

            async def create() -> None:
                nonlocal reference
                reference = await create_reference(engine, request, reference_key, lease)

            await concurrently(create, lambda: engine.cache.keep(lease))
            if reference is None:
                return None  # somebody else's came first
            result = await write_delta(engine, request, delta, reference, lease)
            if not isinstance(result, PutResult):
                return result
            stored = lease.size + delta.spool.size
            return replace(result, operation="create_reference", stored_size=stored, ratio=0.0)


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
        _of_the_whole(response, request, delta.sha256),
        "create_delta",
        delta.size,
        delta.spool.size,
        delta.sha256,
        delta.ratio,
        secured.key,
    )


def _of_the_whole(response: Response, request: PutRequest, sha256: str) -> Response:
    """S3's answer to a write, with the original's checksums in place of those of what was sent."""
    of_the_whole = {
        "ChecksumSHA256": base64_sha256(sha256),
        **request.announced.values,
        "ChecksumType": "FULL_OBJECT",
    }
    return {name: value for name, value in response.items() if not name.startswith("Checksum")} | of_the_whole


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


async def _put_plain(engine: Engine, request: PutRequest, refused: Refused) -> PutResult:
    """Plain form. An older delta form is removed afterwards, if it is still the one that was seen before."""
    bucket, key, source, access = request.bucket, request.key, request.source, access_only(request.arguments)
    delta = await delta_beside(engine, bucket, key, access)
    if delta is not None and request.arguments.get("IfNoneMatch"):
        raise _unmet(request)
    size = source.size
    given = set(uncheckable(request.arguments)) & request.announced.given.keys()
    if (size is None or size > LARGEST_SINGLE_PUT) and (unchecked := sorted(given)):
        raise InvalidRequestError(
            f"cannot put {where(bucket, key)}: {unchecked[0]} cannot be checked for a body that is sent in parts. "
            "Give ChecksumSHA256."
        )
    metadata = request.kept_metadata
    if source.rereadable and source.sha256 is None:
        digest = await digest_of(source)
        sha256, size = await digest.hexdigest(), digest.size
        chunks = same_again(source, sha256, size)
    else:
        sha256, chunks = source.sha256 or "", source.open()
    if sha256:
        assert size is not None
        request.announced.check_sha256(sha256)
        ours = meta.plain_metadata(request.name, sha256, size, tool=engine.tool)
        # Ours are a convenience here; a user's metadata that fills the 2 KB goes first.
        metadata = ours | metadata if meta.fits(ours | metadata) else metadata
    sent = Digest()
    response = await engine.store.put(
        bucket,
        key,
        reported(chunks if sha256 else _as_announced(request, chunks, sent), request.progress, "sending"),
        size,
        metadata=metadata,
        sha256=sha256 or None,
        arguments=request.arguments,
    )
    await remove_delta_beside(engine, bucket, key, delta, access)
    if not sha256:
        size, sha256 = sent.size, await sent.hexdigest()
    assert size is not None
    response = _of_the_whole(response, request, sha256)
    return PutResult(response, "upload_direct", size, size, sha256, refused.ratio, reason=refused.reason)


async def delta_beside(engine: Engine, bucket: str, key: str, access: Response) -> Response | None:
    """The delta form of a key, before its plain form is written: the one that may be removed afterwards."""
    delta_key = keys.delta_key(key)
    delta = await engine.store.head(bucket, delta_key, access) if keys.fits(delta_key) else None
    if delta is not None and not meta.is_delta(delta.get("Metadata", {})):
        return None  # somebody else's object under a reserved name
    return delta


async def remove_delta_beside(engine: Engine, bucket: str, key: str, delta: Response | None, access: Response) -> None:
    """Remove what `delta_beside` found, if it is still the same; where that cannot be told it stays, hidden."""
    space = keys.deltaspace(key)
    if (
        delta is not None
        and await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access)
        and await engine.store.delete_if_unchanged(bucket, keys.delta_key(key), delta["ETag"], access)
    ):
        await drop_unused(engine, bucket, space, access)


async def _as_announced(request: PutRequest, chunks: Chunks, sent: Digest) -> Chunks:
    """The same chunks through a digest; raises at their end, before the upload is completed, for a wrong checksum."""
    async with aclosing(digested(chunks, sent)) as counted:
        async for chunk in counted:
            yield chunk
    request.announced.check_sha256(await sent.hexdigest())
