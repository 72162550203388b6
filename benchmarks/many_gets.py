"""Many gets of deltas of one reference at once, through one client, beside bare `xdelta3 -d` of the same.

    python -m benchmarks.many_gets s3://BUCKET/PREFIX/ [--gets N]

The prefix holds deltas of one folder. CPU seconds per get of Python and of xdelta3, and the peak of the memory of the
process tree (PSS: what is shared counts once), of one get and of all at once.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import subprocess
import tempfile
import time
from contextlib import suppress

import boto3  # type: ignore[import-untyped]
import psutil

from benchmarks.measure import cpu
from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient


async def read(client: DeltaGliderClient, bucket: str, key: str) -> str:
    digest = hashlib.sha256()
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        while chunk := await body.readany():
            digest.update(chunk[:1])  # as a program that does nothing with it
    return digest.hexdigest()


async def peak(stop: asyncio.Event) -> int:
    """Of the tree, in bytes."""

    def look() -> int:
        total, me = 0, psutil.Process()
        for process in (me, *me.children(recursive=True)):
            with suppress(psutil.Error):  # it may have ended
                total += process.memory_full_info().pss
        return total

    found = 0
    while not stop.is_set():
        found = max(found, await asyncio.to_thread(look))
        await asyncio.sleep(0.01)
    return found


async def measure(client: DeltaGliderClient, bucket: str, names: list[str]) -> None:
    before = cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    await asyncio.gather(*(read(client, bucket, name) for name in names))
    python, xdelta3, seconds = (
        now - then
        for now, then in zip(
            (cpu(resource.RUSAGE_SELF), cpu(resource.RUSAGE_CHILDREN), time.perf_counter()), before, strict=True
        )
    )
    stop = asyncio.Event()
    watching = asyncio.create_task(peak(stop))
    await asyncio.gather(*(read(client, bucket, name) for name in names))
    stop.set()
    print(
        f"{len(names):4} at once: {seconds:6.2f} s; CPU s per get: Python {python / len(names):.3f}, "
        f"xdelta3 {xdelta3 / len(names):.3f}; {await watching / 1e6:.0f} MB"
    )


def bare(bucket: str, prefix: str, gets: int) -> None:
    """`xdelta3 -d` to /dev/null of the stored deltas, as many at once as there are cores."""
    s3 = boto3.client("s3")
    with tempfile.TemporaryDirectory() as folder:
        s3.download_file(bucket, f"{prefix}reference.bin", f"{folder}/reference")
        stored = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
        deltas = [key for key in stored if key.endswith(".delta")]
        for number, key in enumerate(deltas):
            s3.download_file(bucket, key, f"{folder}/{number}")
        before = cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
        commands = "\n".join(f"{folder}/{number % len(deltas)}" for number in range(gets))
        decode = f"xdelta3 -dcDs {folder}/reference {{}} >/dev/null"
        command = ["xargs", "-P", str(os.cpu_count()), "-I{}", "sh", "-c", decode]
        subprocess.run(command, input=commands.encode(), check=True)
        used, seconds = cpu(resource.RUSAGE_CHILDREN) - before[0], time.perf_counter() - before[1]
    print(f"bare xdelta3 -d: {seconds:6.2f} s; CPU s per decode {used / gets:.3f}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--gets", type=int, default=64)
    options = parser.parse_args()
    bucket, _, prefix = options.url.removeprefix("s3://").partition("/")
    async with create_client() as client:
        listed = await client.list_objects_v2(Bucket=bucket, Prefix=prefix)
        names = [item["Key"] for item in listed["Contents"]]
        await read(client, bucket, names[-1])
        for gets in (1, options.gets, 1, options.gets):
            await measure(client, bucket, [names[-1 - number % len(names)] for number in range(gets)])
    await asyncio.to_thread(bare, bucket, prefix, options.gets)


asyncio.run(main())
