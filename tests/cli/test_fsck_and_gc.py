from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from botocore.session import Session

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client

CONTENT = os.urandom(30_000)
NOW = ("--exclusive", "--older-than", "0s")


@pytest.fixture
def filled(put: Put, bucket: str) -> str:
    """Two releases of 30,000 bytes and a text."""
    put(bucket, {"rel/1.zip": CONTENT, "rel/2.zip": CONTENT, "a.txt": b"x" * 100})
    return bucket


def lines(result: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert result.stderr == b""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_sound_bucket_is_exit_code_0(dg: Run, filled: str) -> None:
    for form in (filled, f"s3://{filled}", f"s3://{filled}/rel", f"s3://{filled}/rel/"):
        result = dg("fsck", form)
        objects = b"3" if "rel" in form else b"4"
        assert (result.returncode, result.stdout, result.stderr) == (0, objects + b" objects: nothing found.\n", b"")
    assert dg("fsck", filled, "--read-data", "--repair").returncode == 0


def test_an_error_is_exit_code_1_until_it_is_mended(dg: Run, filled: str, s3: S3Client) -> None:
    data = s3.get_object(Bucket=filled, Key="rel/reference.bin")
    body, metadata = data["Body"].read(), data["Metadata"]
    s3.delete_object(Bucket=filled, Key="rel/reference.bin")
    result = dg("fsck", filled)
    assert (result.returncode, result.stderr) == (1, b"")
    text = result.stdout.decode()
    assert all(word in text for word in ("missing-reference", "rel/1.zip", "rel/reference.bin", "1 error."))
    assert dg("fsck", filled, "--repair").returncode == 1
    key = f"rel/.deltaglider/trash/{metadata['dg-file-sha256']}/0123456789abcdef/reference.bin"
    s3.put_object(Bucket=filled, Key=key, Body=body, Metadata=metadata)
    assert dg("fsck", filled).returncode == 1
    result = dg("fsck", filled, "--repair")
    assert (result.returncode, result.stderr) == (0, b"")
    assert "1 error, 1 mended" in result.stdout.decode()
    assert dg("fsck", filled, "--read-data").returncode == 0


def test_json_is_an_object_per_line_and_a_sum(dg: Run, filled: str, s3: S3Client) -> None:
    s3.delete_object(Bucket=filled, Key="rel/reference.bin")
    s3.put_object(Bucket=filled, Key="rel/x.delta", Body=b"foreign")
    s3.put_object(Bucket=filled, Key="rel/2.zip", Body=b"plain")
    result = dg("fsck", f"s3://{filled}/rel", "--json", "--exclusive")
    assert result.returncode == 1
    *findings, total = lines(result)
    assert all(finding.pop("type") == "finding" and finding.pop("bucket") == filled for finding in findings)
    assert all(
        isinstance(finding.pop("detail"), str) and isinstance(finding.pop("advice"), str) for finding in findings
    )
    size = findings[0].pop("size")
    assert findings == [
        {
            "kind": kind,
            "severity": severity,
            "key": key,
            "affected": affected,
            "affected_count": len(affected),
            "repaired": False,
        }
        | ({} if severity == "waste" else {"size": 0})
        for kind, severity, key, affected in (
            ("leftover-delta", "waste", "rel/2.zip.delta", []),
            ("foreign-delta", "note", "rel/x.delta", []),
            ("missing-reference", "error", "rel/reference.bin", ["rel/1.zip"]),
        )
    ]
    assert total == {
        "type": "summary",
        "bucket": filled,
        "prefix": "rel/",
        "objects": 4,
        "errors": 1,
        "errors_repaired": 0,
        "waste": 1,
        "waste_removed": 0,
        "waste_size": size,
        "removed_size": 0,
        "notes": 1,
    }


def test_gc_shows_and_then_removes(dg: Run, filled: str, s3: S3Client) -> None:
    s3.put_object(Bucket=filled, Key="rel/2.zip", Body=b"plain")

    def names() -> list[str]:
        return [item["Key"] for item in s3.list_objects_v2(Bucket=filled)["Contents"]]

    before = names()
    result = dg("gc", filled)
    assert (result.returncode, result.stdout) == (0, b"5 objects: nothing found.\n")  # it is younger than a day
    result = dg("gc", filled, "--dryrun", *NOW)
    assert (result.returncode, result.stderr) == (0, b"")
    assert "rel/2.zip.delta" in result.stdout.decode()
    assert names() == before
    result = dg("gc", f"s3://{filled}/rel/", "--json", *NOW)
    finding, total = lines(result)
    assert (result.returncode, finding["kind"], finding["repaired"]) == (0, "leftover-delta", True)
    assert (total["waste_removed"], total["removed_size"]) == (1, finding["size"])
    assert names() == [name for name in before if name != "rel/2.zip.delta"]
    assert dg("verify", f"s3://{filled}/rel/1.zip").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--older-than", "1"), b"is no age"),
        (("--older-than", "tomorrow"), b"is no age"),
        (("--older-than", "-1d"), b"is no age"),
        (("--older-than", "23h"), b"--exclusive"),
    ],
)
def test_gc_refuses_ages(dg: Run, filled: str, arguments: tuple[str, ...], complaint: bytes) -> None:
    result = dg("gc", filled, *arguments)
    assert result.returncode == 252
    assert complaint in result.stderr


def test_gc_refuses_where_deletes_are_blind(dg: Run, ignorant_endpoint: str) -> None:
    environment = {"AWS_ENDPOINT_URL": ignorant_endpoint}
    s3: Any = Session().create_client("s3", endpoint_url=ignorant_endpoint)
    s3.create_bucket(Bucket="blind-gc")
    s3.close()
    result = dg("gc", "blind-gc", **environment)
    assert (result.returncode, result.stdout) == (252, b"")
    assert b"--exclusive" in result.stderr
    assert b"Nothing was removed" in result.stderr
    assert dg("gc", "blind-gc", "--exclusive", **environment).returncode == 0
    assert dg("fsck", "blind-gc", "--repair", **environment).returncode == 0


def test_a_bucket_that_is_not_there_is_an_error(dg: Run) -> None:
    for command in ("fsck", "gc"):
        result = dg(command, "there-is-no-such-bucket")
        assert (result.returncode, result.stdout) == (254, b"")
        assert result.stderr.startswith(b"dg: ")
