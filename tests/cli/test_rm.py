from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client


def fill(s3: S3Client, bucket: str, *keys: str) -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")


def keys(s3: S3Client, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_one_key_and_no_other_that_starts_like_it(dg: Run, bucket: str, s3: S3Client) -> None:
    fill(s3, bucket, "a", "ab", "a/b")
    result = dg("rm", f"s3://{bucket}/a")
    assert (result.returncode, result.stdout.decode()) == (0, f"delete: s3://{bucket}/a\n")
    assert keys(s3, bucket) == ["a/b", "ab"]


def test_a_missing_key_is_silent_success(dg: Run, bucket: str) -> None:
    result = dg("rm", f"s3://{bucket}/nothing")
    assert (result.returncode, result.stderr) == (0, b"")


def test_recursive_takes_the_folder_and_not_its_neighbours(dg: Run, bucket: str, s3: S3Client) -> None:
    fill(s3, bucket, "rel", "rel/", "rel/a", "rel/b/c", "release")
    assert dg("rm", "-r", "-q", f"s3://{bucket}/rel").returncode == 0
    assert keys(s3, bucket) == ["rel", "release"]


def test_deltas_go_by_their_logical_names(dg: Run, bucket: str, put: Put) -> None:
    content = os.urandom(20_000)
    put(bucket, {f"rel/{number}.zip": content for number in range(3)})
    result = dg("rm", "-r", f"s3://{bucket}/rel/")
    assert (result.returncode, len(result.stdout.splitlines()), result.stderr) == (0, 3, b"")
    assert dg("ls", "-r", f"s3://{bucket}/").stdout == b""


def test_filters_and_dryrun(dg: Run, bucket: str, s3: S3Client) -> None:
    fill(s3, bucket, "p/a.zip", "p/b.txt", "p/c/d.zip")
    arguments = ["rm", "-r", f"s3://{bucket}/p", "--exclude", "*", "--include", "*.zip"]
    planned = dg(*arguments, "--dryrun").stdout.decode().splitlines()
    assert planned == [f"(dryrun) delete: s3://{bucket}/p/a.zip", f"(dryrun) delete: s3://{bucket}/p/c/d.zip"]
    assert len(keys(s3, bucket)) == 3
    assert dg(*arguments).returncode == 0
    assert keys(s3, bucket) == ["p/b.txt"]
