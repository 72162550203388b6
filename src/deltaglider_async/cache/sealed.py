"""The form in which references rest: AES-256-GCM in segments of 1 MiB. Pure, no I/O.

An entry is a sequence of blocks::

    header      b"dgref" 00 00 01 (name and version), 32 bytes of random salt
    segment     1 MiB of the reference, encrypted, and a tag of 16 bytes
    ...
    last        0 to 1 MiB likewise; there is always a last segment, of 0 bytes for an empty reference

The key of an entry is HKDF-SHA256(master key, salt), so nonces can count: last-segment flag (1 byte), zeros
(3), index of the segment (8, big-endian). The header, the reference's SHA-256 and its size are authenticated
with each segment. An entry that was cut, extended, reordered, mixed with another or renamed does not open.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from typing import TYPE_CHECKING

from deltaglider_async.errors import CacheCorruptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_SIZE = 32
SEGMENT = 1024 * 1024
_TAG = 16
_MAGIC = b"dgref\x00\x00\x01"
_SALT = 32
HEADER = len(_MAGIC) + _SALT
#: Bytes of every block after the header, but for the last.
BLOCK = SEGMENT + _TAG


def sealed_size(size: int) -> int:
    """Bytes that a reference of `size` bytes takes when sealed."""
    return HEADER + size + _TAG * _segments(size)


def key_label(master: bytes) -> str:
    """A short public name of a master key, 16 hex digits, that tells nothing about it."""
    return _derived(master, b"deltaglider-async cache key label")[:8].hex()


def seal(read: Callable[[int, int], bytes], sha256: str, size: int, master: bytes) -> Iterator[bytes]:
    """The blocks of an entry; `read(offset, size)` gives the plain bytes."""
    header = _MAGIC + secrets.token_bytes(_SALT)
    yield header
    cipher, bound = _opened(header, sha256, size, master)
    for index, nonce in _nonces(size):
        yield cipher.encrypt(nonce, read(index * SEGMENT, min(SEGMENT, size - index * SEGMENT)), bound)


def unseal(blocks: Iterable[bytes], sha256: str, size: int, master: bytes) -> Iterator[bytes]:
    """The plain segments. Exhaust it before trusting any: `CacheCorruptionError` may come at the end."""
    remaining = iter(blocks)
    header = next(remaining, b"")
    if len(header) != HEADER or not header.startswith(_MAGIC):
        raise CacheCorruptionError("its header is not one of this version")
    from cryptography.exceptions import InvalidTag

    cipher, bound = _opened(header, sha256, size, master)
    for index, nonce in _nonces(size):
        try:
            yield cipher.decrypt(nonce, next(remaining, b""), bound)
        except InvalidTag:
            raise CacheCorruptionError(f"segment {index} is damaged or missing") from None
    if next(remaining, b""):
        raise CacheCorruptionError("it is longer than the reference")


def _derived(master: bytes, purpose: bytes, salt: bytes = bytes(32)) -> bytes:
    """A key of 32 bytes: HKDF with SHA-256 (RFC 5869), of which this is the first block."""
    return hmac.digest(hmac.digest(salt, master, "sha256"), purpose + b"\x01", "sha256")


def _segments(size: int) -> int:
    return max(1, -(-size // SEGMENT))


def _opened(header: bytes, sha256: str, size: int, master: bytes) -> tuple[AESGCM, bytes]:
    # Imported by the first reference that is kept, and in the thread that seals it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key = _derived(master, b"deltaglider-async cache entry", salt=header[len(_MAGIC) :])
    return AESGCM(key), header + bytes.fromhex(sha256) + struct.pack(">Q", size)


def _nonces(size: int) -> Iterator[tuple[int, bytes]]:
    last = _segments(size) - 1
    return ((index, struct.pack(">?3xQ", index == last, index)) for index in range(last + 1))
