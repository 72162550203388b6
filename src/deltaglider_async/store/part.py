"""UploadPart of a stream: up to 16 MiB as bytes, above that from an unlinked temporary file, with constant memory.

A part is one request, whose body botocore wants to read again: to sign it, to compute its checksum, and to send it once
more. It would do the first two on the event loop. So a large part is spooled, its checksum is computed on the way, and
the signature covers that checksum instead of the body, as it does over TLS anyway.
"""

from __future__ import annotations

import base64
import hashlib
import io
import threading
import zlib
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from botocore.config import Config

from deltaglider_async.store.multipart import call
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT, Arguments, Response, Store
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.chunks import rechunk
from deltaglider_async.streams.spool import Spool
from deltaglider_async.streams.threads import in_thread


async def upload_part(store: Store, name: str, chunks: Chunks, arguments: Arguments) -> Response:
    """UploadPart of a stream of any length that S3 takes. An error of `chunks` leaves the upload as it was."""
    held: list[bytes] = []
    async with aclosing(rechunk(chunks, CHUNK)) as pieces:
        async for piece in pieces:
            held.append(piece)
            if len(held) > LARGEST_SINGLE_PUT // CHUNK:
                return await _upload_spooled(store, name, held, pieces, arguments)
    data = b"".join(held)
    held.clear()
    return await _send(store, name, io.BytesIO(data), arguments)


async def _upload_spooled(store: Store, name: str, held: list[bytes], rest: Chunks, arguments: Arguments) -> Response:
    checksum = _checksum(store, arguments)
    async with Spool(in_memory=0) as spool:

        async def keep(piece: bytes) -> None:
            if checksum is not None:
                await in_thread(checksum.update, piece)
            await spool.write(piece)

        while held:
            await keep(held.pop(0))
        async for piece in rest:
            await keep(piece)
        given = {} if checksum is None else {checksum.argument: checksum.value()}
        store.s3.meta.events.register("before-sign.s3.UploadPart", _sign_the_checksum, unique_id="deltaglider-part")
        body = PartBody(spool)
        try:
            return await _send(store, name, body, {**arguments, **given})
        finally:
            # A thread of aiohttp's may still be reading, also when this was cancelled.
            await in_thread(body.close)


async def _send(store: Store, name: str, body: io.IOBase, arguments: Arguments) -> Response:
    return await call(store, "UploadPart", "upload a part of", name, {**arguments, "Body": body})


class PartBody(io.RawIOBase):
    """A spool as botocore and aiohttp read a body: a file that knows its size, and is read in threads."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._position = 0
        self._reading = threading.Lock()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._spool.size}[whence]
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        with self._reading:
            if self.closed:
                return 0
            data = self._spool.read_at(self._position, len(buffer))
            buffer[: len(data)] = data
            self._position += len(data)
            return len(data)

    def close(self) -> None:
        """Wait for a read that is under way; there is none after this."""
        with self._reading:
            super().close()


def _sign_the_checksum(request: Any, **others: Any) -> None:
    """Keep botocore from hashing the body of a large part on the event loop, if its user did not ask for that."""
    config = request.context.get("client_config")
    if isinstance(request.body, PartBody) and config is not None:
        options: Any = {"payload_signing_enabled": False} | (config.s3 or {})
        request.context["client_config"] = config.merge(Config(s3=options))


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class _Checksum:
    """A checksum as an argument of UploadPart."""

    def __init__(self, argument: str, algorithm: Any) -> None:
        self.argument = argument
        self._algorithm = algorithm

    def update(self, piece: bytes) -> None:
        self._algorithm.update(piece)

    def value(self) -> str:
        return base64.b64encode(self._algorithm.digest()).decode()


def _checksum(store: Store, arguments: Mapping[str, Any]) -> _Checksum | None:
    """The checksum that botocore would compute, or else an MD5, which every service knows; None where one is given."""
    given = {name for name, value in arguments.items() if value is not None}
    if any(name.startswith("Checksum") for name in given - {"ChecksumAlgorithm"}):
        return None
    algorithm = arguments.get("ChecksumAlgorithm")
    if algorithm is None and getattr(store.s3.meta.config, "request_checksum_calculation", "") == "when_supported":
        algorithm = "CRC32"
    if algorithm == "CRC32":
        return _Checksum("ChecksumCRC32", _Crc32())
    if algorithm in ("SHA1", "SHA256"):
        return _Checksum(f"Checksum{algorithm}", hashlib.new(algorithm.lower(), usedforsecurity=False))
    if algorithm is not None or "ContentMD5" in given:
        return None  # botocore's part
    return _Checksum("ContentMD5", hashlib.md5(usedforsecurity=False))
