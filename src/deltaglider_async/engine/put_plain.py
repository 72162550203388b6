"""The plain form of a put: the object as itself, and no older delta beside it."""

from __future__ import annotations

from contextlib import aclosing

from deltaglider_async.engine.announced import uncheckable
from deltaglider_async.engine.core import (
    Engine,
    Response,
    access_only,
    where,
)
from deltaglider_async.engine.request import (
    PutRequest,
    PutResult,
    Refused,
    of_the_whole,
    unmet,
)
from deltaglider_async.engine.trash import drop_unused
from deltaglider_async.errors import (
    InvalidRequestError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest, digested
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.source import digest_of, same_again


async def put_plain(engine: Engine, request: PutRequest, refused: Refused) -> PutResult:
    """Plain form. An older delta form is removed afterwards, if it is still the one that was seen before."""
    bucket, key, source, access = request.bucket, request.key, request.source, access_only(request.arguments)
    delta = await delta_beside(engine, bucket, key, access)
    if delta is not None and request.arguments.get("IfNoneMatch"):
        raise unmet(request)
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
        chunks = source.open() if source.data is not None else same_again(source, sha256, size)
    else:
        sha256, chunks = source.sha256 or "", source.open()
    if sha256:
        assert size is not None
        request.announced.check_sha256(sha256)
        ours = meta.plain_metadata(request.name, sha256, size, tool=engine.tool)
        # Ours are a convenience here; a user's metadata that fills the 2 KB goes first.
        metadata = ours | metadata if meta.fits(ours | metadata) else metadata
    sent = Digest()
    whole = source.data if sha256 and size is not None and size <= LARGEST_SINGLE_PUT else None
    if whole is not None:
        request.progress("sending", len(whole))
    response = await engine.store.put(
        bucket,
        key,
        whole
        if whole is not None
        else reported(chunks if sha256 else _as_announced(request, chunks, sent), request.progress, "sending"),
        size,
        metadata=metadata,
        sha256=sha256 or None,
        arguments=request.arguments,
    )
    await remove_delta_beside(engine, bucket, key, delta, access)
    if not sha256:
        size, sha256 = sent.size, await sent.hexdigest()
    assert size is not None
    response = of_the_whole(response, request, sha256)
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
