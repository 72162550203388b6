"""Work side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream

T = TypeVar("T")


async def concurrently(*work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run all; the first error cancels the others and is raised as it is, not as a group."""
    error: BaseException | None = None
    try:
        async with anyio.create_task_group() as tasks:
            for piece in work:
                tasks.start_soon(piece)
    except BaseExceptionGroup as group:
        error = first_error(group)
    if error is not None:  # outside of the handler: the group would double every traceback
        raise error


async def for_each(items: AsyncIterator[T], work: Callable[[T], Coroutine[Any, Any, None]], at_once: int) -> None:
    """Work on the items as they come, at most `at_once` at a time; neither tasks nor items pile up."""

    async def worker(receive: ObjectReceiveStream[T]) -> None:
        async with receive:
            async for item in receive:
                await work(item)

    async def feed(send: ObjectSendStream[T]) -> None:
        async with send:
            async for item in items:
                await send.send(item)

    send, receive = anyio.create_memory_object_stream[T](at_once)
    async with receive:
        await concurrently(lambda: feed(send), *(lambda: worker(receive.clone()) for _ in range(at_once)))


def first_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups: the one that cancelled the others."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
