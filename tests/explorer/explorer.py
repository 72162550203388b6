"""Runs the real engine under a schedule, call by call, and judges what came of it.

python -m tests.explorer.explorer SCHEDULE      replays one that a failing test has printed
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import string
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from deltaglider_async.cache import ReferenceCache
from deltaglider_async.codec import Codec
from deltaglider_async.engine import copy, delete, delete_many, fsck, gc, get, put
from deltaglider_async.engine.copy_source import CopyRequest
from deltaglider_async.engine.core import Engine
from deltaglider_async.engine.request import PutRequest
from deltaglider_async.errors import NotFoundError, PreconditionFailedError, ReferenceCreationRaceError, StorageIOError
from deltaglider_async.settings import Settings
from deltaglider_async.store.s3 import Store
from deltaglider_async.streams.source import make_source
from tests.explorer.codec import MaskingCodec
from tests.explorer.history import UNKNOWN, Event, Value, What, explained, same
from tests.explorer.loop import InlineLoop
from tests.explorer.s3 import NOW, FakeS3, Gate, Objects, Stored

BUCKET = "bucket"
BEGINS = "begins:"
#: More than any operation takes: one that does not end is a failure, not a hang.
_MOST_CALLS = 2000
#: How many calls one turn of a client lasts: fine steps, mixed ones, or a few calls and then whole operations. What
#: goes wrong in a few steps of one client between long ones of others is rare among fine steps only.
_GRAINS = (
    (1, 1, 1, 1, 2, 2, 3, 4),
    (1, 1, 2, 3, 4, 6, 9, _MOST_CALLS),
    (1, 2, 3, 4, 5, _MOST_CALLS, _MOST_CALLS, _MOST_CALLS),
)
#: A second look at once: nobody is at work when fsck is.
fsck._SECONDS_FOR_PUTS = 0
#: Two keys are many here.
delete_many._WORTH_A_LISTING = 2
_SETTINGS = Settings(cache_backend="memory", memory_mb=1024)


@dataclass(frozen=True, slots=True)
class Op:
    """What a client does: `put` in the `delta` or `plain` form, `create` (IfNoneMatch), `swap` (head, then put with
    IfMatch), `get`, `delete`, `deletes` (of this key and another one together), `remove` (head, then delete with
    IfMatch), or `gc`."""

    what: Literal["put", "create", "swap", "get", "delete", "deletes", "remove", "copy", "gc"]
    key: str = ""
    form: Literal["delta", "plain"] = "delta"
    letter: str = ""
    source: str = ""

    def __str__(self) -> str:
        return " ".join(
            filter(None, (self.what, self.source and f"{self.source} to", self.key, self.letter, self.form))
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Everything that decides a run. `turns`: how fine they are; then whose turn it is, how long, with which call.

    `deaths`: a client, and at which of its calls it dies.
    """

    before: str
    clients: tuple[tuple[Op, ...], ...]
    turns: bytes
    deaths: tuple[tuple[int, int], ...] = ()


def content(letter: str) -> bytes:
    """A body of its own, large enough for a delta to pay."""
    return f"content of {letter}, ".encode() * 40


def letter_of(body: bytes) -> str:
    return body.split(b",")[0].removeprefix(b"content of ").decode()


@dataclass
class World:
    """The bucket and its clients."""

    objects: Objects = field(default_factory=Objects)
    gate: Gate = field(default_factory=Gate)
    codec: Codec = field(default_factory=MaskingCodec)
    ignores: frozenset[str] = frozenset()
    log: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    clock: int = 0

    @contextlib.asynccontextmanager
    async def engine(self, name: str) -> Any:
        s3 = FakeS3(self.objects, self.gate, name, self.ignores)
        cache = await ReferenceCache.open(_SETTINGS)
        try:
            engine = Engine(Store(s3), cache, _SETTINGS, codec=self.codec)
            for operation in self.ignores:  # asked once per bucket in life; here it is known
                for condition in ("IfNoneMatch", "IfMatch"):
                    engine.conditions._known[BUCKET, operation, condition] = False  # type: ignore[index]
            yield engine
        finally:
            await cache.aclose()

    async def client(self, name: str, ops: Sequence[Op]) -> None:
        async with self.engine(name) as engine:
            for op in ops:
                await self.gate.wait(name, f"{BEGINS} {op}")
                await self.perform(engine, name, op)

    async def perform(self, engine: Engine, name: str, op: Op) -> None:
        """Do it, and note what happened."""
        mark = len(self.events)
        try:
            said = await _OPERATIONS[op.what](self, engine, op)
        except Exception as error:
            said = f"failed: {type(error).__name__}: {error}"
            if name not in self.gate.dead:
                self.problems.append(f"{name}: {op} {said}")
        if name in self.gate.dead:
            return
        for event in self.events[mark:]:
            if event.who == name:
                event.ended = self.clock
        self.log.append(f"{self.clock:>4}  {name}  {' ' * 40} {op}: {said}")

    def begin(self, engine: Engine, what: What, key: str, value: Value, **more: Any) -> Event:
        event = Event(what, key, value, self.clock, who=engine.store.s3.name, **more)
        self.events.append(event)
        return event


async def _put(world: World, engine: Engine, op: Op, **arguments: Any) -> str:
    body = content(op.letter)
    what: What = "create" if "IfNoneMatch" in arguments else "swap" if "IfMatch" in arguments else "write"
    event = world.begin(engine, what, op.key, (body, None), expected=arguments.get("IfMatch", ""), form=op.form)
    request = PutRequest(
        bucket=BUCKET,
        key=op.key,
        source=await make_source(body, None),
        metadata={},
        arguments=arguments,
        max_ratio=0.5,
        use_delta=op.form == "delta",
    )
    try:
        result = await put.put(engine, request)
    except (PreconditionFailedError, NotFoundError):
        if what == "write":
            raise
        event.what = "refused-create" if what == "create" else "refused-swap"
        return "refused"
    event.value = body, result.response["ETag"]
    event.form = "plain" if result.operation == "upload_direct" else "delta"
    return f"{result.operation} {result.reason}".strip()


async def _create(world: World, engine: Engine, op: Op) -> str:
    return await _put(world, engine, op, IfNoneMatch="*")


async def _swap(world: World, engine: Engine, op: Op) -> str:
    etag = await _head(engine, op)
    return await _put(world, engine, op, IfMatch=etag) if etag else "nothing to swap"


async def _head(engine: Engine, op: Op) -> str | None:
    try:
        etag: str = (await get.head(engine, BUCKET, op.key, {}))["ETag"]
    except NotFoundError:
        return None
    return etag


async def _get(world: World, engine: Engine, op: Op) -> str:
    event = world.begin(engine, "read", op.key, None)
    try:
        response = await get.get(engine, BUCKET, op.key, {})
        async with response["Body"] as body:
            data = await body.read()
    except NotFoundError:
        return "nothing"
    except StorageIOError as error:
        if "replaced or deleted while" not in str(error):
            raise
        world.events.remove(event)
        return "replaced while it was read"
    event.value = data, response["ETag"]
    return letter_of(data)


async def _delete(world: World, engine: Engine, op: Op, **arguments: Any) -> str:
    event = world.begin(engine, "remove" if arguments else "write", op.key, None, expected=arguments.get("IfMatch", ""))
    try:
        response = await delete.delete(engine, BUCKET, op.key, arguments)
    except (PreconditionFailedError, NotFoundError):
        if not arguments:
            raise
        event.what = "refused-swap"
        return "refused"
    return str(response["DeltaGliderInfo"]["Type"])


async def _deletes(world: World, engine: Engine, op: Op) -> str:
    both = [op.key, "b" if op.key == "a" else "a"]
    for key in both:
        world.begin(engine, "write", key, None)
    outcomes, _ = await delete_many.delete_objects(engine, BUCKET, [{"Key": key} for key in both], {})
    failed = [outcome for outcome in outcomes if isinstance(outcome, delete_many.Failed)]
    if failed and engine.store.s3.name not in world.gate.dead:
        raise AssertionError(failed)
    return ", ".join(getattr(outcome, "kind", "failed") for outcome in outcomes)


async def _remove(world: World, engine: Engine, op: Op) -> str:
    etag = await _head(engine, op)
    return await _delete(world, engine, op, IfMatch=etag) if etag else "nothing to remove"


async def _copy(world: World, engine: Engine, op: Op) -> str:
    """Reads one key, and writes another some time later, as a copy within S3 does."""
    read = world.begin(engine, "read", op.source, None)
    write = world.begin(engine, "write", op.key, (UNKNOWN, None), form=op.form)
    source = {"Bucket": BUCKET, "Key": op.source}
    try:
        result = await copy.copy(engine, CopyRequest(BUCKET, op.key, source, {}, {}, max_ratio=0.5))
    except NotFoundError:
        world.events.remove(write)
        return "nothing to copy"
    except (StorageIOError, ReferenceCreationRaceError) as error:
        if "each of the" not in str(error):
            raise
        world.events.remove(write)
        world.events.remove(read)
        return "gave up"
    etag = result.response["CopyObjectResult"]["ETag"]
    # Of a plain copy by a service that ignores conditions, the ETag alone tells what was copied.
    body = next(
        body for body in map(content, string.ascii_uppercase) if sha256(body).hexdigest() == result.sha256
        or Stored(body, {}).etag == etag
    )  # fmt: skip
    read.value = body, None
    write.value = body, etag
    write.form = "plain" if result.operation in ("upload_direct", "copy_plain") else "delta"
    return f"{letter_of(body)} {result.operation} {result.reason}".strip()


async def _gc(world: World, engine: Engine, op: Op) -> str:
    async with aclosing(gc.gc(engine, BUCKET, "", now=NOW)) as findings:
        done = [f"{finding.kind} {finding.key}" async for finding in findings]
    return ", ".join(done) or "nothing to do"


_OPERATIONS: Mapping[str, Callable[[World, Engine, Op], Awaitable[str]]] = {
    "put": _put,
    "create": _create,
    "swap": _swap,
    "get": _get,
    "delete": _delete,
    "deletes": _deletes,
    "remove": _remove,
    "copy": _copy,
    "gc": _gc,
}


@dataclass
class Outcome:
    """What came of a run: the calls in their order, and what is wrong with it."""

    schedule: Schedule
    log: list[str]
    problems: list[str]

    def __str__(self) -> str:
        lines = [f"before: {self.schedule.before}", *self.log, *(f"PROBLEM: {problem}" for problem in self.problems)]
        return "\n".join([*lines, f"replay: python -m tests.explorer.explorer {shlex.quote(repr(self.schedule))}"])


async def run(schedule: Schedule, world: World) -> Outcome:
    """Carry out a schedule."""
    start = {key: await _read(world, key) for key in _keys(schedule)}
    loop = asyncio.get_running_loop()
    assert isinstance(loop, InlineLoop)
    names = [f"client {number}" for number in range(len(schedule.clients))]
    tasks = [asyncio.ensure_future(world.client(*each)) for each in zip(names, schedule.clients, strict=True)]
    deaths = {names[who]: at for who, at in schedule.deaths if who < len(names)}
    made = dict.fromkeys(names, 0)
    grain = _GRAINS[schedule.turns[0] % len(_GRAINS)] if schedule.turns else _GRAINS[0]
    turns = iter(schedule.turns[1:])
    who, lasts, which = names[0], 0, 0
    try:
        while True:
            await _quiet(loop, world.codec)
            waiting = [call for call in world.gate.waiting if call.client not in world.gate.dead]
            if not waiting:
                break
            clients = [name for name in names if any(call.client == name for call in waiting)]
            if lasts <= 0 or who not in clients:
                turn = next(turns, None)
                if turn is None:
                    who, lasts, which = clients[0], _MOST_CALLS, 0
                else:
                    who, lasts, which = clients[turn % len(clients)], grain[turn >> 2 & 7], turn >> 5
            own = [call for call in waiting if call.client == who]
            call = own[which % len(own)]
            world.clock += 1
            lasts -= 1
            if deaths.get(who) == made[who]:
                world.gate.dead.add(who)
                world.log.append(f"{world.clock:>4}  {who}  dies before {call.text}")
                continue
            made[who] += 1
            if call.text.startswith(BEGINS) and lasts > 0 and made[who] > 1:
                lasts = 0  # a turn ends with its operation
            world.log.append(f"{world.clock:>4}  {who}  {call.text}")
            call.go()
            if world.clock > _MOST_CALLS:
                world.problems.append("it does not end")
                break
    finally:
        died = bool(world.gate.dead)
        world.gate.dead.update(names)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    world.gate.open = True
    at_end = await _judge_history(world, start)
    await _judge_bucket(schedule, world, at_end, died=died)
    return Outcome(schedule, world.log, world.problems)


async def _quiet(loop: InlineLoop, codec: Codec) -> None:
    """Until every client waits for S3, or has ended."""
    while True:
        busy = getattr(codec, "busy", 0)
        await asyncio.sleep(0.001 if busy and loop.idle else 0)
        if loop.idle and not getattr(codec, "busy", 0):
            return


def _keys(schedule: Schedule) -> list[str]:
    return sorted({key for ops in schedule.clients for op in ops for key in (op.key, op.source) if key} | {"a", "b"})


async def _judge_history(world: World, start: Mapping[str, Value]) -> dict[str, Value]:
    world.clock += 1
    values: dict[str, Value] = {}
    for key, before in start.items():
        values[key] = at_end = await _read(world, key)
        events = [event for event in world.events if event.key == key]
        events.append(Event("read", key, at_end, world.clock, world.clock))
        if not explained(before, events):
            seen = [f"{event.what} {_shown(event.value)}" for event in events[:-1]]
            world.problems.append(
                f"no order explains {key}: {_shown(before)} at first, {_shown(at_end)} at the end; {', '.join(seen)}"
            )
    return values


async def _judge_bucket(schedule: Schedule, world: World, at_end: Mapping[str, Value], *, died: bool) -> None:
    """What fsck finds when all is quiet, that it mends what it finds, and that everything reads as before then.

    Waste is no harm. A drop that dies leaves a reference in the trash alone, where it is readable; so do some starts.
    """
    excused = (
        {"reference-in-trash", "different-reference"}
        if died or schedule.before in ("trashed", "replaced")
        else set[str]()
    )
    found = await _errors(world, repair=False)
    world.problems += [text for kind, text in found if kind not in excused]
    if found:
        await _errors(world, repair=True)
        world.problems += [f"after a repair, {text}" for _, text in await _errors(world, repair=False)]
        for key, before in at_end.items():
            if not same(before, await _read(world, key)):
                world.problems.append(f"a repair changed {key}")


async def _errors(world: World, *, repair: bool) -> list[tuple[str, str]]:
    async with (
        world.engine("fsck") as engine,
        aclosing(fsck.fsck(engine, BUCKET, "", now=NOW, repair=repair)) as findings,
    ):
        return [
            (finding.kind, f"fsck: {finding.kind} {finding.key}: {finding.detail}")
            async for finding in findings
            if finding.severity == "error"
        ]


def _shown(value: Value) -> str:
    return "nothing" if value is None else letter_of(value[0])


async def _read(world: World, key: str) -> Value:
    """What a new client reads, when nobody else is at work."""
    was, world.gate.open = world.gate.open, True
    try:
        async with world.engine("reader") as engine:
            response = await get.get(engine, BUCKET, key, {})
            async with response["Body"] as body:
                return await body.read(), response["ETag"]
    except NotFoundError:
        return None
    except Exception as error:
        world.problems.append(f"{key} is unreadable: {type(error).__name__}: {error}")
        return (b"content of (unreadable),", None)
    finally:
        world.gate.open = was


def main() -> None:
    """Replay the schedule that is given as Python's `repr` shows it."""
    from tests.explorer.starts import world_before

    schedule = eval(sys.argv[1], {"Schedule": Schedule, "Op": Op})  # noqa: S307, what the caller typed

    async def replay() -> Outcome:
        return await run(schedule, await world_before(schedule.before))

    with asyncio.Runner(loop_factory=InlineLoop) as runner:
        outcome = runner.run(replay())
    print(outcome)
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    from tests.explorer import explorer

    explorer.main()
