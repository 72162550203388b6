"""`dg` killed with SIGKILL at random moments: what was acknowledged is there, and nothing else is left behind.

Two lanes work side by side in one bucket, each below a prefix and with a temporary folder and a cache of its own. A
lane runs `dg` again and again (uploads of many versions, downloads, copies, removals) and kills it: at any moment of
its start, or after any number of finished objects and a little more. After each kill all that the lane ever did is
looked at. What was printed as done must be so, what was only asked for may be so, and nothing else may have changed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import re
import secrets
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import anyio
import psutil
import pytest
from botocore.config import Config
from botocore.session import Session

from deltaglider_async import Settings, create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine.parallel import concurrently
from deltaglider_async.errors import DeltaGliderError, NotFoundError
from tests.artifacts import releases, tarred, zipped

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from tests.tally import Tally

DG = [sys.executable, "-m", "deltaglider_async.cli"]
MIB = 1024 * 1024

Kind = Literal["upload", "upload plain", "download", "copy", "remove"]
#: Each lane goes through these in its own order, then again.
KINDS: tuple[Kind, ...] = ("upload",) * 5 + ("upload plain", "download", "download", "copy", "remove")

#: Seconds for what must happen at some time. Only a machine that hangs lets them pass.
PATIENCE = 120


@pytest.fixture(params=["s3_endpoint"])
def endpoint(request: pytest.FixtureRequest) -> str:
    """The servers that this is proven on, by the fixture that runs them."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def s3_there(endpoint: str) -> Iterator[S3Client]:
    """What other tools see there."""
    client = Session().create_client("s3", endpoint_url=endpoint, config=Config(proxies={}))
    with closing(client):
        yield cast("S3Client", client)


#: The SHA-256 of what is there, or None for "nothing".
Content = str | None


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Model:
    """What each name may hold."""

    def __init__(self) -> None:
        self.allowed: dict[str, set[Content]] = {}
        self._newest: dict[str, Content] = {}

    def attempted(self, name: str, content: Content, *, done: bool) -> None:
        self.allowed[name] = {content} if done else self.allowed.get(name, {None}) | {content}
        self._newest[name] = content

    def saw(self, name: str, content: Content) -> tuple[str, str] | None:
        """The kind of harm and a description, if this must not be."""
        allowed = self.allowed[name]
        if content in allowed:
            # What was seen to have happened stays. What was not may still be under way, in the server.
            if content == self._newest[name]:
                self.allowed[name] = {content}
            return None
        return "wrong_bytes" if content else "objects_lost", f"{name}: {content} instead of {allowed}"


@dataclass(repr=False)
class Lane:
    """One after the other, in a place of its own."""

    endpoint: str
    bucket: str
    name: str
    folder: Path
    seed: int
    client: DeltaGliderClient
    s3: S3Client
    kills: int = 0
    finished: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    stored: Model = field(default_factory=Model)
    local: Model = field(default_factory=Model)
    rounds: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.key = base64.b64encode(self.random.randbytes(32)).decode()
        for name in ("tmp", "cache", "restored"):
            (self.folder / name).mkdir(parents=True)
        first, second, third = releases()
        library = [{name: data for name, data in each.items() if name.startswith(("json", "logging", "http"))}
                   for each in (first, second, third)]  # fmt: skip
        self.library = [tarred(each) for each in library]
        self.archive = zipped(library[0]) + self.random.randbytes(150_000)
        self.large = self.random.randbytes(17 * MIB)
        self.starting, self.working = 1.0, 1.0
        self.kinds: list[Kind] = []
        self._left: set[str] = set()

    # -- what is done

    def version(self, base: bytes) -> bytes:
        """Another release of it: some places differ."""
        edited = bytearray(base)
        for _ in range(8):
            place = self.random.randrange(len(edited) - 16)
            edited[place : place + 16] = self.random.randbytes(16)
        return bytes(edited)

    def files(self, kind: Kind) -> dict[str, bytes]:
        """A folder to upload: new and old names, of deltaspaces new and old, and others."""
        draw = self.random
        files = {f"app/app-{draw.randrange(6)}.zip": self.version(self.archive) for _ in range(3)}
        files |= {f"lib/lib-{draw.randrange(4)}.tar": self.version(draw.choice(self.library)) for _ in range(2)}
        files |= {f"new/{self.rounds}/app-{number}.zip": self.version(self.archive) for number in range(3)}
        files |= {f"unlike/{number}.zip": draw.randbytes(120_000) for number in range(2)}
        files |= {f"notes/{draw.randrange(4)}.txt": draw.randbytes(draw.choice((0, 20_000, 200_000)))}
        if draw.random() < 0.2 and kind == "upload":
            files |= {f"large/{draw.randrange(2)}.zip": self.version(self.large)}
        if draw.random() < 0.15:
            files |= {"large.bin": self.version(self.large)}
        return files

    @asynccontextmanager
    async def dg(self, *arguments: str, keyed: bool) -> AsyncIterator[tuple[Process, Path]]:
        """A running `dg`, and the file that it writes its lines to."""
        environment = {**os.environ, "AWS_ENDPOINT_URL": self.endpoint, "TMPDIR": str(self.folder / "tmp")}
        if keyed:
            environment |= {"DG_CACHE_DIR": str(self.folder / "cache"), "DG_CACHE_ENCRYPTION_KEY": self.key}
        output = self.folder / "output"
        with await asyncio.to_thread(output.open, "wb") as file:
            process = await asyncio.create_subprocess_exec(
                *DG, *arguments, stdin=DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
            )
        try:
            yield process, output
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def round(self, *, kill: bool = True) -> None:
        """Run something, kill it, and look."""
        self.rounds += 1
        if not self.kinds:
            self.kinds = self.random.sample(KINDS, len(KINDS))
        kind = self.kinds.pop() if kill else "upload"
        keyed = self.random.random() < 0.5
        arguments, wanted = await self._prepare(kind)
        early = self.random.random() < 0.25
        objects = 0 if early else self.random.randint(1, max(1, len(wanted) - 1))
        delay = self.starting * self.random.random() if early else 3 * self.working * self.random.random() ** 3
        async with self.dg(*arguments, keyed=keyed) as (process, output):
            begun = time.perf_counter()
            if kill:
                await _until(lambda: process.returncode is not None or len(_lines(output)) >= objects)
                with anyio.move_on_after(delay):
                    await process.wait()
                if process.returncode is None:
                    process.kill()  # SIGKILL
            else:
                await _until(lambda: process.returncode is not None or bool(_lines(output)))
                self.starting = time.perf_counter() - begun
            code = await process.wait()
            if not kill:
                self.working = (time.perf_counter() - begun - self.starting) / len(wanted)
            left = await _session_ended(process.pid)
        killed = code == -9
        self.kills += killed
        self.finished += not killed
        lines = _lines(output)
        print(f"{self.name}, round {self.rounds}: {kind}, {len(lines)} of {len(wanted)} done, exit code {code}")
        if not killed and (code != 0 or len(lines) != len(wanted)):
            self.problems.append(("objects_lost", f"{kind} ended with {code}: {output.read_text()}"))
        self.problems += [("leaks", f"a process is left: {process}") for process in left]
        await self._settle(kind, wanted, lines)
        await self._look(keyed)

    async def _prepare(self, kind: Kind) -> tuple[list[str], dict[str, Content]]:
        """The command line, and what it is meant to make: content by key, or by file for a download."""
        here = f"s3://{self.bucket}/{self.name}/"
        if kind in ("upload", "upload plain"):
            files = self.files(kind)
            source = self.folder / f"source-{self.rounds}"
            await asyncio.to_thread(_write, source, files)
            arguments = ["cp", "-r", str(source), here, "--concurrency", str(self.random.choice((2, 5, 10)))]
            if kind == "upload plain":
                arguments.append("--no-delta")
            return arguments, {f"{self.name}/{name}": digest(content) for name, content in files.items()}
        there = {key: content for key, content in (await self._contents()).items() if content is not None}
        if kind == "download":
            target = self.folder / "restored"
            return ["cp", "-r", here, str(target)], {key.partition("/")[2]: value for key, value in there.items()}
        parts = Counter(key.split("/")[1] for key in there)
        if kind == "copy":
            part = self.random.choice(("app", "lib", "unlike", "new"))
        else:  # what there is most of: in the long run it must not pile up
            part = max(parts.keys() & {"app", "lib", "unlike", "new", "copies"}, key=parts.__getitem__, default="app")
        chosen = {key: value for key, value in there.items() if key.startswith(f"{self.name}/{part}/")}
        if kind == "copy":
            to = f"copies/{self.random.randrange(3)}"
            copied = {f"{self.name}/{to}/{key.split('/', 2)[2]}": value for key, value in chosen.items()}
            return ["cp", "-r", f"{here}{part}/", f"{here}{to}/"], {**copied}
        return ["rm", "-r", f"{here}{part}/"], dict.fromkeys(chosen)

    async def _settle(self, kind: Kind, wanted: dict[str, Content], lines: list[str]) -> None:
        """Note what was acknowledged, and what was only asked for."""
        if kind == "download":
            folder = self.folder / "restored"
            done = {os.path.relpath(path, folder) for path in _matches(r"download: \S+ to (\S+) \(", lines)}
        elif kind == "remove":
            done = set(_matches(rf"delete: s3://{self.bucket}/(\S+)", lines))
        else:
            done = set(_matches(rf"\w+: \S+ to s3://{self.bucket}/(\S+) \(", lines))
        if len(done) != len(lines) or not done <= wanted.keys():
            self.problems.append(("wrong_bytes", f"not understood: {lines}"))
        model = self.local if kind == "download" else self.stored
        for name, content in wanted.items():
            model.attempted(name, content, done=name in done)
        if kind.startswith("upload"):
            await asyncio.to_thread(_remove, self.folder / f"source-{self.rounds}")

    # -- what is seen

    async def _contents(self) -> dict[str, Content]:
        """What the client gets for every name that was ever used, with nothing remembered from before."""
        await self.client.clear_cache()
        contents: dict[str, Content] = {}
        names = iter(list(self.stored.allowed))

        async def read_some() -> None:
            for key in names:
                try:
                    response = await self.client.get_object(Bucket=self.bucket, Key=key)
                    async with response["Body"] as body:
                        contents[key] = digest(await body.read())
                except NotFoundError:
                    contents[key] = None
                except DeltaGliderError as error:
                    contents[key] = None
                    self.problems.append(("objects_lost", f"{key} cannot be read: {error}"))

        await concurrently(*[read_some] * 4)
        return contents

    async def _look(self, keyed: bool) -> None:
        for key, content in (await self._contents()).items():
            if harm := self.stored.saw(key, content):
                self.problems.append(harm)
        self.problems += await asyncio.to_thread(self._look_at_names)
        self.problems += await asyncio.to_thread(self._look_at_files, keyed=keyed)

    def _look_at_names(self) -> list[tuple[str, str]]:
        """Stored are objects that somebody named, in one of their forms, and what the format keeps beside them."""
        folders = {key.rpartition("/")[0] for key in self.stored.allowed}
        internal = r"reference\.bin|\.deltaglider/(refs/[0-9a-f]{64}/reference\.bin|trash/.*/reference\.bin|probe/\w+)"
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.name}/")
        stored = [item["Key"] for page in pages for item in page.get("Contents", [])]
        uploads = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=f"{self.name}/").get("Uploads", [])
        unknown = []
        for key in (*stored, *(upload["Key"] for upload in uploads)):
            beside = any(key.startswith(f"{folder}/") and re.fullmatch(internal, key[len(folder) + 1 :])
                         for folder in folders)  # fmt: skip
            if key.removesuffix(".delta") not in self.stored.allowed and not beside:
                unknown.append(key)
        return [("leaks", f"stored is {key}, which nobody named") for key in unknown]

    def _look_at_files(self, *, keyed: bool) -> list[tuple[str, str]]:
        problems = []
        temporary = self.folder / "tmp"
        # The folder of a cache without a key, which the next run with such a cache removes.
        new = {path.name for path in temporary.iterdir()} - self._left
        if len(new) > (0 if keyed else 1) or not all(name.startswith("deltaglider-async-") for name in new):
            problems.append(("leaks", f"left in the temporary folder: {new}"))
        self._left |= new
        for path in (*temporary.rglob("*"), *(self.folder / "cache").iterdir()):
            if path.is_dir():
                continue
            data = path.read_bytes()
            if path.suffix not in (".sealed", ".partial"):
                problems.append(("leaks", f"left: {path}"))
            if any(base[place : place + 32] in data for base in (self.archive, *self.library, self.large)
                   for place in range(0, len(base) - 32, len(base) // 50)):  # fmt: skip
                problems.append(("leaks", f"a part of a reference is in {path}"))
        restored = self.folder / "restored"
        found = {str(path.relative_to(restored)): path for path in restored.rglob("*") if path.is_file()}
        for name in self.local.allowed.keys() | found.keys():
            if name not in self.local.allowed:
                problems.append(("leaks", f"a download left {name}"))
            elif harm := self.local.saw(name, digest(found[name].read_bytes()) if name in found else None):
                problems.append(harm)
        return problems

    async def end(self) -> None:
        """Whatever is left goes with the next run that is not killed."""
        for arguments in (["ls", f"s3://{self.bucket}/{self.name}/"], ["cp", "-r", f"s3://{self.bucket}/{self.name}/"]):
            if arguments[0] == "cp":
                arguments.append(str(self.folder / "restored"))
            async with self.dg(*arguments, keyed=False) as (process, output):
                with anyio.fail_after(PATIENCE):
                    await process.wait()
            if process.returncode not in (0, 1 if arguments[0] == "ls" else 0):
                self.problems.append(("objects_lost", f"{arguments} ended with {output.read_text()}"))
            if left := list((self.folder / "tmp").iterdir()):
                self.problems.append(("leaks", f"left in the temporary folder by {arguments[0]}: {left}"))
        for key, content in (await self._contents()).items():
            if content is not None:
                self.local.attempted(key.partition("/")[2], content, done=True)
        self.problems += await asyncio.to_thread(self._look_at_files, keyed=True)


def _matches(pattern: str, lines: list[str]) -> list[str]:
    return [match[1] for line in lines if (match := re.match(pattern, f"{line} ("))]


def _lines(output: Path) -> list[str]:
    """The whole lines that are there; dg prints one for each object, when it is done."""
    return output.read_text().split("\n")[:-1]


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110, another process makes it true
            await asyncio.sleep(0.002)


async def _session_ended(session: int) -> list[str]:
    """What is still alive of a process that began a session, and of its children, when they had time to end."""

    def alive() -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
            except (ProcessLookupError, psutil.NoSuchProcess):
                pass
        return found

    left: list[str] = []
    with anyio.move_on_after(PATIENCE):
        while left := await asyncio.to_thread(alive):  # noqa: ASYNC110, other processes make it empty
            await asyncio.sleep(0.02)
    return left


async def fsck_brings_it_to_clean(endpoint: str, bucket: str) -> list[str]:
    """Repair the bucket as its only user, then look at it again. Returns what is wrong then."""

    async def dg(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *DG, *arguments, stdout=-1, stderr=-2, env={**os.environ, "AWS_ENDPOINT_URL": endpoint}
        )
        with anyio.fail_after(PATIENCE):
            output, _ = await process.communicate()
        return process.returncode or 0, output.decode()

    url = f"s3://{bucket}"
    _, repaired = await dg("fsck", url, "--repair", "--exclusive")
    code, found = await dg("fsck", url)
    return [] if code == 0 else [f"dg fsck ended with {code} after --repair:\n{repaired}\n{found}"]


@pytest.mark.timeout(3600)
async def test_what_was_acknowledged_outlives_any_kill(
    endpoint: str, s3_there: S3Client, tmp_path: Path, torture: Tally
) -> None:
    seed = int(os.environ.get("TORTURE_SEED", secrets.randbelow(1 << 32)))
    print(f"TORTURE_SEED={seed}")
    bucket = f"kills-{secrets.token_hex(6)}"
    await asyncio.to_thread(s3_there.create_bucket, Bucket=bucket)
    lanes: list[Lane] = []
    wanted = torture.length(12, 200)
    async with AsyncExitStack() as clients:
        for number in range(2):
            settings = Settings(cache_backend="memory")
            client = await clients.enter_async_context(create_client(endpoint_url=endpoint, settings=settings))
            name, folder = f"lane-{number}", tmp_path / str(number)
            lanes.append(await asyncio.to_thread(Lane, endpoint, bucket, name, folder, seed + number, client, s3_there))

        async def work(lane: Lane) -> None:
            await lane.round(kill=False)
            while not lane.problems and sum(each.kills for each in lanes) < wanted:
                await lane.round()
            await lane.end()

        await concurrently(*(lambda lane=lane: work(lane) for lane in lanes))
    problems = [problem for lane in lanes for problem in lane.problems]
    for lane in lanes:
        torture.add("kill -9", kills=lane.kills, objects=len(lane.stored.allowed))
    harm = {kind: sum(each == kind for each, _ in problems) for kind in ("objects_lost", "wrong_bytes", "leaks")}
    torture.add("kill -9", **harm)
    print(f"{sum(lane.finished for lane in lanes)} rounds ended before they were killed")
    assert not problems, "\n".join(text for _, text in problems)
    assert not await fsck_brings_it_to_clean(endpoint, bucket)
