"""The migration in examples/: all of it arrives, it can be interrupted, and a second run does nothing twice."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from examples.bulk_migration import Summary, migrate
from tests.engine.conftest import content, version

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BASE = content(1)
PROGRAM = Path(__file__).parents[2] / "examples" / "bulk_migration.py"
OBJECTS = {
    **{f"old/a/app-{number}.zip": version(BASE, number) for number in range(6)},
    **{f"old/b/app-{number}.zip": version(BASE, number) for number in range(3)},
    "old/notes.txt": b"notes",
    "old/empty.zip": b"",
    "other/app.zip": b"not below the prefix",
}


@pytest.fixture
async def old(s3: S3Client, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str) -> str:
    """A plain bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    name = f"old-{secrets.token_hex(8)}"

    def fill() -> None:
        s3.create_bucket(Bucket=name)
        for key, data in OBJECTS.items():
            s3.put_object(
                Bucket=name, Key=key, Body=data, Metadata={"of": "it"}, ContentType="application/x-app", Tagging="t=1"
            )

    await asyncio.to_thread(fill)
    return name


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


async def run(old: str, bucket: str) -> Summary:
    return await migrate(f"s3://{old}/old/", f"s3://{bucket}/new/", None, 4)


async def assert_all_there(client: DeltaGliderClient, bucket: str) -> None:
    wanted = {key.replace("old/", "new/"): data for key, data in OBJECTS.items() if key.startswith("old/")}
    listed = await client.list_objects_v2(Bucket=bucket)
    assert {item["Key"] for item in listed["Contents"]} == set(wanted)
    for key, data in wanted.items():
        found = await client.get_object(Bucket=bucket, Key=key)
        async with found["Body"] as body:
            assert await body.read() == data
        assert found["Metadata"]["of"] == "it"
        assert found["ContentType"] == "application/x-app"
        assert found["TagCount"] == 1


async def test_everything_below_the_prefix_arrives_as_deltas(
    client: DeltaGliderClient, old: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = await run(old, bucket)
    assert (summary.copied, summary.skipped, summary.failed, summary.complete) == (11, 0, [], True)
    assert summary.stored < summary.size / 3
    assert "11 copied, 0 there already, 0 failed" in capsys.readouterr().out
    await assert_all_there(client, bucket)
    head = await client.head_object(Bucket=bucket, Key="new/a/app-5.zip")
    assert head["DeltaGliderInfo"]["IsDelta"]


async def test_a_second_run_writes_only_what_has_changed(
    client: DeltaGliderClient, s3: S3Client, old: str, bucket: str
) -> None:
    for number, data in ((0, version(BASE, 0)), (1, BASE)):  # there without a mark: the same content, and another
        await client.put_object(Bucket=bucket, Key=f"new/a/app-{number}.zip", Body=data)
    summary = await run(old, bucket)
    assert (summary.copied, summary.skipped) == (10, 1)
    etag = (await client.head_object(Bucket=bucket, Key="new/a/app-3.zip"))["ETag"]

    new = version(BASE, 99)
    await asyncio.to_thread(lambda: s3.put_object(Bucket=old, Key="old/a/app-2.zip", Body=new))
    summary = await run(old, bucket)
    assert (summary.copied, summary.skipped) == (1, 10)
    assert (await client.head_object(Bucket=bucket, Key="new/a/app-3.zip"))["ETag"] == etag
    async with (await client.get_object(Bucket=bucket, Key="new/a/app-2.zip"))["Body"] as body:
        assert await body.read() == new


async def test_what_fails_is_told_and_does_not_stop_the_others(
    client: DeltaGliderClient, s3: S3Client, old: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(lambda: s3.put_object(Bucket=old, Key="old/a/reference.bin", Body=b"somebody's"))
    summary = await run(old, bucket)
    assert (summary.copied, summary.failed, summary.complete) == (11, ["old/a/reference.bin"], False)
    said = capsys.readouterr()
    assert "failed: old/a/reference.bin: cannot put" in said.err
    assert "run it again" in said.out
    await assert_all_there(client, bucket)


async def start(old: str, bucket: str) -> Process:
    arguments = [str(PROGRAM), f"s3://{old}/old/", f"s3://{bucket}/new/", "--at-once", "1"]
    return await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=PIPE, stderr=PIPE, env=os.environ)


async def test_it_can_be_interrupted_and_resumed(client: DeltaGliderClient, old: str, bucket: str) -> None:
    program = await start(old, bucket)
    while not (await client.list_objects_v2(Bucket=bucket))["KeyCount"]:
        assert program.returncode is None
    program.send_signal(signal.SIGINT)
    said, errors = await program.communicate()
    assert program.returncode == 130, errors
    assert errors == b""
    assert b"Incomplete: run it again to go on." in said
    assert "Uploads" not in await client.list_multipart_uploads(Bucket=bucket)

    program = await start(old, bucket)
    said, errors = await program.communicate()
    assert (program.returncode, errors) == (0, b"")
    copied, skipped = (int(part.split()[0]) for part in said.decode().split(",")[:2])
    assert copied + skipped == 11 and skipped >= 1
    await assert_all_there(client, bucket)
