"""Counts on fixed workloads, which do not depend on how busy a machine is, and the budget of each.

    python -m tests.budgets.measure     (`make budgets`) writes budgets.txt anew, with what is measured now

Budgets are upper bounds: what has become cheaper passes, and `make budgets` keeps it so.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deltaglider_async import create_client
from deltaglider_async.cli.local_server import local_s3

TABLE = Path(__file__).with_name("budgets.txt")
ROOT = Path(__file__).parents[2]
HEAD = """\
# What fixed workloads took when `make budgets` was run. tests/budgets/test_budgets.py fails where one takes more than
# this and the room that measure.py gives that kind of count. What the counts are: docs/architecture.md, Budgets.
#
# workload                  | count                          | measured"""
#: Its length counts.
BUCKET = "test-0123456789abcdef"
ENVIRONMENT = {
    "PATH": os.environ.get("PATH", os.defpath),
    "LC_ALL": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
}
#: How much more than was measured is within the budget, by the beginning of the count's name; of the others nothing.
ROOM = {"bytes": 0.05, "calls": 0.08, "instructions": 0.08, "modules": 0.05}

Counts = dict[tuple[str, str], float]
"""By workload and by what is counted."""


def recorded() -> dict[tuple[str, str], str]:
    """What budgets.txt says, by workload and by what was counted."""
    rows = [line.split("|") for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {(workload.strip(), name.strip()): measured.strip() for workload, name, measured in rows}


def excesses(counts: Counts) -> list[str]:
    """What is over its budget, in words. What has no budget may not be at all."""
    found, measured_then = [], recorded()
    for (workload, name), count in counts.items():
        then = float(measured_then.get((workload, name), "0").replace(",", ""))
        room = next((room for kind, room in ROOM.items() if name.startswith(kind)), 0.0)
        if count > then * (1 + room):
            found.append(
                f"{workload}: {_shown(count)} {name}; the budget is {_shown(then)} + {room:.0%}. Where that is wanted, "
                "`make budgets` writes new budgets, and whoever reads the change sees them."
            )
    return found


def lines(counts: Counts) -> Iterator[str]:
    """Lines of budgets.txt."""
    for (workload, name), count in counts.items():
        yield _line(workload, name, _shown(count))


def _line(workload: str, name: str, value: str) -> str:
    return f"{workload:<27} | {name:<30} | {value:>12}"


def _shown(count: float) -> str:
    return f"{count:,.{0 if count == int(count) else 3}f}"


# -- requests, bytes, processes, threads and calls


@dataclass
class Wire:
    """What went through a proxy."""

    connections: int = 0
    sent: int = 0
    received: int = 0

    def counts(self) -> dict[str, int]:
        return {"connections": self.connections, "bytes sent": self.sent, "bytes received": self.received}


@asynccontextmanager
async def counting(endpoint: str, wire: Wire) -> AsyncIterator[str]:
    """The URL of a proxy before a server."""
    upstream = urlsplit(endpoint)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        try:
            while chunk := await reader.read(1 << 16):
                setattr(wire, direction, getattr(wire, direction) + len(chunk))
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass  # either side hung up
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire.connections += 1
        there = await asyncio.open_connection(upstream.hostname, upstream.port)
        await asyncio.gather(forward(reader, there[1], "sent"), forward(there[0], writer, "received"))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@dataclass
class Measured:
    """What the workloads took, and the command lines that they started, by workload."""

    counts: Counts = field(default_factory=dict)
    commands: dict[str, list[list[str]]] = field(default_factory=dict)


async def measure(endpoint: str, bucket: str) -> Measured:
    """Do the workloads in an empty bucket."""
    wire, measured = Wire(), Measured()
    async with counting(endpoint, wire) as url:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.budgets.workloads", url, bucket,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=ENVIRONMENT,
        )  # fmt: skip
        assert child.stdin and child.stdout
        while line := await child.stdout.readline():
            workload = json.loads(line)
            before = wire.counts()
            child.stdin.write(b"\n")
            told = json.loads(await child.stdout.readline())
            after = wire.counts()
            child.stdin.write(b"\n")
            counts = {**told["counts"], **{kind: after[kind] - before[kind] for kind in after}}
            for kind, count in counts.items():
                if not (kind == "calls" and "8 mib" in workload):  # as many as the pieces in which the bytes arrive
                    of = workload, kind
                    measured.counts[of] = min(count, measured.counts.get(of, count))
            measured.commands[workload] = told["commands"]
        assert await child.wait() == 0
    return measured


# -- the start of dg


#: Arguments, and how it ends. At that port nobody answers: all is counted up to the first request.
STARTS = {"dg --version": (["--version"], 0), "dg ls": (["ls", "s3://bucket"], 254)}
NOBODY = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}


def start(folder: Path, name: str) -> tuple[list[str], dict[str, str]]:
    """A command line of `STARTS` and its environment, in which compiled modules are at hand in that folder."""
    environment = {**ENVIRONMENT, **NOBODY, "HOME": str(folder), "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    arguments, code = STARTS[name]
    command = [sys.executable, "-m", "deltaglider_async.cli", *arguments]
    run = subprocess.run(command, env=environment, cwd=folder, check=False, capture_output=True)
    assert run.returncode == code, run.stderr
    return command, environment


def modules(folder: Path) -> Counts:
    """How many modules the commands of `STARTS` import."""
    counts: Counts = {}
    for name in STARTS:
        command, environment = start(folder, name)
        command[1:1] = ["-X", "importtime"]
        run = subprocess.run(command, env=environment, cwd=folder, check=False, capture_output=True, text=True)
        counts[name, "modules"] = run.stderr.count("import time:") - 1
    return counts


# -- instructions

VALGRIND = shutil.which("valgrind")


def instructions(command: list[str], folder: Path, environment: dict[str, str] | None = None,
                 stdin: bytes = b"", code: int = 0) -> tuple[int, bytes]:  # fmt: skip
    """How many instructions a program takes, and what it writes to standard output."""
    assert VALGRIND
    log = folder / "valgrind.log"
    options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", f"--log-file={log}"]
    run = subprocess.run(
        [VALGRIND, *options, *command], input=stdin, env=environment, cwd=folder, check=False, capture_output=True
    )
    assert run.returncode == code, run.stderr
    found = re.search(r"I +refs: +([\d,]+)", log.read_text())
    assert found, log.read_text()
    return int(found[1].replace(",", "")), run.stdout


def instructions_of_the_start(folder: Path) -> Counts:
    """Of `STARTS`, for each instruction of an import of Typer: other Pythons make both cheaper or dearer."""
    counts: Counts = {}
    for name, (_, code) in STARTS.items():
        command, environment = start(folder, name)
        dg, _ = instructions(command, folder, environment, code=code)
        typer, _ = instructions([sys.executable, "-c", "import typer"], folder, environment)
        counts[name, "instructions, import typer = 1"] = dg / typer
    return counts


def pair() -> tuple[bytes, bytes]:
    """A reference of 1 MiB and a target with all that makes work: edits, moves, repetitions, and what is new."""
    chance = random.Random(3)
    words = [chance.randbytes(chance.randrange(3, 12)) for _ in range(500)]
    reference = chance.randbytes(500_000) + b" ".join(chance.choices(words, k=65_000))
    blocks = [reference[place : place + 20_000] for place in range(0, len(reference), 20_000)]
    target = bytearray(b"".join([*blocks[30:], *blocks[:30], chance.randbytes(50_000), blocks[0] * 5]))
    for place in range(0, len(target), 10_000):
        target[place : place + 4] = chance.randbytes(4)
    return reference, bytes(target)


def options_of(measured: Measured) -> dict[str, list[str]]:
    """What a put gave xdelta3 to encode and its proof to decode, but for the nonce; by what budgets.txt calls it."""
    encode = next(command for command in measured.commands["put a delta of text"] if "-e" in command)
    decode = next(command for command in measured.commands["put a delta"] if "-d" in command)
    return {
        f"options of the {who}": [re.sub("^-A=.*", "-A=", word) for word in command[1 : command.index("-s")]]
        for who, command in (("encoder", encode), ("decoder", decode))
    }


def instructions_of_xdelta3(measured: Measured, folder: Path) -> Counts:
    """With the options that a put and a get give it, for each instruction without any."""
    encode, decode = options_of(measured).values()
    reference, target = pair()
    (folder / "reference").write_bytes(reference)

    def take(*given: str, stdin: bytes) -> tuple[int, bytes]:
        return instructions(["xdelta3", *given, "-s", "reference"], folder, stdin=stdin)

    encoding, delta = take(*encode, stdin=target)
    plain_encoding, _ = take("-e", "-c", stdin=target)
    decoding, decoded = take(*decode, stdin=delta)
    plain_decoding, _ = take("-d", "-c", stdin=delta)
    assert decoded == target
    return {
        ("xdelta3 encodes 1 MiB", "instructions, no options = 1"): encoding / plain_encoding,
        ("xdelta3 encodes 1 MiB", "bytes of the delta"): len(delta),
        ("xdelta3 decodes 1 MiB", "instructions, no options = 1"): decoding / plain_decoding,
    }


async def _table() -> str:
    """budgets.txt, measured on a server of its own."""
    async with local_s3() as endpoint:
        async with create_client(endpoint, aws_access_key_id="any", aws_secret_access_key="any") as client:
            await client.create_bucket(Bucket=BUCKET)
        measured = await measure(endpoint, BUCKET)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        counts = modules(folder) | instructions_of_the_start(folder) | instructions_of_xdelta3(measured, folder)
    last = (_line("xdelta3", name, " ".join(words)) for name, words in options_of(measured).items())
    return "\n".join([HEAD, *lines(measured.counts), *lines(counts), *last]) + "\n"


if __name__ == "__main__":
    if not VALGRIND:
        raise SystemExit("valgrind is missing, and some budgets are instructions. Install it and run this again.")
    TABLE.write_text(asyncio.run(_table()))
