"""Carries out a plan: many objects at once, each telling how it goes, none stopping another."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, assert_never

import anyio
from anyio.to_thread import run_sync

from deltaglider_async.bulk.actions import CLIENT_DECIDES, Action, Copy, Delete, Download, PutOptions, Refusal, Upload
from deltaglider_async.bulk.events import Advanced, Event, Failed, Finished, Planned, Started, Summary
from deltaglider_async.bulk.names import prepare_place
from deltaglider_async.bulk.schedule import Schedule
from deltaglider_async.streams.threads import to_its_end

if TYPE_CHECKING:
    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectSendStream

    from deltaglider_async.client import DeltaGliderClient
    from deltaglider_async.types import Phase

#: Objects at once: enough to hide latency with small files, few enough for their xdelta3 processes.
CONCURRENCY = 10
#: Bytes of originals at once. What is in memory is far less; this keeps large files from sharing the line by ten.
BYTES_IN_FLIGHT = 1024**3
#: Actions that are read ahead of their turn, so that totals are known early. A few hundred bytes each.
LOOKAHEAD = 10_000

_SECONDS_BETWEEN_ADVANCES = 0.05
_ACTIONS_BETWEEN_TOTALS = 100


async def transfer(
    client: DeltaGliderClient,
    plan: AsyncGenerator[Action, None],
    *,
    concurrency: int = CONCURRENCY,
    bytes_in_flight: int = BYTES_IN_FLIGHT,
    lookahead: int = LOOKAHEAD,
) -> AsyncGenerator[Event, None]:
    """Carry out `plan` and yield what happens. Close it (`contextlib.aclosing`) to stop early.

    An object that fails is a `Failed` event. An error of the plan itself (the listing broke off) is raised at the
    end, after the objects planned before it are done. Stopping cancels what is under way and waits for its clean-up.
    """
    send, receive = anyio.create_memory_object_stream[Event](max_buffer_size=4 * concurrency)
    # In a task of its own, because a task group must not be left open across the yields of a generator: its cancel
    # scope would reach into whatever the consumer is doing.
    work = asyncio.create_task(_Transfer(client, send, Schedule(concurrency, bytes_in_flight), lookahead).run(plan))
    try:
        async for event in receive:
            yield event
        await work
    finally:
        work.cancel()
        try:
            await to_its_end(asyncio.wait([work]))
        finally:
            receive.close()


class _Transfer:
    def __init__(
        self,
        client: DeltaGliderClient,
        events: MemoryObjectSendStream[Event],
        schedule: Schedule,
        lookahead: int,
    ) -> None:
        self._client = client
        self._events = events
        self._schedule = schedule
        self._room = anyio.Semaphore(lookahead, fast_acquire=True)
        self._changed = anyio.Event()
        self._reading = True
        self._plan_error: Exception | None = None

    async def run(self, plan: AsyncGenerator[Action, None]) -> None:
        async with self._events, anyio.create_task_group() as group:
            group.start_soon(self._read, plan)
            await self._dispatch(group)
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
            self._changed = anyio.Event()
            while action := self._schedule.take():
                self._room.release()
                group.start_soon(self._one, action)
            await self._changed.wait()

    async def _one(self, action: Action) -> None:
        succeeded = False
        try:
            if not isinstance(action, Refusal):
                await self._events.send(Started(action))
            summary = await _perform(self._client, action, self._reporter(action))
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
            now = time.monotonic()
            if phase == told[0] and now - told[1] < _SECONDS_BETWEEN_ADVANCES:
                return
            try:
                self._events.send_nowait(Advanced(action, phase, position))
            except anyio.WouldBlock:
                return  # the consumer is behind; positions are absolute, so the next one tells all
            told = (phase, now)

        return report


async def _perform(client: DeltaGliderClient, action: Action, progress: Callable[[Phase, int], None]) -> Summary:
    match action:
        case Upload():
            return await _upload(client, action, progress)
        case Download():
            return await _download(client, action, progress)
        case Copy():
            return await _copy(client, action, progress)
        case Delete():
            await client.delete_object(Bucket=action.bucket, Key=action.key)
            return Summary(0)
        case Refusal():
            raise action.error
        case _:
            assert_never(action)


async def _upload(client: DeltaGliderClient, action: Upload, progress: Callable[[Phase, int], None]) -> Summary:
    answer = await client.put_object(
        Bucket=action.bucket,
        Key=action.key,
        Body=action.path,
        progress=progress,
        **put_arguments(action.options, action.content_type),
    )
    return _stored(answer)


async def _download(client: DeltaGliderClient, action: Download, progress: Callable[[Phase, int], None]) -> Summary:
    await run_sync(prepare_place, action.path, action.root)
    await client.download(f"s3://{action.bucket}/{action.key}", action.path, progress=progress)
    return Summary(await run_sync(_settle, action))


def _settle(action: Download) -> int:
    if action.modified:
        os.utime(action.path, (action.modified.timestamp(),) * 2)
    return action.path.stat().st_size


#: What a copy that is put anew takes over besides bytes and the user's metadata, as `aws s3 cp` does.
_COPIED = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires")


async def _copy(client: DeltaGliderClient, action: Copy, progress: Callable[[Phase, int], None]) -> Summary:
    if action.options == CLIENT_DECIDES:
        copied = await client.copy_object(
            Bucket=action.to_bucket,
            Key=action.to_key,
            CopySource={"Bucket": action.bucket, "Key": action.key},
            progress=progress,
        )
        return _stored(copied)
    # Options for how it is stored are for a put.
    source = await client.get_object(Bucket=action.bucket, Key=action.key)
    async with source["Body"] as body:
        answer = await client.put_object(
            Bucket=action.to_bucket,
            Key=action.to_key,
            Body=body,
            ContentLength=source["ContentLength"],
            Metadata=source.get("Metadata", {}),
            progress=progress,
            **{name: source[name] for name in _COPIED if name in source},
            **put_arguments(action.options, None),
        )
    return _stored(answer)


def put_arguments(options: PutOptions, content_type: str | None) -> dict[str, Any]:
    """The arguments of `put_object` that follow from the options; absent where the client decides."""
    arguments: dict[str, Any] = {"use_delta": options.use_delta, "max_ratio": options.max_ratio}
    if content_type:
        arguments["ContentType"] = content_type
    return arguments


def _stored(answer: Any) -> Summary:
    info = answer["DeltaGliderInfo"]
    return Summary(info["OriginalSize"], info["StoredSize"])
