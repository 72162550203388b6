"""Programs of S3 calls, as data: what is drawn by Hypothesis, run twice, and printed where it went wrong.

Arguments are boto3's, except for those that only a running program knows (an ETag, an upload's id) and for contents,
which are written short. Their `repr` is what makes a printed program readable.
"""

from __future__ import annotations

import base64
import hashlib
import io
import random
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

#: An ETag that no object has.
NO_ETAG = '"00000000000000000000000000000000"'


@dataclass(frozen=True)
class Content:
    """Bytes. `similar` ones have a few bytes each that are their own, so that deltas of them are short."""

    kind: str
    number: int = 0
    size: int = 4096
    wrapped: str = "bytes"
    """`bytes`, `bytearray`, `str`, or `file`: what boto3 takes as a body."""

    def __repr__(self) -> str:
        size = f", size={self.size}" if self.size != 4096 else ""
        wrapped = f", wrapped={self.wrapped!r}" if self.wrapped != "bytes" else ""
        return f"Content({self.kind!r}, {self.number}{size}{wrapped})"

    @property
    def bytes(self) -> bytes:
        """The content itself."""
        return _content(self.kind, self.number, self.size)

    def body(self) -> Any:
        """The content as the argument of a call, made anew for each."""
        data = self.bytes
        match self.wrapped:
            case "bytearray":
                return bytearray(data)
            case "str":
                return data.decode()
            case "file":
                return io.BytesIO(data)
        return data


@cache
def _content(kind: str, number: int, size: int) -> bytes:
    if kind == "empty":
        return b""
    if kind == "text":
        return f"Version {number}: 5 € for ä.\n".encode() * (size // 32)
    seed = number if kind == "unrelated" else 0
    data = bytearray(random.Random(seed).randbytes(size))
    if kind == "similar":
        data[size // 2 : size // 2 + 4] = number.to_bytes(4, "big")
    if kind == "gzip":
        data[:4] = b"\x1f\x8b\x08\x00"
        data[4:8] = number.to_bytes(4, "big")
    return bytes(data)


@dataclass(frozen=True)
class Digest:
    """The checksum of a content, as the argument of a call (base64); `right` or not."""

    algorithm: str
    content: Content
    right: bool = True

    def __repr__(self) -> str:
        return f"Digest({self.algorithm!r}, {self.content!r}{'' if self.right else ', right=False'})"

    def value(self) -> str:
        """The argument."""
        data = self.content.bytes if self.right else self.content.bytes + b"!"
        if self.algorithm == "CRC32":
            raw = zlib.crc32(data).to_bytes(4, "big")
        else:
            raw = hashlib.new(self.algorithm.lower(), data, usedforsecurity=False).digest()
        return base64.b64encode(raw).decode()


@dataclass(frozen=True)
class EtagOf:
    """The ETag that the object of a key has when the call is made; `NO_ETAG` where there is none."""

    key: str

    def __repr__(self) -> str:
        return f"EtagOf({self.key!r})"


@dataclass(frozen=True)
class ModifiedOf:
    """When the object of a key was modified."""

    key: str

    def __repr__(self) -> str:
        return f"ModifiedOf({self.key!r})"


@dataclass(frozen=True)
class VersionOf:
    """A version id that a key has got in this program, by number from the newest."""

    key: str
    number: int = 0

    def __repr__(self) -> str:
        return f"VersionOf({self.key!r}, {self.number})"


@dataclass(frozen=True)
class Source:
    """A `CopySource` in this program's bucket, as a dict or as text."""

    key: str
    as_text: bool = False
    version: int | None = None
    bucket: str = ""
    """Another bucket."""

    def __repr__(self) -> str:
        parts = [repr(self.key)]
        parts += ["as_text=True"] if self.as_text else []
        parts += [f"version={self.version}"] if self.version is not None else []
        parts += [f"bucket={self.bucket!r}"] if self.bucket else []
        return f"Source({', '.join(parts)})"


@dataclass(frozen=True)
class UploadOf:
    """The id of the multipart upload that this program began n-th, counted around; where it began none, a made-up one.

    As a call's `Key` it is the key of that upload.
    """

    number: int

    def __repr__(self) -> str:
        return f"UploadOf({self.number})"


@dataclass(frozen=True)
class PartsOf:
    """The `MultipartUpload` of a completion: the parts that were uploaded, or changed in some way.

    `all`, `last`, `reversed`, `wrong etag`, `missing part`, `none`.
    """

    number: int
    which: str = "all"

    def __repr__(self) -> str:
        return f"PartsOf({self.number}{f', {self.which!r}' if self.which != 'all' else ''})"


@dataclass(frozen=True)
class Call:
    """One call. `pages`: a listing is followed to its end, however many pages that takes."""

    name: str
    arguments: dict[str, Any]
    pages: bool = False

    def __repr__(self) -> str:
        arguments = "".join(f", {name}={value!r}" for name, value in self.arguments.items())
        return f"{'every_page' if self.pages else 'call'}({self.name!r}{arguments})"


Program = list[Call]


def call(name: str, **arguments: Any) -> Call:
    """A call, as failures print it."""
    return Call(name, arguments)


def every_page(name: str, **arguments: Any) -> Call:
    """A listing that is followed to its end."""
    return Call(name, arguments, pages=True)


def written(program: Program) -> str:
    """A program as one reads it."""
    return "\n".join(f"  {number:>2}  {step!r}" for number, step in enumerate(program, 1))
