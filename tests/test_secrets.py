"""Credentials and keys are in no log, no error and no repr: of runs that succeed and of runs that fail."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import subprocess
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltaglider_async.errors import ConfigurationError, DeltaGliderError
from deltaglider_async.session import create_client
from deltaglider_async.settings import Settings
from tests.engine.conftest import content, version
from tests.real_servers import SECRET_KEY

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

KEY = bytes(range(100, 132))
SESSION_TOKEN = "session-token-of-these-tests"
#: In every spelling in which they might be printed.
SECRETS = [
    SECRET_KEY,
    SESSION_TOKEN,
    base64.b64encode(KEY).decode(),
    base64.urlsafe_b64encode(KEY).decode(),
    KEY.hex(),
    repr(KEY)[2:-1],
    str(list(KEY))[1:-1],
]


def assert_no_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DG_CACHE_ENCRYPTION_KEY", base64.b64encode(KEY).decode())
    monkeypatch.setenv("DG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_SESSION_TOKEN", SESSION_TOKEN)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


async def test_the_library_shows_none(
    s3_endpoint: str, s3: S3Client, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "deltaglider_async")
    shown = []
    async with create_client(endpoint_url=s3_endpoint, log_level="DEBUG") as client:
        await client.put_object(Bucket=bucket, Key="a/0.zip", Body=content(1))
        await client.put_object(Bucket=bucket, Key="a/1.zip", Body=version(content(1), 1))
        async with (await client.get_object(Bucket=bucket, Key="a/1.zip"))["Body"] as body:
            await body.read()
        engine = client._engine
        shown += [repr(client), repr(engine), str(engine.settings), repr(engine.cache), repr(engine.store), repr(body)]
        shown += [repr(vars(engine.settings)), repr(asdict(engine.settings))]
        # A damaged entry is worth a warning; a damaged delta, a missing object and a missing bucket are errors.
        for entry in Path(os.environ["DG_CACHE_DIR"]).iterdir():
            entry.write_bytes(entry.read_bytes()[:-1] + b"x")
        async with (await client.get_object(Bucket=bucket, Key="a/1.zip"))["Body"] as body:
            await body.read()
        delta = await asyncio.to_thread(s3.get_object, Bucket=bucket, Key="a/1.zip.delta")
        await asyncio.to_thread(
            s3.put_object, Bucket=bucket, Key="a/1.zip.delta", Body=b"damaged", Metadata=delta["Metadata"]
        )
        for where in ((bucket, "a/1.zip"), (bucket, "nothing"), ("no-such-bucket", "nothing")):
            with pytest.raises(DeltaGliderError) as failed:
                await (await client.get_object(Bucket=where[0], Key=where[1]))["Body"].read()
            shown += [repr(failed.value), "".join(traceback.format_exception(failed.value))]
    with pytest.raises(DeltaGliderError) as failed:
        async with create_client(endpoint_url="http://127.0.0.1:9", log_level="DEBUG") as client:
            await client.get_object(Bucket=bucket, Key="a/1.zip")
    shown += [repr(failed.value), "".join(traceback.format_exception(failed.value))]
    assert "reference" in caplog.text  # something was logged at all
    assert_no_secret("\n".join([caplog.text, *shown]))


def test_a_key_that_is_none_is_not_shown() -> None:
    almost = base64.b64encode(KEY).decode()[:-2]
    with pytest.raises(ConfigurationError) as failed:
        Settings(cache_encryption_key=almost)
    assert almost not in "".join(traceback.format_exception(failed.value))


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "fails"])
def test_the_command_shows_none(s3_endpoint: str, s3: S3Client, bucket: str, tmp_path: Path, fails: bool) -> None:
    environment = os.environ | {"AWS_ENDPOINT_URL": s3_endpoint}
    said = ""
    for number in range(2):
        file = tmp_path / f"{number}.zip"
        file.write_bytes(version(content(1), number))
        said += dg(environment, "cp", str(file), f"s3://{bucket}/a/", code=0)
    if fails:
        delta = s3.get_object(Bucket=bucket, Key="a/1.zip.delta")["Metadata"]
        s3.put_object(Bucket=bucket, Key="a/1.zip.delta", Body=b"damaged", Metadata=delta)
    said += dg(environment, "cp", f"s3://{bucket}/a/1.zip", str(tmp_path / "back.zip"), code=int(fails))
    said += dg(environment, "cp", f"s3://{bucket}/nothing", str(tmp_path / "nothing"), code=1)
    said += dg(environment | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "ls", f"s3://{bucket}/", code=1)
    assert "Traceback" in said
    assert_no_secret(said)


def dg(environment: dict[str, str], *arguments: str, code: int) -> str:
    command = [sys.executable, "-m", "deltaglider_async.cli", "--debug", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == code, ran.stderr
    return ran.stdout + ran.stderr
