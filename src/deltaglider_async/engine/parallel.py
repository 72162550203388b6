"""Work side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

T = TypeVar("T")


async def concurrently(*work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run all; the first error cancels the others and is raised as it is, not as a group."""
    async with _together() as tasks:
        for piece in work:
            tasks.start_soon(piece)


async def for_each(items: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, None]], at_once: int) -> None:
    """Work on the items as they come, at most `at_once` at a time; neither tasks nor items pile up."""
    free = anyio.Semaphore(at_once)

    async def one(item: T) -> None:
        try:
            await work(item)
        finally:
            free.release()

    async with _together() as tasks:
        async for item in items:
            await free.acquire()
            tasks.start_soon(one, item)


@asynccontextmanager
async def _together() -> AsyncIterator[TaskGroup]:
    """A task group that raises its first error."""
    error: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
    except BaseExceptionGroup as group:
        error = first_error(group)
    if error is not None:  # outside of the handler: the group would double every traceback
        raise error


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: the one that cancelled the others."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
