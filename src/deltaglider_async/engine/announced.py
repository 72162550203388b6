"""What a caller says of a body's checksums, held against the body here: S3 gets to see a delta of it, or its parts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.store.errors import service_error
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest, Hash
from deltaglider_async.streams.source import Source


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


#: Bytes of each checksum that PutObject takes.
_LENGTHS = {
    "ContentMD5": 16,
    "ChecksumCRC32": 4,
    "ChecksumCRC32C": 4,
    "ChecksumCRC64NVME": 8,
    "ChecksumSHA1": 20,
    "ChecksumSHA256": 32,
}
#: Those that are computed here. SHA-256 is in every put, and Python's library has none of the others.
_COMPUTED: Mapping[str, Callable[[], Hash]] = {
    "ContentMD5": lambda: hashlib.md5(usedforsecurity=False),
    "ChecksumSHA1": lambda: hashlib.sha1(usedforsecurity=False),
    "ChecksumCRC32": _Crc32,
}


def _named(arguments: Mapping[str, Any]) -> set[str]:
    """The checksums that a put gives, or asks for."""
    named = {each for each in _LENGTHS if arguments.get(each) is not None}
    algorithm = arguments.get("ChecksumAlgorithm")
    return named | ({f"Checksum{str(algorithm).upper()}"} if algorithm is not None else set())


def uncheckable(arguments: Mapping[str, Any]) -> list[str]:
    """The checksums that a put names and that only S3 or botocore can compute, for the bytes as they are sent."""
    return sorted(_named(arguments) - _COMPUTED.keys() - {"ChecksumSHA256"})


class Announced:
    """The checksums that a put names: `given` by their values, or asked for by `ChecksumAlgorithm`.

    Raises `InvalidRequestError` for values that cannot be checksums. `name` is what messages call the object.
    """

    def __init__(self, arguments: Mapping[str, Any], name: str) -> None:
        self._name = name
        self.given = {each: arguments[each] for each in _LENGTHS if arguments.get(each) is not None}
        self._computed = sorted(_named(arguments) & _COMPUTED.keys())
        #: As S3 answers them (base64), once a pass over the body came to its end.
        self.values: dict[str, str] = {}
        self._check_given()

    def _check_given(self) -> None:
        for each, value in self.given.items():
            try:
                length = len(base64.b64decode(value, validate=True))
            except (binascii.Error, TypeError, ValueError):
                length = -1
            if length != _LENGTHS[each]:
                code = "InvalidDigest" if each == "ContentMD5" else "InvalidRequest"
                raise self._refused(code, f"{each} is {value!r}, which is no base64 of {_LENGTHS[each]} bytes")
        if len(several := self.given.keys() - {"ContentMD5"}) > 1:
            raise self._refused("InvalidRequest", f"{' and '.join(sorted(several))} are given. S3 takes one of them")

    def watched(self, source: Source) -> Source:
        """The same source. Each pass over it that comes to its end raises there if a given checksum is wrong."""
        return replace(source, open=lambda: self._watched(source.open()), data=None) if self._computed else source

    async def _watched(self, chunks: Chunks) -> Chunks:
        async with aclosing(chunks):
            digests = {each: Digest(_COMPUTED[each]()) for each in self._computed}
            async for chunk in chunks:
                for digest in digests.values():
                    await digest.update(chunk)
                yield chunk
            found = {each: _base64(await digest.hexdigest()) for each, digest in digests.items()}
            for each, value in found.items():
                self._check(each, value)
            self.values = {each: value for each, value in found.items() if each != "ContentMD5"}

    def check_sha256(self, hexdigest: str) -> None:
        """Raise if another SHA-256 was given."""
        self._check("ChecksumSHA256", _base64(hexdigest))

    def _check(self, each: str, actual: str) -> None:
        if self.given.get(each, actual) != actual:
            raise self._refused("BadDigest", f"{each} is {self.given[each]}, but the body's is {actual}")

    def _refused(self, code: str, what: str) -> Exception:
        message = f"cannot put {self._name}: {what}. Nothing was stored."
        return service_error(code, 400, "PutObject", message, ours=InvalidRequestError)


def _base64(hexdigest: str) -> str:
    return base64.b64encode(bytes.fromhex(hexdigest)).decode()
