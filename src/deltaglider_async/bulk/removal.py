"""Removes many objects by few requests: DeleteObjects of a thousand logical keys at a time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from deltaglider_async.bulk.actions import Action, Delete, Refusal
from deltaglider_async.bulk.events import Event, Failed, Finished, Planned, Skipped, Started, Summary
from deltaglider_async.errors import DeltaGliderError, StorageIOError
from deltaglider_async.store.deletes import MOST_KEYS

if TYPE_CHECKING:
    from deltaglider_async.client import DeltaGliderClient


async def remove(client: DeltaGliderClient, plan: AsyncGenerator[Action, None]) -> AsyncGenerator[Event, None]:
    """Carry out a plan of `Delete` and `Refusal` actions, all in one bucket, and yield what happens, as `transfer`.

    Forms are found out and references dropped as by `delete_objects`. What became of an object is told when all of its
    thousand are done.
    """
    waiting: list[Delete] = []
    objects, broken = 0, None
    async with aclosing(plan):
        while True:
            try:
                action = await anext(plan, None)
            except Exception as error:  # raised at the end, when what was planned is done
                action, broken = None, error
            match action:
                case Delete():
                    waiting.append(action)
                    objects += 1
                case Refusal():
                    yield Skipped(action)
            if waiting and (action is None or len(waiting) == MOST_KEYS):
                yield Planned(objects, 0, complete=action is None)
                async for event in _together(client, waiting):
                    yield event
                waiting = []
            if action is None:
                break
    if broken is not None:
        raise broken
    yield Planned(objects, 0, complete=True)


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
