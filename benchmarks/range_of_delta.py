"""One MiB in the middle of a delta: seconds, and CPU seconds of xdelta3 and of Python, by the place in the file.

python -m benchmarks.range_of_delta s3://BUCKET/KEY [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import time

from benchmarks.measure import cpu
from deltaglider_async import create_client

MIB = 1 << 20


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bucket, _, key = options.url.removeprefix("s3://").partition("/")
    async with create_client() as client:
        size = (await client.head_object(Bucket=bucket, Key=key))["ContentLength"]
        async with (await client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0"))["Body"] as body:
            await body.read()  # the reference is in the cache from here on
        print(f"{'range at':>9} {'seconds':>8} {'xdelta3':>8} {'Python':>8}")
        for share in (0, 25, 50, 75, 99):
            found = []
            for _ in range(options.rounds):
                begin = size * share // 100
                before = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN), cpu(resource.RUSAGE_SELF)
                asked = f"bytes={begin}-{begin + MIB - 1}"
                async with (await client.get_object(Bucket=bucket, Key=key, Range=asked))["Body"] as body:
                    assert len(await body.read()) == MIB
                after = time.perf_counter(), cpu(resource.RUSAGE_CHILDREN), cpu(resource.RUSAGE_SELF)
                found.append([last - first for first, last in zip(before, after, strict=True)])
            print(
                f"{share:7} % " + " ".join(f"{statistics.median(values):8.3f}" for values in zip(*found, strict=True))
            )


asyncio.run(main())
