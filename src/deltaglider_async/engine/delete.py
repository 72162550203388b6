"""Deletes of a logical key: the delta first, the plain form second.

In the other order an older delta would come alive for a moment. The reference of a deltaspace stays, also
after its last delta: another client may be encoding against it at this moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.errors import InvalidRequestError
from deltaglider_async.format import keys
from deltaglider_async.format import metadata as meta
from deltaglider_async.store.errors import service_error


async def delete(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Response:
    """DeleteObject of a logical key, with `DeltaGliderInfo`. A missing key is no error, as in S3.

    Raises `InvalidRequestError` for a reference that deltas use, and `PreconditionFailedError` where `IfMatch`
    is not the ETag of the object.
    """
    if keys.is_reference(key):
        await _refuse_used_reference(engine, bucket, key)
    access = access_only(arguments)
    given = key
    if key.endswith(keys.DELTA_SUFFIX) and _is_delta(await engine.store.head(bucket, key, access)):
        key = keys.logical_key(key)  # the stored form of that logical key
    delta_key, space = keys.delta_key(key), keys.deltaspace(key)
    # In this order: a delta that is seen before a plain form is leftover for good. No later put writes its nonce
    # again, so deleting it by its ETag cannot hit anybody else's put.
    delta = await engine.store.head(bucket, delta_key, access) if keys.fits(delta_key) else None
    if not _is_delta(delta):
        delta = None  # nothing, or somebody else's object, which has its own name
    plain = await engine.store.head(bucket, key, access)

    # A condition speaks of the object, which is the plain form where both exist.
    condition = {name for name in arguments if name.startswith("IfMatch")}
    if condition and not await engine.conditions.keeps(bucket, space, "DeleteObject", "IfMatch", access):
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)} with IfMatch: this endpoint deletes whether it holds or not. "
            "Nothing was deleted."
        )
    found, wanted = plain or delta, arguments.get("IfMatch")
    if found is not None and wanted not in (None, "*") and wanted.strip('"') != found["ETag"].strip('"'):
        # Said here, because the leftover goes first.
        message = f"cannot delete {where(bucket, key)}: its ETag is {found['ETag']}, not {wanted}."
        raise service_error("PreconditionFailed", 412, "DeleteObject", message)
    store, response = engine.store, Response()
    kind = "direct" if plain is not None else "delta" if delta is not None else "not_found"
    if arguments.get("VersionId") is not None:
        if plain is None:
            raise InvalidRequestError(
                f"cannot delete a version of {where(bucket, key)}: it is not stored as itself now, so the version may "
                f"be of another stored object. Delete it from {where(bucket, delta_key)} with S3's own tools."
            )
        response = await store.delete(bucket, key, arguments)
    elif delta is not None and plain is not None and (condition or given != key):
        await store.delete_if_unchanged(bucket, delta_key, delta["ETag"], access)
        if given == key:
            response = await store.delete(bucket, key, arguments)
        else:
            kind = "delta"  # the leftover was named, not the object
    elif delta is not None:
        response = await store.delete(bucket, delta_key, arguments)
        if not condition:
            response = await store.delete(bucket, key, arguments) | response
    else:
        response = await store.delete(bucket, key, arguments)
    if keys.is_internal(key) and plain is not None:
        kind = "reference" if key.endswith(keys.REFERENCE_NAME) else "internal"
    response["DeltaGliderInfo"] = {
        "Type": kind,
        "Deleted": kind != "not_found",
        "Warnings": [],
        "DependentDeltas": 0,
    }
    return response


def _is_delta(head: Response | None) -> bool:
    return head is not None and meta.is_delta(head.get("Metadata", {}))


async def _refuse_used_reference(engine: Engine, bucket: str, key: str) -> None:
    space = keys.reference_space(key)
    deltas = 0
    for prefix in (f"{space}/",) if space else ("", "/"):  # `/app.zip` shares the root's reference
        async for page in engine.store.pages(bucket, {"Prefix": prefix, "Delimiter": "/"}):
            deltas += sum(item["Key"].endswith(keys.DELTA_SUFFIX) for item in page.get("Contents", ()))
    if deltas:
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)}: {deltas:,} deltas are made against it and could not be read without "
            "it. Delete those first."
        )
