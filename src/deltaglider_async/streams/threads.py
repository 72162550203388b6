"""Work that is never left behind: in a thread, or after a cancellation.

`anyio.to_thread.run_sync` waits for its thread when an anyio scope is cancelled, but not when the task is
(`task.cancel()`, `asyncio.timeout`, `asyncio.wait_for`): the thread would go on writing to a descriptor
that its owner has closed, and whose number may already belong to another file. Here the wait ends when
the thread has ended, whichever way the cancellation came.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

import anyio

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_thread(function: Callable[[Unpack[Ts]], T], *args: *Ts, stop: threading.Event | None = None) -> T:
    """Run `function` to its end in a thread, also when the caller is cancelled, and return its result.

    On cancellation `stop` is set, which long work checks between two steps (see `streams.stops`); its result or
    error is then dropped in favour of the cancellation. So nothing that needs closing may be *returned*:
    it belongs to an object that the caller had before.
    """
    # An executor's future, not a task: the end of asyncio.run cancels every task, but not this.
    work = asyncio.get_running_loop().run_in_executor(None, partial(function, *args))
    try:
        await asyncio.wait((work,))
    except asyncio.CancelledError:
        if stop is not None:
            stop.set()
        await until_done(work)
        raise
    return work.result()


def begin(work: Coroutine[Any, Any, T], otherwise: Callable[[], None]) -> asyncio.Task[T]:
    """A task that owns something from now on, and gives it back at the end of `work`.

    A task that is cancelled before its first step runs nothing of its work, not even a `finally`; whoever cancels all
    tasks, as the end of asyncio.run does, may be so early. Then `otherwise` is called instead; it must not block.
    """

    def ended(_: asyncio.Task[T]) -> None:
        if not _has_begun(work):
            work.close()
            otherwise()

    task = asyncio.ensure_future(_all_of(work))
    task.add_done_callback(ended)
    return task


async def _all_of(work: Coroutine[Any, Any, T]) -> T:
    """In a coroutine of its own, `work` stays as it is where that is cancelled before its first step."""
    return await work


def _has_begun(work: Coroutine[Any, Any, Any]) -> bool:
    """Whether any of it was run."""
    return inspect.getcoroutinestate(work) != inspect.CORO_CREATED


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a clean-up to its end, and only then give way to a cancellation that came meanwhile.

    A shielded anyio scope keeps off anyio's cancellation only; a second `task.cancel()` would go through it. The
    work must end by itself.
    """
    cancellation: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not _has_begun(work):  # once more where all tasks were cancelled before its first step
            task = asyncio.ensure_future(_all_of(work))
            while not task.done():
                try:
                    await asyncio.wait((task,))
                except asyncio.CancelledError as error:
                    cancellation = error
    if cancellation is not None:
        await until_done(task)
        raise cancellation
    return task.result()


async def until_done(work: asyncio.Future[Any]) -> None:
    """Wait for the end of some work, whatever cancellation comes meanwhile. Its result or error is dropped."""
    with anyio.CancelScope(shield=True):
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((work,))
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not report it
