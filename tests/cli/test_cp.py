from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import DG

if TYPE_CHECKING:
    from tests.cli.conftest import Run
    from types_boto3_s3 import S3Client


def keys(s3: S3Client, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_there_and_back_under_the_names_given(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    content = os.urandom(30_000)
    write(tmp_path, {"my.txt": content})
    up = dg("cp", "my.txt", f"s3://{bucket}/p/other.txt")
    assert (up.returncode, up.stderr) == (0, b"")
    assert up.stdout.decode() == f"upload: ./my.txt to s3://{bucket}/p/other.txt (30.0 kB)\n"
    down = dg("cp", f"s3://{bucket}/p/other.txt", "new/folder/third.txt")
    assert down.stdout.decode() == f"download: s3://{bucket}/p/other.txt to new/folder/third.txt (30.0 kB)\n"
    assert (tmp_path / "new/folder/third.txt").read_bytes() == content
    assert keys(s3, bucket) == ["p/other.txt"]
    assert s3.head_object(Bucket=bucket, Key="p/other.txt")["ContentType"] == "text/plain"


def test_a_slash_or_a_folder_means_into(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"})
    (tmp_path / "here").mkdir()
    assert dg("cp", "a.txt", f"s3://{bucket}").returncode == 0
    assert dg("cp", "b.txt", f"s3://{bucket}/p/").returncode == 0
    assert keys(s3, bucket) == ["a.txt", "p/b.txt"]
    for destination, name in [("here", "here/b.txt"), ("made/", "made/b.txt")]:
        assert dg("cp", f"s3://{bucket}/p/b.txt", destination).returncode == 0
        assert (tmp_path / name).read_bytes() == b"b"
    assert dg("cp", f"s3://{bucket}/p/b.txt", f"s3://{bucket}/q/").returncode == 0
    assert keys(s3, bucket) == ["a.txt", "p/b.txt", "q/b.txt"]


def test_a_folder_there_and_back_as_deltas(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    base = os.urandom(40_000)
    contents = {f"app-{number}.zip": base + b"%d" % number for number in range(5)}
    contents |= {"sub/deep/a.txt": b"text", "empty": b"", "sub/empty.zip": b"", "ümlaut 1.zip": b"x" * 100}
    write(tmp_path / "src", contents)
    up = dg("cp", "-r", "src", f"s3://{bucket}/p")
    assert (up.returncode, up.stderr) == (0, b"")
    assert len(up.stdout.splitlines()) == len(contents)
    assert sum(b"% saved)" in line for line in up.stdout.splitlines()) >= 4
    assert "p/app-1.zip.delta" in keys(s3, bucket)
    down = dg("cp", "--recursive", f"s3://{bucket}/p", "out")
    assert (down.returncode, down.stderr) == (0, b"")
    assert read(tmp_path / "out") == contents
    copied = dg("cp", "-r", f"s3://{bucket}/p/", f"s3://{bucket}/copy/", "-q")
    assert (copied.returncode, copied.stdout, copied.stderr) == (0, b"", b"")
    assert dg("cp", "-r", f"s3://{bucket}/copy/", "again").returncode == 0
    assert read(tmp_path / "again") == contents


def test_no_delta_and_max_ratio_decide_the_form(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    write(tmp_path, {"1.zip": os.urandom(20_000)})
    assert dg("cp", "--no-delta", "1.zip", f"s3://{bucket}/a/").returncode == 0
    assert dg("cp", "--max-ratio", "0", "1.zip", f"s3://{bucket}/b/").returncode == 0
    assert keys(s3, bucket) == ["a/1.zip", "b/1.zip"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["--exclude", "*", "--include", "*.zip"], {"a.zip", "sub/b.zip"}),
        (["--include", "*.zip", "--exclude", "*"], set()),
        (["--exclude", "*", "--include", "sub/*", "--exclude", "*.txt"], {"sub/b.zip"}),
        (["--exclude=*.txt", "--include", "a.txt"], {"a.zip", "a.txt", "sub/b.zip"}),
        (["--include", "*.zip"], {"a.zip", "a.txt", "sub/b.zip", "sub/b.txt"}),
    ],
)
def test_filters_count_in_the_order_of_the_command_line(
    dg: Run, bucket: str, tmp_path: Path, rules: list[str], expected: set[str]
) -> None:
    write(tmp_path / "src", dict.fromkeys(["a.zip", "a.txt", "sub/b.zip", "sub/b.txt"], b"x"))
    result = dg("cp", "-r", "src", f"s3://{bucket}/", "--dryrun", *rules)
    assert result.returncode == 0
    lines = {f"(dryrun) upload: {Path('src', name)} to s3://{bucket}/{name}" for name in expected}
    assert set(result.stdout.decode().splitlines()) == lines
    assert (b"no effect alone" in result.stderr) == ("--exclude" not in " ".join(rules))


def test_dryrun_does_nothing(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    write(tmp_path, {"a": b"a"})
    assert dg("cp", "--dryrun", "a", f"s3://{bucket}/").stdout.decode() == f"(dryrun) upload: ./a to s3://{bucket}/a\n"
    assert not keys(s3, bucket)


def test_standard_input_and_output_are_binary_and_silent(dg: Run, bucket: str) -> None:
    content = bytes(range(256)) * 5000 + os.urandom(10)
    up = dg("cp", "-", f"s3://{bucket}/a/1.zip", input=content)
    assert (up.returncode, up.stdout, up.stderr) == (0, b"", b"")
    again = dg("cp", "-", f"s3://{bucket}/a/2.zip", input=content)
    assert (again.returncode, again.stdout, again.stderr) == (0, b"", b"")
    for name in ("1.zip", "2.zip"):
        down = dg("cp", f"s3://{bucket}/a/{name}", "-")
        assert (down.returncode, down.stdout == content, down.stderr) == (0, True, b"")


def test_empty_standard_input_makes_an_empty_object(dg: Run, bucket: str, s3: S3Client) -> None:
    assert dg("cp", "-", f"s3://{bucket}/empty", input=b"").returncode == 0
    assert s3.head_object(Bucket=bucket, Key="empty")["ContentLength"] == 0


def test_keys_that_would_leave_the_folder_are_refused_and_the_others_come(
    dg: Run, bucket: str, s3: S3Client, tmp_path: Path
) -> None:
    for key in ("p/good", "p/../../evil", "p//abs", "p/a/../../evil2", "p/link/evil3", "p/x", "p/x/y"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "outside")
    before = set(tmp_path.rglob("*"))
    result = dg("cp", "-r", f"s3://{bucket}/p/", "out")
    assert result.returncode == 1
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "out" / "good", tmp_path / "out" / "x"}
    errors = result.stderr.decode().splitlines()
    assert len(errors) == 5
    for key in ("p/../../evil", "p//abs", "p/a/../../evil2", "p/link/evil3", "p/x/y"):
        assert any(f"s3://{bucket}/{key}" in line for line in errors)


def test_one_bad_file_does_not_stop_the_others(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    write(tmp_path / "src", {"1": b"1", "2": b"2", "reference.bin": b"reserved"})
    (tmp_path / "src" / "dangling").symlink_to("nowhere")
    result = dg("cp", "-r", "src", f"s3://{bucket}/")
    assert result.returncode == 1
    assert keys(s3, bucket) == ["1", "2"]
    first, second = sorted(result.stderr.decode().splitlines())
    assert first.startswith(f"upload failed: src/reference.bin to s3://{bucket}/reference.bin: ")
    assert second == "upload skipped: src/dangling: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cp", "nowhere", "s3://{bucket}/"], "dg: No such file or directory: nowhere\n"),
        (["cp", "folder", "s3://{bucket}/"], "dg: is a folder, which needs -r: folder\n"),
        (["cp", "-r", "nowhere", "s3://{bucket}/"], "dg: cannot read folder: No such file or directory: nowhere\n"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    dg: Run, bucket: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    result = dg(*(argument.format(bucket=bucket) for argument in arguments))
    assert (result.returncode, result.stdout, result.stderr.decode()) == (1, b"", message)


def test_a_missing_bucket_is_said_once(dg: Run, tmp_path: Path) -> None:
    write(tmp_path / "src", {str(number): b"x" for number in range(30)})
    result = dg("cp", "-r", "src", "s3://no-such-bucket-here/")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert b"there is no bucket 'no-such-bucket-here'" in result.stderr


def test_a_missing_object_is_an_error(dg: Run, bucket: str, tmp_path: Path) -> None:
    for destination in ("out", "-", f"s3://{bucket}/copy"):
        result = dg("cp", f"s3://{bucket}/nowhere", destination)
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.startswith(b"dg: ")
        assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(dg: Run, bucket: str) -> None:
    result = dg("--debug", "cp", f"s3://{bucket}/nowhere", "out")
    assert result.returncode == 1
    assert b"Traceback" in result.stderr


def test_an_unreachable_endpoint_is_one_clear_line(dg: Run) -> None:
    result = dg("ls", "--endpoint-url", "http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    assert result.returncode == 254
    assert b"Traceback" not in result.stderr
    assert b"127.0.0.1:9" in result.stderr


def test_a_wrong_setting_names_its_variable(dg: Run) -> None:
    result = dg("ls", DG_MAX_RATIO="high")
    assert result.returncode == 253
    assert result.stderr.startswith(b"dg: DG_MAX_RATIO: 'high' is not accepted.")


def test_standard_input_may_be_a_file(dg: Run, bucket: str, s3: S3Client, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    write(tmp_path, {"content": content})
    with (tmp_path / "content").open("rb") as file:
        subprocess.run([*DG, "cp", "-", f"s3://{bucket}/a"], stdin=file, check=True)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == content
