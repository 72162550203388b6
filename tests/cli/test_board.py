from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from deltaglider_async.bulk.actions import Delete, Upload
from deltaglider_async.bulk.events import Advanced, Failed, Finished, Planned, Started, Summary
from deltaglider_async.cli import text
from deltaglider_async.cli.board import ASCII, NARROWEST, UNICODE, Board

MB = 1_000_000


def put(name: str, size: int = 10 * MB) -> Upload:
    return Upload(Path(name), "b", name, size)


def lines(board: Board, now: float = 10.0, width: int = 79, height: int = 24) -> list[str]:
    return [line.plain.rstrip() for line in board.lines(width, height, now)]


def test_a_file_under_way_shows_name_bar_bytes_rate_and_what_happens() -> None:
    board = Board(ASCII)
    action = put("app-1.2.zip")
    board.show(Planned(1, 10 * MB, complete=True), 0.0)
    board.show(Started(action), 0.0)
    board.show(Advanced(action, "encoding", 0), 0.0)
    board.show(Advanced(action, "encoding", 5 * MB), 1.0)
    (line,) = lines(board, 1.0)
    assert line.startswith("./app-1.2.zip ")
    assert line.endswith(" #######-------  5.0/10.0 MB  5.0 MB/s encoding")


def test_the_total_counts_files_bytes_time_and_what_was_saved() -> None:
    board = Board(UNICODE)
    actions = [put(f"{number}.zip") for number in range(4)]
    board.show(Planned(4, 40 * MB, complete=True), 0.0)
    for action in actions:
        board.show(Started(action), 0.0)
    board.lines(79, 24, 0.0)
    board.show(Finished(actions[0], Summary(10 * MB, MB)), 1.0)
    board.show(Finished(actions[1], Summary(10 * MB, MB)), 2.0)
    total = lines(board, 2.0)[-1]
    assert total.startswith("2/4 files, 90% saved ")
    assert total.endswith(" 20.0/40.0 MB 10.0 MB/s 0:02 left")
    assert lines(board, 2.0, width=199)[-1].startswith("2/4 files, 18.0 MB saved (90%) ")
    board.show(Failed(actions[2], OSError("no")), 2.0)
    assert lines(board, 2.0)[-1].startswith("3/4, 1 failed, 90% saved ")
    board.show(Finished(actions[3], Summary(10 * MB, 10 * MB)), 3.0)
    assert board.summary(3.0) == "3 files, 30.0 MB in 3.0 s (10.0 MB/s), 18.0 MB saved (60%), 1 failed"


def test_a_single_file_needs_no_total_and_no_summary() -> None:
    board = Board(UNICODE)
    board.show(Planned(1, MB, complete=True), 0.0)
    action = put("a", MB)
    board.show(Started(action), 0.0)
    assert len(lines(board)) == 1
    board.show(Finished(action, Summary(MB, MB)), 1.0)
    assert board.summary(1.0) == ""


def test_while_the_plan_is_read_there_is_no_end_in_sight() -> None:
    board = Board(UNICODE)
    board.show(Planned(1000, 0, complete=False), 0.0)
    total = lines(board)[-1]
    assert total.startswith("0/1,000+ files")
    assert "left" not in total


def test_no_more_lines_than_the_terminal_has() -> None:
    board = Board(UNICODE)
    for number in range(50):
        board.show(Started(put(f"{number}")), 0.0)
    assert len(lines(board, height=10)) == 9


def test_deletes_advance_by_number() -> None:
    board = Board(ASCII)
    deletes = [Delete("b", f"k{number}") for number in range(2)]
    board.show(Planned(2, 0, complete=True), 0.0)
    for delete in deletes:
        board.show(Started(delete), 0.0)
    assert lines(board)[0].endswith("deleting")
    board.show(Finished(deletes[0], Summary(0)), 1.0)
    total = lines(board)[-1]
    assert total.startswith("1/2 objects")
    assert total.count("#") == total.count("-") == 7


@given(
    st.text("aé漢\x1b\n…/", min_size=1, max_size=200),
    st.integers(0, 10**15),
    st.integers(0, 10**15),
    st.integers(NARROWEST - 1, 300),
    st.floats(0, 1e6),
)
def test_every_line_fits(name: str, size: int, position: int, width: int, now: float) -> None:
    board = Board(UNICODE)
    action = put(name, size)
    board.show(Planned(10**6, size, complete=True), 0.0)
    board.show(Started(action), 0.0)
    board.show(Advanced(action, "reading reference", position), now / 2)
    board.show(Finished(put("done"), Summary(size, size // 3)), now)
    board.show(Failed(put("bad"), OSError("no")), now)
    for line in board.lines(width, 24, now):
        assert cell_len(line.plain) <= width
        assert line.plain.isprintable()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (13_300_000, "13.3 MB"), (99_949_999, "99.9 MB"),
        (99_950_000, "100 MB"), (133_000_000, "133 MB"), (999_600_000, "1.0 GB"), (10**18, "1.0 EB"),
    ],
)  # fmt: skip
def test_sizes_have_three_figures(count: int, expected: str) -> None:
    assert text.size(count) == expected


@given(st.integers(0, 10**21))
def test_sizes_are_short(count: int) -> None:
    assert len(text.size(count)) <= 9


def test_names_lose_their_beginning_and_control_characters() -> None:
    assert text.shorten("folder/app-1.2.zip", 12) == "…app-1.2.zip"
    assert text.shorten("漢字.zip", 7) == "…字.zip"
    assert text.printable("a\x1b[2Jb\n") == "a?[2Jb?"
    assert text.duration(4) == "0:04"
    assert text.duration(750) == "12:30"
    assert text.duration(3 * 3600 + 300) == "3h05m"
    assert max(len(text.duration(10**exponent)) for exponent in range(15)) <= 6
