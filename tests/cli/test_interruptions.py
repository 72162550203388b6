"""Ctrl-C, SIGTERM and SIGKILL at random moments, and the same command again: it ends as if nothing had happened.

The moments are counted in requests, not in seconds, so that they are spread over the work however busy the machine is.
After each of them nothing may be lost, half-written or unreadable.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from botocore.config import Config
from botocore.session import Session
from tests.cli.conftest import DG
from tests.real_servers import CONDITIONAL
from tests.torture.proxy import Fault, Proxy, faulty

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import NotFoundError
from deltaglider_async.session import create_client

BASE = random.Random(1).randbytes(60_000)
CONTENTS = {
    f"{folder}/{name}": BASE + f"{folder}{name}".encode()
    for folder in ("a", "b", "c/d")
    for name in ("0.zip", "1.zip", "2.zip", "notes.txt")
}
Where = Literal["src", "bucket", "other", "out"]


@dataclass(frozen=True)
class Command:
    """A line, where the contents are at its beginning, and where when it is done; nowhere else then."""

    line: str
    before: Where
    after: frozenset[Where]
    requests: int
    """About so many are made where it is not interrupted."""
    gone: str = ""
    """What of the damage is dealt with: a pattern of keys. Without it, there is none."""
    mends: bool = False
    """Whether references come back."""
    again: tuple[int, ...] = (0,)
    """Exit codes of the last time."""


def command(line: str, before: Where, *after: Where, requests: int, **more: Any) -> Command:
    return Command(line, before, frozenset(after), requests, **more)


EXPIRED, LEFTOVER, UNUSED = r"\.deltaglider/tmp/.*", r"p/b/.*\.delta", r"(unused/\d|p/b)/reference\.bin"
ALL_WASTE = f"{EXPIRED}|{LEFTOVER}|{UNUSED}"
#: `src` and `out` are folders, `bucket` is what is below `p/` there, and `other` what is below `q/`.
COMMANDS = [
    command("cp -r src s3://{bucket}/p", "src", "src", "bucket", requests=60),
    command("sync src s3://{bucket}/p --delete", "src", "src", "bucket", requests=65),
    command("mv -r src s3://{bucket}/p", "src", "bucket", requests=60),
    command("cp -r s3://{bucket}/p out", "bucket", "bucket", "out", requests=30),
    command("sync s3://{bucket}/p out --delete", "bucket", "bucket", "out", requests=30),
    command("mv -r s3://{bucket}/p out", "bucket", "out", requests=110),
    command("mv -r s3://{bucket}/q s3://{bucket}/p", "other", "bucket", requests=190),
    command("rm -r s3://{bucket}/p", "bucket", requests=40),
    command("verify -r s3://{bucket}/p", "bucket", "bucket", requests=30),
    command("fsck s3://{bucket} --repair --exclusive", "bucket", "bucket", requests=110, gone=ALL_WASTE, mends=True),
    command(
        "gc s3://{bucket} --exclusive --older-than 0s", "bucket", "bucket", requests=100, gone=ALL_WASTE, mends=True
    ),
    command("purge {bucket}", "bucket", "bucket", requests=25, gone=EXPIRED),
    # Where it was the answer to the last request that was lost, there is no bucket any more.
    command("rb s3://{bucket} --force", "bucket", requests=60, gone=".*", again=(0, 1)),
]


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_500_000_000,) * 2)


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclass
class Place:
    """What a command works on, seen as other tools see it and as our client does, past the proxy."""

    url: str
    """The proxy's, to whom the commands talk."""
    proxy: Proxy
    s3: Any
    client: DeltaGliderClient
    folder: Path
    command: Command
    bucket: str = ""

    # -- before

    async def prepare(self) -> None:
        """All as it is when the command begins."""
        self.bucket = f"test-{random.SystemRandom().randrange(1 << 60):x}"
        await self.client.create_bucket(Bucket=self.bucket)
        if self.command.before == "src":
            write(self.folder / "src", CONTENTS)
            if "--delete" in self.command.line:
                self.s3.put_object(Bucket=self.bucket, Key="p/too/much", Body=b"")
            return
        prefix = "q/" if self.command.before == "other" else "p/"
        for name, content in CONTENTS.items():
            await self.client.put_object(Bucket=self.bucket, Key=prefix + name, Body=content)
        if self.command.gone:
            await asyncio.to_thread(self._damage)

    def _damage(self) -> None:
        """References in the trash, or without deltas; deltas that plain objects replaced; expired copies."""
        for folder in ("a", "c/d"):
            at = f"p/{folder}/reference.bin"
            found = self.s3.get_object(Bucket=self.bucket, Key=at)
            entry = f"p/{folder}/.deltaglider/trash/{found['Metadata']['dg-file-sha256']}/{'0' * 16}/reference.bin"
            self._put(entry, found["Body"].read(), found["Metadata"])
            self.s3.delete_object(Bucket=self.bucket, Key=at)
        found = self.s3.get_object(Bucket=self.bucket, Key="p/b/reference.bin")
        body, metadata = found["Body"].read(), found["Metadata"]
        for number in range(3):
            self._put(f"p/b/{number}.zip", CONTENTS[f"b/{number}.zip"])
            self._put(f"unused/{number}/reference.bin", body, metadata)
        for number in range(12):
            self._put(f".deltaglider/tmp/{number}_a.zip", b"copy", {"dg-expires-at": "2020-01-01T00:00:00Z"})

    def _put(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata or {})

    # -- the command

    async def run(self, number: int | None = None, moment: int = 0, fault: Fault | None = None) -> tuple[int, bytes]:
        """Run it, and send it a signal at that request, which it may get no answer to. Its exit code and stderr."""
        words = [*self.command.line.format(bucket=self.bucket).split()]
        if self.command.line.startswith(("cp", "mv", "sync", "verify")):  # rm goes by the thousand
            words += ["--concurrency", "3"]
        process = await asyncio.create_subprocess_exec(
            *DG, *words, cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "AWS_ENDPOINT_URL": self.url},
        )  # fmt: skip
        requests = 0

        def choose(method: str, target: str) -> Fault | None:
            nonlocal requests
            requests += 1
            if number is None or requests != moment:
                return None
            process.send_signal(number)
            return fault

        self.proxy.choose = choose
        try:
            _, said = await process.communicate()
            while self.proxy.under_way:  # what a killed one had asked for still happens  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, said

    # -- what is seen

    async def seen(self) -> dict[Where, dict[str, bytes]]:
        """What is where. In the bucket only what can be read whole, and nothing else may be there."""
        found: dict[Where, dict[str, bytes]] = {
            "src": below(self.folder / "src"), "out": below(self.folder / "out"), "bucket": {}, "other": {},
        }  # fmt: skip
        try:
            page = await self.client.list_objects_v2(Bucket=self.bucket)
        except NotFoundError:
            return found
        await self.client.clear_cache()
        for entry in page.get("Contents", ()):
            async with (await self.client.get_object(Bucket=self.bucket, Key=entry["Key"]))["Body"] as body:
                prefix, _, name = entry["Key"].partition("/")
                found["other" if prefix == "q" else "bucket"][name] = await body.read()
        if not self.command.gone:
            findings = [finding async for finding in self.client.fsck(self.bucket)]
            assert not [finding for finding in findings if finding.severity == "error"]
        return found

    async def check_meanwhile(self) -> None:
        """Nothing is lost, and nothing is there that was not asked for."""
        seen = await self.seen()
        seen["bucket"].pop("too/much", None)
        for where, contents in seen.items():
            assert contents.items() <= CONTENTS.items(), where
        if self.command.after:
            assert {name for contents in seen.values() for name in contents} == CONTENTS.keys()
        with suppress(self.s3.exceptions.NoSuchBucket):  # removed by then, as asked
            assert not self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads")

    async def check_end(self) -> None:
        seen = await self.seen()
        for where, contents in seen.items():
            assert contents == (CONTENTS if where in self.command.after else {}), where
        if self.command.line.startswith("rb"):
            assert self.bucket not in [each["Name"] for each in self.s3.list_buckets()["Buckets"]]
            return
        stored = [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", ())]
        assert not [key for key in stored if re.fullmatch(self.command.gone, key)]
        findings = [finding async for finding in self.client.fsck(self.bucket)]
        errors = {finding.kind for finding in findings if finding.severity == "error"}
        assert errors == ({"reference-in-trash"} if self.command.gone and not self.command.mends else set())


@asynccontextmanager
async def place_for(command: Command, endpoint: str, folder: Path) -> AsyncIterator[Place]:
    s3: Any = Session().create_client("s3", endpoint_url=endpoint, config=Config(proxies={}))
    with closing(s3):
        async with (
            create_client(endpoint_url=endpoint) as client,
            faulty(endpoint, lambda method, target: None) as found,
        ):
            yield Place(*found, s3, client, folder, command)


async def interrupted(place: Place, moments: int, seed: str, *, share: float) -> int:
    """Interrupt a command so often, then run it to its end, and look each time. How often it was under way.

    Each moment is within that share of a whole run.
    """
    chance = random.Random(seed)
    await place.prepare()
    under_way = 0
    killed = chance.getrandbits(1)
    for turn in range(moments):
        number = signal.SIGKILL if turn % 2 == killed else chance.choice((signal.SIGINT, signal.SIGTERM))
        # It has happened or not, and nobody heard the answer; or somebody did.
        fault = chance.choice((Fault.RESET_BEFORE, Fault.STALL, None))
        code, said = await place.run(number, chance.randint(1, int(place.command.requests * share)), fault)
        ended = code in (0, *place.command.again)
        assert ended or code == (-number if number == signal.SIGKILL else 128 + number), said
        assert b"Traceback" not in said
        assert ended or number == signal.SIGKILL or said.startswith(b"dg: interrupted"), said
        under_way += not ended
        await place.check_meanwhile()
    code, said = await place.run()
    assert code in place.command.again, said
    await place.check_end()
    return under_way


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
async def test_after_an_interruption_the_same_command_again_ends_in_the_right_state(
    command: Command, real_server: Callable[[str], str], tmp_path: Path
) -> None:
    async with place_for(command, real_server(CONDITIONAL[-1]), tmp_path) as place:
        await interrupted(place, 2, command.line, share=0.6)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
async def test_after_many_interruptions_the_same_command_again_ends_in_the_right_state(
    command: Command, conditional_endpoint: str, tmp_path: Path
) -> None:
    under_way = 0
    async with place_for(command, conditional_endpoint, tmp_path) as place:
        for share in (0.1, 0.3, 1):
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            under_way += await interrupted(place, 6, f"{command.line} {share}", share=share)
    assert under_way >= 9


class Stuck:
    """An S3 service that begins uploads, and answers neither a part nor the end that is asked for after it."""

    def __init__(self) -> None:
        self.part, self.end, self.over = threading.Event(), threading.Event(), threading.Event()
        stuck = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = (
                    b"<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>k</Key><UploadId>1</UploadId>"
                    b"</InitiateMultipartUploadResult>"
                )
                self._answer(200, body)

            def do_PUT(self) -> None:
                stuck.part.set()
                stuck.over.wait()
                self.close_connection = True

            def do_DELETE(self) -> None:
                stuck.end.set()
                stuck.over.wait()
                self.close_connection = True

            def do_HEAD(self) -> None:
                self._answer(404, b"")

            def do_GET(self) -> None:
                self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.server.daemon_threads = True
        self.server.block_on_close = False


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    service = Stuck()
    thread = threading.Thread(target=service.server.serve_forever)
    thread.start()
    yield service
    service.over.set()
    service.server.shutdown()
    service.server.server_close()
    thread.join()


def test_ctrl_c_twice_waits_for_no_clean_up(stuck: Stuck, tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(100_000_000)  # in parts
    endpoint = f"http://127.0.0.1:{stuck.server.server_port}"
    command = [*DG, "cp", str(tmp_path / "large.bin"), "s3://bucket/", "--endpoint-url", endpoint]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert stuck.part.wait(50)
            process.send_signal(signal.SIGINT)
            assert stuck.end.wait(50)  # it cleans up, and would wait for that
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        finally:
            process.kill()
        assert process.stdout and process.stderr
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
