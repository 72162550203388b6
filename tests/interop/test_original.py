"""One bucket, two tools: `deltaglider` 6.2.0 from the package index, in an environment of its own, and ours."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests import artifacts

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.errors import NotFoundError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(600)  # the first run installs


@dataclass(frozen=True)
class Original:
    """The original's command line on the tests' server."""

    program: Path
    endpoint_url: str
    home: Path

    async def run(self, *arguments: str | Path) -> str:
        """What it prints; it must succeed."""
        # Some of its commands have the option, the others must find the variable.
        by_option = arguments[0] in ("cp", "ls")
        environment = {
            **os.environ,
            **({} if by_option else {"AWS_ENDPOINT_URL": self.endpoint_url}),
            "TMPDIR": str(self.home),  # its cache of references
            "DG_SUPPRESS_DEPRECATION": "1",
            "DG_LOG_LEVEL": "CRITICAL",
        }
        command = [str(self.program), *map(str, arguments), *(["--endpoint-url", self.endpoint_url] * by_option)]
        done = await anyio.run_process(command, env=environment, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout.decode()} {done.stderr.decode()}"
        return done.stdout.decode()

    async def upload(self, data: bytes, url: str) -> None:
        """Put under a URL. It goes by the local file's name, whatever the URL says."""
        path = self.home / url.rpartition("/")[2]
        await anyio.Path(path).write_bytes(data)
        await self.run("cp", path, url)

    async def download(self, url: str) -> bytes:
        path = self.home / "downloads" / url.removeprefix("s3://")
        await anyio.Path(path.parent).mkdir(parents=True, exist_ok=True)
        await self.run("cp", url, path)
        return await anyio.Path(path).read_bytes()

    async def keys(self, url: str) -> list[str]:
        """The keys in its recursive listing."""
        lines = (await self.run("ls", "-r", url)).splitlines()
        return [line.split(maxsplit=3)[3] for line in lines if line]

    async def is_valid(self, url: str) -> bool:
        """Whether its `verify` says so of a delta, which it knows by the stored name only."""
        answer: dict[str, Any] = json.loads(await self.run("verify", f"{url}.delta"))
        return answer["valid"] is True and answer["expected_sha256"] == answer["actual_sha256"]


@pytest.fixture
def original(program: Path, s3_endpoint: str, tmp_path: Path) -> Original:
    return Original(program, s3_endpoint, tmp_path)


@pytest.fixture
async def client(s3_endpoint: str) -> AsyncIterator[DeltaGliderClient]:
    async with create_client(endpoint_url=s3_endpoint) as client:
        yield client


@pytest.fixture(scope="module")
def zips() -> list[bytes]:
    return [artifacts.zipped(tree) for tree in artifacts.releases()]


async def content(client: DeltaGliderClient, bucket: str, key: str) -> bytes:
    async with (await client.get_object(Bucket=bucket, Key=key))["Body"] as body:
        data: bytes = await body.read()
    return data


async def metadata(s3: S3Client, bucket: str, key: str) -> dict[str, str]:
    return (await asyncio.to_thread(s3.head_object, Bucket=bucket, Key=key))["Metadata"]


async def test_the_original_reads_what_we_wrote(
    client: DeltaGliderClient, original: Original, bucket: str, zips: list[bytes]
) -> None:
    files = {
        "app/app 1.zip": zips[0],
        "app/app+2.zip": zips[1],
        "app/notes.txt": b"not a candidate",
        "app/package.tgz": artifacts.npm_tgz(artifacts.releases()[0]),
        "app/plugins/plugin.zip": zips[2],
        "root-1.zip": zips[1],
        "root-2.zip": zips[2],
        "root.txt": b"",
    }
    for key, data in files.items():
        await client.put_object(Bucket=bucket, Key=key, Body=data, Metadata={"user": "value"})

    assert await original.keys(f"s3://{bucket}/") == sorted(files)
    await original.run("cp", "-r", f"s3://{bucket}/app/", original.home / "app")
    for key, data in files.items():
        if key.startswith("app/"):
            assert await anyio.Path(original.home / key).read_bytes() == data
        else:  # `cp -r` of a whole bucket fails at a reference in its root, one of its own too
            assert await original.download(f"s3://{bucket}/{key}") == data
    assert await original.download(f"s3://{bucket}/app/app+2.zip") == files["app/app+2.zip"]
    for key in ("app/app 1.zip", "app/app+2.zip", "app/plugins/plugin.zip", "root-2.zip"):
        assert await original.is_valid(f"s3://{bucket}/{key}")
    stats = json.loads(await original.run("stats", bucket, "--json", "--detailed"))
    assert (stats["object_count"], stats["delta_objects"], stats["direct_objects"]) == (8, 5, 3)
    assert stats["total_size"] == sum(map(len, files.values()))


async def test_the_original_reads_what_we_copied(
    client: DeltaGliderClient, original: Original, s3: S3Client, bucket: str, zips: list[bytes]
) -> None:
    """Its own deltas too: their bytes are moved, with another header."""
    await client.put_object(Bucket=bucket, Key="ours/v0.zip", Body=zips[0])
    await client.put_object(Bucket=bucket, Key="ours/v1.zip", Body=zips[1])
    for number in (0, 1):
        await original.upload(zips[number], f"s3://{bucket}/its/v{number}.zip")
    for folder in ("ours", "its"):
        for to in (f"{folder}/copy.zip", f"new-{folder}/copy.zip"):
            copied = await client.copy_object(Bucket=bucket, Key=to, CopySource=f"{bucket}/{folder}/v1.zip")
            assert copied["DeltaGliderInfo"]["Operation"] in ("copy_delta", "copy_reference")
            assert await original.download(f"s3://{bucket}/{to}") == zips[1]
            assert await original.is_valid(f"s3://{bucket}/{to}")
            assert await content(client, bucket, to) == zips[1]


async def test_the_original_writes_and_deletes_beside_what_we_wrote(
    client: DeltaGliderClient, original: Original, s3: S3Client, bucket: str, zips: list[bytes]
) -> None:
    for number in (0, 1):
        await client.put_object(Bucket=bucket, Key=f"app/v{number}.zip", Body=zips[number])
    await original.upload(zips[2], f"s3://{bucket}/app/v2.zip")
    ours = await metadata(s3, bucket, "app/v1.zip.delta")
    its = await metadata(s3, bucket, "app/v2.zip.delta")
    assert its["dg-ref-sha256"] == ours["dg-ref-sha256"]
    assert await content(client, bucket, "app/v2.zip") == zips[2]
    await original.run("rm", f"s3://{bucket}/app/v1.zip")
    with pytest.raises(NotFoundError):
        await client.head_object(Bucket=bucket, Key="app/v1.zip")
    for number in (0, 2):
        assert await content(client, bucket, f"app/v{number}.zip") == zips[number]


async def test_we_read_and_delete_what_the_original_wrote(
    client: DeltaGliderClient, original: Original, s3: S3Client, bucket: str, tmp_path: Path, zips: list[bytes]
) -> None:
    files = {
        "app/v0.zip": zips[0],
        "app/v1.zip": zips[1],
        "app/notes.txt": b"not a candidate",
        "root-0.zip": zips[0],
        "root-1.zip": zips[1],
    }
    for key, data in files.items():
        await original.upload(data, f"s3://{bucket}/{key}")
    deltas = {key for key in files if key.endswith(".zip")}
    assert (await metadata(s3, bucket, "app/v0.zip.delta"))["dg-note"].startswith("zero-diff")
    assert "dg-note" not in await metadata(s3, bucket, "app/v1.zip.delta")

    listed = (await client.list_objects_v2(Bucket=bucket, FetchMetadata=True))["Contents"]
    assert [(item["Key"], item["Size"]) for item in listed] == sorted((key, len(data)) for key, data in files.items())
    assert {item["Key"] for item in listed if item["Metadata"]["deltaglider-is-delta"] == "true"} == deltas
    for key, data in files.items():
        head = await client.head_object(Bucket=bucket, Key=key)
        assert (head["ContentLength"], head["DeltaGliderInfo"]["IsDelta"]) == (len(data), key in deltas)
        assert head["Metadata"] == {}
        await client.download(f"s3://{bucket}/{key}", tmp_path / "file")
        assert await anyio.Path(tmp_path / "file").read_bytes() == data
        verified = await client.verify(f"s3://{bucket}/{key}")
        assert verified
        assert verified.expected_sha256 == verified.actual_sha256
    part = await client.get_object(Bucket=bucket, Key="app/v1.zip", Range="bytes=1000-2999")
    assert await part["Body"].read() == zips[1][1000:3000]
    stats = await client.get_bucket_stats(bucket, "detailed")
    assert (stats.object_count, stats.delta_objects, stats.total_size) == (5, 4, sum(map(len, files.values())))

    third = await client.put_object(Bucket=bucket, Key="app/v2.zip", Body=zips[2])
    assert third["DeltaGliderInfo"]["Operation"] == "create_delta"
    assert third["DeltaGliderInfo"]["StoredSize"] < len(zips[2]) / 10
    ours, its = [await metadata(s3, bucket, f"app/v{number}.zip.delta") for number in (2, 1)]
    assert (ours["dg-ref-key"], ours["dg-ref-sha256"]) == (its["dg-ref-key"], its["dg-ref-sha256"])
    assert await original.download(f"s3://{bucket}/app/v2.zip") == zips[2]
    assert await original.is_valid(f"s3://{bucket}/app/v2.zip")

    for key in [*files, "app/v2.zip"]:
        answer = await client.delete_object(Bucket=bucket, Key=key)
        assert answer["DeltaGliderInfo"]["Deleted"]
    assert "Contents" not in await client.list_objects_v2(Bucket=bucket)
    assert await original.keys(f"s3://{bucket}/") == []


async def gzipped(tree: artifacts.Tree, folder: Path) -> bytes:
    """A `.tar.gz` by this machine's gzip, which compresses the same bytes the same way again."""
    tar = folder / "release.tar"
    await anyio.Path(tar).write_bytes(artifacts.tarred(tree))
    return (await anyio.run_process(["gzip", "-n", "-c", str(tar)])).stdout


async def test_what_its_xdelta3_decompressed_comes_back_as_it_was(
    client: DeltaGliderClient, original: Original, s3: S3Client, bucket: str, tmp_path: Path, zips: list[bytes]
) -> None:
    first, second, _ = artifacts.releases()
    files = {"app/v0.tar.gz": await gzipped(first, tmp_path), "app/v1.tar.gz": await gzipped(second, tmp_path)}
    for key, data in files.items():
        await original.upload(data, f"s3://{bucket}/{key}")
    # So much smaller than two compressed streams differ: it was the tar inside that went into the delta.
    assert int((await metadata(s3, bucket, "app/v1.tar.gz.delta"))["dg-delta-size"]) < len(files["app/v1.tar.gz"]) / 20
    for key, data in files.items():
        assert await content(client, bucket, key) == data
        assert await client.verify(f"s3://{bucket}/{key}")

    # A delta of ours against that reference could not be read by the original.
    for number in (0, 1):
        answer = await client.put_object(Bucket=bucket, Key=f"app/v{number}.zip", Body=zips[number])
        assert answer["DeltaGliderInfo"]["Operation"] == "upload_direct"
        assert "gzip" in (answer["DeltaGliderInfo"]["Reason"] or "")
        assert await original.download(f"s3://{bucket}/app/v{number}.zip") == zips[number]
    assert await original.keys(f"s3://{bucket}/") == ["app/v0.tar.gz", "app/v0.zip", "app/v1.tar.gz", "app/v1.zip"]


async def test_the_original_reads_deltas_whose_reference_lies_under_its_digest(
    client: DeltaGliderClient, original: Original, bucket: str, zips: list[bytes]
) -> None:
    # As on an endpoint without conditions. Not on a real one: rclone answers `Dg-Tool`, which the original misses.
    client._engine.conditions._known[bucket, "PutObject", "IfNoneMatch"] = False
    for number, data in enumerate(zips):
        put = await client.put_object(Bucket=bucket, Key=f"app/{number}.zip", Body=data)
    assert ".deltaglider/refs/" in (put["DeltaGliderInfo"]["ReferenceKey"] or "")
    for number, data in enumerate(zips):
        assert await original.download(f"s3://{bucket}/app/{number}.zip") == data
