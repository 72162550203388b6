"""Reads of a logical key: get, head, verify.

Plain, then delta, then plain again before "not there" is believed: in this order no interleaving of puts and
deletes can make a live object look absent or an old delta look alive.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from deltaglider_async.codec import xdelta
from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.references import leased
from deltaglider_async.errors import (
    CodecUnavailableError,
    DiffDecodeError,
    IntegrityMismatchError,
    InvalidRequestError,
)
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.body import Request, body_chunks
from deltaglider_async.store.errors import service_error
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.body import ObjectBody, verified
from deltaglider_async.streams.chunks import window
from deltaglider_async.streams.digest import base64_sha256
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.spool import Spool
from deltaglider_async.types import Progress

#: Python does not read numbers of more than 4,300 digits, and reads digits that are not ASCII.
_RANGE = re.compile(r"bytes=(?:([0-9]{1,4000})-([0-9]{0,4000})|-([0-9]{1,4000}))")


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
        return self.delta.file_size if self.delta else int(self.response["ContentLength"])

    @property
    def stored_size(self) -> int:
        """Bytes of the stored object."""
        return int(self.response["ContentLength"])


Ask = Callable[[str, str, Mapping[str, Any]], Awaitable[Response | None]]


async def find(
    ask: Ask, ask_existing: Callable[..., Awaitable[Response]], bucket: str, key: str, arguments: Mapping[str, Any]
) -> Found:
    """The stored object of a logical key, by HEAD or GET. Raises `NotFoundError` if there is none."""
    response = await ask(bucket, key, arguments)
    if response is not None:
        return _found(bucket, key, response)
    stored = keys.delta_key(key)
    if keys.fits(stored):
        # A range speaks of the original's bytes; the delta is needed whole.
        response = await ask(bucket, stored, {name: value for name, value in arguments.items() if name != "Range"})
        if response is not None:
            if meta.is_delta(response.get("Metadata", {})):
                return _found(bucket, stored, response)
            _discard(response)  # somebody else's object, which has its own name
    return _found(bucket, key, await ask_existing(bucket, key, arguments))


def _found(bucket: str, stored_key: str, response: Response) -> Found:
    metadata = response.get("Metadata", {})
    delta = None
    if stored_key.endswith(keys.DELTA_SUFFIX) and meta.is_delta(metadata):
        try:
            delta = meta.DeltaMetadata.parse(metadata, stored_key, bucket)
        except BaseException:
            _discard(response)
            raise
    return Found(bucket, stored_key, response, delta)


def _discard(response: Response) -> None:
    if "Body" in response:
        response["Body"].close()


async def head(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
    """HeadObject of a logical key."""
    found = await find(engine.store.head, engine.store.head_existing, bucket, key, arguments)
    return _dressed(found)


async def get(
    engine: Engine,
    bucket: str,
    key: str,
    arguments: Mapping[str, Any],
    progress: Progress = lambda phase, position: None,
) -> Response:
    """GetObject of a logical key; `Body` is an `ObjectBody`."""
    found = await find(engine.store.get, engine.store.get_existing, bucket, key, arguments)
    try:
        response = _dressed(found)
        name = where(bucket, key)
        if found.delta is None:
            chunks = body_chunks(engine.store, found.response, Request(bucket, key, arguments, name))
            if "ContentRange" not in response:
                chunks = verified(chunks, size=found.size, sha256=found.sha256, name=name)
            chunks = reported(chunks, progress, "receiving")
        else:
            _refuse_on_delta(name, arguments)
            start, stop = 0, found.size
            if (asked := arguments.get("Range")) and (wanted := parse_range(asked, found.size, name)):
                start, stop = wanted
                response["ContentRange"] = f"bytes {start}-{stop - 1}/{found.size}"
                response["ContentLength"] = stop - start
                del response["ChecksumSHA256"]  # that of the whole
                response["ResponseMetadata"] = {**response["ResponseMetadata"], "HTTPStatusCode": 206}
            chunks = decoded(engine, found, name, arguments, progress)
            if "ContentRange" in response:
                chunks = window(chunks, start, stop, name)
            else:
                chunks = verified(chunks, size=found.size, sha256=found.sha256, name=name)
    except BaseException:
        _discard(found.response)
        raise
    response["Body"] = ObjectBody(chunks, found.response["Body"].close)
    return response


async def decoded(engine: Engine, found: Found, name: str, arguments: Mapping[str, Any], progress: Progress) -> Chunks:
    """The original's bytes of a delta, not yet verified as a whole."""
    delta = found.delta
    assert delta is not None
    if delta.codec:
        _discard(found.response)
        raise CodecUnavailableError(
            f"cannot read {name}: it is stored with the codec {delta.codec!r}, which this version does not know. "
            "Upgrade deltaglider-async."
        )
    async with Spool() as stored:
        # Whole, first: whoever waits for a reference must not hold a connection of the pool that serves it.
        request = Request(found.bucket, found.stored_key, arguments, name)
        async with aclosing(body_chunks(engine.store, found.response, request)) as received:
            async for chunk in await _plausible(found, delta, name, received):
                await stored.write(chunk)
        etag = found.response["ETag"]
        async with leased(engine, found.bucket, found.stored_key, delta, etag, arguments, progress) as lease:
            position = 0
            try:
                chunks = engine.codec.decode(lease, stored.chunks(), delta.file_size, program=engine.settings.xdelta3)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        position += len(chunk)
                        progress("decoding", position)
                        yield chunk
            except DiffDecodeError as error:
                raise type(error)(f"cannot read {name}: {error}") from error


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


def parse_range(asked: str, size: int, name: str) -> tuple[int, int] | None:
    """First and last-plus-one byte of a `Range` (RFC 9110, 14.1); None for what S3 ignores.

    Raises what S3 raises (`InvalidRange`) where nothing of it is inside the object.
    """
    match = _RANGE.fullmatch(asked.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, stop = max(0, size - int(suffix)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise service_error(
            "InvalidRange",
            416,
            "GetObject",
            f"cannot read {name}: the range {asked!r} is outside of its {size:,} bytes.",
        )
    return start, stop


def _refuse_on_delta(name: str, arguments: Mapping[str, Any]) -> None:
    if arguments.get("PartNumber") not in (None, 1):
        raise InvalidRequestError(f"cannot read a part of {name}: it is stored as a delta. Use Range.")


#: What S3 says of the stored object's bytes, which is not true of the original's.
_OF_STORED_BYTES = ("ContentRange", "PartsCount", "ChecksumType")


def _dressed(found: Found) -> Response:
    """What S3 answered, as if the original were stored as itself."""
    response = dict(found.response)
    response["Metadata"] = meta.user_part(response.get("Metadata", {}))
    if found.delta is not None:
        response = {
            name: value
            for name, value in response.items()
            if name not in _OF_STORED_BYTES and not (name.startswith("Checksum"))
        }
        response["ContentLength"] = found.size
    if found.sha256 is not None and "ContentRange" not in response:
        response["ChecksumSHA256"] = base64_sha256(found.sha256)
    response["DeltaGliderInfo"] = {
        "OriginalSize": found.size,
        "StoredSize": found.stored_size,
        "IsDelta": found.delta is not None,
        "CompressionRatio": found.stored_size / found.size if found.delta and found.size else 1.0,
        "ReferenceKey": found.delta.ref_key if found.delta else None,
    }
    return response
