"""Artifacts as registries serve them, fetched by npm, Maven, apt-get and pip: the long form of test_round_trips.py.

`make proofs` runs it. It needs those programs and their registries, and fails without them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deltaglider_async.session import create_client

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


def fetch(folder: Path, *command: str) -> None:
    # Package managers keep their own settings; only the tests' made-up AWS account must not leak into them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdin=subprocess.DEVNULL, timeout=300)


@pytest.fixture(scope="module")
def tarballs(folder: Path) -> list[Path]:
    fetch(folder, "npm", "pack", "--silent", "typescript@5.4.2", "typescript@5.4.3")
    return [folder / f"typescript-5.4.{patch}.tgz" for patch in (2, 3)]


@pytest.fixture(scope="module")
def jars(folder: Path) -> list[Path]:
    for version in ("33.0.0", "33.1.0"):
        coordinates = f"com.google.guava:guava:{version}-jre"
        fetch(folder, "mvn", "-q", "dependency:get", f"-Dartifact={coordinates}", "-Dtransitive=false")
        copy = ("mvn", "-q", "dependency:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}")
        fetch(folder, *copy)
    return [folder / f"guava-{version}-jre.jar" for version in ("33.0.0", "33.1.0")]


@pytest.fixture(scope="module")
def wheels(folder: Path) -> list[Path]:
    for patch in (90, 91):
        fetch(folder, "python3", "-m", "pip", "download", "-q", "--no-deps", f"botocore==1.35.{patch}")
        (wheel,) = folder.glob(f"botocore-1.35.{patch}-*.whl")
        wheel.rename(folder / f"botocore-1.35.{patch}.zip")
    return [folder / f"botocore-1.35.{patch}.zip" for patch in (90, 91)]


@pytest.fixture(scope="module")
def debs(folder: Path) -> list[Path]:
    """Two versions of one package, from the two oldest that apt-get offers; their payload is compressed by xz."""
    listed = subprocess.run(["apt-cache", "madison", "libssl3"], capture_output=True, text=True, check=True).stdout
    versions = list(dict.fromkeys(line.split("|")[1].strip() for line in listed.splitlines()))[:2]
    for version in versions:
        fetch(folder, "apt-get", "download", "-q", f"libssl3={version}")
    found = sorted(folder.glob("libssl3_*.deb"))
    assert len(found) == 2
    return found


@pytest.fixture(scope="module")
def unpacked_debs(folder: Path, debs: list[Path]) -> list[Path]:
    """The same packages with an uncompressed payload, as `dpkg-deb -Znone` builds them."""
    built = []
    for deb in debs:
        content = folder / f"{deb.stem}-content"
        fetch(folder, "dpkg-deb", "-R", str(deb), str(content))
        fetch(folder, "dpkg-deb", "-Znone", "-b", str(content), f"{deb.stem}-plain.deb")
        built.append(folder / f"{deb.stem}-plain.deb")
    return built


@pytest.fixture(scope="module")
def tars(folder: Path, tarballs: list[Path]) -> dict[str, list[Path]]:
    """Plain and compressed by the system's tar."""
    made: dict[str, list[Path]] = {}
    for tarball in tarballs:
        content = folder / f"{tarball.stem}-content"
        content.mkdir()
        fetch(folder, "tar", "-xzf", str(tarball), "-C", str(content))
        for suffix, option in ((".tar", "-c"), (".tar.gz", "-cz"), (".tar.bz2", "-cj"), (".tar.xz", "-cJ")):
            name = folder / f"{tarball.stem}{suffix}"
            fetch(folder, "tar", option, "--sort=name", "-f", str(name), "-C", str(content), ".")
            made.setdefault(suffix, []).append(name)
    return made


async def second_stored_as(endpoint: str, bucket: str, pair: list[Path]) -> str:
    """Put both into one folder, read both back, compare every byte, and tell how the second one is stored."""
    async with create_client(endpoint_url=endpoint) as client:
        for path in pair:
            put = await client.upload(path, f"s3://{bucket}/{pair[0].name}/{path.name}")
        await client.clear_cache()
        for path in pair:
            response = await client.get_object(Bucket=bucket, Key=f"{pair[0].name}/{path.name}")
            async with response["Body"] as body:
                assert await body.read() == await asyncio.to_thread(path.read_bytes)
    print(f"\n{pair[1].name}: {put.original_size:,} bytes, stored in {put.stored_size:,}: {put.reason or 'a delta'}")
    return "delta" if put.is_delta else "plain"


async def test_wheels_are_deltas(s3_endpoint: str, bucket: str, wheels: list[Path]) -> None:
    assert await second_stored_as(s3_endpoint, bucket, wheels) == "delta"


async def test_jars_are_deltas(s3_endpoint: str, bucket: str, jars: list[Path]) -> None:
    assert await second_stored_as(s3_endpoint, bucket, jars) == "delta"


async def test_debs_are_deltas_where_their_payload_is_not_compressed(
    s3_endpoint: str, bucket: str, debs: list[Path], unpacked_debs: list[Path]
) -> None:
    assert await second_stored_as(s3_endpoint, bucket, unpacked_debs) == "delta"
    assert await second_stored_as(s3_endpoint, bucket, debs) == "plain"  # exact all the same


async def test_npm_tarballs_are_plain(s3_endpoint: str, bucket: str, tarballs: list[Path]) -> None:
    assert await second_stored_as(s3_endpoint, bucket, tarballs) == "plain"


async def test_only_uncompressed_tars_are_deltas(s3_endpoint: str, bucket: str, tars: dict[str, list[Path]]) -> None:
    for suffix, pair in tars.items():
        assert await second_stored_as(s3_endpoint, bucket, pair) == ("delta" if suffix == ".tar" else "plain")


async def test_the_same_file_again_is_a_delta(s3_endpoint: str, bucket: str, folder: Path, jars: list[Path]) -> None:
    again = folder / "again.jar"
    await asyncio.to_thread(shutil.copy, jars[0], again)
    assert await second_stored_as(s3_endpoint, bucket, [jars[0], again]) == "delta"
