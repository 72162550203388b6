"""What a person sees, on a real terminal line, and what a signal leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.conftest import DG, Put, Run
from tests.cli.terminals import TOTAL, terminal

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@pytest.fixture
def many(dg: Run, tmp_path: Path) -> Path:
    """200 small files."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(200):
        (folder / f"file-with-a-rather-long-name-{number:03}.txt").write_bytes(b"x" * (1000 + number))
    return folder


@pytest.fixture
def slow(dg: Run, tmp_path: Path) -> Path:
    """Files that take a while."""
    folder = tmp_path / "slow"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.bin").write_bytes(os.urandom(3_000_000))
    return folder


@pytest.mark.parametrize("columns", [80, 200])
def test_bars_advance_and_finish_and_lines_scroll_above(bucket: str, many: Path, columns: int) -> None:
    with terminal("cp", "-r", "many", f"s3://{bucket}/", columns=columns) as seen:
        seen.watch()
        assert seen.process.wait() == 0
    totals = [match for picture in seen.pictures for row in picture if (match := TOTAL.match(row))]
    done = [int(match[1]) for match in totals]
    assert done == sorted(done)
    assert len(set(done)) >= 3
    assert {int(match[2]) for match in totals[-3:]} == {200}
    assert all(len(row) < columns for picture in seen.pictures for row in picture if "━" in row or "─" in row)
    finished = [line for line in seen.lines if line.startswith("upload: many/file-with-a-rather-long-name-")]
    assert len(finished) == 200
    assert seen.lines[-1].startswith("200 files, 220 kB in ")
    assert not any("━" in line or "─" in line for line in seen.lines)
    assert seen.screen.cursor.hidden is False


def test_a_terminal_that_becomes_narrower_is_followed(bucket: str, slow: Path) -> None:
    with terminal("cp", "-r", "slow", f"s3://{bucket}/", "--max-bandwidth", "60MB/s", columns=160) as seen:
        seen.watch(until=lambda picture: any(TOTAL.match(row) and len(row) > 100 for row in picture))
        seen.resize(90)
        drawn_before = len(seen.pictures)
        seen.watch()
        assert seen.process.wait() == 0
    totals = [row for picture in seen.pictures[drawn_before:] for row in picture if TOTAL.match(row)]
    assert totals
    assert len(totals[-1]) < 90
    assert seen.lines[-1].startswith("40 files, 120 MB in ")


@pytest.mark.parametrize(("command", "verb"), [("sync", "upload"), ("mv -r", "move")])
def test_other_commands_show_bars_too(bucket: str, many: Path, command: str, verb: str) -> None:
    with terminal(*command.split(), "many", f"s3://{bucket}/") as seen:
        seen.watch()
        assert seen.process.wait() == 0
    done = [int(match[1]) for picture in seen.pictures for row in picture if (match := TOTAL.match(row))]
    assert len(set(done)) >= 3
    assert done == sorted(done)
    assert sum(line.startswith(f"{verb}: many/file-with-a-rather-long-name-") for line in seen.lines) == 200
    assert seen.lines[-1].startswith("200 files, 220 kB in ")


def test_without_progress_a_terminal_gets_plain_lines(bucket: str, many: Path) -> None:
    with terminal("cp", "-r", "many", f"s3://{bucket}/", "--no-progress") as seen:
        seen.watch()
    assert b"\x1b" not in seen.written
    assert seen.written.count(b"upload: ") == 200


def test_pictures_are_few_however_much_happens(bucket: str, many: Path) -> None:
    began = time.monotonic()
    with terminal("cp", "-r", "many", f"s3://{bucket}/", "--concurrency", "3") as seen:
        seen.watch()
    assert seen.written.count(b" left") <= 12 * (time.monotonic() - began) + 2


def test_a_single_download_shows_one_bar(bucket: str, put: Put, dg: Run, tmp_path: Path) -> None:
    put(bucket, {"a.bin": b"x" * 100_000_000})
    with terminal("cp", f"s3://{bucket}/a.bin", "out.bin") as seen:
        seen.watch()
        assert seen.process.wait() == 0
    bars = [row for picture in seen.pictures for row in picture if "━" in row or "─" in row]
    assert bars
    assert all(row.startswith("./out.bin") for row in bars)
    assert seen.lines == [f"download: s3://{bucket}/a.bin to ./out.bin (100 MB)"]


@pytest.mark.parametrize(("columns", "term"), [(40, "xterm-256color"), (80, "dumb")])
def test_a_narrow_or_dumb_terminal_gets_plain_lines(bucket: str, many: Path, columns: int, term: str) -> None:
    with terminal("cp", "-r", "many", f"s3://{bucket}/", columns=columns, term=term) as seen:
        seen.watch()
    assert b"\x1b" not in seen.written
    assert seen.written.count(b"upload: ") == 200


def test_no_color_means_none(bucket: str, many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal("cp", "-r", "many", f"s3://{bucket}/") as seen:
        seen.watch()
    assert b"\xe2\x94\x80" in seen.written
    assert not re.search(rb"\x1b\[[0-9;]*3[0-7]m|\x1b\[9[0-7]m", seen.written)


def test_a_pipe_gets_plain_lines(dg: Run, bucket: str, many: Path) -> None:
    result = dg("cp", "-r", "many", f"s3://{bucket}/p/")
    lines = result.stdout.decode().splitlines()
    name = "file-with-a-rather-long-name-007.txt"
    assert f"upload: many/{name} to s3://{bucket}/p/{name} (1.0 kB)" in lines
    assert len(lines) == 200
    assert b"\x1b" not in result.stdout


def test_a_reader_that_has_seen_enough_ends_it_quietly(dg: Run, bucket: str, s3: S3Client) -> None:
    for number in range(30):
        s3.put_object(Bucket=bucket, Key=f"{number:02}" + "x" * 900, Body=b"")
    command = f"{' '.join(DG)} ls s3://{bucket}/ | head -1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == b""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_cleanly(bucket: str, slow: Path, s3: S3Client, number: int, code: int) -> None:
    with terminal("cp", "-r", "slow", f"s3://{bucket}/", "--concurrency", "2") as seen:
        seen.watch(lambda picture: any(row.startswith("upload: ") for row in picture))
        os.killpg(seen.process.pid, number)  # as a terminal does: children get it too
        seen.watch()
        assert seen.process.wait() == code
    said, go_on = seen.lines[-2:]
    assert (match := re.fullmatch(r"dg: interrupted: (\d+) of 40 done; nothing is left half-written", said))
    assert go_on == "To go on: dg sync between the same places does the rest"
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) >= int(match[1]) >= 1
    assert "Traceback" not in "\n".join(seen.lines)
    assert "failed" not in "\n".join(seen.lines)
    assert not s3.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert seen.screen.cursor.hidden is False


def test_an_interrupted_download_leaves_no_file(bucket: str, put: Put, dg: Run, tmp_path: Path) -> None:
    put(bucket, {f"p/{number}.bin": os.urandom(5_000_000) for number in range(8)})
    with terminal("cp", "-r", f"s3://{bucket}/p", "out", "--concurrency", "1") as seen:
        seen.watch(lambda picture: any(row.startswith("download: ") for row in picture))
        seen.process.send_signal(signal.SIGINT)
        seen.watch()
        assert seen.process.wait() == 130
    assert {path.stat().st_size for path in (tmp_path / "out").iterdir()} == {5_000_000}


def test_waiting_for_standard_input_can_be_interrupted(dg: Run, bucket: str) -> None:
    command = [*DG, "cp", "-", f"s3://{bucket}/a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(b"x" * 1_000_000)  # more than a pipe holds: done when the program has read most of it
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read().startswith(b"dg: interrupted")


def test_a_pipe_that_nobody_reads_does_not_keep_it(dg: Run, bucket: str, put: Put) -> None:
    put(bucket, {"a.bin": b"x" * 3_000_000})
    with subprocess.Popen(
        [*DG, "cp", f"s3://{bucket}/a.bin", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.read(10) == b"x" * 10
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read().startswith(b"dg: interrupted")
