"""Ten thousand files on a terminal: every line of the screen is whole, and what is written to it is bounded."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.terminals import Terminal, terminal
from tests.real_servers import CONDITIONAL

from deltaglider_async.session import create_client

FILES = 10_000
#: With what is finished in between, in the short form. Some of the names are wide, long or in parts.
NAMES = ("{:05}.txt", "{:05}-\u6f22\u5b57.txt", "{:05}-cafe\u0301.txt", "{:05}-" + "long" * 15 + ".txt")
FINISHED = re.compile(r"upload: (?:(?:many/)?(\d{5})\S* to s3://\S+|\S*?(\d{5})?-?\S*\.txt) \(1 B\)")
TOTAL = re.compile(r"[\d,]+/[\d,]+\+?( files)?,? .*")
BAR = re.compile(r"\S.* [\u2501\u2500]+ .*")

#: The events of a transfer of so many files, a share of them between two pictures.
EVENTS = """
import asyncio, sys
from pathlib import Path
from deltaglider_async.bulk.actions import Upload
from deltaglider_async.bulk.events import Finished, Planned, Started, Summary
from deltaglider_async.cli.bars import Bars
from deltaglider_async.cli.progress import Tally, display, follow

files, names, at_once, drawn, draw = int(sys.argv[1]), sys.argv[3:], int(sys.argv[2]), asyncio.Event(), Bars._draw

def noted(self):
    draw(self)
    drawn.set()

async def events():
    yield Planned(files, files, complete=True)
    large = Upload(Path("many", names[0].format(0)), "bucket", names[0].format(0), 10**9)
    yield Started(large)
    for number in range(1, files):
        name = names[number % 50 if 1000 < number and number % 50 < len(names) else 0].format(number)
        action = Upload(Path("many", name), "bucket", name, 1)
        yield Started(action)
        yield Finished(action, Summary(1, 1))
        if number % at_once == 0:
            drawn.clear()
            await drawn.wait()
    yield Finished(large, Summary(1, 1))

Bars._draw = noted
sys.exit(asyncio.run(follow(events(), Tally(), display())))
"""


def check(seen: Terminal, columns: int, *, pictures: int) -> list[str]:
    """That every picture is whole, that there are no more, and how much was written. What was finished."""
    painted = -1  # the last one is of nothing but lines
    for picture in seen.paint():
        painted += 1
        rows = [row for row in picture if row]
        bars = [row for row in rows if "\u2501" in row or "\u2500" in row]
        above = rows[: len(rows) - len(bars)]
        if bars:
            assert rows[len(above) :] == bars
            assert all(BAR.fullmatch(row) and len(row) < columns for row in bars)
            assert TOTAL.match(bars[-1])
            assert all(FINISHED.fullmatch(row) for row in above), picture
    assert 3 <= painted <= pictures
    *finished, summary = seen.lines
    assert summary.startswith(f"{FILES:,} files, 10.0 kB in ")
    assert all(FINISHED.fullmatch(line) for line in finished)
    # A bar takes three bytes a cell, and a few for its colours.
    largest = 11 * (3 * columns + 60)
    assert len(seen.written) <= sum(len(line.encode()) + 2 for line in finished) + painted * largest + 1000
    return finished


@pytest.mark.parametrize("columns", [80, 200])
def test_ten_thousand_files_come_and_go_in_whole_lines(columns: int) -> None:
    at_once = 1000
    program = [sys.executable, "-c", EVENTS, str(FILES), str(at_once), *NAMES]
    with terminal(program=program, columns=columns) as seen:
        seen.read()
        assert seen.process.wait() == 0
    finished = check(seen, columns, pictures=FILES // at_once + 3)
    assert len(finished) == FILES
    assert sum(" to s3://" in line for line in finished) >= 1000


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 200])
async def test_ten_thousand_real_files_come_and_go_in_whole_lines(
    columns: int, real_server: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, bucket = real_server(CONDITIONAL[0]), f"many-{columns}"
    async with create_client(endpoint_url=endpoint) as client:
        await client.create_bucket(Bucket=bucket)
    for number in range(FILES):
        name = NAMES[number % 50 if number % 50 < len(NAMES) else 0].format(number)
        (tmp_path / "many").mkdir(exist_ok=True)
        (tmp_path / "many" / name).write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with terminal("cp", "-r", "many", f"s3://{bucket}/", columns=columns) as seen:
        seen.read(seconds=900)
        assert seen.process.wait() == 0
    # What is finished meanwhile shares a picture.
    finished = check(seen, columns, pictures=FILES // 2)
    assert len(finished) == FILES
