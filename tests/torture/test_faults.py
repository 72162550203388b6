"""Bulk work through a network that fails: nothing acknowledged may be missing or wrong afterwards."""

from __future__ import annotations

import hashlib
import random
import secrets
from collections import Counter
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import anyio
import pytest
from botocore.config import Config

from deltaglider_async import create_client
from deltaglider_async.bulk.schedule import Limits
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import DeltaGliderError, NotFoundError, PreconditionFailedError
from deltaglider_async.store.s3 import LARGEST_SINGLE_PUT
from tests.history import History
from tests.torture.proxy import Exchange, Fault, Proxy, faulty, seeded, shorten_pauses

if TYPE_CHECKING:
    from tests.tally import Tally

SPACES = 5
#: Each has a quota of retries, which is soon used up where as much fails as here. So they live for some objects only.
CLIENTS = 4
AT_ONCE = CLIENTS * Limits().large_objects
#: Of the calls, at each kind of fault.
SHARE = 0.1
#: Seconds. A stalled body costs this much each time.
READ_TIMEOUT = 1
MIB = 1024 * 1024


@pytest.mark.timeout(1200)
async def test_nothing_acknowledged_is_lost_through_a_network_that_fails(
    conditional_endpoint: str, torture: Tally, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = random.randrange(2**32)
    shorten_pauses(monkeypatch)
    objects = torture.length(20, 500)
    print(f"seed {seed}")
    bucket = f"faults-{secrets.token_hex(6)}"
    async with create_client(endpoint_url=conditional_endpoint) as sound:
        await sound.create_bucket(Bucket=bucket)
        async with faulty(conditional_endpoint, seeded(seed, SHARE)) as (url, proxy):
            work = Work(bucket, seed)
            for start in range(0, objects, AT_ONCE):
                await work.run(url, range(start, min(objects, start + AT_ONCE)))
        print(work.results, proxy.faults)
        harm = await look(sound, work)
        uploads = await unfinished(sound, bucket, proxy)
    assert harm == Counter(), harm
    # An upload whose id never came is known to nobody. Any other was given up, as far as faults let it.
    known = {exchange.upload_id for exchange in proxy.exchanges if "uploadId=" in exchange.target}
    asked_to_end = {exchange.upload_id for exchange in proxy.exchanges if is_end(exchange)}
    assert not uploads & ended_for_good(proxy)
    assert uploads & known <= asked_to_end
    # Or there was nothing to see.
    assert work.results["put"] > objects / 4
    assert set(proxy.faults) == set(Fault)
    torture.add(
        f"faults on {request.node.callspec.params['conditional_endpoint']}",
        faults=proxy.faults.total(),
        operations=work.results.total(),
        objects_lost=harm["lost"],
        wrong_bytes=harm["wrong"],
    )


def digest(data: bytes | None) -> bytes | None:
    """What is remembered of an object."""
    return data if data is None else hashlib.sha256(data).digest()


def is_create(exchange: Exchange) -> bool:
    return exchange.method == "POST" and exchange.target.endswith("?uploads")


def is_end(exchange: Exchange) -> bool:
    return exchange.method in ("POST", "DELETE") and "uploadId=" in exchange.target


def succeeded(exchange: Exchange) -> bool:
    return exchange.answered and exchange.status in (200, 204) and b"<Error>" not in exchange.body


def ended_for_good(proxy: Proxy) -> set[str | None]:
    """The ids of uploads that the client was told had ended, and of which no part came after that.

    A part that was given up by the client may still be on its way; S3 too says that such an upload may have to be
    aborted again.
    """
    ended: set[str | None] = set()
    for exchange in proxy.exchanges:
        if is_end(exchange) and succeeded(exchange):
            ended.add(exchange.upload_id)
        elif exchange.method == "PUT" and exchange.status == 200:
            ended.discard(exchange.upload_id)
    return ended


class Work:
    """Puts, overwrites, conditional puts, gets and deletes of several clients, and what they were told."""

    def __init__(self, bucket: str, seed: int) -> None:
        self.bucket = bucket
        self.history = History()
        self.results: Counter[str] = Counter()
        self._seed = seed
        randomness = random.Random(seed)
        self._bases = [randomness.randbytes(100_000) for _ in range(SPACES)]
        self._long = randomness.randbytes(LARGEST_SINGLE_PUT + MIB)

    async def run(self, url: str, numbers: range) -> None:
        """These objects, through new clients."""
        config = Config(read_timeout=READ_TIMEOUT, connect_timeout=READ_TIMEOUT)
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(create_client(endpoint_url=url, config=config)) for _ in range(CLIENTS)
            ]
            async with anyio.create_task_group() as tasks:
                for number in numbers:
                    tasks.start_soon(self._one, clients[number % CLIENTS], number)

    async def _one(self, client: DeltaGliderClient, number: int) -> None:
        """The life of one key."""
        randomness = random.Random(f"{self._seed} {number}")
        key = f"space-{number % SPACES}/{number}.zip"
        await self._put(client, key, number, 0, randomness)
        await self._get(client, key)
        if randomness.random() < 0.4:
            await self._put(client, key, number, 1, randomness)
        if randomness.random() < 0.2:
            await self._attempt("delete", key, None, client.delete_object(Bucket=self.bucket, Key=key))
        await self._get(client, key)

    async def _put(
        self, client: DeltaGliderClient, key: str, number: int, turn: int, randomness: random.Random
    ) -> None:
        body = self._bases[number % SPACES] + f"{number} {turn}".encode() * 100
        arguments: dict[str, Any] = {}
        if number % 10 == 3 or number == 2:  # in parts: plain forms, and perhaps the reference of a deltaspace
            body = self._long + body
            arguments["use_delta"] = None if number == 2 else False
        elif randomness.random() < 0.2:
            arguments["IfNoneMatch"] = "*"
        call = client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)
        await self._attempt("put", key, digest(body), call)

    async def _attempt(self, what: str, key: str, value: bytes | None, call: Any) -> None:
        try:
            with self.history.write(key, value):
                await call
            self.results[what] += 1
        except PreconditionFailedError:
            self.results[f"{what} refused"] += 1
        except DeltaGliderError:
            self.results[f"{what} failed"] += 1

    async def _get(self, client: DeltaGliderClient, key: str) -> None:
        since = self.history.now()
        try:
            async with (await client.get_object(Bucket=self.bucket, Key=key))["Body"] as body:
                data = await body.read()
        except NotFoundError:
            data = None
        except DeltaGliderError:
            self.results["get failed"] += 1
            return
        assert digest(data) in self.history.readable(key, since), (self._seed, key)
        self.results["get"] += 1


async def look(client: DeltaGliderClient, work: Work) -> Counter[str]:
    """What is missing, wrong or damaged, seen without faults."""
    harm = Counter[str]()
    for key in work.history.writes:
        readable = work.history.readable(key, work.history.now())
        try:
            async with (await client.get_object(Bucket=work.bucket, Key=key))["Body"] as body:
                if digest(await body.read()) not in readable:
                    harm["wrong"] += 1
        except NotFoundError:
            harm["lost"] += None not in readable
    for number in range(SPACES):
        async with aclosing(client._engine.store.pages(work.bucket, {"Prefix": f"space-{number}/reference"})) as pages:
            names = [item["Key"] async for page in pages for item in page.get("Contents", ())]
        for name in names:
            reference = await client._engine.store.get_existing(work.bucket, name)
            found = hashlib.sha256(await reference["Body"].read()).hexdigest()
            harm["references"] += found != reference["Metadata"]["dg-file-sha256"]
    return +harm


async def unfinished(client: DeltaGliderClient, bucket: str, proxy: Proxy) -> set[str | None]:
    """The ids of multipart uploads that were begun and neither completed nor aborted."""
    ids: set[str | None] = set()
    # MinIO lists the uploads of one key only.
    for key in {urlsplit(exchange.target).path.split("/", 2)[2] for exchange in proxy.exchanges if is_create(exchange)}:
        answer = await client._engine.store.s3.list_multipart_uploads(Bucket=bucket, Prefix=unquote(key))
        ids |= {upload["UploadId"] for upload in answer.get("Uploads", ())}
    return ids
