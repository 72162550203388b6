"""Removes many objects by few requests: DeleteObjects of a thousand logical keys at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from deltaglider_async.bulk.actions import Action, Delete, Refusal
from deltaglider_async.bulk.events import Event, Failed, Finished, Planned, Skipped, Started, Summary
from deltaglider_async.errors import DeltaGliderError, InvalidRequestError, StorageIOError
from deltaglider_async.store.deletes import MOST_KEYS

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


async def remove(client: DeltaGliderClient, plan: AsyncGenerator[Action, None]) -> AsyncGenerator[Event, None]:
    """Carry out a plan of `Delete` and `Refusal` actions and yield what happens, as `transfer`.

    Forms are found out and references dropped as by `delete_objects`. What became of an object is told when all of its
    thousand are done, which are of one bucket. Raises `InvalidRequestError` for any other action, and what the plan
    raises, both after what was planned before is done.
    """
    waiting: list[Delete] = []
    objects, broken = 0, None
    async with aclosing(plan):
        while True:
            try:
                action = await anext(plan, None)
                if not isinstance(action, Delete | Refusal | None):
                    raise InvalidRequestError(f"cannot carry out {action}: this only removes objects. Use `transfer`.")
            except Exception as error:  # raised at the end, when what was planned is done
                action, broken = None, error
            if isinstance(action, Refusal):
                yield Skipped(action)
            if waiting and (action is None or len(waiting) == MOST_KEYS or _apart(waiting[0], action)):
                yield Planned(objects, 0, complete=action is None)
                async for event in _together(client, waiting):
                    yield event
                waiting = []
            if action is None:
                break
            if isinstance(action, Delete):
                waiting.append(action)
                objects += 1
    if broken is not None:
        raise broken
    yield Planned(objects, 0, complete=True)


def _apart(first: Delete, action: Action) -> bool:
    """Whether an action cannot be asked for in one request with another."""
    return isinstance(action, Delete) and (action.bucket, action.options) != (first.bucket, first.options)


async def _together(client: DeltaGliderClient, deletes: Sequence[Delete]) -> AsyncGenerator[Event, None]:
    for action in deletes:
        yield Started(action)
    access: dict[str, Any] = dict(deletes[0].options.access)
    failed: dict[str, Exception]
    try:
        asked = {"Objects": [{"Key": action.key} for action in deletes], "Quiet": True}
        answer = await client.delete_objects(Bucket=deletes[0].bucket, Delete=asked, **access)
        failed = {
            each["Key"]: StorageIOError(f"{each['Code']}: {each['Message']}") for each in answer.get("Errors", ())
        }
    except DeltaGliderError as error:
        failed = {action.key: error for action in deletes}
    for action in deletes:
        if action.key in failed:
            yield Failed(action, failed[action.key])
        else:
            yield Finished(action, Summary(0))
