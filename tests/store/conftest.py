"""Real servers behind stores."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable

import pytest
from tests.real_servers import program
from tests.store.worlds import World, world
from tests.torture.proxy import shorten_pauses


@pytest.fixture(params=["moto", "minio"])
async def real(request: pytest.FixtureRequest, real_server: Callable[[str], str]) -> AsyncIterator[World]:
    if request.param == "minio" and not program("minio"):
        pytest.skip("there is no MinIO here; make servers builds it")
    async with world(real_server(request.param)) as made:
        yield made


@pytest.fixture
async def place(real: World) -> str:
    name = f"test-{secrets.token_hex(8)}"
    await real.s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for what is asked for again."""
    shorten_pauses(monkeypatch)
