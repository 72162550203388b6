"""GetObjectAttributes of a logical key.

HEAD tells all of it but the parts of a multipart upload, and every service has HEAD. So the service's own call is made
only for those.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deltaglider_async.engine.core import Engine, Response, where
from deltaglider_async.engine.get import Found, dressed, find
from deltaglider_async.store.errors import invalid_argument

_ATTRIBUTES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_OF_PARTS = frozenset({"MaxParts", "PartNumberMarker"})
#: What the answer says besides the attributes.
_ALWAYS = ("LastModified", "VersionId", "DeleteMarker", "RequestCharged", "ResponseMetadata", "DeltaGliderInfo")


async def attributes(
    engine: Engine, bucket: str, key: str, wanted: Sequence[str], arguments: Mapping[str, Any]
) -> Response:
    """The attributes that are `wanted`, of the original. Raises `NotFoundError`."""
    if not wanted or set(wanted) - set(_ATTRIBUTES):
        message = f"cannot read {where(bucket, key)}: ObjectAttributes are {wanted!r}. Known: {', '.join(_ATTRIBUTES)}."
        raise invalid_argument("GetObjectAttributes", message)
    asked = {name: value for name, value in arguments.items() if name not in _OF_PARTS} | {"ChecksumMode": "ENABLED"}
    found = await find(engine.store.head, engine.store.head_or_why, bucket, key, asked)
    response = dressed(found, asked, None)
    checksums = {name: value for name, value in response.items() if name.startswith("Checksum")}
    of_the_object = {
        "ETag": response["ETag"].strip('"'),
        "Checksum": checksums if checksums.keys() - {"ChecksumType"} else None,
        "ObjectParts": await _parts(engine, found, arguments) if "ObjectParts" in wanted else None,
        "StorageClass": response.get("StorageClass", "STANDARD"),
        "ObjectSize": found.size,
    }
    told = {name: of_the_object[name] for name in _ATTRIBUTES if name in wanted and of_the_object[name] is not None}
    return {name: response[name] for name in _ALWAYS if name in response} | told


async def _parts(engine: Engine, found: Found, arguments: Mapping[str, Any]) -> Response | None:
    """S3 tells no parts of what was put in one piece, as a delta's original is. Else the ETag counts them."""
    if found.delta is not None or "-" not in found.response["ETag"]:
        return None
    return await engine.store.object_parts(found.bucket, found.stored_key, arguments)
