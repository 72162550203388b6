"""What `aws s3 sync` does not have; what it has is compared in test_beside_aws.py."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Put, Run
    from types_boto3_s3 import S3Client

OLD = 1_500_000_000


def write(path: Path, content: bytes, moment: float = OLD) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (moment, moment))


def lines(output: bytes) -> list[str]:
    return sorted(output.decode().splitlines())


def test_checksums_find_what_size_and_time_hide_and_pass_what_was_only_touched(
    dg: Run, bucket: str, put: Put, tmp_path: Path
) -> None:
    base = os.urandom(30_000)
    put(bucket, {"p/same.zip": base, "p/other.zip": base + b"1", "p/same.txt": b"same", "p/other.txt": b"12345"})
    write(tmp_path / "src/same.zip", base, 2_200_000_000)
    write(tmp_path / "src/other.zip", base + b"2")
    write(tmp_path / "src/same.txt", b"same", 2_200_000_000)
    write(tmp_path / "src/other.txt", b"54321")
    command = ["sync", "src", f"s3://{bucket}/p", "--dryrun"]
    assert lines(dg(*command, "--checksum").stdout) == [
        f"(dryrun) upload: src/other.{suffix} to s3://{bucket}/p/other.{suffix}" for suffix in ("txt", "zip")
    ]
    assert lines(dg(*command).stdout) == [
        f"(dryrun) upload: src/same.{suffix} to s3://{bucket}/p/same.{suffix}" for suffix in ("txt", "zip")
    ]
    down = dg("sync", f"s3://{bucket}/p", "src", "--checksum")
    assert down.returncode == 0
    assert (tmp_path / "src/other.txt").read_bytes() == b"12345"
    assert (tmp_path / "src/same.txt").stat().st_mtime == 2_200_000_000
    assert dg("sync", f"s3://{bucket}/p", "src", "--checksum").stdout == b""


def test_modification_times_come_back_on_request(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    for name in ("a.zip", "b.txt"):
        write(tmp_path / "src" / name, b"x" * 1000)
        os.utime(tmp_path / "src" / name, ns=(OLD, 1_234_567_890_123_456_789))
    assert dg("cp", "-r", "src", f"s3://{bucket}/p").returncode == 0
    assert s3.head_object(Bucket=bucket, Key="p/b.txt")["Metadata"]["mtime"] == "1234567890.123456789"
    assert dg("cp", "-r", f"s3://{bucket}/p", "out", "--preserve-times").returncode == 0
    for name in ("a.zip", "b.txt"):
        assert (tmp_path / "out" / name).stat().st_mtime_ns == 1_234_567_890_123_456_789
    command = ["sync", f"s3://{bucket}/p", "out", "--preserve-times"]
    assert dg(*command).stdout == b""
    os.utime(tmp_path / "out/b.txt", (OLD, OLD))
    assert dg(*command).stdout.startswith(b"download: ")
    assert (tmp_path / "out/b.txt").stat().st_mtime_ns == 1_234_567_890_123_456_789
    assert dg("sync", "out", f"s3://{bucket}/p", "--preserve-times").stdout == b""
    os.utime(tmp_path / "out/b.txt", (OLD, OLD))
    assert dg("sync", "out", f"s3://{bucket}/p", "--preserve-times").stdout.startswith(b"upload: ")
    plain = dg("cp", f"s3://{bucket}/p/b.txt", "plain.txt")
    assert plain.returncode == 0
    modified = s3.head_object(Bucket=bucket, Key="p/b.txt")["LastModified"].timestamp()
    assert (tmp_path / "plain.txt").stat().st_mtime == int(modified)


def test_nothing_behind_a_link_is_touched(dg: Run, bucket: str, put: Put, tmp_path: Path) -> None:
    put(bucket, {"p/a.txt": b"a", "p/link/x": b"new"})
    write(tmp_path / "outside/x", b"mine")
    write(tmp_path / "outside/y", b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/link").symlink_to(tmp_path / "outside")
    (tmp_path / "out/gone").symlink_to(tmp_path / "outside/x")
    result = dg("sync", f"s3://{bucket}/p", "out", "--delete")
    assert result.returncode == 1  # p/link/x has no place
    assert {path.read_bytes() for path in (tmp_path / "outside").iterdir()} == {b"mine"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.txt", "link"]
    assert (tmp_path / "out/a.txt").read_bytes() == b"a"


def test_json_has_a_line_per_object_and_one_for_all(dg: Run, bucket: str, tmp_path: Path) -> None:
    base = os.urandom(20_000)
    write(tmp_path / "src/1.zip", base)
    write(tmp_path / "src/2.zip", base + b"2")
    write(tmp_path / "src/reference.bin", b"reserved")
    (tmp_path / "src/dangling").symlink_to("nowhere")
    result = dg("sync", "src", f"s3://{bucket}/p", "--json")
    assert (result.returncode, result.stderr) == (1, b"")
    *objects, total = map(json.loads, result.stdout.splitlines())
    by_source = {each["source"]: each for each in objects}
    assert by_source["src/2.zip"].pop("stored_size") < 1000
    assert by_source["src/2.zip"] == {
        "status": "done", "action": "upload", "source": "src/2.zip", "destination": f"s3://{bucket}/p/2.zip",
        "size": 20_001, "error": None,
    }  # fmt: skip
    assert by_source["src/dangling"]["status"] == "skipped"
    assert by_source["src/dangling"]["error"] == "No such file or directory"
    assert by_source["src/reference.bin"]["status"] == "failed"
    assert "Choose another name" in by_source["src/reference.bin"]["error"]
    assert (total["status"], total["done"], total["failed"], total["skipped"]) == ("summary", 2, 1, 1)
    assert total["size"] == 40_001
    planned = dg("rm", "-r", f"s3://{bucket}/p", "--json", "--dryrun")
    assert [json.loads(line)["status"] for line in planned.stdout.splitlines()] == ["planned"] * 2
    listed = [
        json.loads(line) for line in dg("ls", f"s3://{bucket}/", "-r", "--json", "--summarize").stdout.splitlines()
    ]
    assert [each["kind"] for each in listed] == ["object", "object", "summary"]
    assert (listed[1]["key"], listed[1]["size"], listed[1]["is_delta"]) == ("p/2.zip", 20_001, True)
