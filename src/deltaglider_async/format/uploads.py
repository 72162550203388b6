"""Multipart uploads whose object may become a delta: the id that the caller holds, and what travels to the completion.

S3 cannot read the parts of an unfinished upload, so these go to a temporary key (`keys.multipart_key`). Everything that
a completion needs to know is in the caller's id, in that key and in the metadata of that object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

#: The metadata of the temporary object: the arguments that the final one gets.
ARGUMENTS = "dg-upload-arguments"

_ID = re.compile(r"dg-([0-9a-f]{32})-([A-Za-z0-9_-]+)")
_MD5 = re.compile(r"[0-9a-f]{32}")
_OF_PARTS = re.compile(r"([0-9a-f]{32})-([0-9]{1,5})")


def encode_id(name: str, upload_id: str) -> str:
    """The id of an upload as the caller gets it: the random part of the temporary key, and S3's own id. URL-safe."""
    return f"dg-{name}-{base64.urlsafe_b64encode(upload_id.encode()).decode().rstrip('=')}"


def decode_id(given: str) -> tuple[str, str] | None:
    """The random part and S3's id; None for an id that `encode_id` did not make."""
    match = _ID.fullmatch(given)
    if match is None:
        return None
    try:
        return match[1], base64.urlsafe_b64decode(match[2] + "=" * (-len(match[2]) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def pack(arguments: Mapping[str, Any], use_delta: bool | None) -> str:
    """The arguments of CreateMultipartUpload that the final object gets, as one value of metadata."""
    kept = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in arguments.items()
        if value is not None and not name.startswith("Checksum")  # those speak of the parts
    }
    text = json.dumps({"arguments": kept, "use_delta": use_delta}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode()


def unpack(packed: str) -> tuple[dict[str, Any], bool | None]:
    """What `pack` got. Raises `ValueError` for anything else."""
    found = json.loads(base64.urlsafe_b64decode(packed))
    if not (isinstance(found, dict) and isinstance(found.get("arguments"), dict)):
        raise ValueError("not what was packed")
    return found["arguments"], found.get("use_delta")


def made_of(etag: str, parts: Sequence[Mapping[str, Any]], *, opaque: bool = False) -> bool:
    """Whether an object with this ETag may have been completed of these parts.

    Mostly the ETag is the MD5 of those of the parts, and their number; what has another form tells nothing. Where
    ETags are `opaque` (encrypted with KMS), they only look like that, and the number alone counts.
    """
    match = _OF_PARTS.fullmatch(etag.strip('"'))
    if match is None:
        return True
    tags = [str(part.get("ETag", "")).strip('"') for part in parts]
    if int(match[2]) != len(tags):
        return False
    if opaque or not all(map(_MD5.fullmatch, tags)):
        return True
    return hashlib.md5(bytes.fromhex("".join(tags)), usedforsecurity=False).hexdigest() == match[1]
