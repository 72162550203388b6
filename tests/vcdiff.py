"""VCDIFF streams (RFC 3284) made by hand: what no encoder writes, for a decoder to be tried on."""

from __future__ import annotations

import lzma

from deltaglider_async.codec.vcdiff import MAGIC

#: The largest target window that xdelta3 decodes, in bytes.
LARGEST_WINDOW = 16 << 20
#: Secondary compression by lzma, as xdelta3 numbers it; it is told by bits that name the compressed sections.
LZMA, _DATA, _INSTRUCTIONS = 2, 1, 2
_SOURCE = 1
_RUN, _ADD, _COPY = b"\x00", b"\x01", b"\x13"


def number(value: int) -> bytes:
    """An integer, seven bits to a byte."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(0x80 | value & 0x7F)
    return bytes(reversed(digits))


def start(application: bytes | None = None, secondary: int | None = None) -> bytes:
    """The header of a stream."""
    flags = (secondary is not None) | (application is not None) << 2
    return (
        MAGIC
        + bytes([0, flags])
        + (b"" if secondary is None else bytes([secondary]))
        + (b"" if application is None else number(len(application)) + application)
    )


def window(
    size: int,
    instructions: bytes = b"",
    data: bytes = b"",
    addresses: bytes = b"",
    *,
    source: tuple[int, int] | None = None,
    compressed: int = 0,
    lengths: tuple[int, int, int] | None = None,
) -> bytes:
    """A window that claims `size` bytes of target and `lengths` of its sections (default: their real ones).

    `source` is length and position of the part of the reference that it copies from.
    """
    sections = data + instructions + addresses
    claimed = lengths or (len(data), len(instructions), len(addresses))
    head = number(size) + bytes([compressed]) + b"".join(map(number, claimed))
    seen = b"\x00" if source is None else bytes([_SOURCE]) + number(source[0]) + number(source[1])
    return seen + number(len(head) + sum(claimed)) + head + sections


def run(size: int) -> bytes:
    """The instruction to repeat the next byte of the data."""
    return _RUN + number(size)


def add(size: int) -> bytes:
    """The instruction to take bytes from the data."""
    return _ADD + number(size)


def copy(size: int) -> bytes:
    """The instruction to copy from the next address, counted from the start of the source window."""
    return _COPY + number(size)


def packed(pattern: bytes, times: int, before: bytes = b"") -> bytes:
    """A section as secondary compression by lzma has it: `before`, and a pattern again and again.

    xdelta3 takes no stream that has an end, and none with bytes after the last one that is needed.
    """
    block = pattern * min(times, 1 << 16)
    assert times % min(times, 1 << 16) == 0
    size = len(before) + len(pattern) * times
    compressor = lzma.LZMACompressor(check=lzma.CHECK_NONE, preset=0)
    whole = compressor.compress(before)
    whole += b"".join(compressor.compress(block) for _ in range(len(pattern) * times // len(block)))
    whole += compressor.compress(bytes(1000)) + compressor.flush()
    decompressor, made, taken = lzma.LZMADecompressor(), 0, 0
    while made < size:
        step = 1 if size - made <= 4 * len(block) else 64
        made += len(decompressor.decompress(whole[taken : taken + step]))
        taken += step
    return number(size) + whole[:taken]


def packed_window(size: int, instructions: bytes, data: bytes) -> bytes:
    """A window whose instructions and data are packed."""
    return window(size, instructions, data, compressed=_DATA | _INSTRUCTIONS)
