from __future__ import annotations

import json
import os
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client

CONTENT = os.urandom(30_000)


@pytest.fixture
def filled(put: Put, bucket: str) -> str:
    """Two releases of 30,000 bytes and a text of 100."""
    put(bucket, {"rel/1.zip": CONTENT, "rel/2.zip": CONTENT, "a.txt": b"x" * 100})
    return bucket


@pytest.mark.parametrize("form", ["{}", "s3://{}", "s3://{}/"])
def test_json_has_the_keys_that_scripts_read(dg: Run, filled: str, form: str) -> None:
    found = json.loads(dg("stats", form.format(filled), "--json").stdout)
    assert found["bucket"] == filled
    assert (found["object_count"], found["delta_objects"], found["direct_objects"]) == (3, 2, 1)
    assert found["total_size"] == 60_100
    assert 30_000 < found["compressed_size"] < 33_000
    assert found["space_saved"] == found["total_size"] - found["compressed_size"]
    assert found["average_compression_ratio"] == pytest.approx(found["space_saved"] / found["total_size"])


def test_a_prefix_limits_the_statistics(dg: Run, filled: str) -> None:
    assert json.loads(dg("stats", f"s3://{filled}/rel/", "--json").stdout)["object_count"] == 2


def test_a_table_for_people(dg: Run, filled: str) -> None:
    result = dg("stats", filled)
    assert (result.returncode, result.stderr) == (0, b"")
    lines = {
        line.strip("│ ").split("│")[0].strip(): line for line in result.stdout.decode().splitlines() if "│" in line
    }
    assert lines["original size"].split("│")[2].strip() == "60.1 kB"
    assert lines["saved"].split("│")[2].strip().endswith("%)")


def test_a_second_run_uses_what_the_first_kept_in_the_bucket(dg: Run, filled: str, s3: S3Client) -> None:
    first = dg("stats", filled, "--json", "--remember").stdout
    kept = s3.get_object(Bucket=filled, Key=".deltaglider/sizes.v1")
    assert dg("stats", filled, "--json", "--remember").stdout == first
    assert dg("stats", filled, "--json", "--remember", "--refresh").stdout == first
    assert s3.head_object(Bucket=filled, Key=".deltaglider/sizes.v1")["ETag"] == kept["ETag"]
    assert dg("stats", filled, "--json", "--no-cache").stdout == first
    refused = dg("stats", filled, "--no-cache", "--remember")
    assert (refused.returncode, refused.stdout) == (252, b"")


def test_without_being_asked_nothing_is_written(dg: Run, filled: str, s3: S3Client) -> None:
    for mode in ("--quick", "--sampled", "--detailed"):
        assert dg("stats", filled, mode).returncode == 0
    assert not s3.list_objects_v2(Bucket=filled, Prefix=".deltaglider/").get("Contents")


def test_orphans_are_named_with_the_command_that_removes_them(dg: Run, filled: str, s3: S3Client) -> None:
    s3.put_object(Bucket=filled, Key="old/reference.bin", Body=b"x" * 50)
    result = dg("stats", filled)
    assert f"dg gc s3://{filled}/" in result.stdout.decode()
    assert json.loads(dg("stats", filled, "--json").stdout)["orphaned_references"] == 1


def test_verify_prints_json(dg: Run, filled: str) -> None:
    result = dg("verify", f"s3://{filled}/rel/2.zip")
    found = json.loads(result.stdout)
    assert result.returncode == 0
    assert found["valid"] is True
    assert found["expected_sha256"] == found["actual_sha256"] == sha256(CONTENT).hexdigest()
    assert found["message"]


def test_verify_of_a_damaged_object_is_exit_code_1(dg: Run, filled: str, s3: S3Client) -> None:
    key = "rel/2.zip.delta"
    stored = s3.get_object(Bucket=filled, Key=key)
    damaged = bytearray(stored["Body"].read())
    damaged[-1] ^= 1
    s3.put_object(Bucket=filled, Key=key, Body=bytes(damaged), Metadata=stored["Metadata"])
    result = dg("verify", f"s3://{filled}/rel/2.zip")
    found = json.loads(result.stdout)
    assert (result.returncode, found["valid"], result.stderr) == (1, False, b"")
    assert found["expected_sha256"] == sha256(CONTENT).hexdigest()
    assert found["actual_sha256"] != found["expected_sha256"]


def test_verify_of_a_missing_object_is_an_error(dg: Run, bucket: str) -> None:
    result = dg("verify", f"s3://{bucket}/nothing")
    assert (result.returncode, result.stdout) == (254, b"")
    assert result.stderr.startswith(b"dg: ")


def test_verify_of_a_folder_says_what_is_damaged_and_goes_on(dg: Run, filled: str, s3: S3Client) -> None:
    key = "rel/2.zip.delta"
    stored = s3.get_object(Bucket=filled, Key=key)
    damaged = bytearray(stored["Body"].read())
    damaged[-1] ^= 1
    intact = dg("verify", "-r", f"s3://{filled}/rel", "--json")
    assert (intact.returncode, intact.stderr) == (0, b"")
    *lines, last = map(json.loads, intact.stdout.splitlines())
    assert {line["status"] for line in lines} == {"done"}
    assert {line["action"] for line in lines} == {"verify"}
    assert f"s3://{filled}/rel/2.zip" in {line["source"] for line in lines}
    assert (last["status"], last["done"], last["failed"]) == ("summary", len(lines), 0)
    # Of a delta, the bytes that it stands for.
    sizes = {line["source"]: line["size"] for line in lines}
    assert sizes[f"s3://{filled}/rel/2.zip"] == int(stored["Metadata"]["dg-file-size"])
    shown = dg("verify", "-r", f"s3://{filled}/rel", "--dryrun").stdout.decode().splitlines()
    assert sorted(shown) == sorted(f"(dryrun) verify: {source}" for source in sizes)

    s3.put_object(Bucket=filled, Key=key, Body=bytes(damaged), Metadata=stored["Metadata"])
    result = dg("verify", "-r", f"s3://{filled}/rel")
    assert result.returncode == 1
    assert [line for line in result.stderr.decode().splitlines() if f"s3://{filled}/rel/2.zip" in line]
    assert len(result.stdout.splitlines()) == len(lines) - 1
    spared = dg("verify", "-r", f"s3://{filled}/rel", "--exclude", "2.zip", "--quiet")
    assert (spared.returncode, spared.stdout, spared.stderr) == (0, b"", b"")
