"""A proxy between a client and an S3 server that does to a share of the calls what networks and services do.

Which call is hit, and by what, follows from the seed and from the call: its method, its path, and how often they came
before. So it does not depend on which of two concurrent calls arrives first.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from botocore.retries.standard import ExponentialBackoff

if TYPE_CHECKING:
    import pytest


class Fault(StrEnum):
    """What can be done to one call."""

    RESET_BEFORE = "reset before it was sent on"
    RESET_AFTER = "reset after it was sent on"
    ERROR_500 = "500"
    SLOW_DOWN = "503 SlowDown"
    STALL = "stalled in the body"
    TRUNCATE = "truncated body"
    DUPLICATE = "sent twice"
    LATENCY = "late"


#: After these the client has the whole of a real answer.
_ANSWERED = frozenset({None, Fault.DUPLICATE, Fault.LATENCY})
_STALL_SECONDS = 60
_CLOSE = re.compile(rb"(?i)\r\nconnection: *close")
_LONGEST_LATENCY = 0.05


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as the proxy saw it. `status` is what the server answered, None where it was not asked."""

    method: str
    target: str
    fault: Fault | None
    status: int | None
    body: bytes
    """Of the answer, up to a few KB."""
    head: bytes = b""
    """Of the request."""

    @property
    def answered(self) -> bool:
        """Whether the client got the server's answer."""
        return self.fault in _ANSWERED and self.status is not None

    @property
    def upload_id(self) -> str | None:
        """The multipart upload that the call is about."""
        if found := parse_qs(urlsplit(self.target).query).get("uploadId"):
            return found[0]
        found_id = re.search(rb"<UploadId>([^<]+)</UploadId>", self.body)
        return found_id[1].decode() if found_id and self.method == "POST" else None


Choose = Callable[[str, str], "Fault | None"]
"""From a method and a target, what to do to that call."""


@dataclass(frozen=True, slots=True)
class _Message:
    """A request or an answer: its head up to and with the empty line, and its body as it was sent."""

    head: bytes
    body: bytes

    @property
    def first_line(self) -> list[str]:
        return self.head.split(b"\r\n", 1)[0].decode().split(" ", 2)


class _Server:
    """The server, as one connection of a client sees it: a connection for as many calls as both sides like."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def answer(self, request: _Message) -> _Message:
        if self._connection is not None and self._connection[0].at_eof():
            self.hang_up()
        if self._connection is None:
            self._connection = await asyncio.open_connection(self._url.hostname, self._url.port, limit=1 << 20)
        reader, writer = self._connection
        kept = False
        try:
            writer.write(request.head + request.body)
            await writer.drain()
            answer = await _read(reader, None, method=request.first_line[0])
            kept = answer.head.startswith(b"HTTP/1.1") and not _CLOSE.search(answer.head)
            return answer
        finally:
            if not kept:
                self.hang_up()

    def hang_up(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


@dataclass
class Proxy:
    """Forwards to `upstream` what `choose` does not hit; keeps a record of all."""

    upstream: str
    choose: Choose
    exchanges: list[Exchange] = field(default_factory=list)
    under_way: int = 0
    """Calls that have come and are not dealt with; a client that was killed does not wait for them."""

    @property
    def faults(self) -> Counter[Fault]:
        """How many calls were hit, by what."""
        return Counter(exchange.fault for exchange in self.exchanges if exchange.fault is not None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client, for as many calls as it makes."""
        server = _Server(self.upstream)
        try:
            while await self._one(reader, writer, server):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # either side hung up
        finally:
            writer.close()
            server.hang_up()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: _Server) -> bool:
        """One call; whether the connection can go on."""
        request = await _read(reader, writer)
        self.under_way += 1
        try:
            return await self._dealt_with(request, reader, writer, server)
        finally:
            self.under_way -= 1

    async def _dealt_with(
        self, request: _Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: _Server
    ) -> bool:
        method, target, _ = request.first_line
        fault = self.choose(method, target)
        answer: _Message | None = None
        if fault in (Fault.RESET_BEFORE, Fault.ERROR_500, Fault.SLOW_DOWN):
            self._record(request, fault, None)
        else:
            if fault is Fault.LATENCY:
                await asyncio.sleep(random.uniform(0, _LONGEST_LATENCY))
            if fault is Fault.DUPLICATE:
                await server.answer(request)
            answer = await server.answer(request)
            self._record(request, fault, answer)
        if fault in (Fault.RESET_BEFORE, Fault.RESET_AFTER):
            return _reset(writer)
        if answer is None:
            writer.write(_refusal(fault, method))
        elif fault in (Fault.STALL, Fault.TRUNCATE):
            # Where there is no body, it is the head that does not come whole.
            whole, keep = answer.head + answer.body, len(answer.head) + len(answer.body) // 2
            writer.write(whole[: keep if answer.body else len(answer.head) // 2])
            await writer.drain()
            if fault is Fault.STALL:
                # Until the client has had enough.
                with suppress(TimeoutError):
                    await asyncio.wait_for(reader.read(1), _STALL_SECONDS)
            return False
        else:
            writer.write(answer.head + answer.body)
        await writer.drain()
        return True

    def _record(self, request: _Message, fault: Fault | None, answer: _Message | None) -> None:
        method, target, _ = request.first_line
        status, body = (int(answer.first_line[1]), answer.body[:4096]) if answer else (None, b"")
        self.exchanges.append(Exchange(method, target, fault, status, body, request.head))


@asynccontextmanager
async def faulty(upstream: str, choose: Choose) -> AsyncIterator[tuple[str, Proxy]]:
    """The URL of a proxy before the server at `upstream`, and its record."""
    proxy = Proxy(upstream, choose)
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(proxy.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    async with await asyncio.start_server(accept, "127.0.0.1", 0, limit=1 << 20) as server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", proxy
        finally:
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)


def seeded(seed: int, share: float, kinds: tuple[Fault, ...] = tuple(Fault)) -> Choose:
    """Hit that share of the calls with each of the kinds."""
    seen: Counter[tuple[str, str]] = Counter()

    def choose(method: str, target: str) -> Fault | None:
        parts = urlsplit(target)
        # The ids of uploads and parts differ from run to run; that there are some does not.
        call = method, f"{parts.path}?{','.join(sorted(parse_qs(parts.query, keep_blank_values=True)))}"
        seen[call] += 1
        place = random.Random(f"{seed} {call} {seen[call]}").random() / share
        return kinds[int(place)] if place < len(kinds) else None

    return choose


def shorten_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore try as often as otherwise, with a twentieth of the waiting between attempts."""
    amount = ExponentialBackoff.delay_amount
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda self, context: amount(self, context) / 20)


async def _read(
    reader: asyncio.StreamReader, asking: asyncio.StreamWriter | None, *, method: str | None = None
) -> _Message:
    """A whole request (`asking` is where it came from), or a whole answer to one of that `method`."""
    head = await reader.readuntil(b"\r\n\r\n")
    if asking is not None and re.search(rb"(?i)\r\nexpect: *100-continue", head):
        asking.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = re.sub(rb"(?i)\r\nexpect:[^\r]*", b"", head)
    while head.startswith((b"HTTP/1.1 100", b"HTTP/1.0 100")):
        head = await reader.readuntil(b"\r\n\r\n")
    if method == "HEAD" or head[9:12] in (b"204", b"304"):
        return _Message(head, b"")
    if re.search(rb"(?i)\r\ntransfer-encoding:[^\r]*chunked", head):
        body = bytearray()
        while True:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            # The last chunk is followed by trailers and an empty line.
            body += line + (await reader.readexactly(size + 2) if size else await _trailers(reader))
            if not size:
                return _Message(head, bytes(body))
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length is None and method is not None:
        return _Message(head, await reader.read())  # up to the end of the connection
    return _Message(head, await reader.readexactly(int(length[1]) if length else 0))


async def _trailers(reader: asyncio.StreamReader) -> bytes:
    read = b""
    while not read.endswith(b"\r\n\r\n") and read != b"\r\n":
        read += await reader.readuntil(b"\r\n")
    return read


def _reset(writer: asyncio.StreamWriter) -> bool:
    connection: socket.socket = writer.get_extra_info("socket")
    # Lingering for no time: closing sends RST.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    return False


def _refusal(fault: Fault | None, method: str) -> bytes:
    slow = fault is Fault.SLOW_DOWN
    status, code = ("503 Slow Down", "SlowDown") if slow else ("500 Internal Server Error", "InternalError")
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>'.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + (b"" if method == "HEAD" else body)
