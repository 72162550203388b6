"""Work that is never left behind: in a thread, or after a cancellation.

`anyio.to_thread.run_sync` waits for its thread when an anyio scope is cancelled, but not when the task is
(`task.cancel()`, `asyncio.timeout`, `asyncio.wait_for`): the thread would go on writing to a descriptor
that its owner has closed, and whose number may already belong to another file. Here the wait ends when
the thread has ended, whichever way the cancellation came.
"""

from __future__ import annotations

import asyncio
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


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a clean-up to its end, and only then give way to a cancellation that came meanwhile.

    A shielded anyio scope keeps off anyio's cancellation only; a second `task.cancel()` would go through it. The
    work must end by itself.
    """
    task = asyncio.ensure_future(work)
    cancellation: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
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
