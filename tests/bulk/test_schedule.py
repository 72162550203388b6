from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.actions import Action, Delete, PutOptions, Upload
from deltaglider_async.bulk.schedule import Schedule


def put(key: str, size: int = 1) -> Upload:
    return Upload(Path(key), "b", key, size, None, PutOptions())


def take_all(schedule: Schedule) -> list[Action]:
    taken = []
    while action := schedule.take():
        taken.append(action)
    return taken


def test_the_first_of_a_deltaspace_leads_and_then_all_go() -> None:
    schedule = Schedule(10, 1000)
    first, second, third, other = put("x/1.zip"), put("x/2.zip"), put("x/3.zip"), put("y/1.zip")
    for action in (first, second, third, other):
        schedule.add(action)
    assert take_all(schedule) == [first, other]
    schedule.done(first, succeeded=True)
    assert take_all(schedule) == [second, third]
    late = put("x/4.zip")
    schedule.add(late)
    assert take_all(schedule) == [late]


def test_if_the_first_fails_the_next_leads() -> None:
    schedule = Schedule(10, 1000)
    first, second, third = put("x/1.zip"), put("x/2.zip"), put("x/3.zip")
    for action in (first, second, third):
        schedule.add(action)
    assert take_all(schedule) == [first]
    schedule.done(first, succeeded=False)
    assert take_all(schedule) == [second]
    schedule.done(second, succeeded=True)
    assert take_all(schedule) == [third]


def test_files_that_need_no_reference_wait_for_none() -> None:
    schedule = Schedule(10, 1000)
    actions: list[Action] = [put("x/1.txt"), put("x/2.txt"), Delete("b", "x/3.zip"), Delete("b", "x/4.zip")]
    for action in actions:
        schedule.add(action)
    assert take_all(schedule) == actions


def test_bytes_in_flight_are_bounded_and_a_larger_file_goes_alone() -> None:
    schedule = Schedule(10, 100)
    small, large, last = put("1", 60), put("2", 500), put("3", 60)
    for action in (small, large, last):
        schedule.add(action)
    assert take_all(schedule) == [small]
    schedule.done(small, succeeded=True)
    assert take_all(schedule) == [large]
    schedule.done(large, succeeded=True)
    assert take_all(schedule) == [last]


keys = st.tuples(st.sampled_from("xyz"), st.integers(0, 99), st.sampled_from(["zip", "txt"])).map(
    lambda parts: f"{parts[0]}/{parts[1]}.{parts[2]}"
)


@given(st.lists(st.tuples(keys, st.integers(0, 50)), max_size=30), st.integers(1, 5), st.data())
def test_everything_goes_once_within_the_bounds(
    files: list[tuple[str, int]], concurrency: int, data: st.DataObject
) -> None:
    schedule = Schedule(concurrency, 60)
    waiting = [put(key, size) for key, size in files]
    under_way: list[Action] = []
    started = 0
    while waiting or not schedule.idle:
        if waiting and (schedule.idle or data.draw(st.booleans())):
            schedule.add(waiting.pop())
        taken = take_all(schedule)
        started += len(taken)
        under_way += taken
        assert len(under_way) <= concurrency
        assert len(under_way) <= 1 or sum(action.size or 0 for action in under_way) <= 60
        if under_way:
            ended = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            schedule.done(ended, succeeded=data.draw(st.booleans()))
    assert started == len(files)
