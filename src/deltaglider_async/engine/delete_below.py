"""Deletes of all that is below a prefix, page by page of what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from deltaglider_async.engine.core import Engine, Response, access_only, where
from deltaglider_async.engine.delete import Deleted, delete_key
from deltaglider_async.engine.delete_many import Drops, Failed, Outcome, as_failed, delete_keys, each_of
from deltaglider_async.engine.parallel import for_each
from deltaglider_async.errors import InvalidRequestError, StorageIOError
from deltaglider_async.format import keys

_AT_ONCE = 16


@dataclass
class Below:
    """What a recursive delete did. Keys of objects are logical ones."""

    deleted: dict[str, Deleted] = field(default_factory=dict)
    """The object that has the prefix as its name, if there is one."""
    counts: dict[str, int] = field(default_factory=lambda: {"delta": 0, "direct": 0, "other": 0})
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    references: set[str] = field(default_factory=set)
    drops: Drops = field(default_factory=Drops)

    def note(self, key: str, outcome: Outcome, kind: str = "") -> None:
        """Count what became of an object."""
        self.drops.note([outcome])
        if isinstance(outcome, Failed):
            self.errors.append(f"{key}: {outcome.code}: {outcome.message}")
        elif outcome.kind != "not_found":
            self.counts[kind or (outcome.kind if outcome.kind in self.counts else "other")] += 1


async def delete_below(engine: Engine, bucket: str, prefix: str, arguments: Mapping[str, Any]) -> Below:
    """Delete the object `prefix` and the folder `prefix/`. Errors of single objects are counted, not raised."""
    access = access_only(arguments)
    below, references = Below(), list[str]()
    folder = prefix
    if prefix and not prefix.endswith("/"):
        folder = f"{prefix}/"
        if await _is_there(engine, bucket, prefix, access) or await _is_there(
            engine, bucket, keys.delta_key(prefix), access
        ):
            outcome = await _alone(engine, bucket, prefix, arguments)
            below.note(prefix, outcome)
            if isinstance(outcome, Deleted) and outcome.kind != "not_found":
                below.deleted[prefix] = outcome
    async with aclosing(engine.store.pages(bucket, {**access, "Prefix": folder})) as pages:
        async for page in pages:
            stored = [item["Key"] for item in page.get("Contents", ())]
            references += [key for key in stored if keys.is_reference(key)]
            await _delete_page(engine, bucket, [key for key in stored if not keys.is_internal(key)], arguments, below)

    async def delete_reference(key: str) -> None:
        outcome = await _alone(engine, bucket, key, arguments)
        if isinstance(outcome, Failed):
            below.warnings.append(f"{where(bucket, key)} stays: {outcome.message}")
            return
        below.drops.note([outcome])
        if outcome.kind == "reference" and outcome.space is None:
            below.references.add(key)

    # Last, when nothing uses them any more.
    await for_each(each_of(references), delete_reference, _AT_ONCE)
    await below.drops.carry_out(engine, bucket, access)
    below.references.update(below.drops.references)
    below.warnings += below.drops.warnings
    return below


async def _delete_page(
    engine: Engine, bucket: str, stored: list[str], arguments: Mapping[str, Any], below: Below
) -> None:
    logical = list(dict.fromkeys(map(keys.logical_key, stored)))
    outcomes = await delete_keys(engine, bucket, logical, arguments)
    for key, outcome in outcomes.items():
        below.note(key, outcome)

    async def foreign(key: str) -> None:
        # A delete of nothing would leave a marker where the bucket keeps versions.
        if await _is_there(engine, bucket, key, access_only(arguments)):
            below.note(key, await _alone(engine, bucket, key, arguments), "other")

    # What is called like a delta and is none has its own name.
    named = {outcome.stored_key for outcome in outcomes.values() if isinstance(outcome, Deleted)}
    failed = {key for key, outcome in outcomes.items() if isinstance(outcome, Failed)}
    left = [key for key in stored if key not in named and key.endswith(keys.DELTA_SUFFIX)]
    await for_each(each_of([key for key in left if keys.logical_key(key) not in failed]), foreign, _AT_ONCE)


async def _is_there(engine: Engine, bucket: str, stored_key: str, access: Response) -> bool:
    return keys.fits(stored_key) and await engine.store.seen(bucket, stored_key, access) is not None


async def _alone(engine: Engine, bucket: str, key: str, arguments: Mapping[str, Any]) -> Outcome:
    try:
        return await delete_key(engine, bucket, key, arguments)
    except (InvalidRequestError, StorageIOError) as error:
        return as_failed(error)


def response(below: Below) -> Response:
    """The answer of `delete_objects_recursive`."""
    singles = [
        {"Key": key, "StoredKey": done.stored_key, "Type": done.kind, "DependentDeltas": 0, "Warnings": []}
        for key, done in below.deleted.items()
    ]
    return {
        "DeletedCount": sum(below.counts.values()) + len(below.references),
        "FailedCount": len(below.errors),
        "Errors": below.errors,
        "Warnings": below.warnings,
        "DeltaGliderInfo": {
            "DeltasDeleted": below.counts["delta"],
            "ReferencesDeleted": len(below.references),
            "DirectDeleted": below.counts["direct"],
            "OtherDeleted": below.counts["other"],
            "SingleDeletes": singles,
        },
    }
