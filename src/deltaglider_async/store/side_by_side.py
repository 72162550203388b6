"""A long body over several connections, for whoever reads it to its end at once.

Many services, S3 among them, give one connection less than the line carries. So while the first answer is read as it
comes, parts further on are asked for by range, pinned to the same ETag (and version), and held in memory until it is
their turn. When the first answer has come to a part that has begun to come too, it is closed, and the parts follow.
If that happens with none of the first few, it is read on to its end as if there were nothing else: services that ignore
ranges, objects that were just replaced, and programs that hold all connections of the pool, lose nothing.

Memory: what `store.ahead` has, for one body of a client at a time. Where several are read at once, they have several
connections already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing

from aiobotocore.httpchecksum import StreamingChecksumBody

from deltaglider_async.errors import NotFoundError, PreconditionFailedError
from deltaglider_async.store.body import Request, body_chunks, extent, pinned, replaced
from deltaglider_async.store.limits import limits
from deltaglider_async.store.s3 import PART_AHEAD, PARTS_AHEAD, Response, Store
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.threads import to_its_end

#: Shorter bodies come as fast over one connection.
_LONG = 4 * PART_AHEAD


async def whole_body(store: Store, response: Response, request: Request, *, digest: bool) -> Chunks:
    """As `body_chunks`. Over several connections where the transfer reads all of it, and nothing is lost by that:
    `digest` says whether the caller compares a digest; else what S3's own checksum covers comes in one piece.
    """
    begin, end = extent(response)
    at_once = min(PARTS_AHEAD, limits().requests - 1) if limits().to_the_end else 0
    checked_by_s3 = isinstance(response["Body"], StreamingChecksumBody) and not digest
    if end + 1 - begin < _LONG or checked_by_s3 or not response.get("ETag"):
        at_once = 0
    with store.ahead.if_free(at_once * PART_AHEAD) as free:
        parts = _Parts(store, response, request)
        try:
            for _ in range(at_once * free):
                parts.ask()
            async with aclosing(body_chunks(store, response, request)) as first:
                position = begin
                async for chunk in first:
                    rest = chunk
                    while rest and (left := parts.begin - position) <= len(rest):
                        if left:
                            yield rest[:left]
                        rest, position = rest[left:], position + left
                        if parts.begun:
                            break
                        parts.give_up()
                    else:
                        if rest:
                            yield rest
                        position += len(rest)
                        continue
                    break
            while parts.begun:
                data = await parts.take()
                while data:
                    yield data.popleft()
                parts.ask()
        finally:
            await parts.aclose()


class _Part:
    """A part that is on its way. `begun`: its answer has come, and is of the same object."""

    def __init__(self, store: Store, request: Request, etag: str, start: int, last: int) -> None:
        self.start = start
        self.begun = False
        self.task = asyncio.ensure_future(self._read(store, request, etag, last))

    async def _read(self, store: Store, request: Request, etag: str, last: int) -> deque[bytes]:
        try:
            response = await store.get_existing(request.bucket, request.key, request.arguments)
        except (PreconditionFailedError, NotFoundError) as error:
            raise replaced(request.name) from error
        if response.get("ETag") != etag or extent(response) != (self.start, last):
            response["Body"].close()
            raise replaced(request.name)
        self.begun = True
        async with aclosing(body_chunks(store, response, request)) as received:
            return deque([chunk async for chunk in received])


class _Parts:
    """The parts after the first, in order, of which some are on their way."""

    def __init__(self, store: Store, response: Response, request: Request) -> None:
        begin, self._end = extent(response)
        self._store, self._request, self._response = store, request, response
        self._parts: deque[_Part] = deque()
        self._given_up: list[_Part] = []
        self._next = begin + PART_AHEAD
        self._taken = False

    @property
    def begin(self) -> int:
        """Where the first of them begins, in the object; beyond its end if there is none."""
        return self._parts[0].start if self._parts else self._end + 2

    @property
    def begun(self) -> bool:
        """Whether the first of them comes. From then on all are needed."""
        return bool(self._parts) and (self._taken or self._parts[0].begun)

    def ask(self) -> None:
        """Ask for one more, if there is one more."""
        if self._next <= self._end:
            start, self._next = self._next, min(self._next + PART_AHEAD, self._end + 1)
            etag, last = self._response["ETag"], self._next - 1
            arguments = pinned(self._request.arguments, etag, start, last)
            if (version := self._response.get("VersionId")) not in (None, "null"):
                arguments["VersionId"] = version  # which stays when the key gets another one
            request = Request(self._request.bucket, self._request.key, arguments, self._request.name)
            self._parts.append(_Part(self._store, request, etag, start, last))

    def give_up(self) -> None:
        """The first of them is not wanted any more."""
        part = self._parts.popleft()
        part.task.cancel()
        self._given_up.append(part)

    async def take(self) -> deque[bytes]:
        """The chunks of the first of them."""
        self._taken = True
        data = await self._parts[0].task
        self._parts.popleft()
        return data

    async def aclose(self) -> None:
        """End all requests, and wait for that."""
        left = [part.task for part in (*self._given_up, *self._parts)]
        for task in left:
            task.cancel()
        if left:
            await to_its_end(asyncio.wait(left))
        for task in left:
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not report it
