"""Carries out a plan: many objects at once, each telling how it goes, none stopping another."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

import anyio

from deltaglider_async.bulk.actions import Action, Refusal
from deltaglider_async.bulk.events import Advanced, Event, Failed, Finished, Planned, Skipped, Started, Summary
from deltaglider_async.bulk.perform import Performer
from deltaglider_async.bulk.schedule import Limits, Schedule
from deltaglider_async.store.limits import Pace, limited, limits
from deltaglider_async.streams.threads import to_its_end
from deltaglider_async.types import Progress

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.types import Phase

#: Actions that are read ahead of their turn, so that totals are known early. A few hundred bytes each.
LOOKAHEAD = 10_000

_SECONDS_BETWEEN_ADVANCES = 0.05
_ACTIONS_BETWEEN_TOTALS = 100
#: Events that may wait for the consumer.
_EVENTS = 64

Perform = Callable[[Action, Progress], Awaitable[Summary]]


async def transfer(
    client: DeltaGliderClient,
    plan: AsyncGenerator[Action, None],
    *,
    source: DeltaGliderClient | None = None,
    limits: Limits | None = None,
    lookahead: int = LOOKAHEAD,
    perform: Perform | None = None,
) -> AsyncGenerator[Event, None]:
    """Carry out `plan` and yield what happens. Close it (`contextlib.aclosing`) to stop early.

    An object that fails is a `Failed` event. An error of the plan itself (the listing broke off) is raised at the
    end, after the objects planned before it are done. Stopping cancels what is under way and waits for its clean-up.
    `source` is where copies read, if that is another client. `perform` replaces what is done for an action; what it
    raises becomes the `Failed` event.

        async with aclosing(transfer(client, planned(walk(folder), uploads("releases", "app/")))) as events:
            async for event in events:
                ...
    """
    events = _Events()
    # In a task of its own, because a task group must not be left open across the yields of a generator: its cancel
    # scope would reach into whatever the consumer is doing.
    limits = limits or Limits()
    schedule = Schedule(limits, client.delta_policy)
    carried_out = _Transfer(perform or Performer(client, source or client), events, schedule, lookahead)
    with _paced(limits.bytes_per_second):  # the task keeps what it was created in
        work = asyncio.create_task(carried_out.run(plan))
    try:
        while (event := await events.take()) is not None:
            yield event
        await work
    finally:
        work.cancel()
        await to_its_end(asyncio.wait([work]))


def _paced(bytes_per_second: float | None) -> AbstractContextManager[None]:
    pace = Pace(bytes_per_second) if bytes_per_second else None
    return limited(replace(limits(), pace=pace, to_the_end=True))


class _Events:
    """Events on their way to the consumer, so many at most.

    anyio's streams let all other tasks run with each event that is sent or taken, which for small files costs more than
    the events.
    """

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    async def send(self, event: Event) -> None:
        """Wait until there is room."""
        while not self.sent(event):
            self._room.clear()
            await self._room.wait()

    def sent(self, event: Event) -> bool:
        """Whether there was room for it."""
        if len(self._waiting) >= _EVENTS:
            return False
        self._waiting.append(event)
        self._changed.set()
        return True

    async def take(self) -> Event | None:
        """Wait for the next one; None when all were taken and no more will come."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._room.set()
        return self._waiting.popleft()

    def close(self) -> None:
        """No more will come."""
        self._closed = True
        self._changed.set()


class _Transfer:
    def __init__(
        self,
        perform: Perform,
        events: _Events,
        schedule: Schedule,
        lookahead: int,
    ) -> None:
        self._perform = perform
        self._events = events
        self._schedule = schedule
        self._room = anyio.Semaphore(lookahead, fast_acquire=True)
        self._changed = asyncio.Event()
        self._reading = True
        self._plan_error: Exception | None = None

    async def run(self, plan: AsyncGenerator[Action, None]) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, plan)
                await self._dispatch(group)
        finally:
            self._events.close()
        if self._plan_error:
            raise self._plan_error

    async def _read(self, plan: AsyncGenerator[Action, None]) -> None:
        objects = size = 0
        try:
            async with aclosing(plan):
                async for action in plan:
                    await self._room.acquire()
                    self._schedule.add(action)
                    self._changed.set()
                    objects += 1
                    size += action.size or 0
                    if objects % _ACTIONS_BETWEEN_TOTALS == 0:
                        await self._events.send(Planned(objects, size, complete=False))
        except Exception as error:  # raised by `run`, when what was planned is done
            self._plan_error = error
        await self._events.send(Planned(objects, size, complete=True))
        self._reading = False
        self._changed.set()

    async def _dispatch(self, group: TaskGroup) -> None:
        while self._reading or not self._schedule.idle:
            self._changed.clear()
            while action := self._schedule.take():
                self._room.release()
                group.start_soon(self._one, action)
            await self._changed.wait()

    async def _one(self, action: Action) -> None:
        succeeded = False
        try:
            if isinstance(action, Refusal):
                await self._events.send(Skipped(action))
                return
            await self._events.send(Started(action))
            summary = await self._perform(action, self._reporter(action))
            succeeded = True
            await self._events.send(Finished(action, summary))
        except Exception as error:  # the border of one object: whatever it was, it is told, and the others go on
            await self._events.send(Failed(action, error))
        finally:
            self._schedule.done(action, succeeded=succeeded)
            self._changed.set()

    def _reporter(self, action: Action) -> Callable[[Phase, int], None]:
        told: tuple[Phase | None, float] = (None, 0.0)

        def report(phase: Phase, position: int) -> None:
            nonlocal told
            if phase == "sending" != told[0]:
                self._schedule.sends(action)
                self._changed.set()
            now = time.monotonic()
            if phase == told[0] and now - told[1] < _SECONDS_BETWEEN_ADVANCES:
                return
            if self._events.sent(Advanced(action, phase, position)):
                told = (phase, now)
            # Else the consumer is behind; positions are absolute, so the next one tells all.

        return report
