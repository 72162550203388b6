"""Plain VCDIFF by xdelta3."""

from __future__ import annotations

import math
import os
import secrets
import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing

from deltaglider_async.codec import Reference, vcdiff
from deltaglider_async.codec.encoders import BLOCK, side_by_side
from deltaglider_async.codec.matchers import Matcher
from deltaglider_async.codec.process import Limits, ProcessFailedError, stream_through
from deltaglider_async.codec.samples import Index
from deltaglider_async.codec.unaided import Unaided
from deltaglider_async.codec.vcdiff import LONGEST_HEADER, Header, beginning, read_header, with_application
from deltaglider_async.codec.windows import Selection, UnknownWindowsError
from deltaglider_async.errors import DiffDecodeError, DiffEncodeError
from deltaglider_async.streams import CHUNK, Chunks
from deltaglider_async.streams.chunks import spans
from deltaglider_async.streams.digest import Digest

#: Above this size of the reference, in bytes, level 1: twice as fast there, where indexing the reference is most of
#: the work, for deltas about 2 % larger (docs/architecture.md, Talking to xdelta3).
_LARGE = 64 * CHUNK
#: From this level on a delta is to be small rather than quickly made.
_SMALL = 6
#: CPU time that any decode may take, in seconds, and what it may take more for each MiB of its output. Decoding takes
#: a few milliseconds for a MiB, or 50 where a delta gathers its output from all over the reference in tiny pieces;
#: the rest is for machines that are much slower, and for the delta, of which there may be twice as much.
CPU_FLOOR, _CPU_PER_MIB = 120, 2
#: How much more where outside programs compress: what they work on may be many times as long as the output.
_CPU_OF_PROGRAMS = 30
#: Address space of a decoder, in bytes. The windows of honest deltas come with less than 100 MiB.
MEMORY = 512 * CHUNK
#: The same where outside programs compress, for each core: xz takes as many threads.
_MEMORY_OF_PROGRAMS = 1024 * CHUNK
#: `-B` of a decode: xdelta3 keeps that much of the reference, as 32 blocks. A copy from elsewhere reads a whole block,
#: so that with the default of 64 MiB each copy of some bytes may read 2 MiB.
_DECODER_WINDOW = CHUNK


def options(reference_size: int, *, compressed: bool, level: int | None = None) -> tuple[str, ...]:
    """How hard the encoder tries, by the size of the reference in bytes and by what it is made of.

    In content that is `compressed` already, such as a zip file's, a target has nothing to copy from itself, and `-N`
    does not look for it. No secondary compression: it costs more time than it saves bytes, and any decoder of VCDIFF
    reads what we write. `level`, 1 to 9, is what the user wants instead; from 6 on smaller deltas count for more, and
    Huffman's codes are added. The measured curve is in docs/benchmarks.md.
    """
    if level is not None:
        return (f"-{level}", "-S", "djw" if level >= _SMALL else "none")
    large = reference_size > _LARGE
    if compressed:
        return ("-1" if large else "-2", "-N", "-S", "none")
    return ("-1" if large else "-3", "-S", "none")


async def encode(
    reference: Reference,
    body: Chunks,
    *,
    options: Sequence[str] = (),
    program: str = "xdelta3",
    spare: Callable[[], AbstractContextManager[bool]] | None = None,
    index: Index | None = None,
) -> Chunks:
    """The delta of `body` against `reference`. No two deltas are the same bytes, not even of the same input.

    With `spare`, several encoders work on it where that is quicker (`side_by_side`). With the `index` of the
    reference, an encoder works on what needs one only (`matching`). Neither with lzma among the options.
    Raises `DiffEncodeError` if xdelta3 fails, `CodecUnavailableError` if it is not there, and what `body` raises.
    """
    # -D: never decompress the input with outside programs. -A: a nonce in place of local file names.
    fixed = ("-e", "-c", "-q", "-D", f"-A={_nonce()}", "-W", str(BLOCK), "-B", str(_source_window(reference.size)))
    argv = (program, *fixed, *options, "-s", reference.path)

    def start(chunks: Chunks) -> Chunks:
        return stream_through(argv, _inherited(reference), chunks)

    try:
        if index or spare:
            matcher = Matcher(reference, index) if index else None
            header = vcdiff.header(_nonce().encode()) if matcher else b""
            delta = side_by_side(start, body, spare=spare, matcher=matcher, header=header)
        else:
            delta = start(body)
        async with aclosing(delta):
            async for chunk in delta:
                yield chunk
    except ProcessFailedError as error:
        raise DiffEncodeError(f"xdelta3 could not make a delta: {error}") from error


async def unchanged(reference: Reference, body: Chunks) -> Chunks:
    """The delta of a `body` that is the reference itself and not empty, made here rather than by a process.

    Raises `DiffEncodeError` where the body has another size.
    """
    yield vcdiff.header(_nonce().encode())
    position, size, checksum = 0, 0, 1
    async with aclosing(body):
        async for chunk in body:
            if size and size + len(chunk) > BLOCK:
                yield vcdiff.copying_window(position, size, checksum)
                position, size, checksum = position + size, 0, 1
            # A megabyte at the speed of memory does not keep the loop waiting.
            checksum = zlib.adler32(chunk, checksum)
            size += len(chunk)
    if position + size != reference.size:
        raise DiffEncodeError(f"the reference has {reference.size:,} bytes, but {position + size:,} came")
    if size:
        yield vcdiff.copying_window(position, size, checksum)


async def decode(
    reference: Reference,
    delta: Chunks,
    size: int,
    *,
    program: str = "xdelta3",
    stock: bool = False,
    reached: Callable[[float], Awaitable[None]] | None = None,
    digest: Digest | None = None,
) -> Chunks:
    """The body of a delta. `size` is the recorded size of the body in bytes; more output ends the decoder.

    Windows of few instructions need no process (`codec/unaided.py`). From the first other one on, and with `stock` from
    the start, it is xdelta3 that decodes: a delta must be proven by what everybody else will read it with.

    `reached`, for a reference that is still arriving, waits until so many bytes of it are there, or, with infinity,
    until it is complete and verified; xdelta3 has no less. `digest` takes the body before it is given out, for a caller
    who compares it at the end; checksums of windows that need no process are compared where there is none. With either,
    nothing is proven before the end.

    Raises `DiffDecodeError` for a delta that is damaged, was made against another reference (possibly after
    some correct bytes) or takes more than any honest one, `CodecUnavailableError`, and what `delta` raises.
    """
    async with aclosing(delta):
        head, header = await read_head(delta)
        # -D and -R forbid outside programs, which only old deltas ask for (docs/bucket-format.md). A reference that
        # is decompressed cannot be read at any place, so that xdelta3 must keep more of it.
        options = () if header.programs else ("-D", "-R", "-B", str(_DECODER_WINDOW))
        argv, limits = (program, "-d", "-c", "-q", *options, "-s", reference.path), limits_of(header, size)
        produced, rest = 0, resume(head, delta)
        length, secondary = beginning(head)
        if not (stock or header.programs or secondary is not None or reference.fd is None):
            unaided = Unaided(head[length:], delta, reference.fd, reference.size, size, reached=reached, digest=digest)
            async with aclosing(unaided.chunks()) as body:
                async for chunk in body:
                    produced += len(chunk)
                    yield chunk
            if unaided.whole:
                return
            rest = resume(head[:length], unaided.rest())
        if reached is not None:
            await reached(math.inf)
        try:
            chunks = stream_through(argv, _inherited(reference), rest, limits)
            async with aclosing(chunks) as body:
                async for chunk in body:
                    produced += len(chunk)
                    if produced > size:
                        raise DiffDecodeError(f"the delta expands to more than the recorded {size:,} bytes")
                    if digest is not None:
                        await digest.update(chunk)
                    yield chunk
        except ProcessFailedError as error:
            raise DiffDecodeError(f"xdelta3 could not decode the delta: {error}") from error


async def part(delta: Callable[[], Chunks], size: int, start: int, stop: int) -> tuple[Chunks, int]:
    """Of a delta of `size` bytes what bytes `start` to `stop` (exclusive) need, and how many bytes before `start` are
    not among those that it decodes to. `delta` gives it from its start each time. Raises `DiffDecodeError`.
    """
    async with aclosing(delta()) as chunks:
        head, header = await read_head(chunks)
        if header.programs:
            return delta(), 0  # what windows make is not the body but what is recompressed to it
        length, secondary = beginning(head)
        selection = Selection(length, secondary, size, start, stop)
        try:
            async with aclosing(resume(head, chunks)) as whole:
                async for chunk in whole:
                    selection.feed(chunk)
            selection.finish()
        except UnknownWindowsError:
            return delta(), 0
    return spans(delta(), selection.spans), selection.left_out


async def renewed(delta: Chunks) -> Chunks:
    """The same delta with another nonce, and no file names: other bytes that decode to the same. No process is run.

    Raises `DiffDecodeError` for what is no VCDIFF stream, and for a delta whose header asks for outside programs:
    those are told by the file names in it.
    """
    async with aclosing(delta):
        head, header = await read_head(delta)
        if header.programs:
            raise DiffDecodeError("the delta asks for outside programs when it is decoded")
        yield with_application(head, _nonce().encode())
        async for chunk in delta:
            yield chunk


def _nonce() -> str:
    return secrets.token_hex(8)


def limits_of(header: Header, size: int) -> Limits:
    """What a decode to `size` bytes may use."""
    cpu = CPU_FLOOR + _CPU_PER_MIB * (size // CHUNK)
    if not header.programs:
        return Limits(cpu, MEMORY)
    return Limits(_CPU_OF_PROGRAMS * cpu, _MEMORY_OF_PROGRAMS * (os.cpu_count() or 1))


def largest_delta(header: Header, size: int) -> int | None:
    """Bytes beyond which no delta of `size` bytes is honest; None where there is no such number.

    Where the content was decompressed first, `size` is that of the compressed file, and says nothing.
    """
    return None if header.programs else 2 * size + CHUNK


async def read_head(delta: Chunks) -> tuple[bytes, Header]:
    """What had to be read of a delta to know its header, and the header. `resume` gives the whole delta again."""
    head = b""
    async for chunk in delta:
        head += chunk
        header = read_header(head[: LONGEST_HEADER + 16])
        if header is not None:
            return head, header
    raise DiffDecodeError(f"the delta ends after {len(head)} bytes, within its header")


async def resume(head: bytes, rest: Chunks) -> Chunks:
    """The chunks of a delta whose head was read."""
    async with aclosing(rest):
        yield head
        async for chunk in rest:
            yield chunk


def _inherited(reference: Reference) -> Sequence[int]:
    return () if reference.fd is None else (reference.fd,)


def _source_window(size: int) -> int:
    """`-B`: the whole reference, as a power of two. A smaller window loses every match outside of it."""
    return max(CHUNK, 1 << (size - 1).bit_length() if size else 0)
