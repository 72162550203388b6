from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from deltaglider_async.bulk.journal import Journal, Row, Totals
from deltaglider_async.errors import InvalidRequestError, LocalIOError

WORK = {"source": ["b", "p/"]}
ROWS = [Row(f"k/ü {number}\n", number if number % 7 else None) for number in range(2500)] + [Row("x", None, "archived")]


async def plan(rows: list[Row], *, broken: bool = False) -> AsyncGenerator[Row, None]:
    for row in rows:
        yield row
    if broken:
        raise RuntimeError("the listing broke off")


async def pending(journal: Journal) -> list[tuple[int, Row]]:
    return [item async for item in journal.pending()]


async def test_what_is_written_is_read_in_order_and_what_is_done_is_left_out(tmp_path: Path) -> None:
    totals = Totals()
    async with Journal(WORK, tmp_path) as journal:
        assert not journal.has_plan
        await journal.write(plan(ROWS), totals)
        assert await pending(journal) == list(enumerate(ROWS))
        for number in (2400, 0, 1001):
            await journal.done(number)
        assert await journal.count_done() == 3
    assert (totals.objects, totals.unknown, totals.refused) == (2500, 358, 1)
    assert totals.size == sum(number for number in range(2500) if number % 7)
    async with Journal(WORK, tmp_path) as again:  # another process
        assert again.has_plan
        left = [item for item in enumerate(ROWS) if item[0] not in (0, 1001, 2400)]
        assert await pending(again) == left


async def test_a_plan_that_broke_off_is_none(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal:
        with pytest.raises(RuntimeError):
            await journal.write(plan(ROWS, broken=True), Totals())
        assert not journal.has_plan
    async with Journal(WORK, tmp_path) as again:
        assert not again.has_plan
    assert not list(tmp_path.iterdir())


async def test_what_a_killed_process_left_of_an_incomplete_plan_is_removed(tmp_path: Path) -> None:
    journal = Journal(WORK, tmp_path)
    journal.folder.mkdir()
    (journal.folder / "plan.partial").write_bytes(b'["a"]\n["b')
    async with journal:
        assert not journal.has_plan
        assert not (journal.folder / "plan.partial").exists()


async def test_forgotten_work_begins_anew_and_leaves_nothing(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal:
        await journal.write(plan(ROWS), Totals())
        await journal.done(1)
        await journal.forget()
        await journal.write(plan(ROWS[:3]), Totals())
        assert [number for number, _ in await pending(journal)] == [0, 1, 2]
        await journal.forget()
    assert not list(tmp_path.iterdir())


async def test_other_work_has_another_journal(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal, Journal({**WORK, "max_ratio": 0.1}, tmp_path) as other:
        await journal.write(plan(ROWS), Totals())
        assert not other.has_plan


async def test_two_cannot_do_the_same_work_at_once(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal:
        await journal.write(plan(ROWS), Totals())
        with pytest.raises(InvalidRequestError, match="another process"):
            async with Journal(WORK, tmp_path):
                pass
        assert len(await pending(journal)) == len(ROWS)
    async with Journal(WORK, tmp_path) as again:
        assert again.has_plan


async def test_a_journal_is_for_its_user_alone(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal:
        assert journal.folder.stat().st_mode & 0o777 == 0o700


async def test_a_place_that_cannot_be_written_is_an_error_that_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(LocalIOError, match="XDG_STATE_HOME"):
        async with Journal(WORK, tmp_path / "file" / "x"):
            pass


async def test_marks_that_were_lost_with_the_power_are_work_to_be_done_again(tmp_path: Path) -> None:
    async with Journal(WORK, tmp_path) as journal:
        await journal.write(plan(ROWS[:5]), Totals())
        for number in range(5):
            await journal.done(number)
    os.truncate(journal.folder / "done", 3)
    async with Journal(WORK, tmp_path) as again:
        assert [number for number, _ in await pending(again)] == [3, 4]


async def test_a_journal_needs_no_call_that_windows_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pread", "pwrite", "O_DIRECTORY"):
        monkeypatch.delattr(os, name, raising=False)
    async with Journal(WORK, tmp_path) as journal:
        await journal.write(plan(ROWS[:3]), Totals())
        await journal.done(1)
        assert [number for number, _ in await pending(journal)] == [0, 2]
