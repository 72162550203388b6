"""Long bodies over several connections: the same bytes in order, of one object, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from deltaglider_async import create_client
from deltaglider_async.errors import PreconditionFailedError, StorageIOError
from deltaglider_async.store import side_by_side
from deltaglider_async.store.body import Request
from deltaglider_async.store.limits import Limits, limited
from deltaglider_async.store.s3 import Response, Store
from deltaglider_async.store.side_by_side import whole_body
from deltaglider_async.streams.budget import ByteBudget

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PART = 1000
DATA = random.Random(1).randbytes(10 * PART + 7)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "PART_AHEAD", PART)
    monkeypatch.setattr(side_by_side, "_LONG", 4 * PART)


@pytest.fixture(autouse=True)
def whole_transfer() -> Iterator[None]:
    with limited(Limits(to_the_end=True)):
        yield


class Body:
    """Gives a piece at a time once its gate is open."""

    def __init__(self, data: bytes, gate: asyncio.Event) -> None:
        self._data, self._gate, self.closed = data, gate, False

    async def read(self, size: int) -> bytes:
        await self._gate.wait()
        await asyncio.sleep(0)
        piece, self._data = self._data[: min(size, 300)], self._data[min(size, 300) :]
        return piece

    def close(self) -> None:
        self.closed = True


class Service:
    """What a store is to this module. The first answer waits for `first`, the others for `others`."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data, self.etag = data, '"one"'
        self.ahead = ByteBudget(4 * PART)
        self.first, self.others, self.asked = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.others.set()
        self.ranges = True
        self.fails_at: int | None = None
        self.bodies: list[Body] = []
        self.starts: list[int] = []

    async def get_existing(self, bucket: str, key: str, arguments: Any) -> Response:
        await asyncio.sleep(0)
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", arguments["Range"])
        assert found
        start, last = int(found[1]), int(found[2])
        self.starts.append(start)
        if len(self.starts) >= 4:
            self.asked.set()
        if start == self.fails_at:
            raise StorageIOError("no")
        if arguments["IfMatch"] != self.etag:
            raise PreconditionFailedError("another one")
        if not self.ranges:
            return self._answer(self.data, {})
        return self._answer(self.data[start : last + 1], {"ContentRange": f"bytes {start}-{last}/{len(self.data)}"})

    def _answer(self, data: bytes, more: Response) -> Response:
        self.bodies.append(Body(data, self.first if not self.bodies else self.others))
        return {"ETag": self.etag, "ContentLength": len(data), "Body": self.bodies[-1], **more}

    def opened(self) -> Any:
        """The body, of a GetObject that was answered."""
        response = self._answer(self.data, {})
        return whole_body(cast("Store", self), response, Request("b", "k", {}, "s3://b/k"), digest=True)

    def left_nothing(self) -> None:
        assert all(body.closed for body in self.bodies)
        assert self.ahead.free == 4 * PART
        assert len(asyncio.all_tasks()) == 1


async def read(chunks: Any) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def after_the_others(service: Service) -> bytes:
    """Read, where the first answer comes after those of all parts that are asked for at once."""
    reading = asyncio.create_task(read(service.opened()))
    await service.asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    service.first.set()
    return await reading


async def test_parts_follow_in_order() -> None:
    for size in (*range(4 * PART, 5 * PART + 2, 499), 9 * PART, len(DATA)):
        service = Service(DATA[:size])
        service.asked.set()
        assert await after_the_others(service) == DATA[:size]
        service.left_nothing()
        assert service.starts == list(range(PART, size, PART))


async def test_a_first_answer_that_is_faster_is_all_that_is_read() -> None:
    service = Service()
    service.first.set()
    service.get_existing = lambda *_: asyncio.Event().wait()  # type: ignore[assignment, method-assign]
    assert await read(service.opened()) == DATA
    service.left_nothing()


@pytest.mark.parametrize("what", ["ranges are ignored", "it was replaced", "the first part fails"])
async def test_what_no_part_can_be_had_of_is_read_from_the_first_answer(what: str) -> None:
    service = Service()
    reading = service.opened()
    if what == "ranges are ignored":
        service.ranges = False
    elif what == "it was replaced":
        service.etag = '"two"'
    else:
        service.fails_at = PART
    service.asked.set()
    service.first.set()
    assert await read(reading) == DATA
    service.left_nothing()


async def test_bytes_of_two_objects_never_meet() -> None:
    service = Service()
    service.first.set()
    reading, got = service.opened(), b""
    with pytest.raises(StorageIOError, match="replaced"):
        async for chunk in reading:
            got += chunk
            if len(got) > 3 * PART:
                service.etag = '"two"'
    assert DATA.startswith(got)
    service.left_nothing()


async def test_whoever_stops_leaves_nothing_behind() -> None:
    for pieces in (0, 1, 5, 12):
        service = Service()
        service.first.set()
        reading = service.opened()
        for _ in range(pieces):
            await anext(reading)
        await reading.aclose()
        service.bodies[0].closed = service.bodies[0].closed or not pieces  # never begun: its owner closes it
        service.left_nothing()
    service = Service()
    service.others.clear()
    task = asyncio.create_task(after_the_others(service))
    await service.asked.wait()
    for _ in range(50):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    for _ in range(50):
        await asyncio.sleep(0)
    service.left_nothing()


async def test_one_body_at_a_time_takes_the_memory_and_others_one_connection() -> None:
    service = Service()
    service.first.set()
    one, other = service.opened(), service.opened()
    await anext(one)
    assert await read(other) == DATA
    await one.aclose()
    short, single = Service(DATA[: 4 * PART - 1]), Service()
    for alone, limits in ((short, Limits(to_the_end=True)), (single, Limits()), (single, Limits(1, to_the_end=True))):
        alone.first.set()
        with limited(limits):
            assert await read(alone.opened()) == alone.data
        assert alone.starts == []
        alone.bodies.clear()


async def test_files_come_down_whole(s3: S3Client, s3_endpoint: str, bucket: str, tmp_path: Path) -> None:
    data = random.Random(2).randbytes(300_000)
    s3.put_object(Bucket=bucket, Key="plain", Body=data)
    async with create_client(s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=data)
        await client.put_object(Bucket=bucket, Key="a/2.zip", Body=data + b"more")
        await client.clear_cache()
        for key in ("plain", "a/2.zip"):
            await client.download_file(bucket, key, str(tmp_path / "file"))
            assert (tmp_path / "file").read_bytes() == data + b"more" * (key != "plain")
