"""Ctrl-C and SIGTERM at random moments, and the same command again: it ends as if nothing had happened.

The moments are counted in lines of output, not in seconds, so that they fall into the work however busy the machine is.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import DG

from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = random.Random(1).randbytes(60_000)
CONTENTS = {
    f"{folder}/{number}.{suffix}": BASE + f"{folder}{number}".encode()
    for folder in ("a", "b", "c/d")
    for number in range(4)
    for suffix in ("zip", "txt")
}


@dataclass(frozen=True)
class Command:
    """A line, and what there must be when it is done: below `src`, below `p/` in the bucket, below `out`."""

    line: str
    src: bool
    bucket: bool
    out: bool
    in_bucket: bool = False
    """Whether the objects are there at the beginning; else the files are."""


COMMANDS = [
    Command("cp -r src s3://{bucket}/p", src=True, bucket=True, out=False),
    Command("sync src s3://{bucket}/p --delete", src=True, bucket=True, out=False),
    Command("mv -r src s3://{bucket}/p", src=False, bucket=True, out=False),
    Command("cp -r s3://{bucket}/p out", src=False, bucket=True, out=True, in_bucket=True),
    Command("sync s3://{bucket}/p out --delete", src=False, bucket=True, out=True, in_bucket=True),
    Command("mv -r s3://{bucket}/p out", src=False, bucket=False, out=True, in_bucket=True),
    Command("mv -r s3://{bucket}/q s3://{bucket}/p", src=False, bucket=True, out=False),
    Command("rm -r s3://{bucket}/p", src=False, bucket=False, out=False, in_bucket=True),
]


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (1_500_000_000,) * 2)


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def put(endpoint: str, bucket: str, prefix: str) -> None:
    async with create_client(endpoint_url=endpoint) as client:
        for name, content in CONTENTS.items():
            await client.put_object(Bucket=bucket, Key=prefix + name, Body=content)


async def stored(endpoint: str, bucket: str) -> dict[str, bytes]:
    found = {}
    async with create_client(endpoint_url=endpoint) as client:
        page = await client.list_objects_v2(Bucket=bucket)
        for entry in page.get("Contents", ()):
            async with (await client.get_object(Bucket=bucket, Key=entry["Key"]))["Body"] as body:
                found[entry["Key"]] = await body.read()
        findings = [finding async for finding in client.fsck(bucket)]
    assert not [finding for finding in findings if finding.severity == "error"]
    return found


def interrupted(words: list[str], number: int, lines: int) -> int | None:
    """Run a command until it has printed so many lines, and then send it a signal; its exit code."""
    with subprocess.Popen([*DG, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stderr
        for _ in range(lines):
            if not process.stdout.readline():
                break
        process.send_signal(number)
        process.communicate()
        return process.returncode


@pytest.mark.timeout(120)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.line)
def test_after_an_interruption_the_same_command_again_ends_in_the_right_state(
    command: Command, s3_endpoint: str, s3: S3Client, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    chance = random.Random(command.line)
    if command.in_bucket:
        asyncio.run(put(s3_endpoint, bucket, "p/"))
    elif command.line.startswith("mv -r s3"):
        asyncio.run(put(s3_endpoint, bucket, "q/"))
    else:
        write(tmp_path / "src", CONTENTS)
        if "--delete" in command.line:
            s3.put_object(Bucket=bucket, Key="p/too/much", Body=b"")
    words = command.line.format(bucket=bucket).split()
    for number in chance.sample([signal.SIGINT, signal.SIGTERM], 2):
        code = interrupted([*words, "--concurrency", "3"], number, lines=chance.randint(1, 8))
        assert code in (0, 128 + number)
        assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
        assert below(tmp_path / "out").items() <= CONTENTS.items()  # nothing half-written, and no other file
    again = subprocess.run([*DG, *words], capture_output=True, check=False)
    assert (again.returncode, again.stderr) == (0, b"")
    assert below(tmp_path / "src") == (CONTENTS if command.src else {})
    assert below(tmp_path / "out") == (CONTENTS if command.out else {})
    expected = {f"p/{name}": content for name, content in CONTENTS.items()} if command.bucket else {}
    assert asyncio.run(stored(s3_endpoint, bucket)) == expected


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
