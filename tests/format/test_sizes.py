from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.format.sizes import MAGIC, UNREADABLE, name_of, pack, unpack


@given(st.dictionaries(st.integers(0, 2**64 - 1), st.integers(UNREADABLE, 2**63 - 1)))
def test_what_is_packed_comes_back(sizes: dict[int, int]) -> None:
    assert unpack(pack(sizes)) == sizes


def test_names_differ_by_key_and_by_etag() -> None:
    names = {name_of(key, etag) for key in ("a", "b", "ü") for etag in ('"1"', '"2"', "")}
    assert len(names) == 9
    assert all(0 <= name < 2**64 for name in names)


def test_it_is_compact() -> None:
    chance = random.Random(1)
    sizes = {chance.getrandbits(64): chance.randrange(10**6, 10**8) for _ in range(10_000)}
    assert len(pack(sizes)) < 13 * len(sizes)


WHOLE = pack({number: number for number in range(100)})


@pytest.mark.parametrize("position", range(0, len(WHOLE), 7))
def test_a_changed_byte_is_noticed(position: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[position] ^= 1
    with pytest.raises(ValueError, match="damaged"):
        unpack(bytes(damaged))


def sealed(content: bytes) -> bytes:
    return MAGIC + zlib.crc32(content).to_bytes(4, "little") + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        WHOLE[:-1],
        WHOLE + b"x",
        b'{"object_count": 1}',
        sealed(b"no zlib"),
        sealed(zlib.compress(bytes(8))),
        sealed(zlib.compress(b"\xff" * 15 + b"\xf0")),
        sealed(zlib.compress(bytes(70 * 1024 * 1024))),
    ],
    ids=["empty", "cut", "longer", "JSON", "no zlib", "half an entry", "a negative size", "a bomb"],
)
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        unpack(content)
