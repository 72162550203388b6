"""Operations that are cancelled, or fail, at every kind of moment: nothing stays behind, and nothing is half-done.

A cancellation comes at a random callback of the event loop, which is every place at which anything can happen in an
asyncio program: between any two steps of any task, with processes, threads and connections in whatever state. Some come
at a request to S3 or at the start of a process instead. They come as `Task.cancel`, once or twice, as an anyio scope,
as `asyncio.timeout`, and through a task group in which something else failed.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import random
import resource
import secrets
import stat
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest
import s3transfer  # noqa: F401  # its first import asks for the current folder, which blocks
from aiobotocore.awsrequest import AioAWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError

from deltaglider_async import Settings, create_client
from deltaglider_async.bulk.events import Failed
from deltaglider_async.bulk.plan import downloads, planned, uploads
from deltaglider_async.bulk.sources import listing, walk
from deltaglider_async.bulk.transfer import transfer
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.codec import unaided
from deltaglider_async.codec.instructions import few
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.errors import DeltaGliderError, NotFoundError
from deltaglider_async.streams.threads import to_its_end
from tests.engine.conftest import content, version

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from tests.tally import Tally

MIB = 1024 * 1024
BASE = content(1, 150_000)
LONG = content(2, 9 * MIB)
HUGE = content(3, 17 * MIB)

#: Connections of the client: so few that one that is never given back is soon missed.
CONNECTIONS = 12
#: Seconds for what must happen at some time. Only what hangs lets them pass.
PATIENCE = 90


# -- what is done


@dataclass
class World:
    """A client, its bucket, and what each key may hold: bytes, or None for "not there"."""

    client: DeltaGliderClient
    bucket: str
    folder: Path
    random: random.Random
    allowed: dict[str, set[str | None]] = field(default_factory=dict, repr=False)
    """By their SHA-256."""
    number: int = 0

    def next_number(self) -> int:
        self.number += 1
        return self.number

    async def put(self, key: str, content: bytes, body: Any, **arguments: Any) -> None:
        self.attempted(key, content, done=False)
        await self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)
        self.attempted(key, content, done=True)

    def attempted(self, key: str, content: bytes | None, *, done: bool) -> None:
        digest = None if content is None else hashlib.sha256(content).hexdigest()
        self.allowed[key] = {digest} if done else self.allowed.get(key, {None}) | {digest}

    async def read(self, key: str, **arguments: Any) -> bytes:
        response = await self.client.get_object(Bucket=self.bucket, Key=key, **arguments)
        async with response["Body"] as body:
            data: bytes = await body.read()
        return data

    async def wrong(self, keys: list[str]) -> list[str]:
        """Those of the keys that hold what they must not."""
        found = []
        names = iter(keys)

        async def look() -> None:
            for key in names:
                digest: str | None
                try:
                    digest = hashlib.sha256(await self.read(key)).hexdigest()
                except NotFoundError:
                    digest = None
                if digest not in self.allowed[key]:
                    found.append(f"{key} holds {digest} instead of {self.allowed[key]}")

        await concurrently(*[look] * 4)
        return found


Operation = Callable[[World], Awaitable[None]]


async def pieces(data: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def put_first(world: World) -> None:
    """The first file of a deltaspace, which becomes its reference."""
    number = world.next_number()
    data = version(BASE, number)
    await world.put(f"first/{number}/app.zip", data, data)


async def put_delta(world: World) -> None:
    number = world.next_number()
    data = version(BASE, number)
    path = world.folder / "body"
    await asyncio.to_thread(path.write_bytes, data)
    body = world.random.choice((data, path, pieces(data)))
    await world.put(f"a/{number}.zip", data, body)


async def put_cold(world: World) -> None:
    """With the reference to be fetched first."""
    await world.client.clear_cache()
    await put_delta(world)


async def put_over(world: World) -> None:
    """Over a delta, as a plain form, which removes that."""
    number = world.next_number()
    key = f"over/{number}.zip"
    await world.put(key, version(BASE, number), version(BASE, number))
    await world.put(key, version(BASE, -number % 999), version(BASE, -number % 999), use_delta=False)


async def put_unlike(world: World) -> None:
    """What makes no delta: the encoder is stopped, and the plain form is stored."""
    number = world.next_number()
    data = content(number, 400_000)
    await world.put(f"a/{number}.zip", data, world.random.choice((data, pieces(data))))


async def put_plain(world: World) -> None:
    number = world.next_number()
    data = content(number, 200_000)
    await world.put(f"a/{number}.txt", data, world.random.choice((data, pieces(data))))


async def put_spooled(world: World) -> None:
    """A stream too long to be kept in memory."""
    number = world.next_number()
    data = version(LONG, number)
    await world.put(f"long/{number}.zip", data, pieces(data, MIB))


async def put_in_parts(world: World) -> None:
    number = world.next_number()
    data = version(HUGE, number)
    await world.put(f"huge/{number}.bin", data, world.random.choice((data, pieces(data, MIB))))


async def put_reference_in_parts(world: World) -> None:
    """A large first file; what the endpoint can do is asked anew."""
    number = world.next_number()
    world.client._engine.conditions._known.clear()
    data = version(HUGE, number)
    await world.put(f"huge-first/{number}/app.zip", data, data)


async def put_by_parts_of_the_callers(world: World) -> None:
    """With one part that is spooled. What does not come to its end is aborted, by the caller."""
    number = world.next_number()
    kind = world.random.choice(("zip", "bin"))
    key, data = f"parts/{number}.{kind}", version(HUGE, number)
    upload = await world.client.create_multipart_upload(Bucket=world.bucket, Key=key)
    try:
        parts: list[Any] = []
        for part, body in enumerate((pieces(data, MIB), data[:1000]), 1):
            answer = await world.client.upload_part(
                Bucket=world.bucket, Key=key, UploadId=upload["UploadId"], PartNumber=part, Body=body
            )
            parts.append({"PartNumber": part, "ETag": answer["ETag"]})
        world.attempted(key, data + data[:1000], done=False)
        await world.client.complete_multipart_upload(
            Bucket=world.bucket, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": parts}
        )
        world.attempted(key, data + data[:1000], done=True)
    except BaseException:
        await to_its_end(abandon(world, key, upload["UploadId"]))
        raise


async def abandon(world: World, key: str, upload_id: str) -> None:
    with suppress(NotFoundError):  # it had come to its end after all
        await world.client.abort_multipart_upload(Bucket=world.bucket, Key=key, UploadId=upload_id)


async def get_delta(world: World) -> None:
    assert await world.read("seed/1.zip") == version(BASE, 1)


async def get_cold(world: World) -> None:
    await world.client.clear_cache()
    await get_delta(world)


async def get_plain(world: World) -> None:
    assert await world.read("seed/1.txt") == BASE


async def get_range(world: World) -> None:
    assert await world.read("long-seed/1.zip", Range="bytes=1000-90000") == version(LONG, 1)[1000:90001]


async def get_range_of_plain(world: World) -> None:
    assert await world.read("seed/1.txt", Range="bytes=1000-90000") == BASE[1000:90001]


async def get_a_part(world: World) -> None:
    """Closed before its end."""
    key, data = world.random.choice((("long-seed/1.zip", version(LONG, 1)), ("seed/1.txt", BASE)))
    response = await world.client.get_object(Bucket=world.bucket, Key=key)
    async with response["Body"] as body:
        assert await body.read(5000) == data[:5000]


async def copy(world: World) -> None:
    number = world.next_number()
    response = await world.client.get_object(Bucket=world.bucket, Key="seed/1.zip")
    async with response["Body"] as body:
        await world.put(f"copies/{number}.zip", version(BASE, 1), body, ContentLength=response["ContentLength"])


async def delete(world: World) -> None:
    number = world.next_number()
    key = f"a/{number}.zip"
    await world.put(key, version(BASE, number), version(BASE, number))
    world.attempted(key, None, done=False)
    await world.client.delete_object(Bucket=world.bucket, Key=key)
    world.attempted(key, None, done=True)


async def open_a_client(world: World) -> None:
    settings = Settings(cache_dir=world.folder.parent / "cache")
    async with create_client(endpoint_url=world.client.meta.endpoint_url, settings=settings) as client:
        await client.head_object(Bucket=world.bucket, Key="seed/1.zip")


async def list_all(world: World) -> None:
    page = await world.client.list_objects_v2(Bucket=world.bucket, Prefix="seed/", FetchMetadata=True)
    assert len(page["Contents"]) == 5


async def upload_a_file(world: World) -> None:
    number = world.next_number()
    path, data = world.folder / "upload.zip", version(BASE, number)
    await asyncio.to_thread(path.write_bytes, data)
    key = f"a/{number}.zip"
    world.attempted(key, data, done=False)
    await world.client.upload(path, f"s3://{world.bucket}/{key}")
    world.attempted(key, data, done=True)


async def download_a_file(world: World) -> None:
    path = world.folder / "downloads" / "file"
    await world.client.download(f"s3://{world.bucket}/seed/1.zip", path)
    assert await asyncio.to_thread(path.read_bytes) == version(BASE, 1)


async def upload_a_file_object(world: World) -> None:
    number = world.next_number()
    key, data = f"a/{number}.zip", version(BASE, number)

    async def told(amount: int) -> None:
        await asyncio.sleep(0)

    world.attempted(key, data, done=False)
    await world.client.upload_fileobj(io.BytesIO(data), world.bucket, key, Callback=told)
    world.attempted(key, data, done=True)


async def download_into_a_file_object(world: World) -> None:
    buffer = io.BytesIO()
    await world.client.download_fileobj(world.bucket, "seed/1.zip", buffer, Callback=lambda amount: None)
    assert buffer.getvalue() == version(BASE, 1)


async def copy_with_the_callback_told(world: World) -> None:
    key = f"moved/{world.next_number()}.zip"
    world.attempted(key, version(BASE, 1), done=False)
    source = {"Bucket": world.bucket, "Key": "seed/1.zip"}
    await world.client.copy(source, world.bucket, key, Callback=lambda amount: None)
    world.attempted(key, version(BASE, 1), done=True)


async def upload_a_batch(world: World) -> None:
    folder = f"batch/{world.next_number()}"
    files = {
        path: await asyncio.to_thread(path.read_bytes)
        for path in await asyncio.to_thread(_files, world.folder / "tree")
    }
    for path, data in files.items():
        world.attempted(f"{folder}/{path.name}", data, done=False)
    await world.client.upload_batch(files, f"s3://{world.bucket}/{folder}")
    for path, data in files.items():
        world.attempted(f"{folder}/{path.name}", data, done=True)


async def download_a_batch(world: World) -> None:
    urls = [f"s3://{world.bucket}/seed/{number}.zip" for number in range(4)]
    for number, path in enumerate(await world.client.download_batch(urls, world.folder / "downloads")):
        assert await asyncio.to_thread(path.read_bytes) == version(BASE, number)


async def verify(world: World) -> None:
    assert (await world.client.verify(f"s3://{world.bucket}/long-seed/1.zip")).valid


async def stats(world: World) -> None:
    assert (await world.client.get_bucket_stats(world.bucket, "detailed", prefix="seed/")).object_count == 5


async def bulk_upload(world: World) -> None:
    number = world.next_number()
    source = world.folder / "tree"
    prefix = f"bulk/{number}/"
    files = {path.name: await asyncio.to_thread(path.read_bytes) for path in await asyncio.to_thread(_files, source)}
    for name, data in files.items():
        world.attempted(f"{prefix}{name}", data, done=False)
    async with aclosing(transfer(world.client, planned(walk(source), uploads(world.bucket, prefix)))) as events:
        async for event in events:
            assert not isinstance(event, Failed), event.error
    for name, data in files.items():
        world.attempted(f"{prefix}{name}", data, done=True)


async def bulk_download(world: World) -> None:
    plan = planned(listing(world.client, world.bucket, "seed/"), downloads(world.folder / "downloads"))
    async with aclosing(transfer(world.client, plan)) as events:
        async for event in events:
            assert not isinstance(event, Failed), event.error


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


#: Operations, and how often they are drawn. Large objects take their time.
OPERATIONS: dict[Operation, int] = {
    put_first: 12,
    put_delta: 20,
    put_cold: 10,
    put_over: 6,
    put_unlike: 8,
    put_plain: 8,
    put_spooled: 3,
    put_in_parts: 3,
    put_reference_in_parts: 2,
    put_by_parts_of_the_callers: 3,
    get_delta: 8,
    get_cold: 10,
    get_plain: 4,
    get_range: 7,
    get_range_of_plain: 2,
    get_a_part: 8,
    copy: 8,
    delete: 6,
    list_all: 4,
    open_a_client: 1,
    upload_a_file: 5,
    download_a_file: 8,
    upload_a_file_object: 4,
    download_into_a_file_object: 4,
    copy_with_the_callback_told: 4,
    upload_a_batch: 4,
    download_a_batch: 4,
    verify: 4,
    stats: 3,
    bulk_upload: 5,
    bulk_download: 5,
}


@pytest.fixture
async def world(s3_endpoint: str, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """A client whose every trace can be seen, and a few objects to read."""
    for name in ("temporary", "cache", "files", "files/downloads", "files/tree"):
        await asyncio.to_thread((tmp_path / name).mkdir)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    config = Config(max_pool_connections=CONNECTIONS, retries={"total_max_attempts": 1, "mode": "standard"})
    settings = Settings(cache_dir=tmp_path / "cache", memory_mb=200)
    async with create_client(endpoint_url=s3_endpoint, config=config, settings=settings) as client:
        seed = int(os.environ.get("TORTURE_SEED", secrets.randbelow(1 << 32)))
        print(f"TORTURE_SEED={seed}")
        world = World(client, bucket, tmp_path / "files", random.Random(seed))
        # One decode or the other is a process, as those of deltas with many instructions are.
        monkeypatch.setattr(unaided, "few", lambda *found: world.random.random() < 0.5 and few(*found))
        for number in range(4):
            await world.put(f"seed/{number}.zip", version(BASE, number), version(BASE, number))
        await world.put("seed/1.txt", BASE, BASE)
        for number in range(2):
            await world.put(f"long-seed/{number}.zip", version(LONG, number), version(LONG, number))
        for name in ("app-1.zip", "app-2.zip", "app-3.zip", "notes.txt"):
            await asyncio.to_thread((tmp_path / "files" / "tree" / name).write_bytes, version(BASE, len(name)))
        yield world


# -- what is seen


@dataclass(frozen=True)
class Traces:
    """What an operation can leave in this process and its folders."""

    children: frozenset[int]
    descriptors: frozenset[tuple[str, int]]
    files: frozenset[str]
    tasks: int
    taken: tuple[int, int]
    """Bytes of the budgets that somebody still holds."""
    references: int
    """Leases and flights."""


def traces(world: World) -> Traces:
    """What there is now. Not sockets: their number is bounded by `CONNECTIONS`, and looked at alone."""
    children = psutil.Process().children(recursive=True)
    targets = [target for target in _descriptors() if not target.startswith(("socket:", "/proc/"))]
    engine = world.client._engine
    references = engine.cache._references
    folders = (tempfile.gettempdir(), str(world.folder / "downloads"), str(world.folder.parent / "cache"))
    names = [str(path) for folder in folders for path in Path(folder).rglob("*")]
    return Traces(
        frozenset(child.pid for child in children),
        frozenset(Counter(_kind(target) for target in targets).items()),
        frozenset(filter(_is_left, names)),
        len(asyncio.all_tasks()),
        (engine.puts.total - engine.puts.free, engine.gets.total - engine.gets.free),
        len(references._live) + len(references._flights),
    )


def _is_left(name: str) -> bool:
    """Files under their final names are what a download is for, and sealed ones what a cache is for."""
    path = Path(name)
    return path.suffix != ".sealed" and (path.parent.name != "downloads" or path.name.startswith("."))


def _kind(target: str) -> str:
    """Without the inode's number, which is another one in each run."""
    return target.partition(":[")[0] if target.startswith(("pipe:", "anon_inode:")) else target


def _descriptors() -> list[str]:
    targets = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(str(link.readlink()))
    return targets


async def what_is_left(world: World, before: Traces, sockets: int) -> list[str]:
    """How things differ from before, when they had time to end: a transport that is closed needs a turn of the loop."""
    deadline = asyncio.get_running_loop().time() + PATIENCE / 3
    while (now := traces(world)) != before and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    left = [
        f"{name}: {getattr(now, name)} instead of {getattr(before, name)}"
        for name in Traces.__dataclass_fields__
        if getattr(now, name) != getattr(before, name)
    ]
    while (open_now := _sockets()) > sockets and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if open_now > sockets:
        left.append(f"{open_now} sockets, with {CONNECTIONS} connections at most")
    return left


def _sockets() -> int:
    return sum(target.startswith("socket:") for target in _descriptors())


async def unfinished_uploads(world: World, s3: S3Client) -> list[str]:
    answer = await asyncio.to_thread(lambda: s3.list_multipart_uploads(Bucket=world.bucket))
    return [f"unfinished upload of {upload['Key']}" for upload in answer.get("Uploads", [])]


async def no_thread_is_stuck() -> list[str]:
    """Every thread of the loop's executor can be had at the same time."""
    executor = asyncio.get_running_loop()._default_executor  # type: ignore[attr-defined]
    barrier = threading.Barrier(executor._max_workers)
    try:
        await asyncio.gather(*(asyncio.to_thread(barrier.wait, PATIENCE / 3) for _ in range(executor._max_workers)))
    except threading.BrokenBarrierError:
        return ["a thread of the executor never comes back"]
    return []


# -- cancellations


class Steps:
    """Counts the callbacks that the event loop runs, and does something before certain ones."""

    def __init__(self) -> None:
        self.count = 0
        self._due: dict[int, Callable[[], object]] = {}

    def step(self) -> None:
        self.count += 1
        if self._due and (action := self._due.pop(self.count, None)):
            action()

    def at(self, step: int, action: Callable[[], object]) -> None:
        """Do this before so many more callbacks have run."""
        self._due[self.count + max(1, step)] = action

    def forget(self) -> None:
        self._due.clear()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    counter, run = Steps(), asyncio.Handle._run

    def counted(handle: asyncio.Handle) -> None:
        counter.step()
        run(handle)

    monkeypatch.setattr(asyncio.Handle, "_run", counted)
    return counter


class Calls:
    """Does something at the n-th request to S3, or the n-th start of a process."""

    def __init__(self) -> None:
        self.left = 0
        self._action: Callable[[], object] | None = None

    def at(self, number: int, action: Callable[[], object]) -> None:
        self.left, self._action = number, action

    def forget(self) -> None:
        self._action = None

    def seen(self) -> None:
        self.left -= 1
        if not self.left and self._action:
            self._action()


class OtherError(Exception):
    """What fails beside an operation."""


Arm = Callable[[Callable[[], object]], None]
"""Sees to it that something is done when the moment has come."""


async def cancelled(work: Awaitable[None], manner: str, arm: Arm, again: Arm) -> bool:
    """Run, and cancel in a manner when `arm` says. Whether it was cancelled before it was done."""
    if manner in ("task", "task twice"):
        task = asyncio.ensure_future(work)
        arm(task.cancel)
        if manner == "task twice":
            again(task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False
    if manner == "scope":
        with anyio.CancelScope() as scope:
            arm(scope.cancel)
            await work
        return scope.cancelled_caught
    if manner == "timeout":
        try:
            async with asyncio.timeout(None) as timeout:
                loop = asyncio.get_running_loop()
                arm(lambda: None if timeout.expired() else timeout.reschedule(loop.time()))
                await work
        except TimeoutError:
            return True
        return False
    moment = asyncio.get_running_loop().create_future()
    arm(lambda: None if moment.done() else moment.set_result(None))

    async def fail() -> None:
        await moment
        raise OtherError

    async def succeed() -> None:
        await work
        if not moment.done():
            moment.cancel()

    failed = False
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(succeed())
            tasks.create_task(fail())
    except* OtherError:
        failed = True
    return failed


MANNERS = ("task", "task", "task twice", "scope", "timeout", "group")


@pytest.mark.timeout(3600)
async def test_a_cancellation_leaves_nothing_behind(
    world: World,
    s3: S3Client,
    steps: Steps,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    torture: Tally,
) -> None:
    wanted = torture.length(300, 1000)
    requests, starts = Calls(), Calls()
    start = asyncio.create_subprocess_exec

    async def before_and_after(*arguments: Any, **options: Any) -> Any:
        starts.seen()
        process = await start(*arguments, **options)
        starts.seen()
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", before_and_after)
    world.client.meta.events.register("before-send.s3", lambda **_: requests.seen())
    lengths: dict[Operation, int] = {}
    for operation in OPERATIONS:  # how long each is, and everything that is only opened once
        for _ in range(2):
            begun = steps.count
            await operation(world)
            lengths[operation] = steps.count - begun
    await no_thread_is_stuck()
    await asyncio.sleep(0.1)
    before, sockets = traces(world), _sockets() + CONNECTIONS
    problems: list[str] = []
    done: Counter[str] = Counter()
    draw = world.random
    looked = 0
    while done["cancellations"] < wanted and not problems:
        batch = []
        for _ in range(10):
            operation = draw.choices(list(OPERATIONS), list(OPERATIONS.values()))[0]
            manner, moment = draw.choice(MANNERS), draw.choices(("step", "request", "process"), (8, 1, 1))[0]
            number = draw.randrange(lengths[operation] + 2) if moment == "step" else draw.randint(1, 5)
            batch.append(f"{operation.__name__}, {manner} at {moment} {number} of {lengths[operation]}")

            def arm(action: Callable[[], object], moment: str = moment, number: int = number) -> None:
                if moment == "step":
                    steps.at(number, action)
                else:
                    (requests if moment == "request" else starts).at(number, action)

            def again(action: Callable[[], object], number: int = number) -> None:
                steps.at(number + draw.choice((1, 2, 5, 30)), action)

            try:
                with anyio.fail_after(PATIENCE):
                    was_cancelled = await cancelled(operation(world), manner, arm, again)
            except TimeoutError:
                problems.append(f"hangs: {batch[-1]}")
                break
            except Exception as error:
                problems.append(f"{batch[-1]} raised {error!r}")
                break
            finally:
                steps.forget()
                requests.forget()
                starts.forget()
            done["cancellations" if was_cancelled else "completed"] += 1
            done[operation.__name__] += was_cancelled
        left = await what_is_left(world, before, sockets) + await unfinished_uploads(world, s3)
        names = list(world.allowed)[looked:]
        looked = len(world.allowed)
        wrong = await world.wrong(names)
        for key in names:
            if key.startswith("huge"):  # they would take the server's memory
                await world.client.delete_object(Bucket=world.bucket, Key=key)
                world.attempted(key, None, done=True)
        said = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
        problems += [f"{problem}, after one of {batch}" for problem in left + wrong + said]
        torture.add("cancellation", leaks=len(left), wrong_bytes=len(wrong))
    problems += await no_thread_is_stuck()
    problems += await what_is_left(world, before, sockets)
    torture.add("cancellation", cancellations=done["cancellations"], completed=done["completed"])
    print(done)
    assert not problems, "\n".join(problems)
    await put_first(world)
    await get_cold(world)


# -- errors


class Faults:
    """Lets one request to S3 fail: it is refused, never sent, or done without the answer coming back."""

    def __init__(self, client: DeltaGliderClient) -> None:
        self._s3 = client._engine.store.s3
        self._s3.meta.events.register("before-send.s3", self._before)
        self.seen = self.at = 0
        self.kind = self.failed = ""

    def arm(self, kind: str, at: int) -> None:
        self.kind, self.at, self.seen, self.failed = kind, at, 0, ""

    async def _before(self, request: Any, event_name: str, **_: Any) -> AioAWSResponse | None:
        self.seen += 1
        if self.seen != self.at:
            return None
        self.failed = event_name.rpartition(".")[2]
        if self.kind == "refused":
            return AioAWSResponse(request.url, 500, HTTPHeaders(), _Refusal())
        if self.kind == "answer lost":
            answer = await self._s3._endpoint.http_session.send(request)
            answer.raw.close()
        raise ConnectionClosedError(endpoint_url=request.url)


class _Refusal:
    async def read(self) -> bytes:
        return b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"


FAULTS = ("refused", "not sent", "answer lost")

#: All but those that catch the errors of single objects, or need another client.
FAILING = [each for each in OPERATIONS if each not in (bulk_upload, bulk_download, open_a_client)]


def abort_all(s3: S3Client, bucket: str) -> None:
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


async def fails(operation: Operation, world: World) -> bool:
    """Whether it ends with an error that says what happened. Any other error is one of ours."""
    try:
        with anyio.fail_after(PATIENCE):
            await operation(world)
    except (DeltaGliderError, ConnectionResetError):
        return True
    return False


async def baseline(world: World, operations: Sequence[Operation]) -> tuple[Traces, int]:
    """What there is when everything that is opened only once is open."""
    for operation in operations:
        await operation(world)
    await no_thread_is_stuck()
    await asyncio.sleep(0.1)
    return traces(world), _sockets() + CONNECTIONS


@pytest.mark.timeout(3600)
async def test_a_failed_request_leaves_nothing_behind(
    world: World, s3: S3Client, caplog: pytest.LogCaptureFixture, torture: Tally
) -> None:
    """Each request of each operation fails once."""
    before, sockets = await baseline(world, FAILING)
    faults = Faults(world.client)
    problems: list[str] = []
    for operation in FAILING:
        for at in range(1, 100):
            # In the short form one kind of failure at each place, in the long form all.
            failed_at = ""
            for kind in FAULTS if torture.full else (world.random.choice(FAULTS),):
                known = len(world.allowed)
                faults.arm(kind, at)
                failed = await fails(operation, world)
                failed_at = faults.failed
                faults.arm("", 0)
                where = f"{operation.__name__}, request {at} ({failed_at}) {kind}"
                left = await what_is_left(world, before, sockets)
                uploads = await unfinished_uploads(world, s3)
                if (failed_at, kind) == ("CreateMultipartUpload", "answer lost") or failed_at == "AbortMultipartUpload":
                    # Nobody knows its id, or it cannot be aborted: the service's to remove, by a lifecycle rule.
                    await asyncio.to_thread(abort_all, s3, world.bucket)
                    uploads = []
                wrong = await world.wrong(list(world.allowed)[known:])
                said = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
                problems += [f"{problem}, after {where}" for problem in (*left, *uploads, *wrong, *said)]
                torture.add("error path", errors=failed, leaks=len(left) + len(uploads), wrong_bytes=len(wrong))
            assert not problems, "\n".join(problems)
            if not failed_at:
                break
    problems += await no_thread_is_stuck()
    assert not problems, "\n".join(problems)
    await put_first(world)
    await get_cold(world)


SCRIPTS = {
    "ends at once": "echo broken >&2; exit 3",
    "is killed while it works": "head -c 70000 > /dev/null; kill -9 $$",
    "gives nonsense": "cat > /dev/null; echo nonsense",
    "gives half": 'xdelta3 "$@" | head -c 40000',
    "fails at its end": 'xdelta3 "$@"; exit 1',
    "cannot decode": 'if test "$1" = -d; then exit 1; fi; exec xdelta3 "$@"',
    "closes its input": "exec < /dev/null; sleep 0.05; exit 1",
    "talks without end": "yes >&2 & yes; exit 1",
}


@pytest.mark.timeout(600)
async def test_a_failing_xdelta3_leaves_nothing_behind(
    world: World,
    s3: S3Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    torture: Tally,
    by_xdelta3: None,
) -> None:
    operations = [put_first, put_delta, put_cold, put_spooled, get_delta, get_cold, get_range, copy, download_a_file]
    before, sockets = await baseline(world, operations)
    programs = {"is not there": tmp_path / "nowhere", "is no program": tmp_path}
    for name, script in SCRIPTS.items():
        programs[name] = tmp_path / name.replace(" ", "-")
        await asyncio.to_thread(programs[name].write_text, f"#!/bin/sh\n{script}\n")
        await asyncio.to_thread(programs[name].chmod, stat.S_IRWXU)
    engine = world.client._engine
    right = engine.settings
    for name, program in programs.items():
        for operation in operations:
            if name == "talks without end" and operation is get_range:
                continue  # there is no SHA-256 for a range
            known = len(world.allowed)
            monkeypatch.setattr(engine, "settings", replace(right, xdelta3=str(program)))
            failed = await fails(operation, world)
            monkeypatch.setattr(engine, "settings", right)
            left = await what_is_left(world, before, sockets) + await unfinished_uploads(world, s3)
            wrong = await world.wrong(list(world.allowed)[known:])
            said = [record.getMessage() for record in caplog.records if record.name == "asyncio"]
            torture.add("error path", errors=failed, leaks=len(left), wrong_bytes=len(wrong))
            # A range may be complete before anything goes wrong; a delta without end is refused as too large.
            harmless = operation is get_range or name == "talks without end"
            assert failed or harmless, f"{operation.__name__} succeeded with an xdelta3 that {name}"
            assert not left + wrong + said, f"{operation.__name__} with an xdelta3 that {name}"
    await put_first(world)
    await get_cold(world)


@contextmanager
def full_disk() -> Iterator[None]:
    """Files of this process cannot grow beyond 1 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def get_to_a_full_disk(world: World) -> None:
    await world.client.download(f"s3://{world.bucket}/long-seed/1.zip", world.folder / "downloads" / "long")


async def get_without_room_for_the_reference(world: World) -> None:
    """A memfd is a file, too; the reference is in the cache already."""
    assert await world.read("long-seed/1.zip") == version(LONG, 1)


@pytest.mark.timeout(600)
async def test_a_full_disk_leaves_nothing_behind(world: World, s3: S3Client, torture: Tally) -> None:
    operations = [put_spooled, get_to_a_full_disk, get_without_room_for_the_reference, put_reference_in_parts]
    before, sockets = await baseline(world, operations)
    for operation in operations:
        known = len(world.allowed)
        with full_disk():
            failed = await fails(operation, world)
        left = await what_is_left(world, before, sockets) + await unfinished_uploads(world, s3)
        wrong = await world.wrong(list(world.allowed)[known:])
        torture.add("error path", errors=failed, leaks=len(left), wrong_bytes=len(wrong))
        assert failed, operation.__name__
        assert not left + wrong, operation.__name__


@pytest.mark.timeout(600)
async def test_a_source_that_fails_leaves_nothing_behind(world: World, s3: S3Client, torture: Tally) -> None:
    """After any number of pieces, whatever would have become of it."""

    async def breaks_off(data: bytes, after: int) -> AsyncIterator[bytes]:
        async for piece in pieces(data, max(1, len(data) // 4)):
            if not after:
                break
            after -= 1
            yield piece
        raise ConnectionResetError("the uploader went away")

    before, sockets = await baseline(world, [put_first, put_spooled, put_in_parts])
    for after in range(5):
        for key, data in (
            ("new/{}/app.zip", BASE),
            ("a/{}.zip", BASE),
            ("long/{}.zip", LONG),
            ("a/{}.txt", BASE),
            ("huge/{}.bin", HUGE),
            ("huge/{}.zip", HUGE),
        ):
            name = key.format(world.next_number())
            with pytest.raises(ConnectionResetError, match="went away"):
                await world.put(name, data, breaks_off(data, after))
            world.allowed[name] = {None}
            left = await what_is_left(world, before, sockets) + await unfinished_uploads(world, s3)
            wrong = await world.wrong([name])
            torture.add("error path", errors=1, leaks=len(left), wrong_bytes=len(wrong))
            assert not left + wrong, f"{name} after {after} pieces"
