"""Many clients at the same moment on the same new prefixes."""

from __future__ import annotations

import asyncio
import hashlib
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import anyio

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

CLIENTS = 4
PREFIXES = [f"release-{number}" for number in range(10)]


def versions() -> list[bytes]:
    """As many files as there are clients, each different, and much the same."""
    randomness = random.Random(5)
    common = randomness.randbytes(300_000)
    return [common + randomness.randbytes(1000 * (number + 1)) for number in range(CLIENTS)]


async def test_what_four_clients_put_into_new_prefixes_at_once_is_all_there(
    s3_endpoint: str, s3: S3Client, bucket: str
) -> None:
    files = {(prefix, number): data for prefix in PREFIXES for number, data in enumerate(versions())}

    async def put(client: DeltaGliderClient, prefix: str, number: int) -> None:
        await client.put_object(Bucket=bucket, Key=f"{prefix}/app-{number}.zip", Body=files[prefix, number])

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(create_client(endpoint_url=s3_endpoint)) for _ in range(CLIENTS)]
        async with anyio.create_task_group() as tasks:
            for prefix in PREFIXES:
                for number, client in enumerate(clients):
                    tasks.start_soon(put, client, prefix, number)

    async with create_client(endpoint_url=s3_endpoint) as reader:
        exact = 0
        for (prefix, number), data in files.items():
            answer = await reader.get_object(Bucket=bucket, Key=f"{prefix}/app-{number}.zip")
            exact += await answer["Body"].read() == data
        assert exact == CLIENTS * len(PREFIXES) == 40

    def look() -> None:
        for prefix in PREFIXES:
            stored = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")["Contents"]]
            assert sorted(stored) == [
                *(f"{prefix}/app-{number}.zip.delta" for number in range(CLIENTS)), f"{prefix}/reference.bin",
            ]  # fmt: skip
            reference = s3.get_object(Bucket=bucket, Key=f"{prefix}/reference.bin")
            digest = hashlib.sha256(reference["Body"].read()).hexdigest()
            assert reference["Metadata"]["dg-file-sha256"] == digest
            used = {
                s3.head_object(Bucket=bucket, Key=key)["Metadata"]["dg-ref-sha256"]
                for key in stored
                if key.endswith(".delta")
            }
            assert used == {digest}

    await asyncio.to_thread(look)


async def test_clients_that_put_the_same_key_at_once_leave_one_of_their_files(s3_endpoint: str, bucket: str) -> None:
    files = versions()

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(create_client(endpoint_url=s3_endpoint)) for _ in range(CLIENTS)]
        for prefix in PREFIXES[:3]:

            async def put(client: DeltaGliderClient, data: bytes, prefix: str = prefix) -> None:
                await client.put_object(Bucket=bucket, Key=f"{prefix}/app.zip", Body=data)

            async with anyio.create_task_group() as tasks:
                for client, data in zip(clients, files, strict=True):
                    tasks.start_soon(put, client, data)
            seen = set()
            for client in clients:
                answer = await client.get_object(Bucket=bucket, Key=f"{prefix}/app.zip")
                seen.add(await answer["Body"].read())
            assert len(seen) == 1
            assert seen <= set(files)
