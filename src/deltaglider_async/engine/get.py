"""Reads of a logical key: get, head, verify.

Plain, then delta, then plain again before "not there" is believed: in this order no interleaving of puts and
deletes can make a live object look absent or an old delta look alive.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deltaglider_async.cache import VERIFIED
from deltaglider_async.codec import xdelta
from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.extent import extent, is_partial, whole
from deltaglider_async.engine.record import Record
from deltaglider_async.engine.references import leased
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    PreconditionFailedError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.side_by_side import whole_body
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.body import ObjectBody, verified
from deltaglider_async.streams.chunks import window
from deltaglider_async.streams.digest import Digest, base64_sha256
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.spool import Spool

if TYPE_CHECKING:
    from deltaglider_async.types import Progress


@dataclass(frozen=True, slots=True)
class Found:
    """A stored object, the form it has, and what S3 answered for it."""

    bucket: str
    stored_key: str
    response: Response
    delta: meta.DeltaMetadata | None

    @property
    def sha256(self) -> str | None:
        """The original's recorded SHA-256 in hex."""
        return self.delta.file_sha256 if self.delta else meta.recorded_sha256(self.response.get("Metadata", {}))

    @property
    def size(self) -> int:
        """The original's size in bytes."""
        return self.delta.file_size if self.delta else self.stored_size

    @property
    def stored_size(self) -> int:
        """Bytes of the stored object, also where the answer is about a part of it."""
        total = (self.response.get("ContentRange") or "").rpartition("/")[2]
        return int(total) if total.isdecimal() else int(self.response["ContentLength"])


_CONDITIONS = frozenset({"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"})

Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Response | None]]


async def find(
    ask: Ask, ask_existing: Callable[..., Awaitable[Response]], bucket: str, key: str, arguments: Mapping[str, Any]
) -> Found:
    """The stored object of a logical key, by HEAD or GET. Raises `NotFoundError` if there is none.

    Conditions go to S3 with each request, which holds them against what is there. They speak of the logical object:
    its ETag and its age are those of its stored form.
    """
    if key.endswith(keys.DELTA_SUFFIX) and is_partial(arguments):
        # Perhaps the stored name of a delta, which is needed whole.
        response = await ask(bucket, key, whole(arguments))
        if response is not None:
            if meta.is_delta(response.get("Metadata", {})):
                return _found(bucket, key, response)
            discard(response)
    response = await ask(bucket, key, arguments)
    if response is not None:
        return _found(bucket, key, response)
    stored = keys.delta_key(key)
    if keys.fits(stored) and (response := await _ask_delta(ask, bucket, stored, arguments)) is not None:
        return _found(bucket, stored, response)
    return _found(bucket, key, await ask_existing(bucket, key, arguments))


async def _ask_delta(ask: Ask, bucket: str, stored: str, arguments: Mapping[str, Any]) -> Response | None:
    """The delta form; None where there is none, or somebody else's object, which has its own name."""
    try:
        response = await ask(bucket, stored, whole(arguments))
    except PreconditionFailedError:
        # Such an answer does not say whose object it is about.
        unconditional = {name: value for name, value in whole(arguments).items() if name not in _CONDITIONS}
        response = await ask(bucket, stored, unconditional)
        if response is not None:
            discard(response)
            if meta.is_delta(response.get("Metadata", {})):
                raise
        return None
    if response is not None and not meta.is_delta(response.get("Metadata", {})):
        discard(response)
        return None
    return response


def _found(bucket: str, stored_key: str, response: Response) -> Found:
    metadata = response.get("Metadata", {})
    delta = None
    if stored_key.endswith(keys.DELTA_SUFFIX) and meta.is_delta(metadata):
        try:
            delta = meta.DeltaMetadata.parse(metadata, stored_key, bucket)
        except BaseException:
            discard(response)
            raise
    return Found(bucket, stored_key, response, delta)


def discard(response: Response) -> None:
    """Close the body of an answer that nobody reads."""
    if "Body" in response:
        response["Body"].close()


async def head(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
    """HeadObject of a logical key."""
    found = await find(engine.store.head, engine.store.head_existing, bucket, key, arguments)
    if found.delta is not None:
        engine.remembered.learn(bucket, found.stored_key, found.response["ETag"], found.delta.file_size)
    asked = extent(arguments, found.size, where(bucket, key), "HeadObject") if found.delta else None
    return dressed(found, arguments, asked)


async def get(
    engine: Engine,
    bucket: str,
    key: str,
    arguments: Mapping[str, Any],
    progress: Progress = lambda phase, position: None,
    record: Record | None = None,
    *,
    checksums: bool = False,
) -> Response:
    """GetObject of a logical key; `Body` is an `ObjectBody`, at whose end the record is written.

    With `checksums`, those in a delta must be right too, although the SHA-256 of the whole is compared.
    """
    found = await find(engine.store.get, engine.store.get_existing, bucket, key, arguments)
    try:
        name = where(bucket, key)
        asked = extent(arguments, found.size, name, "GetObject") if found.delta else None
        response = dressed(found, arguments, asked)
        if found.delta is None:
            request = Request(bucket, key, arguments, name)
            if _is_part(found, arguments):
                chunks = body_chunks(engine.store, found.response, request)
            else:
                chunks = whole_body(engine.store, found.response, request, digest=found.sha256 is not None)
                chunks = verified(chunks, size=found.size, sha256=found.sha256, name=name)
            chunks = reported(chunks, progress, "receiving")
        else:
            partial = asked if asked != (0, found.size) else None
            digest = Digest(at_a_time=2 * CHUNK) if partial is None and not checksums else None
            chunks = decoded(engine, found, name, arguments, progress, partial, digest)
            if partial is None:
                chunks = verified(chunks, size=found.size, sha256=found.sha256, name=name, digest=digest)
    except BaseException:
        discard(found.response)
        raise
    if record is not None:
        record.sized(response["DeltaGliderInfo"])
        record.kept_open = True
        chunks = record.during(chunks)
    response["Body"] = ObjectBody(chunks, found.response["Body"].close, record.write if record else None)
    return response


def _is_part(found: Found, arguments: Mapping[str, Any]) -> bool:
    """Whether S3 answered with a part of a plain form. Not every service says so of a `PartNumber`."""
    return "ContentRange" in found.response or arguments.get("PartNumber") is not None


async def decoded(
    engine: Engine,
    found: Found,
    name: str,
    arguments: Mapping[str, Any],
    progress: Progress,
    asked: tuple[int, int] | None = None,
    digest: Digest | None = None,
) -> Chunks:
    """The original's bytes of a delta, not yet verified as a whole, or `asked`: first and last-plus-one byte.

    All but a range may be made while the reference still arrives. Then its SHA-256 is compared before the end. Nothing
    else will tell for a range, which therefore waits for that first. `digest` takes all that is given out, for a caller
    who compares it; else the checksums in the delta are.
    """
    delta = found.delta
    assert delta is not None
    if delta.codec:
        discard(found.response)
        raise CodecUnavailableError(
            f"cannot read {name}: it is stored with the codec {delta.codec!r}, which this version does not know. "
            "Upgrade deltaglider-async."
        )
    async with Spool() as stored:
        # Whole, first: whoever waits for a reference must not hold a connection of the pool that serves it.
        request = Request(found.bucket, found.stored_key, arguments, name)
        try:
            async with aclosing(whole_body(engine.store, found.response, request, digest=True)) as received:
                async for chunk in await _plausible(found, delta, name, received):
                    await stored.write(chunk)
        finally:
            discard(found.response)  # also where nothing of it was read
        etag = found.response["ETag"]
        place = found.bucket, found.stored_key
        async with leased(engine, *place, delta, etag, arguments, progress, arriving=asked is None) as lease:
            position, turn = 0, await engine.decoders.take()

            async def reached(offset: float) -> None:
                with turn.resting():
                    await lease.reached(offset)

            try:
                needed, left_out = stored.chunks(), 0
                if asked is not None:
                    needed, left_out = await xdelta.part(stored.chunks, delta.file_size, *asked)
                chunks = engine.codec.decode(
                    lease,
                    needed,
                    delta.file_size,
                    program=engine.settings.xdelta3,
                    reached=reached if lease.arriving else None,
                    digest=digest,
                )
                if asked is not None:
                    chunks = window(chunks, asked[0] - left_out, asked[1] - left_out, name)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        position += len(chunk)
                        progress("decoding", position)
                        with turn.resting():
                            yield chunk
                await reached(VERIFIED)
            except DiffDecodeError as error:
                raise type(error)(f"cannot read {name}: {error}") from error
            finally:
                turn.end()


async def _plausible(found: Found, delta: meta.DeltaMetadata, name: str, received: Chunks) -> Chunks:
    """The stored bytes of a delta, of which only the header was read.

    Raises `IntegrityMismatchError` where they cannot be a delta of what its metadata describes, and
    `DiffDecodeError` where they are none that may be decoded.
    """
    size = found.stored_size
    if delta.delta_size not in (None, size):
        reason = f"it has {size:,} bytes, but {delta.delta_size:,} were recorded when it was put"
    else:
        try:
            head, header = await xdelta.read_head(received)
        except DiffDecodeError as error:
            raise DiffDecodeError(f"cannot read {name}: {error}") from error
        largest = xdelta.largest_delta(header, delta.file_size)
        if largest is None or size <= largest:
            return xdelta.resume(head, received)
        reason = f"its delta has {size:,} bytes, which is absurd for a file of the recorded {delta.file_size:,}"
    raise IntegrityMismatchError(f"cannot read {name}: {reason}. The stored object is damaged.")


#: What S3 says of the stored object's bytes, which is not true of the original's.
_OF_STORED_BYTES = ("Checksum", "ContentRange", "PartsCount")
#: The same as headers, and our own part of the metadata.
_HEADERS_OF_STORED_BYTES = ("x-amz-checksum-", "content-range", "x-amz-mp-parts-count", "content-md5")
_OUR_HEADERS = ("x-amz-meta-dg-", "x-amz-meta-dg_")


def dressed(found: Found, arguments: Mapping[str, Any], asked: tuple[int, int] | None) -> Response:
    """What S3 answered, as if the original were stored as itself. `asked`: the bytes of a delta that were asked for."""
    response = dict(found.response)
    response["Metadata"] = meta.user_part(response.get("Metadata", {}))
    said = response.get("ResponseMetadata", {})
    headers = {name: text for name, text in said.get("HTTPHeaders", {}).items() if not name.startswith(_OUR_HEADERS)}
    if found.delta is not None:
        response = {name: value for name, value in response.items() if not name.startswith(_OF_STORED_BYTES)}
        headers = {name: text for name, text in headers.items() if not name.startswith(_HEADERS_OF_STORED_BYTES)}
        response["ContentLength"] = found.size
        if asked is not None:
            start, stop = asked
            headers["content-range"] = response["ContentRange"] = f"bytes {start}-{stop - 1}/{found.size}"
            response["ContentLength"] = stop - start
            said = {**said, "HTTPStatusCode": 206}
        headers["content-length"] = str(response["ContentLength"])
    response["ResponseMetadata"] = {**said, "HTTPHeaders": headers}
    if found.sha256 is not None and "ContentRange" not in response and arguments.get("PartNumber") is None:
        response |= _checksum_of_all(response, found.sha256, arguments)
    response["DeltaGliderInfo"] = {
        "OriginalSize": found.size,
        "StoredSize": found.stored_size,
        "IsDelta": found.delta is not None,
        "CompressionRatio": found.stored_size / found.size if found.delta and found.size else 1.0,
        "ReferenceKey": found.delta.ref_key if found.delta else None,
    }
    return response


def _checksum_of_all(response: Response, sha256: str, arguments: Mapping[str, Any]) -> Response:
    """The recorded digest, in place of one of parts that S3 may have; other checksums and their type are S3's."""
    others = {name for name in response if name.startswith("Checksum")} - {"ChecksumSHA256", "ChecksumType"}
    typed = arguments.get("ChecksumMode") == "ENABLED" and not others
    return {"ChecksumSHA256": base64_sha256(sha256)} | ({"ChecksumType": "FULL_OBJECT"} if typed else {})
