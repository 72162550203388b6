"""Servers that answer as real ones sometimes do: cutting an answer off, or refusing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

Answer = Callable[[str, bytes], Awaitable[bytes]]
"""From the request line and the head of a request (its body is dropped), the bytes to send before hanging up."""


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[str]:
    """The URL of a server that gives one answer per connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"(?i)\r\ncontent-length: (\d+)", head):
                if b"100-continue" in head.lower():
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await reader.readexactly(int(length[1]))
            writer.write(await answer(head.split(b"\r\n", 1)[0].decode(), head))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up first
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def cutting_off(endpoint: str, suffix: str, keep: float) -> AsyncIterator[str]:
    """A proxy before an S3 server. Of a GET whose path ends so, it passes on that share of the body only."""
    upstream = urlsplit(endpoint)

    async def forward(request: str, head: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(upstream.hostname, upstream.port)
        try:
            writer.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = await reader.read()
        finally:
            writer.close()
        method, target, _ = request.split(" ")
        if method == "GET" and urlsplit(target).path.endswith(suffix):
            before, _, body = answer.partition(b"\r\n\r\n")
            answer = before + b"\r\n\r\n" + body[: int(len(body) * keep)]
        return answer

    async with answering(forward) as url:
        yield url


class Held:
    """What stands before an S3 server and lets the first bytes of some answers pass, the rest when it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.gets = 0
        """Answers that were held."""
        self.begun = asyncio.Event()
        """The first bytes of one have passed."""
        self.go_on = asyncio.Event()
        self.cut_off = False
        """Instead of the rest, nothing comes."""


@asynccontextmanager
async def holding(endpoint: str, suffix: str, first: int) -> AsyncIterator[Held]:
    """A proxy before an S3 server. Of a GET whose path ends so, it holds what comes after the first bytes."""
    upstream, held, open_writers = urlsplit(endpoint), Held(), set[asyncio.StreamWriter]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
            source, sink = await asyncio.open_connection(upstream.hostname, upstream.port)
            open_writers.add(sink)
            sink.write(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            left = -1
            if method == "GET" and urlsplit(target).path.endswith(suffix):
                held.gets, left = held.gets + 1, first
            while data := await source.read(left if left > 0 else 1 << 16):
                writer.write(data)
                await writer.drain()
                if left > 0 and not (left := left - len(data)):
                    held.begun.set()
                    await held.go_on.wait()
                    if held.cut_off:
                        break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client hung up first
        finally:
            writer.close()

    try:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            held.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield held
    finally:
        held.go_on.set()
        for writer in open_writers:
            writer.close()


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """An HTTP answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def s3_error(status: str, code: str, message: str) -> bytes:
    """An answer of S3 that refuses."""
    xml = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return response(status, xml.encode(), "Content-Type: application/xml")
