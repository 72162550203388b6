from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from deltaglider_async.cli.text import aws_size

if TYPE_CHECKING:
    from tests.cli.conftest import Put, Run

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture
def filled(put: Put, bucket: str) -> str:
    """Two releases of 30,000 bytes in a folder, beside other objects."""
    content = os.urandom(30_000)
    put(bucket, {"rel/1.zip": content, "rel/2.zip": content, "a.txt": b"12345", "release.txt": b"1"})
    return bucket


def test_a_level_in_the_format_of_aws(dg: Run, filled: str) -> None:
    lines = dg("ls", f"s3://{filled}").stdout.decode().splitlines()
    assert lines[0] == "                           PRE rel/"
    assert re.fullmatch(TIME + "          5 a.txt", lines[1])
    assert re.fullmatch(TIME + "          1 release.txt", lines[2])
    assert len(lines) == 3


def test_sizes_are_those_of_the_files_that_were_put(dg: Run, filled: str) -> None:
    lines = dg("ls", f"s3://{filled}/rel/").stdout.decode().splitlines()
    assert [line[19:] for line in lines] == ["      30000 1.zip", "      30000 2.zip"]


def test_recursive_with_whole_keys_and_a_summary(dg: Run, filled: str) -> None:
    lines = dg("ls", "-r", "-h", "--summarize", f"s3://{filled}/").stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines[:4]] == ["a.txt", "rel/1.zip", "rel/2.zip", "release.txt"]
    assert lines[1][19:] == "   29.3 KiB rel/1.zip"
    assert lines[0][19:] == "    5 Bytes a.txt"
    assert lines[4:] == ["", "Total Objects: 4", "   Total Size: 58.6 KiB"]


def test_a_prefix_is_a_string_as_in_aws(dg: Run, filled: str) -> None:
    lines = dg("ls", f"s3://{filled}/rel").stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines] == ["rel/", "release.txt"]


def test_nothing_with_the_prefix_is_exit_code_1(dg: Run, filled: str) -> None:
    result = dg("ls", f"s3://{filled}/nothing")
    assert (result.returncode, result.stdout, result.stderr) == (1, b"", b"")


def test_an_empty_bucket_is_exit_code_0(dg: Run, bucket: str) -> None:
    assert dg("ls", bucket).returncode == 0


def test_buckets(dg: Run, bucket: str) -> None:
    result = dg("ls")
    assert result.returncode == 0
    assert any(re.fullmatch(f"{TIME} {bucket}", line) for line in result.stdout.decode().splitlines())


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, "0 Bytes"), (1, "1 Byte"), (1023, "1023 Bytes"), (1024, "1.0 KiB"), (1048575, "1.0 MiB"),
        (1048576, "1.0 MiB"), (5 * 1024**3 // 2, "2.5 GiB"), (1023 * 1024, "1023.0 KiB"),
    ],
)  # fmt: skip
def test_sizes_for_people_as_aws_writes_them(size: int, expected: str) -> None:
    assert aws_size(size) == expected


def test_nothing_is_imported_that_a_listing_does_not_need(dg: Run, filled: str) -> None:
    result = dg("ls", f"s3://{filled}/", PYTHONPROFILEIMPORTTIME="1")
    assert result.stdout.count(b"\n") == 3
    modules = {line.rpartition(b"|")[2].strip().decode() for line in result.stderr.splitlines()}
    assert {"deltaglider_async.session", "aiobotocore.session"} <= modules
    heavy = {"aioboto3", "boto3", "s3transfer", "multiprocessing.managers", "rich", "pydantic"}
    assert not modules & (heavy | {"deltaglider_async.cli.progress"})
