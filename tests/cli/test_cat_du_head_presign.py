from __future__ import annotations

import json
import os
import subprocess
import urllib.request
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import DG

from deltaglider_async.cli.du import usage
from deltaglider_async.types import DeltaspaceStats

if TYPE_CHECKING:
    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client

CONTENT = os.urandom(30_000)
SECOND = CONTENT + b"the second"


@pytest.fixture
def filled(put: Put, bucket: str) -> str:
    """Two releases, both as deltas, and a text."""
    put(bucket, {"rel/1.zip": CONTENT, "rel/2.zip": SECOND, "a.txt": b"0123456789"})
    return bucket


def test_cat_writes_one_after_the_other(dg: Run, filled: str) -> None:
    result = dg("cat", f"s3://{filled}/rel/2.zip", f"s3://{filled}/a.txt", f"s3://{filled}/rel/1.zip")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout == SECOND + b"0123456789" + CONTENT


@pytest.mark.parametrize(("given", "expected"), [("2-4", slice(2, 5)), ("-3", slice(-3, None)), ("7-", slice(7, None))])
def test_cat_of_a_range(dg: Run, filled: str, given: str, expected: slice) -> None:
    result = dg("cat", "--range", given, f"s3://{filled}/a.txt", f"s3://{filled}/rel/2.zip")
    assert result.stdout == b"0123456789"[expected] + SECOND[expected]
    assert dg("cat", "--range", f"bytes={given}", f"s3://{filled}/a.txt").stdout == b"0123456789"[expected]


def test_cat_goes_on_after_an_object_that_is_not_there(dg: Run, filled: str) -> None:
    result = dg("cat", f"s3://{filled}/nothing", f"s3://{filled}/a.txt")
    assert (result.returncode, result.stdout) == (1, b"0123456789")
    assert result.stderr.startswith(b"dg: ")
    assert b"nothing" in result.stderr


def test_cat_into_a_pipe_that_is_closed_is_quiet(dg: Run, put: Put, bucket: str, s3_endpoint: str) -> None:
    put(bucket, {"large.bin": bytes(4_000_000)})
    with subprocess.Popen(
        [*DG, "cat", f"s3://{bucket}/large.bin", "--endpoint-url", s3_endpoint],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_presign_of_a_delta_gives_the_whole_file_to_anybody(dg: Run, filled: str, s3: S3Client) -> None:
    result = dg("presign", f"s3://{filled}/rel/2.zip", "--expires-in", "600")
    assert (result.returncode, result.stderr) == (0, b"")
    url = result.stdout.decode().strip()
    with urllib.request.urlopen(url) as answer:  # noqa: S310, a URL of the test's own server
        assert answer.read() == SECOND
        assert 'filename="2.zip"' in answer.headers["Content-Disposition"]
    assert len(s3.list_objects_v2(Bucket=filled, Prefix=".deltaglider/tmp/")["Contents"]) == 1


def test_presign_of_a_plain_object_copies_nothing(dg: Run, filled: str, s3: S3Client) -> None:
    url = dg("presign", f"{filled}/a.txt").stdout.decode().strip()
    with urllib.request.urlopen(url) as answer:  # noqa: S310, a URL of the test's own server
        assert answer.read() == b"0123456789"
    assert "Contents" not in s3.list_objects_v2(Bucket=filled, Prefix=".deltaglider/")


def test_presign_of_nothing_is_an_error(dg: Run, filled: str) -> None:
    result = dg("presign", f"s3://{filled}/nothing")
    assert (result.returncode, result.stdout) == (254, b"")
    assert result.stderr.startswith(b"dg: ")


def test_head_of_a_delta_in_words(dg: Run, filled: str) -> None:
    result = dg("head", f"s3://{filled}/rel/2.zip")
    assert (result.returncode, result.stderr) == (0, b"")
    lines = result.stdout.decode().splitlines()
    assert lines[0] == f"s3://{filled}/rel/2.zip"
    said = {line[:20].strip(): line[21:] for line in lines[1:]}
    assert said["stored as"] == "a delta"
    assert said["size"] == "30.0 kB (30,010 bytes)"
    assert said["stored size"].endswith("% saved")
    assert said["reference"] == f"s3://{filled}/rel/reference.bin"
    assert said[""].startswith("30.0 kB (30,000 bytes)")
    assert said["SHA-256"] == sha256(SECOND).hexdigest()


def test_head_as_json(dg: Run, put: Put, filled: str, s3: S3Client) -> None:
    found = json.loads(dg("head", "--json", f"s3://{filled}/rel/2.zip").stdout)
    stored = s3.head_object(Bucket=filled, Key="rel/2.zip.delta")
    assert (found["is_delta"], found["size"], found["stored_size"]) == (True, 30_010, stored["ContentLength"])
    assert found["ratio"] == pytest.approx(stored["ContentLength"] / 30_010)
    assert (found["reference"], found["reference_size"]) == ("rel/reference.bin", 30_000)
    assert found["sha256"] == sha256(SECOND).hexdigest()
    assert found["etag"] == stored["ETag"].strip('"')
    assert found["modified"] == stored["LastModified"].isoformat()
    assert found["metadata"] == {}


def test_head_of_a_plain_object(dg: Run, filled: str, s3: S3Client) -> None:
    s3.put_object(Bucket=filled, Key="b.txt", Body=b"b", Metadata={"build": "17"}, ContentType="text/x-test")
    lines = dg("head", f"s3://{filled}/b.txt").stdout.decode().splitlines()
    said = {line[:20].strip(): line[21:] for line in lines[1:]}
    assert (said["stored as"], said["size"], said["SHA-256"]) == ("itself, whole", "1 byte", "not recorded")
    assert (said["content type"], said["metadata"]) == ("text/x-test", "build=17")


def test_head_tells_of_a_reference_that_is_lost(dg: Run, filled: str, s3: S3Client) -> None:
    s3.delete_object(Bucket=filled, Key="rel/reference.bin")
    assert b"NOT THERE" in dg("head", f"s3://{filled}/rel/2.zip").stdout
    assert json.loads(dg("head", "--json", f"s3://{filled}/rel/2.zip").stdout)["reference_size"] is None


def test_head_of_nothing_is_an_error(dg: Run, filled: str) -> None:
    result = dg("head", f"s3://{filled}/nothing")
    assert (result.returncode, result.stdout) == (254, b"")
    assert b"Traceback" not in result.stderr
    result = dg("head", "s3://no-such-bucket-anywhere/nothing")
    assert result.returncode == 254
    assert b"there is no bucket 'no-such-bucket-anywhere'" in result.stderr


def test_du_sums_folders_and_tells_both_sizes(dg: Run, put: Put, filled: str, s3: S3Client) -> None:
    put(filled, {"rel/sub/x.txt": b"x" * 7})
    sizes = {item["Key"]: item["Size"] for item in s3.list_objects_v2(Bucket=filled)["Contents"]}
    rows = [line.split() for line in dg("du", filled).stdout.decode().splitlines()]
    below = sum(size for key, size in sizes.items() if key.startswith("rel/"))
    assert rows == [
        ["7", "7", f"s3://{filled}/rel/sub/"],
        [str(below), str(60_017), f"s3://{filled}/rel/"],
        [str(sum(sizes.values())), str(60_027), f"s3://{filled}/"],
    ]
    assert [line.split()[2] for line in dg("du", "-d", "1", filled).stdout.decode().splitlines()] == [
        f"s3://{filled}/rel/", f"s3://{filled}/",
    ]  # fmt: skip
    (total,) = dg("du", "--depth", "0", "--json", f"s3://{filled}/rel").stdout.splitlines()
    assert json.loads(total) == {
        "kind": "folder", "url": f"s3://{filled}/rel/", "objects": 3, "size": 60_017, "stored_size": below,
    }  # fmt: skip
    assert b" 58.6 KiB " in dg("du", "-h", f"s3://{filled}/rel/").stdout.splitlines()[-1]


def test_du_of_nothing_is_exit_code_1(dg: Run, filled: str, bucket: str) -> None:
    assert dg("du", f"s3://{filled}/nothing/").returncode == 1
    assert dg("du", "no-such-bucket").returncode == 254


def test_folders_come_after_what_is_in_them_whatever_their_names() -> None:
    def space(prefix: str, objects: int = 1) -> DeltaspaceStats:
        return DeltaspaceStats("b", prefix, objects, 10, 5, 0, 0, 0, 0)

    spaces = [space(prefix) for prefix in ("a!/", "a/", "a/b/", "a/b-c/", "a0/", "")]
    spaces.append(space("gone/", 0))
    assert [use.prefix for use in usage(spaces, "", None)] == ["a/b/", "a/b-c/", "a/", "a!/", "a0/", ""]
    assert [(use.prefix, use.objects) for use in usage(spaces, "", 1)] == [("a/", 3), ("a!/", 1), ("a0/", 1), ("", 6)]
