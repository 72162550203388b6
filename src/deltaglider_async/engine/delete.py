"""Theory of operation of a delete: the delta first, the plain form second, and the object goes in one step.

In the other order an older delta would come alive for a moment. A delete looks at both forms, the delta first:

* no plain form: it removes the delta, and nothing else. A plain form that has come meanwhile is a later put's.
* both: the delta is leftover, and is removed if it is still that one; no put writes a delta's nonce again. Then it
  looks anew; if the plain form has gone meanwhile, so has the object.
* no delta: it removes the plain form.

So there is one moment at which the object goes, and not two with another put between them. If that was the last delta
of its deltaspace, the reference is dropped (`trash`).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.engine.trash import delta_keys, drop_unused
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import service_error


async def delete(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
    """DeleteObject of a logical key, with `DeltaGliderInfo`. A missing key is no error, as in S3.

    Raises `InvalidRequestError` for a reference that deltas use, and `PreconditionFailedError` where `IfMatch`
    is not the ETag of the object.
    """
    access = access_only(arguments)
    if keys.is_reference(key):
        await _refuse_used_reference(engine, bucket, key, access)
        if not set(arguments) - set(access):
            space = keys.reference_space(key)
            if await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access):
                there = await engine.store.head(bucket, key, access) is not None
                await drop_unused(engine, bucket, space, access)
                return {"ResponseMetadata": {"HTTPStatusCode": 204}, **_told("reference" if there else "not_found")}
    given = key
    if key.endswith(keys.DELTA_SUFFIX) and _is_delta(await engine.store.head(bucket, key, access)):
        key = keys.logical_key(key)  # the stored form of that logical key
    delta_key, space = keys.delta_key(key), keys.deltaspace(key)
    condition = {name for name in arguments if name.startswith("IfMatch")}
    unchanged = await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access)
    if condition and not unchanged:
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)} with IfMatch: this endpoint deletes whether it holds or not. "
            "Nothing was deleted."
        )
    store, response = engine.store, Response()
    had_delta = had_leftover = False
    while True:
        # In this order: a delta that is seen before a plain form is leftover.
        delta = await store.head(bucket, delta_key, access) if keys.fits(delta_key) else None
        if not _is_delta(delta):
            delta = None  # nothing, or somebody else's object, which has its own name
        plain = await store.head(bucket, key, access)
        if had_leftover and plain is None:
            if condition:
                raise _unmet(bucket, key, "it has been deleted meanwhile")
            break
        had_delta = had_delta or delta is not None
        kind = "direct" if plain is not None else "delta" if delta is not None else "not_found"
        _check_condition(bucket, key, plain or delta, arguments)
        if arguments.get("VersionId") is not None:
            if plain is None:
                raise InvalidRequestError(
                    f"cannot delete a version of {where(bucket, key)}: it is not stored as itself now, so the version "
                    f"may be of another stored object. Delete it from {where(bucket, delta_key)} with S3's own tools."
                )
            return await store.delete(bucket, key, arguments) | _told(kind)
        if delta is None:
            response = await store.delete(bucket, key, arguments)
            break
        if plain is None:
            response = await store.delete(bucket, delta_key, arguments)
            break
        if unchanged:
            await store.delete_if_unchanged(bucket, delta_key, delta["ETag"], access)
        else:
            await store.delete(bucket, delta_key, access)
        had_leftover = True
        if given != key:
            kind = "delta"  # the leftover was named, not the object
            break
    if had_delta:
        await drop_unused(engine, bucket, space, access)
    if keys.is_internal(key) and plain is not None:
        kind = "reference" if key.endswith(keys.REFERENCE_NAME) else "internal"
    return response | _told(kind)


def _check_condition(bucket: str, key: str, found: Response | None, arguments: Mapping[str, Any]) -> None:
    """A condition speaks of the object, which is the plain form where both exist; the leftover goes first."""
    wanted = arguments.get("IfMatch")
    if found is not None and wanted not in (None, "*") and wanted.strip('"') != found["ETag"].strip('"'):
        raise _unmet(bucket, key, f"its ETag is {found['ETag']}, not {wanted}")


def _unmet(bucket: str, key: str, what: str) -> Exception:
    return service_error("PreconditionFailed", 412, "DeleteObject", f"cannot delete {where(bucket, key)}: {what}.")


def _told(kind: str) -> Response:
    return {
        "DeltaGliderInfo": {"Type": kind, "Deleted": kind != "not_found", "Warnings": [], "DependentDeltas": 0},
    }


def _is_delta(head: Response | None) -> bool:
    return head is not None and meta.is_delta(head.get("Metadata", {}))


async def _refuse_used_reference(engine: Engine, bucket: str, key: str, access: Mapping[str, Any]) -> None:
    async with aclosing(delta_keys(engine, bucket, keys.reference_space(key), access)) as found:
        deltas = sum([1 async for _ in found])
    if deltas:
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)}: {deltas:,} deltas are made against it and could not be read without "
            "it. Delete those first."
        )
