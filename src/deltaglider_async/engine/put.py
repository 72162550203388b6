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
with other bytes. Of the puts of one client, one creates it; the others encode against it meanwhile, and write when it
is there. Nothing is sent before the delta is complete and proven. Nobody may break these rules, in this
module or elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from deltaglider_async.engine.announced import Announced, uncheckable
from deltaglider_async.engine.core import (
    PROCESS_MEMORY,
    Engine,
    First,
    Reference,
    ReferenceGoneError,
    Response,
    access_only,
    encryption_of,
    serves_encryption,
    where,
)
from deltaglider_async.engine.encode import compression_of, encode
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.engine.prospect import hopeless, worth_a_look
from deltaglider_async.engine.put_plain import put_plain
from deltaglider_async.engine.request import (
    CONDITIONS,
    IN_MEMORY,
    PutRequest,
    PutResult,
    Refused,
    require,
    unmet,
)
from deltaglider_async.engine.write_delta import create_reference, new_reference_key, write_delta
from deltaglider_async.errors import (
    InvalidRequestError,
    ReferenceCreationRaceError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.format.candidates import MAGIC_LENGTH, compressed_stream
from deltaglider_async.settings import LARGEST_REFERENCE
from deltaglider_async.streams.source import Source, changed, digest_of, replayable, settle
from deltaglider_async.streams.spool import Spool

#: How often a put begins again because the reference changed under it.
ATTEMPTS = 8
_TOO_LARGE = Refused("there is no reference yet, and it is larger than DG_MAX_REFERENCE_SIZE")


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
        return await put_plain(engine, request, refused)
    async with replayable(source) as source:
        request = replace(request, source=source)
        if not swap and (compression := await compression_of(source)):
            return await put_plain(engine, request, Refused(f"it is a {compression} stream"))
        return await _put_candidate(engine, request)


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
        raise unmet(request)
    if unfit := unfit_for_a_delta(request.arguments):
        raise _cannot_stay(request, unfit)
    return None


def _cannot_stay(request: PutRequest, reason: str) -> Exception:
    """`IfMatch` cannot be kept on two keys at once."""
    return InvalidRequestError(
        f"cannot put {where(request.bucket, request.key)} with IfMatch: the object there is a delta, and the new one "
        f"cannot be: {reason}. Put it without the condition."
    )


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
    return await put_plain(engine, request, result)


async def put_delta(engine: Engine, request: PutRequest, *, beside_plain: bool = False) -> PutResult | Refused:
    """Write the delta form, or say why there is none. `beside_plain`: also where a plain form is, which stays."""
    access = access_only(request.arguments)
    space = keys.deltaspace(request.key)
    alone = False
    for _ in range(ATTEMPTS):
        plain, delta, (reference, exists) = await look(engine, request, space, access)
        result: PutResult | Refused | None
        if plain is not None and not beside_plain:
            result = Refused("a plain form of this key exists")
        elif delta is not None and not meta.is_delta(delta.get("Metadata", {})):
            result = Refused(f"{where(request.bucket, keys.delta_key(request.key))} is an object of another tool")
        elif exists and reference is None:
            result = Refused(f"{where(request.bucket, keys.reference_key(space))} is not a reference of ours")
        elif reference is not None:
            result = await _put_against(engine, request, reference)
        elif alone or (first := engine.firsts.get((request.bucket, space))) is None:
            result = await _put_first(engine, request, space)
        else:
            draft = await first.drafted()
            result = None if draft is None else await _put_against(engine, request, draft, first)
            alone = True  # if nothing came of that, all others that waited try as well
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


async def _put_against(
    engine: Engine, request: PutRequest, reference: Reference, first: First | None = None
) -> PutResult | Refused | None:
    """Delta form against an existing reference, or one that `first` is about to create; None if there is none."""
    if first is None and (refused := _unusable(request, reference)):
        return refused
    request.progress("reading reference", 0)
    afar = worth_a_look(request) and not await engine.cache.holds(reference.sha256)
    if afar and (refused := await hopeless(engine, request, reference, None)):
        return refused
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine.puts.take(2 * reference.size + 2 * PROCESS_MEMORY))
        try:
            lease = await stack.enter_async_context(engine.lease(reference, request.arguments))
        except ReferenceGoneError:
            return None
        if compression := compressed_stream(await lease.read(0, MAGIC_LENGTH)):
            return Refused(f"the deltaspace's reference is a {compression} stream")
        if not afar and (refused := await hopeless(engine, request, reference, lease)):
            return refused
        async with Spool() as spool:
            delta = await encode(engine, request, lease, reference.key, spool)
            if isinstance(delta, Refused):
                return delta
            if first is not None:
                created = await first.created()
                if created is None or (refused := _unusable(request, created)):
                    return refused if created else None
                reference = created
            return await write_delta(engine, request, delta, reference, lease)


def _unusable(request: PutRequest, reference: Reference) -> Refused | None:
    """Why a reference cannot serve this put."""
    if not serves_encryption(encryption_of(request.arguments), reference.encryption):
        return Refused("its encryption is not that of the deltaspace's reference")
    if reference.size > LARGEST_REFERENCE:
        return Refused("the deltaspace's reference is larger than xdelta3 can use")
    if reference.expires is None and reference.archived:
        return Refused("the deltaspace's reference is archived")
    return None


async def _put_first(engine: Engine, request: PutRequest, space: str) -> PutResult | Refused | None:
    """The first file of a deltaspace: reference, and delta of itself; None if another's reference came first."""
    if request.source.size is not None and request.source.size > engine.settings.max_reference_size:
        return _TOO_LARGE
    first, place = First(), (request.bucket, space)
    known = engine.firsts.setdefault(place, first)
    try:
        return await _put_as(first, engine, request, space)
    finally:
        first.end(None)
        if known is first:
            del engine.firsts[place]


async def _put_as(first: First, engine: Engine, request: PutRequest, space: str) -> PutResult | Refused | None:
    size = request.source.size
    if size is None:
        size = (await digest_of(request.source)).size
    if size > engine.settings.max_reference_size:
        return _TOO_LARGE
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
            delta = await encode(engine, own, lease, reference_key, spool, unchanged=True)
            if isinstance(delta, Refused):
                return delta
            first.draft(Reference(request.bucket, reference_key, lease.sha256, lease.size))
            request.progress("sending", 0)
            reference = None

            async def create() -> None:
                nonlocal reference
                reference = await create_reference(engine, request, reference_key, lease)

            await concurrently(create, lambda: engine.cache.keep(lease))
            first.end(reference)
            if reference is None:
                return None  # somebody else's came first
            result = await write_delta(engine, request, delta, reference, lease)
            if not isinstance(result, PutResult):
                return result
            stored = lease.size + delta.spool.size
            return replace(result, operation="create_reference", stored_size=stored, ratio=0.0)
