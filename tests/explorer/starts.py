"""What is in the bucket before a run; all of it older than gc waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from deltaglider_async.format import keys
from tests.explorer.codec import MaskingCodec
from tests.explorer.explorer import Op, World

A_DELTA, B_DELTA = Op("put", "a", "delta", "O"), Op("put", "b", "delta", "P")


async def _done(world: World, *ops: Op) -> None:
    world.gate.open = True
    await world.client("setup", ops)


async def _empty(world: World) -> None:
    """Nothing."""


async def _delta(world: World) -> None:
    """One delta and its reference."""
    await _done(world, A_DELTA)


async def _pair(world: World) -> None:
    """Two deltas, one reference."""
    await _done(world, A_DELTA, B_DELTA)


async def _plain(world: World) -> None:
    await _done(world, Op("put", "a", "plain", "O"))


async def _leftover(world: World) -> None:
    """A delta of `a` hidden behind a plain form, as after a put that died."""
    await _done(world, B_DELTA, Op("put", "a", "delta", "Q"))
    stored = world.objects["a.delta"]
    await _done(world, Op("put", "a", "plain", "O"))
    world.objects["a.delta"] = stored


async def _trashed(world: World) -> None:
    """A delta whose reference is in the trash alone, as after a drop that died."""
    await _done(world, A_DELTA)
    _bury(world)


async def _replaced(world: World) -> None:
    """The same, and another reference in its place."""
    await _done(world, A_DELTA)
    _bury(world)
    await _done(world, B_DELTA)


async def _idle(world: World) -> None:
    """A reference without deltas, and in the trash too."""
    await _done(world, A_DELTA)
    reference = world.objects["reference.bin"]
    _bury(world)
    world.objects["reference.bin"] = reference
    del world.objects["a.delta"]


def _bury(world: World) -> None:
    reference = world.objects.pop("reference.bin")
    sha256 = reference.attributes["Metadata"]["dg-file-sha256"]
    world.objects[keys.trash_key("", sha256, "old")] = reference


_MAKERS: dict[str, Callable[[World], Awaitable[None]]] = {
    function.__name__.removeprefix("_"): function
    for function in (_empty, _delta, _pair, _plain, _leftover, _trashed, _replaced, _idle)
}
NAMES = tuple(_MAKERS)
_made: dict[tuple[str, type[Any]], World] = {}


async def world_before(name: str, codec: type[Any] = MaskingCodec, **codec_options: Any) -> World:
    """A new world with this start. The codec, which knows the bodies, is shared by all that begin with it."""
    kind = (name, codec)
    if kind not in _made or codec_options:
        world = World(codec=codec(**codec_options))
        await _MAKERS[name](world)
        assert not world.problems, (name, world.problems)
        _made[kind] = world
    made = _made[kind]
    return World(objects=made.objects.aged(), codec=made.codec)
