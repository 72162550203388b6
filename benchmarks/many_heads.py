"""The processor time of HEADs: by botocore, and as the store makes them.

    python -m benchmarks.many_heads s3://BUCKET/PREFIX/ [--heads N]

Of the stored objects below the prefix, 1,000 at most, in turn, 32 at once. Four rounds of each kind, the best counts.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle, islice
from typing import Any

from benchmarks.measure import cpu
from deltaglider_async import create_client

AT_ONCE = 32


async def measure(head: Callable[[str], Awaitable[Any]], keys: Iterator[str], number: int) -> float:
    """Seconds of this process for each."""
    left = islice(keys, number)

    async def work() -> None:
        for key in left:
            await head(key)

    before = cpu(resource.RUSAGE_SELF)
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (cpu(resource.RUSAGE_SELF) - before) / number


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--heads", type=int, default=2000)
    options = parser.parse_args()
    bucket, _, prefix = options.url.removeprefix("s3://").partition("/")
    async with create_client() as client:
        store = client._engine.store
        s3 = store.s3
        listed = await s3.list_objects_v2(Bucket=bucket, Prefix=prefix)
        keys = cycle([item["Key"] for item in listed["Contents"]])
        kinds: dict[str, Callable[[str], Awaitable[Any]]] = {
            "botocore": lambda key: s3.head_object(Bucket=bucket, Key=key),
            "the store": lambda key: store.head(bucket, key),
        }
        found: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(4):
            for name, head in kinds.items():
                found[name].append(await measure(head, keys, options.heads))
        for name, seconds in found.items():
            print(f"{name}: {min(seconds) * 1000:.3f} ms of processor time for a HEAD")


asyncio.run(main())
