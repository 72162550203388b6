"""The body of a GetObject, read to its end over as many requests as that takes.

botocore retries a request until its answer begins. What breaks off after that is asked for again here, from where it
broke off, with `If-Match`: bytes of two objects never meet in one body.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.exceptions import HTTPClientError

from deltaglider_async.errors import NotFoundError, PreconditionFailedError, StorageIOError
from deltaglider_async.store.errors import translated
from deltaglider_async.store.limits import limits
from deltaglider_async.store.pauses import FRUITLESS, pauses
from deltaglider_async.store.s3 import Arguments, Response, Store
from deltaglider_async.streams import CHUNK, Chunks

#: How a body ends too early: reset, stalled for longer than the read timeout, or shorter than announced.
BROKEN_OFF = (aiohttp.ClientError, HTTPClientError, BotoConnectionError)
#: Bytes of a body for which it counts how large the pieces are that it comes in.
_LONG = 4 * CHUNK
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/")
#: What decided about the first answer and must not decide about the rest of it; a part number becomes its range.
_DECIDED = frozenset({"Range", "PartNumber", "IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince"})


@dataclass(frozen=True, slots=True)
class Request:
    """A GetObject as it was sent; `name` is what messages call the object."""

    bucket: str
    key: str
    arguments: Arguments
    name: str


async def body_chunks(store: Store, response: Response, request: Request) -> Chunks:
    """The body of an answer to `request`, in the sizes in which it arrives. Closing this closes the connection.

    Raises `StorageIOError` where it breaks off and cannot be resumed, also because the object is another one now.
    """
    position, end = extent(response)
    etag, waits = response.get("ETag"), pauses()
    body, skip, pace = response["Body"], 0, limits().pace
    if end - position > _LONG:
        _in_large_pieces(body)
    try:
        while True:
            with translated("read", request.name):
                try:
                    chunk: bytes = await body.read(CHUNK)
                except BROKEN_OFF as error:
                    body.close()
                    if position > end:
                        return  # all of it had come
                    pause = next(waits, None)
                    if pause is None or etag is None:
                        why = f"{FRUITLESS + 1} times without a byte" if etag else "and there is no ETag to go on by"
                        message = f"cannot read {request.name}: the connection broke off ({error}), {why}. Try again."
                        raise StorageIOError(message) from error
                    await anyio.sleep(pause)
                    body, skip = await _resumed(store, request, etag, position, end)
                    continue
            if not chunk:
                return
            if pace is not None:
                await pace.passed(len(chunk))
            if skip:
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))
            if chunk:
                position, waits = position + len(chunk), pauses()
                yield chunk
    finally:
        body.close()


def _in_large_pieces(body: Any) -> None:
    """Have a body that comes fast come in pieces of up to `CHUNK`: asyncio reads a quarter of that at most, and each
    piece is a turn of the loop. Where there is no such setting (TLS, other loops), it comes as it does.
    """
    transport: Any = getattr(getattr(body, "connection", None), "transport", None)
    if hasattr(transport, "max_size"):
        transport.max_size = CHUNK


async def _resumed(store: Store, request: Request, etag: str, position: int, end: int) -> tuple[Any, int]:
    """The rest of a body, and how many bytes of it are known already."""
    arguments = pinned(request.arguments, etag, position, end)
    try:
        response = await store.get_existing(request.bucket, request.key, arguments)
    except (PreconditionFailedError, NotFoundError) as error:
        raise replaced(request.name) from error
    start, _ = extent(response)
    # Some services ignore conditions, and some ignore ranges.
    if response.get("ETag") != etag or start > position:
        response["Body"].close()
        raise replaced(request.name)
    return response["Body"], position - start


def pinned(arguments: Arguments, etag: str, position: int, last: int) -> Response:
    """The arguments for bytes `position` to `last` (inclusive) of the object that a GetObject answered with."""
    kept = {name: value for name, value in arguments.items() if name not in _DECIDED}
    return {**kept, "IfMatch": etag, "Range": f"bytes={position}-{last}"}


def replaced(name: str) -> StorageIOError:
    """What is raised where the rest of a body is of another object."""
    return StorageIOError(
        f"cannot read {name} to its end: the object was replaced or deleted while it was being read. Get it again."
    )


def extent(response: Mapping[str, Any]) -> tuple[int, int]:
    """First and last byte of an answer, counted in the whole object."""
    if match := _CONTENT_RANGE.match(response.get("ContentRange") or ""):
        return int(match[1]), int(match[2])
    return 0, int(response["ContentLength"]) - 1
