"""Programs that call an SDK: ours, or aioboto3 as it is. Each prints one JSON object on standard output.

    python -m benchmarks.calls PROGRAM ARGUMENT...

Times are seconds, CPU times those of this process, without its start. `AWS_ENDPOINT_URL` names the server.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig

from benchmarks.server import requests_of
from deltaglider_async import create_client

#: As many as `dg cp` has at once.
AT_ONCE = 32


@asynccontextmanager
async def plain_client() -> AsyncIterator[Any]:
    """aioboto3, set up as ours sets it up."""
    config = AioConfig(
        max_pool_connections=64,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    async with aioboto3.Session().client("s3", config=config) as client:
        yield client


def clients() -> dict[str, Callable[[], Any]]:
    return {"ours": create_client, "plain": plain_client}


async def puts(kind: str, folder: str, bucket: str) -> dict[str, float]:
    """Put all files of a folder."""
    paths = iter(sorted(Path(folder).iterdir()))
    async with clients()[kind]() as client:
        await client.head_bucket(Bucket=bucket)

        async def work() -> None:
            for path in paths:
                await client.put_object(Bucket=bucket, Key=path.name, Body=path.read_bytes())

        begun, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu}


async def gets(bucket: str, key: str, number: str) -> dict[str, float]:
    """Get one object so many times at once, through one client, and throw the bytes away."""

    async def get(client: Any) -> int:
        size = 0
        async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
            async for chunk in body:
                size += len(chunk)
        return size

    async with create_client() as client:
        begun = time.perf_counter()
        sizes = await asyncio.gather(*(get(client) for _ in range(int(number))))
        return {"seconds": time.perf_counter() - begun, "bytes": sum(sizes)}


async def first_bytes(kind: str, bucket: str, key: str, start: str, end: str) -> dict[str, float]:
    """Seconds to the first bytes of a get by a new client, of another one by the same, and to all of a range."""

    async def first(client: Any) -> float:
        begun = time.perf_counter()
        body = (await client.get_object(Bucket=bucket, Key=key))["Body"]
        await body.read(1024)
        seconds = time.perf_counter() - begun
        body.close()
        return seconds

    async with clients()[kind]() as client:
        cold, warm = await first(client), await first(client)
        body = (await client.get_object(Bucket=bucket, Key=key))["Body"]
        while await body.read(1 << 20):
            pass  # to its end, so that ours has the reference at hand
        begun = time.perf_counter()
        answer = await client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end}")
        data = await answer["Body"].read()
        assert len(data) == int(end) - int(start) + 1
        return {"cold": cold, "warm": warm, "range": time.perf_counter() - begun}


async def operations(bucket: str, first: str, second: str, metrics: str) -> dict[str, Any]:
    """What single operations of ours, and of aioboto3, ask of the server. Each has a warm connection before it."""
    found: dict[str, Any] = {}
    one, two = Path(first).read_bytes(), Path(second).read_bytes()

    async def step(name: str, call: Callable[[], Awaitable[Any]]) -> None:
        before = await asyncio.to_thread(requests_of, metrics)
        begun = time.perf_counter()
        await call()
        seconds = time.perf_counter() - begun
        found[name] = {"seconds": seconds, "requests": dict(await asyncio.to_thread(requests_of, metrics) - before)}

    async def read(client: Any, key: str) -> None:
        await (await client.get_object(Bucket=bucket, Key=key))["Body"].read()

    async with plain_client() as client:
        await client.head_bucket(Bucket=bucket)
        await step("plain: put", lambda: client.put_object(Bucket=bucket, Key="p/a.zip", Body=one))
        await step("plain: get", lambda: read(client, "p/a.zip"))
        await step("plain: head", lambda: client.head_object(Bucket=bucket, Key="p/a.zip"))
        await step("plain: list", lambda: client.list_objects_v2(Bucket=bucket, Prefix="p/"))
        await step("plain: delete", lambda: client.delete_object(Bucket=bucket, Key="p/a.zip"))
    async with create_client() as client:
        await client.head_bucket(Bucket=bucket)
        await step("put, first of a bucket", lambda: client.put_object(Bucket=bucket, Key="a/1.zip", Body=one))
        await step("put, first of a folder", lambda: client.put_object(Bucket=bucket, Key="b/1.zip", Body=one))
        await step("put, delta", lambda: client.put_object(Bucket=bucket, Key="b/2.zip", Body=two))
        await step("put, no candidate", lambda: client.put_object(Bucket=bucket, Key="b/3.txt", Body=one))
        await step("get, plain", lambda: read(client, "b/3.txt"))
        await step("head, delta", lambda: client.head_object(Bucket=bucket, Key="b/2.zip"))
        await step("list", lambda: client.list_objects_v2(Bucket=bucket, Prefix="b/"))
    async with create_client() as client:
        await client.head_bucket(Bucket=bucket)
        await step("get, delta, new client", lambda: read(client, "b/2.zip"))
        await step("get, delta, reference at hand", lambda: read(client, "b/2.zip"))
        await step("put, delta, by another client", lambda: client.put_object(Bucket=bucket, Key="b/4.zip", Body=two))
        await step("delete, delta", lambda: client.delete_object(Bucket=bucket, Key="b/4.zip"))
        await client.delete_object(Bucket=bucket, Key="a/1.zip")
        await client.delete_object(Bucket=bucket, Key="b/2.zip")
        await step("delete, last delta of a folder", lambda: client.delete_object(Bucket=bucket, Key="b/1.zip"))
    return found


async def seed(bucket: str, first: str, second: str, spaces: str, deltas: str) -> dict[str, Any]:
    """Many deltas: one, made by ours, put many times with what belongs to it."""
    async with create_client() as client:
        for name, path in (("1.zip", first), ("2.zip", second)):
            await client.put_object(Bucket=bucket, Key=f"seed/{name}", Body=Path(path).read_bytes())
    async with plain_client() as client:
        stored = {}
        for key in ("reference.bin", "2.zip.delta"):
            answer = await client.get_object(Bucket=bucket, Key=f"seed/{key}")
            stored[key] = await answer["Body"].read(), answer["Metadata"]
        for key in ("reference.bin", "1.zip.delta", "2.zip.delta"):
            await client.delete_object(Bucket=bucket, Key=f"seed/{key}")

        async def put(folder: str, name: str, original: str) -> None:
            data, metadata = stored[original]
            metadata = dict(metadata)
            if "dg-ref-key" in metadata:
                metadata |= {"dg-ref-key": f"{folder}/reference.bin", "dg-original-name": name.removesuffix(".delta")}
            await client.put_object(Bucket=bucket, Key=f"{folder}/{name}", Body=data, Metadata=metadata)

        wanted = []
        for space in range(int(spaces)):
            folder = f"app{space:03}"
            wanted.append((folder, "reference.bin", "reference.bin"))
            wanted += [(folder, f"app-{number:03}.zip.delta", "2.zip.delta") for number in range(int(deltas))]
        queue = iter(wanted)

        async def work() -> None:
            for folder, name, original in queue:
                await put(folder, name, original)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return {"objects": len(wanted)}


PROGRAMS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "puts": puts,
    "gets": gets,
    "first-bytes": first_bytes,
    "operations": operations,
    "seed": seed,
}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(PROGRAMS[sys.argv[1]](*sys.argv[2:]))))
