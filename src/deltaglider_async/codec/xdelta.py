"""Plain VCDIFF by xdelta3."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import aclosing

from deltaglider_async.codec import Reference
from deltaglider_async.codec.process import ProcessFailedError, stream_through
from deltaglider_async.codec.vcdiff import LONGEST_HEADER, read_header, with_application
from deltaglider_async.errors import DiffDecodeError, DiffEncodeError
from deltaglider_async.streams import CHUNK, Chunks

#: Above this size of the reference, in bytes, level 1: twice as fast there, where indexing the reference is most of
#: the work, for deltas about 2 % larger (docs/architecture.md, Talking to xdelta3).
_LARGE = 64 * CHUNK


def level(reference_size: int) -> tuple[str, ...]:
    """Options for how hard the encoder tries, by the size of the reference in bytes.

    Level 3 is three times faster than the original's 9, for deltas 1 to 1.5 % larger. No secondary compression: it
    costs more time than it saves bytes, and an xdelta3 built without lzma can decode what we write.
    """
    return ("-1" if reference_size > _LARGE else "-3", "-S", "none")


async def encode(reference: Reference, body: Chunks, *, program: str = "xdelta3") -> Chunks:
    """The delta of `body` against `reference`. No two deltas are the same bytes, not even of the same input.

    Raises `DiffEncodeError` if xdelta3 fails, `CodecUnavailableError` if it is not there, and what `body` raises.
    """
    # -D: never decompress the input with outside programs. -A: a nonce in place of local file names.
    nonce, window = _nonce(), str(_source_window(reference.size))
    argv = (program, "-e", "-c", "-q", "-D", f"-A={nonce}", *level(reference.size), "-B", window, "-s", reference.path)
    try:
        async with aclosing(stream_through(argv, _inherited(reference), body)) as delta:
            async for chunk in delta:
                yield chunk
    except ProcessFailedError as error:
        raise DiffEncodeError(f"xdelta3 could not make a delta: {error}") from error


async def decode(reference: Reference, delta: Chunks, size: int, *, program: str = "xdelta3") -> Chunks:
    """The body of a delta. `size` is the recorded size of the body in bytes; more output ends the decoder.

    Raises `DiffDecodeError` for a delta that is damaged or was made against another reference (possibly after
    some correct bytes), `CodecUnavailableError`, and what `delta` raises.
    """
    async with aclosing(delta):
        head, recompresses = await _read_head(delta)
        # -D and -R forbid outside programs, which only old deltas ask for (docs/bucket-format.md).
        argv = (program, "-d", "-c", "-q", *(() if recompresses else ("-D", "-R")), "-s", reference.path)
        produced = 0
        try:
            async with aclosing(stream_through(argv, _inherited(reference), _resume(head, delta))) as body:
                async for chunk in body:
                    produced += len(chunk)
                    if produced > size:
                        raise DiffDecodeError(f"the delta expands to more than the recorded {size:,} bytes")
                    yield chunk
        except ProcessFailedError as error:
            raise DiffDecodeError(f"xdelta3 could not decode the delta: {error}") from error


async def renewed(delta: Chunks) -> Chunks:
    """The same delta with another nonce, and no file names: other bytes that decode to the same. No process is run.

    Raises `DiffDecodeError` for what is no VCDIFF stream, and for a delta whose header asks for outside programs:
    those are told by the file names in it.
    """
    async with aclosing(delta):
        head, recompresses = await _read_head(delta)
        if recompresses:
            raise DiffDecodeError("the delta asks for outside programs when it is decoded")
        yield with_application(head, _nonce().encode())
        async for chunk in delta:
            yield chunk


def _nonce() -> str:
    return secrets.token_hex(8)


async def _read_head(delta: Chunks) -> tuple[bytes, bool]:
    head = b""
    async for chunk in delta:
        head += chunk
        header = read_header(head[: LONGEST_HEADER + 16])
        if header is not None:
            return head, header.recompresses
    raise DiffDecodeError(f"the delta ends after {len(head)} bytes, within its header")


async def _resume(head: bytes, rest: Chunks) -> Chunks:
    yield head
    async for chunk in rest:
        yield chunk


def _inherited(reference: Reference) -> Sequence[int]:
    return () if reference.fd is None else (reference.fd,)


def _source_window(size: int) -> int:
    """`-B`: the whole reference, as a power of two. A smaller window loses every match outside of it."""
    return max(CHUNK, 1 << (size - 1).bit_length() if size else 0)
