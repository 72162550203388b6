"""A copy that makes deltas where that pays, and looks afterwards at what it wrote.

What is read is verified on the way (the recorded SHA-256, or length and ETag), and a delta is decoded before it is
written. So what is left to be asked is whether the bucket has it: a HEAD of the destination must show the size and the
SHA-256 that were read, or, where none is recorded there, the ETag that the write was answered with. Reading back proves
the stored bytes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from deltaglider_async.engine.copy import copy
from deltaglider_async.engine.copy_source import CopyRequest
from deltaglider_async.engine.core import Engine, access_only, where
from deltaglider_async.engine.get import find, get
from deltaglider_async.engine.request import PutResult
from deltaglider_async.errors import IntegrityMismatchError
from deltaglider_async.format import keys
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.streams.digest import Digest

#: What writes a delta.
_DELTAS = ("create_reference", "create_delta", "copy_delta", "copy_reference")


async def migrate(
    engine: Engine, request: CopyRequest, source_engine: Engine | None = None, *, read_back: bool = False
) -> PutResult:
    """Copy an object, candidates that are stored plain as puts, and check the result. Raises as `copy`.

    Raises `IntegrityMismatchError` where the destination does not have what was written. `read_back` also reads it
    there and compares its SHA-256; where none is known of the source, that is read, too.
    """
    result = await copy(engine, request, source_engine, compact=True)
    access = access_only(request.arguments)
    written = keys.delta_key(request.key) if result.operation in _DELTAS else request.key
    found = await find(engine.store.head, engine.store.head_existing, request.bucket, written, access)
    if found.sha256 and result.sha256:
        same = found.sha256 == result.sha256
    else:
        same = found.response["ETag"] == result.response["CopyObjectResult"]["ETag"]
    if not same or found.size != result.original_size:
        raise _differs(request, "has another object than the one that was written. If nobody else writes there, it")
    if read_back:
        source = request.source
        expected = result.sha256 or await digest_of_object(
            source_engine or engine, source["Bucket"], source["Key"], request.reading | request.version
        )
        if await digest_of_object(engine, request.bucket, request.key, access) != expected:
            raise _differs(request, "gives back other bytes than were written. It")
    return result


async def digest_of_object(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> str:
    """The SHA-256, in hex, of what a get of a logical key gives. Raises as a get."""
    body: ObjectBody = (await get(engine, bucket, key, arguments))["Body"]
    digest = Digest()
    async with aclosing(body):
        while chunk := await body.readany():
            await digest.update(chunk)
    return await digest.hexdigest()


def _differs(request: CopyRequest, what: str) -> IntegrityMismatchError:
    return IntegrityMismatchError(
        f"{where(request.bucket, request.key)} {what} is damaged. The source {request.source_name} is as it was: "
        "copy it again."
    )
