"""Many clients at the same moment on the same new prefixes, on real servers: one keeps conditions, one ignores them."""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from typing import TYPE_CHECKING, cast

import anyio
import pytest
from botocore.config import Config
from botocore.session import Session

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import IntegrityMismatchError, NotFoundError
from tests.conftest import REGION
from tests.history import History
from tests.real_servers import ACCESS_KEY, CONDITIONAL, SECRET_KEY

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from tests.tally import Tally

CLIENTS = 4
#: What a client does to a key, as often as it stands here.
KINDS = ("put", "put", "put", "plain", "get", "get", "delete")
PREFIXES = [f"release-{number}" for number in range(10)]


def versions(number: int = CLIENTS) -> list[bytes]:
    """As many files as there are clients, each different, and much the same."""
    randomness = random.Random(5)
    common = randomness.randbytes(300_000)
    return [common + randomness.randbytes(1000 * (each + 1)) for each in range(number)]


@pytest.fixture
def raw(real_endpoint: str) -> Iterator[S3Client]:
    """botocore's own client of the real server."""
    client = Session().create_client(
        "s3",
        endpoint_url=real_endpoint,
        region_name=REGION,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(proxies={}),
    )
    with closing(client):
        yield cast("S3Client", client)


@pytest.fixture
def place(raw: S3Client) -> str:
    """A new bucket on the real server."""
    name = f"test-{secrets.token_hex(8)}"
    raw.create_bucket(Bucket=name)
    return name


@pytest.fixture
async def clients(real_endpoint: str) -> AsyncIterator[list[DeltaGliderClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(create_client(endpoint_url=real_endpoint)) for _ in range(CLIENTS)]


async def read(client: DeltaGliderClient, bucket: str, key: str) -> bytes | None:
    try:
        async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
            data: bytes = await body.read()
    except NotFoundError:
        return None
    return data


async def test_what_four_clients_put_into_new_prefixes_at_once_is_all_there(
    clients: list[DeltaGliderClient], raw: S3Client, real_endpoint: str, place: str
) -> None:
    files = {(prefix, number): data for prefix in PREFIXES for number, data in enumerate(versions())}

    async def put(client: DeltaGliderClient, prefix: str, number: int) -> None:
        await client.put_object(Bucket=place, Key=f"{prefix}/app-{number}.zip", Body=files[prefix, number])

    async with anyio.create_task_group() as tasks:
        for prefix in PREFIXES:
            for number, client in enumerate(clients):
                tasks.start_soon(put, client, prefix, number)

    async with create_client(endpoint_url=real_endpoint) as reader:
        exact = 0
        for (prefix, number), data in files.items():
            exact += await read(reader, place, f"{prefix}/app-{number}.zip") == data
        assert exact == CLIENTS * len(PREFIXES) == 40
        conditional = await reader._engine.conditions.keeps(place, PREFIXES[0], "PutObject", "IfNoneMatch", {})

    def look() -> None:
        for prefix in PREFIXES:
            stored = {item["Key"] for item in raw.list_objects_v2(Bucket=place, Prefix=f"{prefix}/")["Contents"]}
            deltas = {f"{prefix}/app-{number}.zip.delta" for number in range(CLIENTS)}
            references = stored - deltas
            assert deltas < stored
            assert references == {f"{prefix}/reference.bin"} or not conditional
            digests = {}
            for key in references:
                data = raw.get_object(Bucket=place, Key=key)["Body"].read()
                digests[key] = hashlib.sha256(data).hexdigest()
            for key in deltas:
                metadata = raw.head_object(Bucket=place, Key=key)["Metadata"]
                metadata = {name.lower(): value for name, value in metadata.items()}  # rclone answers `Dg-Tool`
                assert digests[metadata["dg-ref-key"]] == metadata["dg-ref-sha256"]

    await asyncio.to_thread(look)


@pytest.mark.parametrize("real_endpoint", CONDITIONAL, indirect=True)
async def test_clients_that_put_the_same_key_at_once_leave_one_of_their_files(
    clients: list[DeltaGliderClient], place: str
) -> None:
    files = versions()

    async def put(client: DeltaGliderClient, data: bytes, prefix: str) -> None:
        await client.put_object(Bucket=place, Key=f"{prefix}/app.zip", Body=data)

    for prefix in PREFIXES[:3]:
        async with anyio.create_task_group() as tasks:
            for client, data in zip(clients, files, strict=True):
                tasks.start_soon(put, client, data, prefix)
        seen = {await read(client, place, f"{prefix}/app.zip") for client in clients}
        assert len(seen) == 1
        assert seen <= set(files)


async def test_no_acknowledged_write_is_lost_while_clients_put_get_and_delete_the_same_keys(
    clients: list[DeltaGliderClient], place: str, real_endpoint: str, torture: Tally
) -> None:
    seed = random.randrange(2**32)
    history, kinds = History(), Counter[str]()
    bodies = versions(8)
    keys = [f"{prefix}/{number}.zip" for prefix in ("a", "b") for number in range(CLIENTS)]

    # rclone keeps metadata beside the bytes, and changes them one after the other: a read sees those of two puts, and
    # two puts may leave those of two. So there each client has keys of its own to write, and reads may be refused.
    atomic = await clients[0]._engine.conditions.keeps(place, "a", "PutObject", "IfNoneMatch", {})

    async def work(client: DeltaGliderClient, who: int) -> None:
        randomness = random.Random(f"{seed} {who}")
        for step in range(torture.length(15, 300)):
            key, kind = randomness.choice(keys), randomness.choice(KINDS)
            kinds[kind] += 1
            if kind != "get" and not atomic:
                key = f"{key.partition('/')[0]}/{who}.zip"
            if kind == "get":
                since = history.now()
                try:
                    assert await read(client, place, key) in history.readable(key, since), (seed, key)
                except IntegrityMismatchError:
                    assert not atomic, (seed, key)
            elif kind == "delete":
                with history.write(key, None):
                    await client.delete_object(Bucket=place, Key=key)
            else:
                body = randomness.choice(bodies) + f"{who} {step}".encode()  # no two puts are of the same bytes
                with history.write(key, body):
                    await client.put_object(
                        Bucket=place, Key=key, Body=body, use_delta=False if kind == "plain" else None
                    )

    async with anyio.create_task_group() as tasks:
        for who, client in enumerate(clients):
            tasks.start_soon(work, client, who)

    lost = 0
    async with create_client(endpoint_url=real_endpoint) as reader:
        for key in keys:
            lost += await read(reader, place, key) not in history.readable(key, history.now())
    assert lost == 0, seed
    torture.add("clients on the same keys", operations=kinds.total(), writes=history.acknowledged(), objects_lost=lost)
