from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

from deltaglider_async.bulk.actions import Action, Download, Options
from deltaglider_async.bulk.case import Conflict, checked
from deltaglider_async.cli.guarding import Guarding
from deltaglider_async.cli.locations import parse_location
from deltaglider_async.errors import LocalIOError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.cli.conftest import Run
    from types_boto3_s3 import S3Client

KEY = "0123456789abcdef0123456789abcdeF"
WRITTEN = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}


def applied(guarding: Guarding, source: str, destination: str) -> Options:
    return guarding.applied(Options(), parse_location(source), parse_location(destination))


def test_a_key_of_ones_own_goes_with_what_is_written_or_read(tmp_path: Path) -> None:
    own = Guarding(sse_c="AES256", sse_c_key=KEY)
    assert applied(own, "a", "s3://b/a").arguments == WRITTEN
    assert applied(own, "s3://b/a", "a").reading == WRITTEN
    (tmp_path / "key").write_bytes(bytes(32))
    both = Guarding("AES256", KEY, sse_c_copy_source="AES256", sse_c_copy_source_key=f"fileb://{tmp_path / 'key'}")
    copied = applied(both, "s3://b/a", "s3://b/b")
    assert (copied.arguments, copied.reading["SSECustomerKey"]) == (WRITTEN, bytes(32))
    assert KEY not in repr(copied)


@pytest.mark.parametrize(
    ("guarding", "source", "destination"),
    [
        (Guarding(sse_c="AES256"), "a", "s3://b/a"),
        (Guarding(sse_c_key=KEY), "a", "s3://b/a"),
        (Guarding(sse_c_copy_source="AES256", sse_c_copy_source_key=KEY), "a", "s3://b/a"),
        (Guarding(sse_c="AES256", sse_c_key="fileb://nowhere"), "a", "s3://b/a"),
        (Guarding(checksum_algorithm="SHA1"), "s3://b/a", "a"),
        (Guarding(checksum_mode="ENABLED"), "a", "s3://b/a"),
    ],
)
def test_what_cannot_be_meant_is_refused(guarding: Guarding, source: str, destination: str) -> None:
    with pytest.raises(typer.BadParameter) as refusal:
        applied(guarding, source, destination)
    assert KEY not in str(refusal.value)


async def conflicts(conflict: Conflict, *names: str) -> tuple[list[str], list[str]]:
    async def plan() -> AsyncGenerator[Action, None]:
        for name in names:
            yield Download("b", name, Path(name))

    told: list[str] = []
    return [action.key async for action in checked(plan(), conflict, told.append) if isinstance(action, Download)], told


async def test_names_that_differ_by_case_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("A").write_bytes(b"of this very name")
    kept, told = await conflicts("skip", "A", "a", "b")
    assert (kept, len(told)) == (["A", "b"], 1)
    kept, told = await conflicts("warn", "A", "a", "b")
    assert (kept, len(told)) == (["A", "a", "b"], 1)
    with pytest.raises(LocalIOError, match="s3://b/a to a"):
        await conflicts("error", "A", "a")


def test_files_go_up_and_come_back_with_a_key_of_ones_own(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    Path("a.zip").write_bytes(bytes(5000))
    key = ("--sse-c", "--sse-c-key", KEY)
    assert dg("cp", "a.zip", f"s3://{bucket}/p/a.zip", *key).returncode == 0
    # Whole, as no reference can serve it. (This server takes such keys, and does not tell of them.)
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["p/a.zip"]
    copied = dg("cp", f"s3://{bucket}/p/a.zip", f"s3://{bucket}/p/b.zip", "--sse-c-copy-source",
                "--sse-c-copy-source-key", KEY, "--source-region", "eu-west-1")  # fmt: skip
    assert (copied.returncode, copied.stderr) == (0, b"")
    assert dg("cp", "-r", f"s3://{bucket}/p/", "back", "--exclude", "b.zip", *key).returncode == 0
    assert Path("back/a.zip").read_bytes() == bytes(5000)
    assert dg("cp", "a.zip", f"s3://{bucket}/c.txt", "--checksum-algorithm", "CRC32").returncode == 0
    assert s3.head_object(Bucket=bucket, Key="c.txt", ChecksumMode="ENABLED").get("ChecksumCRC32")
