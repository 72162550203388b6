"""A 500 MB file with 50 changed bytes: put and get, beside `deltaglider` 6.2.0 on the same server in the same run.

    python benchmarks/large_file.py [--size MB] [--rounds N] [--endpoint-url URL]

Prints wall time (median), and the peak resident memory of the Python process and of its children. Each
operation runs in a process of its own, as `dg cp` and `deltaglider cp`. The original is installed into
.venv-original. Without --endpoint-url the server is moto's, on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import filecmp
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import psutil

from deltaglider_async.cli.local_server import local_s3

ORIGINAL = Path(__file__).parent.parent / ".venv-original"


@dataclass
class Figures:
    """Seconds of each round, and peaks in bytes."""

    seconds: list[float] = field(default_factory=list)
    python: int = 0
    children: int = 0


def measure(command: list[str], environment: dict[str, str], figures: Figures) -> None:
    """Run a command, watching the memory of its process tree 50 times a second."""
    begun = time.perf_counter()
    process = psutil.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            try:
                figures.python = max(figures.python, process.memory_info().rss)
                children = sum(child.memory_info().rss for child in process.children(recursive=True))
                figures.children = max(figures.children, children)
            except psutil.Error:
                pass  # it ended between two looks

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    figures.seconds.append(time.perf_counter() - begun)
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{command} failed with {code}")


def make_files(folder: Path, size: int) -> tuple[Path, Path]:
    """Incompressible bytes, and the same with 50 of them changed."""
    base, changed = folder / "base.zip", folder / "changed.zip"
    with base.open("wb") as file:
        for _ in range(size):
            file.write(os.urandom(1 << 20))
    subprocess.run(["cp", base, changed], check=True)
    places = random.Random(1)
    with changed.open("r+b") as file:
        for _ in range(50):
            file.seek(places.randrange(size << 20))
            file.write(secrets.token_bytes(1))
    return base, changed


def original() -> str:
    """The command of the original, installed on first use."""
    program = ORIGINAL / "bin" / "deltaglider"
    if not program.exists():
        venv.create(ORIGINAL, with_pip=True)
        subprocess.run([ORIGINAL / "bin" / "pip", "install", "-q", "deltaglider==6.2.0"], check=True)
    return str(program)


def run(endpoint: str, size: int, rounds: int) -> None:
    environment = os.environ | {"AWS_ENDPOINT_URL": endpoint}
    environment.setdefault("AWS_ACCESS_KEY_ID", "local")
    environment.setdefault("AWS_SECRET_ACCESS_KEY", "local-secret")
    environment.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    os.environ.update(environment)
    s3 = boto3.client("s3")
    programs = {
        "deltaglider-async": str(Path(sys.executable).parent / "dg"),
        "deltaglider 6.2.0": original(),
    }
    figures = {(name, what): Figures() for name in programs for what in ("put", "get")}
    with tempfile.TemporaryDirectory() as folder:
        base, changed = make_files(Path(folder), size)
        for _ in range(rounds):
            for name, program in programs.items():
                bucket = f"bench-{secrets.token_hex(6)}"
                s3.create_bucket(Bucket=bucket)
                # The original takes the local name whatever the URL says, and drops a prefix that ends in a slash.
                measure([program, "cp", str(base), f"s3://{bucket}/a/base.zip"], environment, Figures())
                measure(
                    [program, "cp", str(changed), f"s3://{bucket}/a/changed.zip"], environment, figures[name, "put"]
                )
                back = Path(folder) / "back.zip"
                measure([program, "cp", f"s3://{bucket}/a/changed.zip", str(back)], environment, figures[name, "get"])
                if not filecmp.cmp(changed, back, shallow=False):
                    raise SystemExit(f"{name} gave back other bytes")
                back.unlink()
                for item in s3.list_objects_v2(Bucket=bucket)["Contents"]:
                    s3.delete_object(Bucket=bucket, Key=item["Key"])
    print(f"{size} MiB, 50 bytes changed; medians of {rounds} rounds; {endpoint}")
    print(f"{'':20} {'':4} {'seconds':>8} {'Python MB':>10} {'children MB':>12}")
    for (name, what), found in figures.items():
        median = statistics.median(found.seconds)
        print(f"{name:20} {what:4} {median:8.2f} {found.python / 1e6:10.0f} {found.children / 1e6:12.0f}")
    for what in ("put", "get"):
        ours, theirs = (statistics.median(figures[name, what].seconds) for name in programs)
        print(f"{what}: {theirs / ours:.1f} times faster than the original")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=477, help="MiB; 477 MiB are 500 MB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--endpoint-url")
    options = parser.parse_args()
    if options.endpoint_url:
        await asyncio.to_thread(run, options.endpoint_url, options.size, options.rounds)
    else:
        async with local_s3() as endpoint:
            await asyncio.to_thread(run, endpoint, options.size, options.rounds)


asyncio.run(main())
