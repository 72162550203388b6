"""Mutations of deltas, references and metadata: each get gives the very bytes, or a typed error.

The real client reads, and the real xdelta3 decodes. What the bucket holds is on a shelf in memory, so that anything can
be stored there, also what no S3 server would take. Each mutation follows from its number, which a failure names:
`pytest tests/torture/test_corruption.py -k deltas` makes the same ones again, in any order of tests.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import random
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine import references
from deltaglider_async.errors import DeltaGliderError
from deltaglider_async.format import metadata as meta
from deltaglider_async.session import create_client
from deltaglider_async.settings import Settings
from deltaglider_async.store.errors import service_error
from deltaglider_async.store.s3 import NONE, Arguments, Response, Store

if TYPE_CHECKING:
    from tests.tally import Tally

pytestmark = pytest.mark.timeout(600)

BUCKET = "shelf"
_WORKERS = 4
_NOT_FOUND = 404


@dataclass(frozen=True)
class Stored:
    """An object as S3 holds it."""

    data: bytes
    metadata: Mapping[str, str]


class Body:
    """As much of a response's body as is used."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    async def read(self, amount: int) -> bytes:
        chunk, self._rest = self._rest[:amount], self._rest[amount:]
        return chunk

    def close(self) -> None:
        self._rest = b""


class Shelf(Store):
    """What the engine reads from, in place of S3."""

    objects: Mapping[str, Stored]

    async def head(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        key.encode()  # botocore cannot send any other
        stored = self.objects.get(key)
        if stored is None:
            return None
        return {
            "ContentLength": len(stored.data),
            "Metadata": dict(stored.metadata),
            "ETag": f'"{hashlib.md5(stored.data, usedforsecurity=False).hexdigest()}"',
            "ResponseMetadata": {"HTTPStatusCode": 200},
        }

    async def get(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response | None:
        response = await self.head(bucket, key)
        return None if response is None else {**response, "Body": Body(self.objects[key].data)}

    async def get_existing(self, bucket: str, key: str, arguments: Arguments = NONE) -> Response:
        response = await self.get(bucket, key)
        if response is None:
            raise service_error(
                "NoSuchKey", _NOT_FOUND, "GetObject", f"cannot read s3://{bucket}/{key}: no such object"
            )
        return response

    async def pages(
        self, bucket: str, arguments: Arguments = NONE, *, metadata: bool = False
    ) -> AsyncGenerator[Response, None]:
        names = sorted(key for key in self.objects if key.startswith(arguments.get("Prefix") or ""))
        yield {"Contents": [{"Key": key} for key in names], "IsTruncated": False}


@dataclass(frozen=True)
class Release:
    """An object that can be read, and what stores it: its own delta and the reference of its folder."""

    key: str
    content: bytes
    objects: Mapping[str, Stored]

    @property
    def delta(self) -> Stored:
        return self.objects[f"{self.key}.delta"]

    @property
    def reference_key(self) -> str:
        return f"{self.key.rpartition('/')[0]}/reference.bin"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def contents(choose: random.Random) -> tuple[bytes, bytes]:
    """A file and its next release: text and noise, of which a part was moved, and some is new."""
    words = [choose.randbytes(choose.randrange(2, 9)).hex().encode() for _ in range(200)]
    text = b" ".join(choose.choices(words, k=3000))
    base = text[:15_000] + choose.randbytes(10_000) + bytes(3000) + text[15_000:]
    return base, base[20_000:30_000] + choose.randbytes(1500) + base[:18_000] + b"=" * 900 + base[-4000:]


def made_by_xdelta3(folder: Path, key: str, base: bytes, target: bytes, *options: str) -> Release:
    """A release as another tool stores it, with these options of xdelta3."""
    (folder / "reference.bin").write_bytes(base)
    name = key.rpartition("/")[2]
    (folder / name).write_bytes(target)
    command = ["xdelta3", "-e", "-c", *options, "-s", "reference.bin", name]
    delta = subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
    reference_key = f"{key.rpartition('/')[0]}/reference.bin"
    metadata = meta.DeltaMetadata(
        file_sha256=sha256(target),
        file_size=len(target),
        ref_key=reference_key,
        ref_sha256=sha256(base),
        original_name=name,
        delta_size=len(delta),
        delta_cmd="xdelta3",
    ).encode()
    reference = Stored(base, meta.reference_metadata("first", sha256(base)))
    return Release(key, target, {f"{key}.delta": Stored(delta, metadata), reference_key: reference})


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    """Deltas of every kind: ours, with many windows, packed in each way, without checksums, and recompressed."""
    folder = tmp_path_factory.mktemp("releases")
    base, target = contents(random.Random(1))
    ours = ("-D", "-A=0123456789abcdef", "-3", "-S", "none")
    kinds: dict[str, tuple[str, ...]] = {
        "ours/1.zip": ours,
        "windows/1.zip": (*ours, "-W", "16384"),
        "unchecked/1.zip": (*ours, "-n"),
        "lzma/1.zip": ("-D", "-9", "-S", "lzma"),
        "djw/1.zip": ("-D", "-9", "-S", "djw"),
        "fgk/1.zip": ("-D", "-9", "-S", "fgk"),
    }
    made = [made_by_xdelta3(folder, key, base, target, *options) for key, options in kinds.items()]
    made.append(made_by_xdelta3(folder, "bz2/1.bz2", bz2.compress(base), bz2.compress(target), "-9", "-S", "none"))
    # A first release, which is a delta of itself; and one that has nothing of the reference.
    made.append(made_by_xdelta3(folder, "same/1.zip", base, base, *ours))
    made.append(made_by_xdelta3(folder, "other/1.zip", base, gzip.compress(target, mtime=0), *ours))
    return made


@pytest.fixture
async def clients(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[DeltaGliderClient]]:
    """One for each worker, with a shelf of its own, which keeps no versions, and nothing in its cache."""

    async def no_version(*arguments: Any) -> None:
        return None

    monkeypatch.setattr(references, "older_version", no_version)
    async with AsyncExitStack() as stack:
        settings = Settings(cache_backend="memory")
        opened = [await stack.enter_async_context(create_client(settings=settings)) for _ in range(_WORKERS)]
        for client in opened:
            client._engine.store = Shelf(client._engine.store.s3)
        yield opened


async def read(client: DeltaGliderClient, release: Release) -> bytes:
    """The whole body, as one who must not take a part for the whole reads it."""
    async with (await client.get_object(Bucket=BUCKET, Key=release.key))["Body"] as body:
        return b"".join([chunk async for chunk in body])


#: What a mutation is called, and the release as it is stored then.
Mutate = Callable[[random.Random, list[Release]], tuple[str, Release]]


async def torment(
    clients: list[DeltaGliderClient], releases: list[Release], mutate: Mutate, rounds: int, torture: Tally
) -> None:
    """Read that many mutations; fail for a wrong byte, an untyped error, or none at all."""
    numbers: Iterator[int] = iter(range(rounds))
    refused, wrong = 0, list[str]()

    async def work(client: DeltaGliderClient) -> None:
        nonlocal refused
        shelf: Any = client._engine.store
        for number in numbers:
            what, release = mutate(random.Random(number), releases)
            shelf.objects = release.objects
            client._engine._known.clear()
            await client.clear_cache()
            try:
                if await read(client, release) != release.content:
                    wrong.append(f"mutation {number}, {what}")
            except DeltaGliderError:
                refused += 1
            except BaseException as error:
                error.add_note(f"mutation {number}: {what}")
                raise
            torture.add("corruption", mutations=1, objects_lost=0, wrong_bytes=0)

    async with anyio.create_task_group() as tasks:
        for client in clients:
            tasks.start_soon(work, client)
    torture.add("corruption", wrong_bytes=len(wrong))
    assert wrong == []
    # Some hit what does not matter: a nonce, a name, a date. Most must not get through.
    assert refused > rounds / 2


def rearranged(choose: random.Random, data: bytes) -> tuple[str, bytes]:
    """Other bytes than `data`: what disks, networks and bad programs make of it, and what an attacker tries."""

    def place() -> int:
        # Headers are at the start, and small files are all header.
        return choose.randrange(min(len(data), choose.choice((8, 64, len(data)))))

    def part() -> tuple[int, int]:
        start = place()
        return start, start + choose.randrange(1, max(2, min(len(data) - start + 1, choose.choice((4, 200, 10_000)))))

    kind = choose.choice(("bit", "bits", "byte", "cut", "tail", "out", "in", "repeat", "swap", "splice", "number"))
    start, stop = part()
    other, _ = part()
    match kind:
        case "bit" | "bits":
            changed = bytearray(data)
            for _ in range(1 if kind == "bit" else choose.randrange(2, 20)):
                changed[place()] ^= 1 << choose.randrange(8)
            new = bytes(changed)
        case "byte":
            new = data[:start] + choose.randbytes(1) + data[start + 1 :]
        case "cut":
            new = data[: choose.choice((start, len(data) - 1 - choose.randrange(20)))]
        case "tail":
            new = data + choose.choice((data, data[start:stop], choose.randbytes(30), bytes(choose.randrange(1, 3000))))
        case "out":
            new = data[:start] + data[stop:]
        case "in":
            new = data[:start] + choose.randbytes(stop - start) + data[start:]
        case "repeat":
            new = data[:start] + data[start:stop] * choose.randrange(2, 50) + data[stop:]
        case "swap":
            new = data[:other] + data[start:stop] + data[other + stop - start :]
        case "splice":
            new = data[:start] + data[other:]
        case _:
            # In VCDIFF a number goes on as long as the highest bit is set: sizes that are beyond everything.
            new = data[:start] + b"\xff" * choose.randrange(1, 12) + data[start + choose.randrange(3) :]
    return f"{kind} at {start} to {stop}, {other}", new


def mutated_delta(choose: random.Random, releases: list[Release]) -> tuple[str, Release]:
    release = choose.choice(releases)
    stored = release.delta
    if choose.random() < 0.05:
        what, data = "the delta of another", choose.choice(releases).delta.data
    else:
        what, data = rearranged(choose, stored.data)
        for _ in range(choose.choice((0, 0, 0, 3))):
            what, data = "again, " + what, rearranged(choose, data or b"x")[1]
    metadata = dict(stored.metadata)
    # Whoever can change the one can change the other; and old writers did not record it.
    if (honest := choose.choice(("as it was", "made to fit", "missing"))) == "made to fit":
        metadata["dg-delta-size"] = str(len(data))
    elif honest == "missing":
        del metadata["dg-delta-size"]
    objects = {**release.objects, f"{release.key}.delta": Stored(data, metadata)}
    return f"{release.key}: {what}, length {honest}", replace(release, objects=objects)


def mutated_reference(choose: random.Random, releases: list[Release]) -> tuple[str, Release]:
    release = choose.choice(releases)
    stored = release.objects[release.reference_key]
    what, data = rearranged(choose, stored.data)
    objects = {**release.objects, release.reference_key: replace(stored, data=data)}
    return f"{release.key}: {what}", replace(release, objects=objects)


ANYTHING = ("", " ", "\n", "null", "None", "x\x00y", "\udcff\udcfe", "größe", "deltaglider/9", "inflate/1", "k" * 1025)
NUMBERS = (
    "0", "1", "00", "-1", "+5", "1e3", "0x10", "1_000", "5.0", "NaN", "\u0663\u0664", "\u00b2", "9" * 18, "9" * 19,
    "9" * 400, "9" * 5000, "0" * 5000 + "7", str((1 << 63) - 1), str(1 << 63), str(1 << 64),
)  # fmt: skip
DIGESTS = ("a" * 63, "a" * 64, "A" * 64, "0" * 64, "g" * 64, "\u0430" * 64, "a" * 65)
KEYS = ("../../reference.bin", "/reference.bin", "reference.bin", "größe/reference.bin", "other/reference.bin",
        "%2e%2e/reference.bin", "\udcff/reference.bin", "")  # fmt: skip
NAMES = [f"dg-{name}" for name in meta._FIELDS]


def hostile(choose: random.Random, name: str) -> str:
    """A value for a name of the metadata, mostly of the kind that belongs there."""
    kind = {"size": NUMBERS, "sha256": DIGESTS, "key": KEYS, "path": KEYS}.get(name.rpartition("-")[2], ANYTHING)
    return choose.choice(choose.choice((kind, kind, kind, ANYTHING)))


def mutated_mapping(choose: random.Random, metadata: Mapping[str, str], others: list[Mapping[str, str]]) -> Any:
    changed = dict(metadata)
    name = choose.choice(sorted(changed) or NAMES)
    match choose.choice(
        ("value", "value", "value", "drop", "swap", "digit", "spelling", "add", "other", "all", "none")
    ):
        case "value":
            changed[name] = hostile(choose, name)
        case "drop":
            del changed[name]
        case "swap":
            other = choose.choice(sorted(changed))
            changed[name], changed[other] = changed[other], changed[name]
        case "digit":
            value = changed[name]
            place = choose.randrange(len(value) or 1)
            changed[name] = value[:place] + choose.choice("0123456789abcdefG\xff") + value[place + 1 :]
        case "spelling":
            new = choose.choice(
                (name.upper(), name.replace("-", "_"), name.removeprefix("dg-"), f"x-{name}", f"{name} ")
            )
            changed[new] = changed.pop(name)
        case "add":
            new = choose.choice((*NAMES, *["dg-ref-path"] * 10))
            changed[new] = hostile(choose, new)
        case "other":
            changed[name] = choose.choice(others).get(name, "")
        case "all":
            changed = dict(choose.choice(others))
        case _:
            changed = {}
    return changed


def mutated_metadata(choose: random.Random, releases: list[Release]) -> tuple[str, Release]:
    release = choose.choice(releases)
    others = [stored.metadata for other in releases for stored in other.objects.values()]
    key = choose.choice((f"{release.key}.delta", f"{release.key}.delta", release.reference_key))
    metadata = mutated_mapping(choose, release.objects[key].metadata, others)
    for _ in range(choose.choice((0, 0, 1, 5))):
        if metadata:
            metadata = mutated_mapping(choose, metadata, others)
    objects = {**release.objects, key: replace(release.objects[key], metadata=metadata)}
    return f"{key}: {metadata}", replace(release, objects=objects)


async def test_what_is_mutated_here_can_be_read(clients: list[DeltaGliderClient], releases: list[Release]) -> None:
    """Else everything below would be refused for another reason."""
    for release in releases:
        shelf: Any = clients[0]._engine.store
        shelf.objects = release.objects
        assert await read(clients[0], release) == release.content, release.key


async def test_mutated_deltas(clients: list[DeltaGliderClient], releases: list[Release], torture: Tally) -> None:
    await torment(clients, releases, mutated_delta, torture.length(1000, 5000), torture)


async def test_mutated_references(clients: list[DeltaGliderClient], releases: list[Release], torture: Tally) -> None:
    await torment(clients, releases, mutated_reference, torture.length(1000, 5000), torture)


async def test_mutated_metadata(clients: list[DeltaGliderClient], releases: list[Release], torture: Tally) -> None:
    await torment(clients, releases, mutated_metadata, torture.length(1000, 5000), torture)
