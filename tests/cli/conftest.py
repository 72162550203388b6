"""`dg` as a program of its own, against the run's S3 server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deltaglider_async.session import create_client

DG = [sys.executable, "-m", "deltaglider_async.cli"]

Run = Callable[..., subprocess.CompletedProcess[bytes]]
Put = Callable[[str, dict[str, bytes]], None]


@pytest.fixture
def dg(s3_endpoint: str, forked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `dg`, forked, with arguments in the test's own folder. `input`: bytes for standard input."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)

    def run(*arguments: str, input: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[bytes]:
        # What a Python reads when it starts needs one that starts.
        begins = any(name.startswith(("PYTHON", "LC_", "LANG")) for name in environment)
        return subprocess.run(
            [*(DG if begins else [*forked, "dg"]), *arguments],
            input=input, capture_output=True, check=False, env={**os.environ, **environment},
        )  # fmt: skip

    return run


@pytest.fixture
def put(s3_endpoint: str) -> Put:
    """Put objects, by key, into a bucket, one after the other; faster than with `dg`."""

    async def put_all(bucket: str, contents: dict[str, bytes]) -> None:
        async with create_client(endpoint_url=s3_endpoint) as client:
            for key, content in contents.items():
                await client.put_object(Bucket=bucket, Key=key, Body=content)

    return lambda bucket, contents: asyncio.run(put_all(bucket, contents))
