"""Sizes of originals by what a listing shows of their deltas, and the object in the bucket that keeps them.

The object is `MAGIC`, the CRC-32 of what follows (4 bytes), and that: all names (8 bytes each) and then all sizes (8
bytes each), little-endian, compressed by zlib. It is a cache: without it, or where it is damaged, deltas are asked
again.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Mapping
from hashlib import blake2b

MAGIC = b"dg-sizes-1\n"
#: The size of a delta whose metadata do not tell it.
UNREADABLE = -1
#: A larger object is none of ours: what is kept in memory is bounded.
LARGEST = 64 * 1024 * 1024


def name_of(key: str, etag: str) -> int:
    """What a delta is remembered by: as long as key and ETag are the same, so is its original."""
    bare = etag.strip('"')  # not every server quotes it everywhere
    return int.from_bytes(blake2b(f"{bare}\0{key}".encode(), digest_size=8).digest(), "little")


def pack(sizes: Mapping[int, int]) -> bytes:
    """The object's content."""
    packed = zlib.compress(_little(array("Q", sizes.keys())) + _little(array("q", sizes.values())), 1)
    return MAGIC + zlib.crc32(packed).to_bytes(4, "little") + packed


def unpack(content: bytes) -> dict[int, int]:
    """The sizes that `pack` was given. Raises `ValueError` for anything else."""
    body = content[len(MAGIC) + 4 :]
    check = content[len(MAGIC) : len(MAGIC) + 4]
    if not content.startswith(MAGIC) or zlib.crc32(body).to_bytes(4, "little") != check:
        raise ValueError("it is damaged")
    decompressor = zlib.decompressobj()
    try:
        unpacked = decompressor.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError("it is damaged") from error
    if not decompressor.eof or len(unpacked) % 16:
        raise ValueError("it is damaged")
    half = len(unpacked) // 2
    names, sizes = array("Q", unpacked[:half]), array("q", unpacked[half:])
    if sys.byteorder == "big":
        names.byteswap()
        sizes.byteswap()
    if any(size < UNREADABLE for size in sizes):
        raise ValueError("it is damaged")
    return dict(zip(names, sizes, strict=True))


def _little(numbers: array[int]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
