"""Which objects are worth a delta: by name, and by how the content begins."""

from __future__ import annotations

#: The original's list (docs/bucket-format.md). `.tar.gz` and its family end in one of these.
CANDIDATE_SUFFIXES = (
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".dmg", ".iso", ".pkg", ".deb", ".rpm",
    ".apk", ".jar", ".war", ".ear",
)  # fmt: skip

#: What xdelta3 recognises as externally compressed, and would silently decompress and recompress with the
#: machine's own tools on reading (its table `extcomp_types`; xz by its first two bytes, to be on the safe side).
_STREAM_MAGIC = {b"\x1f\x8b": "gzip", b"\x1f\x9d": "compress", b"BZh": "bzip2", b"\xfd7": "xz"}

#: How many first bytes `compressed_stream` looks at.
MAGIC_LENGTH = max(map(len, _STREAM_MAGIC))


def is_candidate(key: str) -> bool:
    """Whether the name says that a delta may pay."""
    return key.lower().endswith(CANDIDATE_SUFFIXES)


def compressed_stream(head: bytes) -> str | None:
    """The compression (`gzip`, `bzip2`, `xz`, `compress`) that content with these first bytes has as a whole.

    Such content neither becomes a delta nor a reference: a small change changes all compressed bytes after
    it, and the original could not decode a delta whose reference starts like this (it decompresses it first).
    """
    return next((name for magic, name in _STREAM_MAGIC.items() if head.startswith(magic)), None)
