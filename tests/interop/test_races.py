"""The same race, run by the original and by us: so that the test is known to be able to fail."""

from __future__ import annotations

import json
import os
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream
from tests.real_servers import CONDITIONAL

from deltaglider_async import create_client
from deltaglider_async.errors import DeltaGliderError

if TYPE_CHECKING:
    from tests.tally import Tally

pytestmark = pytest.mark.timeout(600)  # the first run installs

CLIENTS = 4
PREFIXES = 10
#: The original loses something in nearly every round.
MOST_ROUNDS = 5

Client = Callable[[str, str, Path], Awaitable[bool]]
"""`upload` or `download`, an S3 URL and a file: whether it said that it succeeded."""


@asynccontextmanager
async def originals(program: Path, endpoint: str, home: Path) -> AsyncIterator[Client]:
    """A client of the original: a process of its own."""
    home.mkdir()
    environment = {**os.environ, "TMPDIR": str(home), "DG_SUPPRESS_DEPRECATION": "1"}  # its cache goes to TMPDIR
    command = [str(program.with_name("python")), str(Path(__file__).with_name("original_client.py")), endpoint]
    async with await anyio.open_process(command, env=environment, stderr=None) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            answers = BufferedByteReceiveStream(process.stdout)
            assert await answers.receive_until(b"\n", 1000) == b"ready"

            async def ask(what: str, url: str, path: Path) -> bool:
                assert process.stdin is not None
                await process.stdin.send(json.dumps([what, url, str(path)]).encode() + b"\n")
                return await answers.receive_until(b"\n", 1000) == b"ok"

            yield ask
        finally:
            process.kill()


@asynccontextmanager
async def ours(endpoint: str) -> AsyncIterator[Client]:
    async with create_client(endpoint_url=endpoint) as client:

        async def ask(what: str, url: str, path: Path) -> bool:
            try:
                if what == "upload":
                    await client.upload(path, url)
                else:
                    await client.download(url, path)
            except DeltaGliderError:
                return False
            return True

        yield ask


async def race(clients: list[Client], reader: Client, bucket: str, folder: Path, *, at_once: bool = True) -> int:
    """Each client puts a file into each new prefix, all at once; how many acknowledged files cannot be had back."""
    randomness = random.Random(7)
    common = randomness.randbytes(200_000)
    files = [folder / f"app-{number}.zip" for number in range(len(clients))]
    for file in files:
        file.write_bytes(common + randomness.randbytes(2000))
    round_ = secrets.token_hex(4)
    acknowledged = []

    async def put(client: Client, file: Path, prefix: str) -> None:
        url = f"s3://{bucket}/{prefix}/"
        if await client("upload", url, file):
            acknowledged.append((f"{url}{file.name}", file))

    for number in range(PREFIXES):
        async with anyio.create_task_group() as tasks:
            for client, file in zip(clients, files, strict=True):
                if at_once:
                    tasks.start_soon(put, client, file, f"{round_}-{number}")
                else:
                    await put(client, file, f"{round_}-{number}")
    assert acknowledged
    lost = 0
    for url, file in acknowledged:
        copy = folder / "copy"
        copy.unlink(missing_ok=True)
        lost += not (await reader("download", url, copy) and copy.read_bytes() == file.read_bytes())
    return lost


async def test_the_original_loses_what_we_keep(
    program: Path, real_server: Callable[[str], str], tmp_path: Path, torture: Tally
) -> None:
    endpoint = real_server(CONDITIONAL[0])
    bucket = f"race-{secrets.token_hex(6)}"
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(create_client(endpoint_url=endpoint))
        await client.create_bucket(Bucket=bucket)
        its = [
            await stack.enter_async_context(originals(program, endpoint, tmp_path / str(number)))
            for number in range(CLIENTS + 1)
        ]
        # It is the race that it loses: one after another, everything is there.
        assert await race(its[1:], its[0], bucket, tmp_path, at_once=False) == 0
        its_losses, rounds = 0, 0
        while not its_losses and rounds < MOST_ROUNDS:
            rounds += 1
            its_losses = await race(its[1:], its[0], bucket, tmp_path)
    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(ours(endpoint)) for _ in range(CLIENTS + 1)]
        our_losses = 0
        for _ in range(rounds):
            our_losses += await race(own[1:], own[0], bucket, tmp_path)
    torture.add("first files beside the original", lost_by_the_original=its_losses, objects_lost=our_losses)
    assert our_losses == 0
    assert its_losses > 0
