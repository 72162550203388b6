"""The look for an EC2 instance, against a server that answers as its metadata service does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.servers import answering, response

from deltaglider_async.cli.ec2 import Check, check, region_of

TOKEN = b"the-token"


@asynccontextmanager
async def instance(zone: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """A metadata service that gives nothing away without a token; the requests that it got."""
    asked: list[str] = []

    async def answer(line: str, head: bytes) -> bytes:
        asked.append(" ".join(line.split(" ")[:2]))
        if line.startswith("PUT /latest/api/token") and b"x-aws-ec2-metadata-token-ttl-seconds" in head.lower():
            return response("200 OK", TOKEN)
        if TOKEN not in head:
            return response("401 Unauthorized", b"")
        return response("200 OK", zone.encode())

    async with answering(answer) as url:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        yield asked


async def look(region: str, *, asked: bool = False, custom_endpoint: bool = False, disabled: bool = False) -> Check:
    return await check(region, asked=asked, custom_endpoint=custom_endpoint, disabled=disabled)


async def test_the_same_region(monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("eu-central-1b", monkeypatch) as asked:
        found = await look("eu-central-1")
    assert found.lines[:2] == ["EC2 Instance: eu-central-1b", "S3 Client Region: eu-central-1"]
    assert "same region" in found.lines[2]
    assert found.cost(10**12) == 0
    assert asked == ["PUT /latest/api/token", "GET /latest/meta-data/placement/availability-zone/"]


async def test_another_region_is_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("us-west-2-lax-1a", monkeypatch):
        found = await look("us-east-1")
    assert found.lines[:2] == ["EC2 Instance: us-west-2-lax-1a", "S3 Client Region: us-east-1"]
    assert found.lines[2].startswith("Hint: ")
    assert "--region us-west-2;" in found.lines[2]
    assert found.cost(10**12) == pytest.approx(20)


async def test_another_region_that_was_asked_for_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("us-gov-west-1a", monkeypatch):
        found = await look("us-east-1", asked=True)
    assert found.lines[2].startswith("Warning: --region us-east-1 is not the instance's, us-gov-west-1")


async def test_elsewhere_the_region_alone_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    assert (await look("us-east-1")).lines == ["S3 Client Region: us-east-1"]


@pytest.mark.parametrize("reason", ["custom_endpoint", "disabled"])
async def test_nobody_is_asked_where_it_does_not_matter(reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("us-east-1a", monkeypatch) as asked:
        found = await look("us-east-1", **{reason: True})
    assert found == Check("elsewhere", "us-east-1")
    assert asked == []


async def test_an_answer_that_is_no_zone_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("<html>", monkeypatch):
        assert await look("us-east-1") == Check("elsewhere", "us-east-1")


async def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hung_up = asyncio.Event()

    async def answer(line: str, head: bytes) -> bytes:
        await hung_up.wait()
        return b""

    async with answering(answer) as url:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url)
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        before = time.monotonic()
        assert await look("us-east-1") == Check("elsewhere", "us-east-1")
        hung_up.set()
    assert time.monotonic() - before < 30  # botocore would wait for a minute


def test_the_region_of_a_zone() -> None:
    zones = {"us-east-1a": "us-east-1", "us-west-2-lax-1a": "us-west-2", "cn-north-1b": "cn-north-1", "": None}
    assert {zone: region_of(zone) for zone in zones} == zones
