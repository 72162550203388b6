"""`dg mb`, `rb`, `purge` and the ACLs of buckets."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client

CONTENT = os.urandom(20_000)


@pytest.fixture
def name() -> str:
    """Of a bucket that is not there."""
    return f"test-{secrets.token_hex(8)}"


def test_mb_makes_a_bucket_and_says_so_as_aws_does(dg: Run, name: str, s3: S3Client) -> None:
    result = dg("mb", f"s3://{name}")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"make_bucket: {name}\n".encode(), b"")
    s3.head_bucket(Bucket=name)


def test_mb_in_another_region(dg: Run, name: str, s3: S3Client) -> None:
    assert dg("mb", f"s3://{name}", "--region", "eu-central-1").returncode == 0
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "eu-central-1"


def test_mb_of_a_bucket_that_is_there_fails(dg: Run, name: str) -> None:
    assert dg("mb", f"s3://{name}", "--region", "eu-central-1").returncode == 0
    result = dg("mb", f"s3://{name}", "--region", "eu-central-1")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(f"make_bucket failed: s3://{name} ".encode())
    assert b"BucketAlreadyOwnedByYou" in result.stderr


def test_rb_removes_an_empty_bucket(dg: Run, bucket: str, s3: S3Client) -> None:
    result = dg("rb", f"s3://{bucket}")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"remove_bucket: {bucket}\n".encode(), b"")
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=bucket)


def test_rb_leaves_a_bucket_that_has_objects(dg: Run, put: Put, bucket: str, s3: S3Client) -> None:
    put(bucket, {"a.txt": b"a"})
    result = dg("rb", f"s3://{bucket}")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(f"remove_bucket failed: s3://{bucket} ".encode())
    assert s3.get_object(Bucket=bucket, Key="a.txt")["Body"].read() == b"a"


def test_rb_force_removes_objects_references_trash_and_all(dg: Run, put: Put, bucket: str, s3: S3Client) -> None:
    put(bucket, {"rel/1.zip": CONTENT, "rel/2.zip": CONTENT + b"2", "a.txt": b"a"})
    s3.put_object(Bucket=bucket, Key=".deltaglider/tmp/x_old.zip", Body=b"copy")
    s3.put_object(Bucket=bucket, Key="old/reference.bin", Body=b"a reference that no delta uses")
    s3.put_object(Bucket=bucket, Key=f"old/.deltaglider/trash/{'0' * 64}/1/reference.bin", Body=b"dropped")
    result = dg("rb", f"s3://{bucket}", "--force")
    assert (result.returncode, result.stderr) == (0, b"")
    *deletes, last = result.stdout.decode().splitlines()
    assert sorted(deletes) == [f"delete: s3://{bucket}/{key}" for key in ("a.txt", "rel/1.zip", "rel/2.zip")]
    assert last == f"remove_bucket: {bucket}"
    with pytest.raises(ClientError):
        s3.head_bucket(Bucket=bucket)


def test_rb_force_of_a_bucket_that_is_not_there(dg: Run, name: str) -> None:
    result = dg("rb", f"s3://{name}", "--force")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"there is no bucket" in result.stderr
    assert b"Traceback" not in result.stderr


def test_internal_objects_stay_while_there_is_an_object(put: Put, bucket: str, s3: S3Client, s3_endpoint: str) -> None:
    put(bucket, {"rel/1.zip": CONTENT})

    async def delete() -> int:
        async with create_client(endpoint_url=s3_endpoint) as client:
            return await client.delete_internal_objects(Bucket=bucket)

    assert asyncio.run(delete()) == 0
    assert s3.get_object(Bucket=bucket, Key="rel/reference.bin")["Body"].read() == CONTENT


def _copies(s3: S3Client, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix=".deltaglider/").get("Contents", [])]


def test_purge_removes_expired_temporary_copies_and_nothing_else(dg: Run, put: Put, bucket: str, s3: S3Client) -> None:
    put(bucket, {"rel/1.zip": CONTENT})
    assert dg("presign", f"s3://{bucket}/rel/1.zip").returncode == 0
    (fresh,) = _copies(s3, bucket)
    old, unknown = ".deltaglider/tmp/old.zip", ".deltaglider/tmp/unknown.zip"
    s3.put_object(Bucket=bucket, Key=old, Body=b"12345", Metadata={"dg-expires-at": "2020-01-01T00:00:00Z"})
    s3.put_object(Bucket=bucket, Key=unknown, Body=b"1")
    assert dg("purge", bucket, "--dry-run").stdout == b"(dryrun) 1 temporary copy expired\n"
    found = json.loads(dg("purge", f"s3://{bucket}", "--json", "--dry-run").stdout)
    assert (found["expired_count"], found["deleted_count"], found["bucket"]) == (1, 0, bucket)
    assert sorted(_copies(s3, bucket)) == sorted([fresh, old, unknown])
    result = dg("purge", f"s3://{bucket}/")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"1 temporary copy removed, 5 B freed\n", b"")
    assert sorted(_copies(s3, bucket)) == sorted([fresh, unknown])
    assert dg("purge", bucket).stdout == b"0 temporary copies removed, 0 B freed\n"


def test_acls_of_buckets(dg: Run, bucket: str, tmp_path: Path) -> None:
    private = json.loads(dg("get-bucket-acl", bucket).stdout)
    assert [grant["Permission"] for grant in private["Grants"]] == ["FULL_CONTROL"]
    assert "ResponseMetadata" not in private
    result = dg("put-bucket-acl", f"s3://{bucket}", "--acl", "public-read")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    public = json.loads(dg("get-bucket-acl", f"s3://{bucket}/").stdout)
    assert {grant["Permission"] for grant in public["Grants"]} == {"FULL_CONTROL", "READ"}
    (tmp_path / "acl.json").write_text(json.dumps(private))
    assert dg("put-bucket-acl", bucket, "--access-control-policy", "file://acl.json").returncode == 0
    assert json.loads(dg("get-bucket-acl", bucket).stdout) == private
    assert dg("put-bucket-acl", bucket, "--access-control-policy", json.dumps(public)).returncode == 0
    assert json.loads(dg("get-bucket-acl", bucket).stdout) == public
    assert dg("put-bucket-acl", bucket, "--grant-write", "id=1234", "--grant-read-acp", "id=5678").returncode == 0
    granted = json.loads(dg("get-bucket-acl", bucket).stdout)["Grants"]
    assert {(grant["Grantee"]["ID"], grant["Permission"]) for grant in granted} >= {
        ("1234", "WRITE"), ("5678", "READ_ACP"),
    }  # fmt: skip


def test_what_the_service_refuses_is_exit_code_254(dg: Run, name: str) -> None:
    for command in (["get-bucket-acl", name], ["put-bucket-acl", name, "--acl", "private"], ["purge", name]):
        result = dg(*command)
        assert (result.returncode, result.stdout) == (254, b"")
        assert result.stderr.startswith(b"dg: ")


def test_rb_force_leaves_nothing_on_real_servers(real_endpoint: str, name: str, dg: Run, tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / "rel").mkdir(exist_ok=True)
        (tmp_path / f"rel/{number}.zip").write_bytes(CONTENT + b"%d" % number)
    endpoint = ("--endpoint-url", real_endpoint)
    assert dg("mb", f"s3://{name}", *endpoint).returncode == 0
    assert dg("cp", "-r", "rel", f"s3://{name}/rel/", *endpoint).returncode == 0
    result = dg("rb", f"s3://{name}", "--force", *endpoint)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.endswith(f"remove_bucket: {name}\n".encode())
    assert name not in dg("ls", *endpoint).stdout.decode()
