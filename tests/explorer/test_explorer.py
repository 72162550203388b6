"""Interleavings of clients, some of which die: nothing acknowledged is lost, and one order explains what was seen."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from deltaglider_async.engine import delete, get, put, trash, write_delta
from deltaglider_async.store.s3 import Store
from tests.explorer import starts
from tests.explorer.codec import MaskingCodec
from tests.explorer.explorer import BUCKET, Outcome, Schedule, World, run
from tests.explorer.loop import InlineLoop
from tests.explorer.processes import Processes
from tests.explorer.schedules import GC, Shape, delete_op, get_op, plain_op, put_op, schedules

if TYPE_CHECKING:
    from tests.tally import Tally


#: Thousands of runs; a slow machine is no failure.
pytestmark = pytest.mark.timeout(1800)


def explore(
    examples: int,
    world_before: Callable[[str], Any] = starts.world_before,
    *,
    shrink: bool = True,
    numbered: int | None = None,
) -> tuple[int, Outcome | None]:
    """Run up to so many schedules; how many were run, and the (smallest) that went wrong.

    They are others each time, or, if this is `numbered`, the same for the same number and engine.
    """
    found: list[Outcome] = []
    count = 0
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)

    with asyncio.Runner(loop_factory=InlineLoop) as runner:

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )
        @given(schedules)
        def one(schedule: Schedule) -> None:
            nonlocal count
            count += 1

            async def work() -> Outcome:
                return await run(schedule, await world_before(schedule.before))

            outcome = runner.run(work())
            if outcome.problems:
                found.append(outcome)
                raise _WrongError

        try:
            (one if numbered is None else seed(numbered)(one))()
        except _WrongError:
            return count, found[-1]
    return count, None


class _WrongError(Exception):
    pass


@pytest.mark.parametrize("quarter", range(4))
def test_one_order_explains_everything(quarter: int, torture: Tally) -> None:
    """`make test` runs the same schedules as long as the engine is the same, `make torture` others each time."""
    count, wrong = explore(torture.length(1_000, 7_500), numbered=None if torture.full else quarter)
    torture.add("interleavings", schedules=count, objects_lost=0 if wrong is None else 1)
    assert wrong is None, f"\n{wrong}"


def test_one_order_explains_everything_with_xdelta3(torture: Tally) -> None:
    count, wrong = explore(torture.length(150, 1000), lambda name: starts.world_before(name, Processes), shrink=False)
    torture.add("interleavings, with xdelta3", schedules=count, objects_lost=0 if wrong is None else 1)
    assert wrong is None, f"\n{wrong}"


# -- The explorer sees what the protocol's steps are for: without any one of them, it finds what goes wrong.

Take = Callable[[pytest.MonkeyPatch], None]


def unconditional_reference(patch: pytest.MonkeyPatch) -> None:
    """A reference is written whether there is one or not."""
    original = Store.put

    async def store_put(self: Store, bucket: str, key: str, *rest: Any, arguments: Any, **more: Any) -> Any:
        if key == "reference.bin":
            arguments = {name: value for name, value in arguments.items() if name != "IfNoneMatch"}
        return await original(self, bucket, key, *rest, arguments=arguments, **more)

    patch.setattr(Store, "put", store_put)


def equal_deltas(patch: pytest.MonkeyPatch) -> None:
    """The same bytes give the same delta."""

    async def world_before(name: str) -> World:
        return await starts.world_before(name, _Repeating)

    patch.setattr("tests.explorer.test_explorer.START", world_before)


class _Repeating(MaskingCodec):
    def __init__(self) -> None:
        super().__init__(unique=False)


def plain_becomes_delta(patch: pytest.MonkeyPatch) -> None:
    """A put in the delta form removes the plain form that it saw, if it is still that one."""
    look, write, seen = put.look, write_delta.write_delta, dict[int, Any]()

    async def looked(engine: Any, request: Any, *rest: Any) -> Any:
        plain, *others = await look(engine, request, *rest)
        seen[id(engine)] = plain
        return None, *others

    async def written(engine: Any, request: Any, *rest: Any) -> Any:
        result = await write(engine, request, *rest)
        if (plain := seen[id(engine)]) is not None:
            await engine.store.delete_if_unchanged(BUCKET, request.key, plain["ETag"])
        return result

    patch.setattr(put, "look", looked)
    patch.setattr(put, "write_delta", written)


def no_trash(patch: pytest.MonkeyPatch) -> None:
    """A drop deletes the reference without a copy."""

    async def bury(*arguments: Any) -> bool:
        return True

    patch.setattr(trash, "_bury", bury)


def one_trash_entry(patch: pytest.MonkeyPatch) -> None:
    """All drops of a reference share one entry, which may be old."""
    patch.setattr("deltaglider_async.engine.trash.secrets.token_hex", lambda size: "old")


def delta_first(patch: pytest.MonkeyPatch) -> None:
    """A get looks for the delta form first."""

    async def found(ask: Any, ask_existing: Any, bucket: str, key: str, arguments: Any) -> Any:
        response = await ask(bucket, key + ".delta", arguments)
        if response is not None:
            plain = await ask(bucket, key, arguments)
            if plain is None:
                return get._found(bucket, key + ".delta", response)
            return get._found(bucket, key, plain)
        return get._found(bucket, key, await ask_existing(bucket, key, arguments))

    patch.setattr(get, "find", found)


def plain_deleted_first(patch: pytest.MonkeyPatch) -> None:
    """A delete removes the plain form before the delta."""

    async def deleted(engine: Any, bucket: str, key: str, arguments: Any) -> Any:
        await engine.store.delete(bucket, key, arguments)
        await engine.store.delete(bucket, key + ".delta", arguments)
        await trash.drop_unused(engine, bucket, "", {})
        return {"DeltaGliderInfo": {"Type": "direct"}}

    patch.setattr(delete, "delete", deleted)


def reference_not_looked_at_again(patch: pytest.MonkeyPatch) -> None:
    """A put does not look whether its reference is still there."""
    write = write_delta.write_delta

    async def written(engine: Any, request: Any, delta: Any, reference: Any, lease: Any) -> Any:
        async def there(*arguments: Any) -> Any:
            return reference, True

        with pytest.MonkeyPatch.context() as within:
            within.setattr(engine, "reference", there)
            return await write(engine, request, delta, reference, lease)

    patch.setattr(put, "write_delta", written)


def any_delta_removed(patch: pytest.MonkeyPatch) -> None:
    """A put in the plain form removes whatever delta is there."""

    async def removed(self: Store, bucket: str, key: str, etag: str, arguments: Any = None) -> bool:
        await self.delete(bucket, key)
        return True

    patch.setattr(Store, "delete_if_unchanged", removed)


START: Callable[[str], Any] = starts.world_before
#: Where another one than 1 finds something sooner.
SEEDS: dict[Take, int] = {one_trash_entry: 6}


@pytest.mark.parametrize(
    ("take_out", "among"),
    [
        (unconditional_reference, [("empty", ((put_op("a", "A"),), (put_op("b", "B"),)))]),
        (equal_deltas, [("pair", ((plain_op("a", "B"),), (delete_op("a"),), (put_op("a", "O"),)))]),
        (plain_becomes_delta, [("plain", ((put_op("a", "O"),), (plain_op("a", "O"),)))]),
        (no_trash, [("delta", ((put_op("b", "B"),), (delete_op("a"),)))]),
        (delta_first, [("leftover", ((delete_op("a"),), (get_op("a"), get_op("a"))))]),
        (plain_deleted_first, [("leftover", ((delete_op("a"),), (get_op("a"), get_op("a"))))]),
        (one_trash_entry, [("idle", ((GC,), (put_op("b", "O"), delete_op("b")), (put_op("a", "O"),)))]),
        (reference_not_looked_at_again, [("delta", ((put_op("b", "B"),), (delete_op("a"),)))]),
        (any_delta_removed, [("pair", ((plain_op("a", "B"),), (delete_op("a"),), (put_op("a", "O"),)))]),
    ],
    ids=lambda step: getattr(step, "__name__", ""),
)
def test_the_explorer_misses_each_step(monkeypatch: pytest.MonkeyPatch, take_out: Take, among: list[Shape]) -> None:
    take_out(monkeypatch)
    # Always the same schedules: what has been found once is found each time.
    randomness = random.Random(SEEDS.get(take_out, 1))

    async def search() -> int | None:
        for number in range(20_000):
            turns = randomness.randbytes(randomness.randrange(8, 40))
            schedule = Schedule(*randomness.choice(among), turns)
            if (await run(schedule, await START(schedule.before))).problems:
                return number
        return None

    with asyncio.Runner(loop_factory=InlineLoop) as runner:
        assert runner.run(search()) is not None
