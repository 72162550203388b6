"""A program that uses boto3 runs unchanged, except for `async` and `await`."""

from __future__ import annotations

import io
import re
import secrets
import tokenize
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
from anyio import to_thread

from deltaglider_async import create_client
from tests import artifacts
from tests.differential.programs import awaited, blocking


def words(path: Path) -> list[str]:
    """What a program says, but for `async`, `await` and the parentheses that `await` needs."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    left_out = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    told = [token.string for token in tokens if token.type not in left_out]
    return [word for word in told if word not in ("async", "await", "(", ")", ",")]


def test_the_two_programs_differ_in_async_and_await_only() -> None:
    assert words(Path(blocking.__file__)) == words(Path(awaited.__file__))


def test_the_program_uses_many_calls() -> None:
    text = Path(blocking.__file__).read_text()
    assert len(set(re.findall(r"\bs3\.([a-z_0-9]+)\(", text))) >= 30


def prepared(folder: Path) -> Path:
    folder.mkdir()
    first, second, third = artifacts.releases()
    for number, tree in enumerate((first, second, third)):
        (folder / f"app-1.{number}.zip").write_bytes(artifacts.zipped(tree))
    return folder


def telling(told: list[Any]) -> Callable[..., None]:
    return lambda *what: told.append(what)


def with_boto3(endpoint: str, bucket: str, folder: Path) -> list[Any]:
    told: list[Any] = []
    client: Any = boto3.client("s3", endpoint_url=endpoint)
    with closing(client):
        blocking.publish(client, bucket, folder, telling(told))
        blocking.read(client, bucket, folder, telling(told))
        blocking.tend(client, bucket, telling(told))
    return told


async def test_a_program_for_boto3_says_the_same_here(s3_endpoint: str, tmp_path: Path) -> None:
    bucket = f"release-{secrets.token_hex(6)}"
    folder = prepared(tmp_path / "theirs")
    expected = await to_thread.run_sync(with_boto3, s3_endpoint, bucket, folder)
    told: list[Any] = []
    folder = prepared(tmp_path / "ours")
    async with create_client(endpoint_url=s3_endpoint) as client:
        await awaited.publish(client, f"{bucket}-d", folder, telling(told))
        stored = await client._s3.list_objects_v2(Bucket=f"{bucket}-d")
        assert sum(item["Key"].endswith(".delta") for item in stored["Contents"]) == 4
        await awaited.read(client, f"{bucket}-d", folder, telling(told))
        await awaited.tend(client, f"{bucket}-d", telling(told))
    assert told == expected
    assert len(told) > 20
