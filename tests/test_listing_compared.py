"""Listings beside those of botocore's own client, on real servers: a bucket of ours, and one of plain objects."""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import aioboto3
import pytest
from aiobotocore.config import AioConfig
from botocore.exceptions import ParamValidationError

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from tests.engine.conftest import content, version
from tests.real_servers import ACCESS_KEY, SECRET_KEY

BASE = content(3, 3_000)
#: What differs because the bytes and the moments do, and what ours adds.
OF_THE_STORED = ("Size", "ETag", "LastModified", "ChecksumAlgorithm", "ChecksumType", "Metadata", "VersionId")
TOKENS = ("ContinuationToken", "NextContinuationToken", "VersionIdMarker", "NextVersionIdMarker", "NextKeyMarker")
#: Characters around those that `.delta` begins with, and those that URLs and XML treat in their own ways.
PIECES = (
    "app",
    "app",
    ".",
    "-",
    "1",
    "2",
    ".a",
    ".delt",
    ".deltb",
    " ",
    "+",
    "%",
    "%41",
    "&",
    "<",
    "é",
    "中",
    "~",
    "*",
    "/",
    "/",
)


@asynccontextmanager
async def raw_client(endpoint: str) -> AsyncIterator[Any]:
    session = aioboto3.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY, region_name="us-east-1")
    config = AioConfig(request_checksum_calculation="when_required", response_checksum_validation="when_required")
    async with session.client("s3", endpoint_url=endpoint, config=config) as client:
        yield client


def names(seed: int, count: int) -> list[str]:
    """Awkward names, none of which is a folder of another: not every server can hold both."""
    choose = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        name = "".join(choose.choice(PIECES) for _ in range(choose.randint(1, 6)))
        if "//" in name or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
            continue
        forms = [form for each in found for form in (each, each + ".delta")]
        if not any(f"{form}/".startswith(f"{other}/") or f"{other}/".startswith(f"{form}/")
                   for form in (name, name + ".delta") for other in forms):  # fmt: skip
            found[name] = None
    return list(found)


@dataclass(frozen=True)
class Buckets:
    """The same keys, in a bucket of ours and in one of plain objects."""

    ours: DeltaGliderClient
    raw: Any
    bucket: str
    raw_bucket: str

    async def both(self, operation: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        ours = await getattr(self.ours, operation)(Bucket=self.bucket, **arguments)
        raw = await getattr(self.raw, operation)(Bucket=self.raw_bucket, **arguments)
        return ours, raw


@asynccontextmanager
async def filled(endpoint: str, keys: list[str], **arguments: Any) -> AsyncIterator[Buckets]:
    async with create_client(endpoint_url=endpoint) as ours, raw_client(endpoint) as raw:
        both = Buckets(ours, raw, f"ours-{secrets.token_hex(6)}", f"raw-{secrets.token_hex(6)}")
        await ours.create_bucket(Bucket=both.bucket)
        await raw.create_bucket(Bucket=both.raw_bucket)
        for number, key in enumerate(keys):
            delta = number % 3 > 0
            await ours.put_object(Bucket=both.bucket, Key=key, Body=version(BASE, number), use_delta=delta, max_ratio=1)
            await raw.put_object(Bucket=both.raw_bucket, Key=key, Body=version(BASE, number))
        yield both


def comparable(page: Mapping[str, Any], bucket: str, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """A page without what must differ."""
    kept: dict[str, Any] = {
        name: value for name, value in page.items() if name not in (*TOKENS, *left_out, "ResponseMetadata")
    }
    assert kept.pop("Name") == bucket
    for kind in ("Contents", "Versions", "DeleteMarkers"):
        if kind in kept:
            kept[kind] = [
                {name: value for name, value in item.items() if name not in OF_THE_STORED} for item in kept[kind]
            ]
    return kept


#: What a server that differs from S3 here does not say. Ours says what S3 does.
UNSAID = {"moto": ("Marker", "Prefix", "EncodingType", "StartAfter"), "minio": ()}


@pytest.fixture(params=["moto", "minio"])
def server(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def endpoint(server: str, real_server: Any) -> str:
    url: str = real_server(server)
    return url


@pytest.mark.parametrize("seed", [1, 2])
async def test_pages_are_those_of_plain_objects(server: str, endpoint: str, seed: int) -> None:
    keys = names(seed, 40)
    async with filled(endpoint, keys) as both:
        for prefix, delimiter, most, encoding in queries(keys, seed):
            if delimiter not in ("", "/") and server == "minio":
                most = 1000  # it repeats such a common prefix on the next page
            arguments: dict[str, Any] = {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": most} | encoding
            await same_pages_v2(both, arguments, UNSAID[server])
            if server != "moto":  # whose first version leaves MaxKeys out of account for common prefixes
                await same_pages_v1(both, arguments)


def queries(keys: list[str], seed: int) -> Iterator[tuple[str, str, int, dict[str, str]]]:
    choose = random.Random(seed)
    prefixes = ["", "app", "app/", *(key[: choose.randint(1, len(key))] for key in choose.sample(keys, 4))]
    for prefix, delimiter in itertools.product(prefixes, ["", "/", "p", "."]):
        yield prefix, delimiter, choose.choice([3, 11, 1000]), choose.choice([{}, {}, {"EncodingType": "url"}])


async def same_pages_v2(both: Buckets, arguments: dict[str, Any], unsaid: tuple[str, ...]) -> None:
    tokens: list[dict[str, Any]] = [{}, {}]
    while True:
        ours = await both.ours.list_objects_v2(Bucket=both.bucket, FetchOwner=True, **arguments, **tokens[0])
        raw = await both.raw.list_objects_v2(Bucket=both.raw_bucket, FetchOwner=True, **arguments, **tokens[1])
        if not arguments.get("EncodingType") or not unsaid:  # moto encodes in its own way
            assert comparable(ours, both.bucket, unsaid) == comparable(raw, both.raw_bucket, unsaid), arguments
        if not raw["IsTruncated"]:
            assert "NextContinuationToken" not in ours
            return
        tokens = [{"ContinuationToken": page["NextContinuationToken"]} for page in (ours, raw)]


async def same_pages_v1(both: Buckets, arguments: dict[str, Any]) -> None:
    marker: dict[str, str] = {}
    while True:
        ours, raw = await both.both("list_objects", **arguments, **marker)
        if "EncodingType" not in arguments:  # botocore forgets to decode this one
            raw["Prefix"] = unquote_plus(raw["Prefix"])
        left_out = ("NextMarker",)  # ours gives it without a delimiter too
        found = comparable(ours, both.bucket, left_out)
        if not found["Contents"]:  # always present here
            del found["Contents"]
        assert found == comparable(raw, both.raw_bucket, left_out), (arguments, marker)
        if not ours["IsTruncated"] or arguments.get("EncodingType"):
            return
        marker = {"Marker": ours["NextMarker"]}


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
async def test_arguments_are_refused_as_boto3_refuses_them(operation: str, s3_endpoint: str, bucket: str) -> None:
    async with create_client(endpoint_url=s3_endpoint) as client:
        list_ = getattr(client, operation)
        wrong: dict[str, Any]
        for wrong in ({"MaxKeys": -1}, {"EncodingType": "xml"}):
            with pytest.raises(client.exceptions.ClientError) as raised:
                await list_(Bucket=bucket, **wrong)
            assert raised.value.response["Error"]["Code"] == "InvalidArgument"
        for wrong in ({"Maxkeys": 1}, {"MaxKeys": "1"}, {"Prefix": b"a"}):
            with pytest.raises(ParamValidationError):
                await list_(Bucket=bucket, **wrong)
        assert (await list_(Bucket=bucket, MaxKeys=0))["IsTruncated"] is False
        assert (await list_(Bucket=bucket, MaxKeys=5000))["MaxKeys"] == 1000
        for most in (0, 1):
            with pytest.raises(client.exceptions.NoSuchBucket):
                await list_(Bucket=f"{bucket}-none", MaxKeys=most)
