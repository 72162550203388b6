"""A client on the shared server, and files worth a delta."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest

from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.session import create_client
from deltaglider_async.settings import Settings

MakeClient = Callable[..., AbstractAsyncContextManager[DeltaGliderClient]]


@pytest.fixture
def make_client(s3_endpoint: str) -> MakeClient:
    """Clients with other settings: `async with make_client(max_ratio=0.1) as client`."""
    return lambda **settings: create_client(endpoint_url=s3_endpoint, settings=Settings(**settings))


@pytest.fixture
async def client(make_client: MakeClient) -> AsyncIterator[DeltaGliderClient]:
    async with make_client() as client:
        yield client


def content(seed: int, size: int = 300_000) -> bytes:
    """Incompressible bytes; another seed has nothing in common."""
    return random.Random(seed).randbytes(size)


def version(base: bytes, number: int) -> bytes:
    """A release of `base`: a few places differ."""
    edited = bytearray(base)
    for place in range(0, len(base), max(1, len(base) // 10)):
        edited[place : place + 8] = number.to_bytes(8, "big")
    return bytes(edited)
