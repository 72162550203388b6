"""The user metadata of stored objects: ours (`dg-*`), and what is left for the user.

The names are those of `deltaglider` 6.2.0, which refuses a delta that lacks any of them. Older writers
spelled `dg-file-size` as `dg_file_size`, `file_size` or `file-size`; all are understood on reading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from deltaglider_async._version import __version__
from deltaglider_async.errors import IntegrityMismatchError, InvalidRequestError
from deltaglider_async.format import keys

TOOL = f"deltaglider-async/{__version__}"
#: S3's limit for the names and values of user metadata together, in bytes.
LARGEST_METADATA = 2048
#: Names one write, so that it can be told from any other (store/s3.py). Nothing is read from it later.
PUT_ID = "dg-put-id"

_FIELDS = (
    "tool", "original-name", "file-sha256", "file-size", "created-at", "ref-key", "ref-path", "ref-sha256",
    "delta-size", "delta-cmd", "note", "codec", "compression", "source-name", "md5",
)  # fmt: skip
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: The largest position in a file.
_LARGEST = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class DeltaMetadata:
    """What the metadata of a delta says. Sizes in bytes, digests in lower-case hex."""

    file_sha256: str
    file_size: int
    ref_key: str
    ref_sha256: str
    original_name: str = ""
    delta_size: int | None = None
    delta_cmd: str = ""
    note: str = ""
    codec: str = ""
    """Empty: plain VCDIFF."""

    def encode(self, now: datetime | None = None, tool: str = TOOL) -> dict[str, str]:
        """As S3 user metadata."""
        fields = {
            "tool": tool,
            "original-name": ascii_only(self.original_name),
            "file-sha256": self.file_sha256,
            "file-size": str(self.file_size),
            "created-at": _timestamp(now),
            "ref-key": ascii_only(self.ref_key),
            "ref-sha256": self.ref_sha256,
            "delta-size": str(self.delta_size),
            "delta-cmd": self.delta_cmd,
        }
        return _prefixed(
            fields | {name: value for name, value in (("note", self.note), ("codec", self.codec)) if value}
        )

    @classmethod
    def parse(cls, metadata: Mapping[str, str], stored_key: str, bucket: str = "") -> DeltaMetadata:
        """From the metadata of the object at `stored_key`. `bucket` is for messages.

        Raises `IntegrityMismatchError` if a field without which nothing can be decoded is missing or malformed.
        """
        fields = _Fields(metadata)

        def malformed(name: str) -> IntegrityMismatchError:
            found = fields.get(name)
            return IntegrityMismatchError(
                f"the metadata of the delta {f's3://{bucket}/' if bucket else ''}{stored_key} is damaged: dg-{name} is "
                f"{'missing' if found is None else repr(found)}. It cannot be decoded without it."
            )

        def digest(name: str) -> str:
            value = (fields.get(name) or "").lower()
            if not _SHA256.fullmatch(value):
                raise malformed(name)
            return value

        if (size := _number(fields.get("file-size"))) is None:
            raise malformed("file-size")
        return cls(
            file_sha256=digest("file-sha256"),
            file_size=size,
            ref_key=_resolve_reference(fields, stored_key),
            ref_sha256=digest("ref-sha256"),
            original_name=fields.get("original-name") or "",
            delta_size=_number(fields.get("delta-size")),
            delta_cmd=fields.get("delta-cmd") or "",
            note=fields.get("note") or "",
            codec=fields.get("codec") or "",
        )


def _number(text: str | None) -> int | None:
    """A size in bytes that a file can have. Python itself refuses to read a number of thousands of digits."""
    if text is None or not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > len(str(_LARGEST)):
        return None
    return size if (size := int(text.lstrip("0") or "0")) <= _LARGEST else None


def _resolve_reference(fields: _Fields, stored_key: str) -> str:
    """`dg-ref-key` is the full key; the proxy's `dg-ref-path` is relative to the delta's folder."""
    space = keys.deltaspace(stored_key)
    relative, ref_key = fields.get("ref-path"), fields.get("ref-key")
    if relative:
        ref_key = f"{space}/{relative}" if space else relative
    # The key of a deltaspace that is not ASCII cannot be spelled in metadata; its reference is the delta's neighbour.
    elif not (ref_key and ref_key.isascii() and "%" not in ref_key):
        ref_key = keys.reference_key(space)
    # Bytes of a header that are no text come as characters that no key can have.
    return ref_key if ref_key.isprintable() and keys.fits(ref_key) else keys.reference_key(space)


def is_delta(metadata: Mapping[str, str]) -> bool:
    """Whether an object's metadata says that it is a delta (ours, the original's or the proxy's)."""
    fields = _Fields(metadata)
    return any(fields.get(name) for name in ("ref-sha256", "ref-key", "ref-path", "delta-size"))


def reference_metadata(source_name: str, sha256: str, now: datetime | None = None, tool: str = TOOL) -> dict[str, str]:
    """The user metadata of a new reference."""
    return _prefixed(
        {
            "tool": tool,
            "source-name": ascii_only(source_name),
            "file-sha256": sha256,
            "created-at": _timestamp(now),
            "note": "reference",
        }
    )


def temporary_metadata(key: str, now: datetime, expires: datetime) -> dict[str, str]:
    """The user metadata of a temporary copy of a logical key."""
    name = ascii_only(key.rpartition("/")[2])
    fields = {
        "expires-at": _timestamp(expires),
        "original-key": ascii_only(key),
        "original-filename": name,
        "rehydrated": "true",
        "created-at": _timestamp(now),
    }
    found = _prefixed(fields)
    if not fits(found):  # percent-encoded names may be long; what is needed is the first
        del found["dg-original-key"], found["dg-original-filename"]
    return found


def plain_metadata(name: str, sha256: str, size: int, now: datetime | None = None, tool: str = TOOL) -> dict[str, str]:
    """Our part of a plain object's user metadata, where its digest is known before it is sent."""
    return _prefixed(
        {
            "tool": tool,
            "original-name": ascii_only(name),
            "file-sha256": sha256,
            "file-size": str(size),
            "created-at": _timestamp(now),
            "compression": "none",
        }
    )


def recorded_sha256(metadata: Mapping[str, str], *, bare: bool = False) -> str | None:
    """The SHA-256 that a reference's or a plain object's metadata records, in hex."""
    lowered = {key.lower(): value for key, value in metadata.items()}
    value = lowered.get("dg-file-sha256") or lowered.get("dg_file_sha256") or ""
    # Of a plain object, a bare spelling is the user's own metadata.
    value = (value or (field(metadata, "file-sha256") if bare else "") or "").lower()
    return value if _SHA256.fullmatch(value) else None


def field(metadata: Mapping[str, str], name: str) -> str | None:
    """The value of `dg-<name>` in any of its historical spellings; None if missing or empty."""
    return _Fields(metadata).get(name)


class _Fields:
    """What `field` gives of one object. Statistics read ten fields of each of thousands."""

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._lowered = {key.lower(): value for key, value in metadata.items()}
        # Beside names with a prefix, one without is the user's own.
        self._prefixed = any(key.startswith(("dg-", "dg_")) for key in self._lowered)

    def get(self, name: str) -> str | None:
        if value := self._lowered.get(f"dg-{name}"):
            return value
        bare = name.replace("-", "_")
        spellings = (f"dg_{bare}",) if self._prefixed else (bare, name)
        return next((self._lowered[key] for key in spellings if self._lowered.get(key)), None)


def moment(text: str | None) -> datetime | None:
    """A time as any writer spells it, `2026-01-02T03:04:05.6+00:00Z` among them; None for what is none."""
    try:
        found = datetime.fromisoformat(re.sub(r"([+-]\d\d:\d\d)Z$", r"\1", text or ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def user_part(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata without ours. Bare historical spellings count as ours only where an object has no `dg-` names."""
    user = {key.lower(): value for key, value in metadata.items()}
    ours = {key for key in user if key.startswith(("dg-", "dg_"))}
    if not ours and is_delta(user):
        ours = {spelling for name in _FIELDS for spelling in (name, name.replace("-", "_"))}
    return {key: value for key, value in user.items() if key not in ours}


def check_user_metadata(metadata: Mapping[Any, Any]) -> None:
    """Raise `InvalidRequestError` where a user's metadata would be taken for ours."""
    for key, value in metadata.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise InvalidRequestError(f"Metadata: {key!r} is {value!r}. Accepted: names and values of type str.")
        if key.lower().startswith(("dg-", "dg_")):
            raise InvalidRequestError(
                f"Metadata: the name {key!r} is reserved; names starting with dg- belong to the format."
            )


def fits(metadata: Mapping[str, str]) -> bool:
    """Whether S3 takes user metadata of this size."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items()) <= LARGEST_METADATA


def ascii_only(text: str) -> str:
    """Text as S3 metadata can hold it: percent-encoded where it is not printable ASCII."""
    return text if text.isascii() and text.isprintable() else quote(text)


def _timestamp(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _prefixed(fields: Mapping[str, str]) -> dict[str, str]:
    return {f"dg-{name}": value for name, value in fields.items()}
