"""Fixed pieces of work, in a process of their own, and what this process can count of each.

    python -m tests.budgets.workloads ENDPOINT BUCKET

Each is done once before it is counted, so that nothing is counted that happens once per process, and then a few times:
how many calls there are depends a little on how the bytes arrive. A line on standard output says that a count begins,
and a second one, in JSON, what was counted; after each, a line on standard input is waited for, so that whoever reads
them can count as well what goes over the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient

MIB = 1024 * 1024
#: What hands work to a thread: asyncio's and anyio's.
HOPS = {"run_in_executor", "run_sync_in_worker_thread"}
#: What deltas are made against.
SMALL, LARGE = (random.Random(seed).randbytes(size) for seed, size in ((1, 40_000), (2, 8 * MIB)))
#: Of words, so that what is new in a release is worth an encoder's work.
WORDS = [b"%08x" % number for number in random.Random(3).sample(range(1 << 32), 500)]
TEXT = b" ".join(random.Random(4).choices(WORDS, k=5_000))

#: A file of the bytes `SMALL`.
FILE = Path("small.txt")

Work = Callable[[DeltaGliderClient, str, int], Awaitable[object]]
"""What a client does in a bucket, and how often it did so before."""
#: How often each is counted.
ROUNDS = 3


def version(base: bytes, number: int) -> bytes:
    """A release of `base`: ten places differ."""
    edited = bytearray(base)
    for place in range(0, len(base), len(base) // 10):
        edited[place : place + 8] = (number + 1).to_bytes(8, "big")
    return bytes(edited)


async def put_the_first(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"first{number}/0.zip", Body=SMALL)


async def put_a_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"small/{number}.zip", Body=version(SMALL, number))


async def put_a_delta_of_text(client: DeltaGliderClient, bucket: str, number: int) -> None:
    news = b" ".join(random.Random(number).choices(WORDS, k=500))
    await client.put_object(Bucket=bucket, Key=f"text/{number}.zip", Body=TEXT[:20_000] + news + TEXT[20_000:])


async def put_plain(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"small/{number}.txt", Body=SMALL)


async def put_a_file(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"small/file{number}.txt", Body=FILE)


async def put_a_delta_of_8_mib(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"large/{number}.zip", Body=version(LARGE, number))


async def put_8_mib_plain(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.put_object(Bucket=bucket, Key=f"large/{number}.txt", Body=LARGE)


async def read(client: DeltaGliderClient, bucket: str, key: str) -> None:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        await body.read()


async def get_a_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await read(client, bucket, "small/1.zip")


async def get_a_delta_without_a_cache(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.clear_cache()
    await read(client, bucket, "small/1.zip")


async def get_plain(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await read(client, bucket, "small/1.txt")


async def get_a_delta_of_8_mib(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await read(client, bucket, "large/1.zip")


async def get_8_mib_plain(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await read(client, bucket, "large/1.txt")


async def head_a_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.head_object(Bucket=bucket, Key="small/1.zip")


async def list_100(client: DeltaGliderClient, bucket: str, number: int) -> None:
    answer = await client.list_objects_v2(Bucket=bucket, Prefix="many/")
    assert answer["KeyCount"] == 100


async def copy_a_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.copy_object(Bucket=bucket, Key=f"small/copy{number}.zip", CopySource=f"{bucket}/small/1.zip")


async def delete_a_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.delete_object(Bucket=bucket, Key=f"small/copy{number}.zip")


async def delete_the_last_delta(client: DeltaGliderClient, bucket: str, number: int) -> None:
    await client.delete_object(Bucket=bucket, Key=f"first{number}/0.zip")


#: In the order in which they are done: later ones work on what earlier ones have left.
WORKLOADS: dict[str, Work] = {
    work.__name__.replace("_", " "): work
    for work in (
        put_the_first, put_a_delta, put_a_delta_of_text, put_plain, put_a_file, put_a_delta_of_8_mib, put_8_mib_plain,
        get_a_delta, get_a_delta_without_a_cache, get_plain, get_a_delta_of_8_mib, get_8_mib_plain,
        head_a_delta, list_100, copy_a_delta, delete_a_delta, delete_the_last_delta,
    )
}  # fmt: skip


async def prepare(client: DeltaGliderClient, bucket: str) -> None:
    for folder, base in (("small", SMALL), ("text", TEXT), ("large", LARGE)):
        await client.put_object(Bucket=bucket, Key=f"{folder}/base.zip", Body=base)
    for number in range(100):
        await client.put_object(Bucket=bucket, Key=f"many/{number}.txt", Body=b"some")


class Calls:
    """Calls of Python functions while it is on, in all threads; a coroutine that goes on counts as called again."""

    def __init__(self) -> None:
        self._kinds: dict[CodeType, tuple[str, ...]] = {}
        self._counters = {name: itertools.count() for name in ("calls", "thread hops")}
        self._on = False
        threading.setprofile(self._note)
        sys.setprofile(self._note)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if self._on and event == "call":
            code = frame.f_code
            if (kinds := self._kinds.get(code)) is None:
                kinds = self._kinds[code] = ("calls", "thread hops") if code.co_name in HOPS else ("calls",)
            for kind in kinds:
                next(self._counters[kind])  # in one step, whichever thread it is

    def begin(self) -> None:
        self._counters = {name: itertools.count() for name in self._counters}
        self._on = True

    def end(self) -> dict[str, int]:
        self._on = False
        return {name: next(counter) for name, counter in self._counters.items()}


def tell(what: object) -> None:
    print(json.dumps(what), flush=True)
    sys.stdin.readline()


async def run(endpoint: str, bucket: str) -> None:
    requests: Counter[str] = Counter()
    started: list[list[str]] = []

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            started.append([str(argument) for argument in arguments[1]])

    sys.addaudithook(audit)
    calls = Calls()

    def note(event_name: str, **_: object) -> None:
        requests.update([event_name.rpartition(".")[2]])

    async with create_client(endpoint) as client:
        await prepare(client, bucket)
        for name, work in WORKLOADS.items():
            await work(client, bucket, 0)
            for number in range(1, ROUNDS + 1):
                requests.clear()
                if number == 1:  # in one round only: HEADs that are watched are made in another way
                    client.meta.events.register("before-send.s3", note)
                started.clear()
                gc.collect()
                gc.disable()  # what it would end is not of this workload
                tell(name)
                calls.begin()
                await work(client, bucket, number)
                counted = calls.end()
                gc.enable()
                if number == 1:
                    client.meta.events.unregister("before-send.s3", note)
                sent: dict[str, int] = {f"requests {operation}": count for operation, count in sorted(requests.items())}
                tell({"counts": sent | counted | {"processes": len(started)}, "commands": started})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        FILE.write_bytes(SMALL)
        asyncio.run(run(*sys.argv[1:]))
