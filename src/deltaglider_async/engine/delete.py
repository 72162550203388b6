"""Deletes of a logical key: the delta first, the plain form second.

In the other order an older delta would come alive for a moment. The reference of a deltaspace stays, also
after its last delta: another client may be encoding against it at this moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.engine.parallel import concurrently
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
    heads: dict[str, Response | None] = {}

    async def look(stored: str) -> None:
        heads[stored] = await engine.store.head(bucket, stored, access_only(arguments))

    if key.endswith(keys.DELTA_SUFFIX):
        await look(key)
        if _is_delta(heads[key]):
            key = keys.logical_key(key)  # the stored form of that logical key
    delta_key = keys.delta_key(key)
    stored_keys = [stored for stored in (delta_key, key) if keys.fits(stored) and stored not in heads]
    await concurrently(*(lambda stored=stored: look(stored) for stored in stored_keys))
    plain, delta = heads.get(key), heads.get(delta_key)
    if delta is not None and not _is_delta(delta):
        delta = None  # somebody else's object, which has its own name

    # A condition speaks of the object, which is the plain form where both exist; what is below it is leftover.
    condition = {name for name in arguments if name.startswith("IfMatch")}
    blind = {name: value for name, value in arguments.items() if name not in condition}
    if condition and not await engine.conditions.keeps(
        bucket, keys.deltaspace(key), "DeleteObject", "IfMatch", access_only(arguments)
    ):
        raise InvalidRequestError(
            f"cannot delete {where(bucket, key)} with IfMatch: this endpoint deletes whether it holds or not. "
            "Nothing was deleted."
        )
    found, wanted = plain or delta, arguments.get("IfMatch")
    if found is not None and wanted not in (None, "*") and wanted.strip('"') != found["ETag"].strip('"'):
        # Said here, because the leftover goes first.
        message = f"cannot delete {where(bucket, key)}: its ETag is {found['ETag']}, not {wanted}."
        raise service_error("PreconditionFailed", 412, "DeleteObject", message)
    response: Response = {}
    if delta is not None:
        response = await engine.store.delete(bucket, delta_key, arguments if plain is None else blind)
    if not (condition and delta is not None and plain is None):
        response = await engine.store.delete(bucket, key, arguments) | response
    kind = "direct" if plain is not None else "delta" if delta is not None else "not_found"
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
