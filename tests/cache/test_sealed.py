"""The sealed form: it opens to the same bytes, or not at all."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from deltaglider_async.cache.sealed import BLOCK, HEADER, SEGMENT, _derived, key_label, seal, sealed_size, unseal
from deltaglider_async.errors import CacheCorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(range(32))
SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, 5 * SEGMENT + 7]


def sha256_of(plain: bytes) -> str:
    return hashlib.sha256(plain).hexdigest()


def sealed(plain: bytes, key: bytes = KEY) -> list[bytes]:
    return list(seal(lambda offset, size: plain[offset : offset + size], sha256_of(plain), len(plain), key))


def opened(blocks: list[bytes], plain: bytes, key: bytes = KEY) -> bytes:
    return b"".join(unseal(blocks, sha256_of(plain), len(plain), key))


@pytest.mark.parametrize("size", SIZES)
def test_opens_to_the_same_bytes(size: int) -> None:
    plain = secrets.token_bytes(size)
    blocks = sealed(plain)
    assert opened(blocks, plain) == plain
    assert sum(map(len, blocks)) == sealed_size(size)
    assert all(len(block) == BLOCK for block in blocks[1:-1])


def test_two_entries_of_the_same_bytes_share_nothing() -> None:
    plain = bytes(100)
    assert sealed(plain)[1] != sealed(plain)[1]


@pytest.mark.parametrize("block", [0, 1, 2, 3])
@pytest.mark.parametrize("position", [0, 6, 7, 8, 39, -17, -16, -1])
def test_detects_a_flipped_bit_anywhere(block: int, position: int) -> None:
    plain = secrets.token_bytes(2 * SEGMENT + 100)
    blocks = sealed(plain)
    damaged = bytearray(blocks[block])
    damaged[position] ^= 1
    blocks[block] = bytes(damaged)
    with pytest.raises(CacheCorruptionError):
        opened(blocks, plain)


DAMAGE: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "nothing left": lambda blocks: [],
    "header only": lambda blocks: blocks[:1],
    "half a header": lambda blocks: [blocks[0][: HEADER // 2]],
    "last segment missing": lambda blocks: blocks[:-1],
    "cut inside the last segment": lambda blocks: [*blocks[:-1], blocks[-1][:-1]],
    "one byte appended": lambda blocks: [*blocks[:-1], blocks[-1] + b"\0"],
    "a block appended": lambda blocks: [*blocks, blocks[-1]],
    "segments swapped": lambda blocks: [blocks[0], blocks[2], blocks[1], blocks[3]],
    "a segment repeated": lambda blocks: [blocks[0], blocks[1], blocks[1], blocks[3]],
    "a segment left out": lambda blocks: [blocks[0], blocks[1], blocks[3]],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_detects(damage: str) -> None:
    plain = secrets.token_bytes(3 * SEGMENT)
    with pytest.raises(CacheCorruptionError):
        opened(DAMAGE[damage](sealed(plain)), plain)


def test_a_shorter_reference_does_not_open_a_longer_entry() -> None:
    plain = secrets.token_bytes(3 * SEGMENT)
    for shorter in (2 * SEGMENT, 3 * SEGMENT - 1):
        with pytest.raises(CacheCorruptionError):
            list(unseal(sealed(plain), sha256_of(plain), shorter, KEY))


def test_segments_of_another_entry_do_not_fit() -> None:
    plain = secrets.token_bytes(2 * SEGMENT)
    one, other = sealed(plain), sealed(plain)
    with pytest.raises(CacheCorruptionError):
        opened([*one[:2], other[2]], plain)


def test_an_entry_under_another_name_does_not_open() -> None:
    plain, other = secrets.token_bytes(100), secrets.token_bytes(100)
    with pytest.raises(CacheCorruptionError):
        list(unseal(sealed(plain), sha256_of(other), 100, KEY))


def test_another_key_does_not_open() -> None:
    plain = secrets.token_bytes(100)
    with pytest.raises(CacheCorruptionError):
        opened(sealed(plain), plain, secrets.token_bytes(32))


def test_the_label_of_a_key_tells_keys_apart_and_shows_nothing_of_them() -> None:
    assert key_label(KEY) == key_label(KEY) != key_label(bytes(32))
    assert key_label(KEY) not in KEY.hex()


def test_keys_are_derived_as_rfc_5869_says() -> None:
    """Folders that are shared outlive versions of this program: its label of a key, and an entry's key, stay."""
    assert key_label(KEY) == HKDF(SHA256(), 8, salt=None, info=b"deltaglider-async cache key label").derive(KEY).hex()
    header, *_ = sealed(b"any")
    salt = header[-32:]
    expected = HKDF(SHA256(), 32, salt=salt, info=b"deltaglider-async cache entry").derive(KEY)
    assert _derived(KEY, b"deltaglider-async cache entry", salt) == expected
