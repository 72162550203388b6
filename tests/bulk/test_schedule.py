from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deltaglider_async.bulk.actions import Action, Copy, Delete, Upload
from deltaglider_async.bulk.schedule import Limits, Schedule

MIB = 1024 * 1024


def put(key: str, size: int = 1) -> Upload:
    return Upload(Path(key), "b", key, size)


def take_all(schedule: Schedule) -> list[Action]:
    taken = []
    while action := schedule.take():
        taken.append(action)
    return taken


def test_the_first_of_a_deltaspace_leads_and_then_all_go() -> None:
    schedule = Schedule(Limits())
    first, second, third, other = put("x/1.zip"), put("x/2.zip"), put("x/3.zip"), put("y/1.zip")
    for action in (first, second, third, other):
        schedule.add(action)
    assert take_all(schedule) == [first, other]
    schedule.done(first, succeeded=True)
    assert take_all(schedule) == [second, third]
    late = put("x/4.zip")
    schedule.add(late)
    assert take_all(schedule) == [late]


def test_all_go_as_soon_as_the_first_has_its_reference_at_hand() -> None:
    schedule = Schedule(Limits())
    first, second, third = put("x/1.zip"), put("x/2.zip"), put("x/3.zip")
    for action in (first, second, third):
        schedule.add(action)
    assert take_all(schedule) == [first]
    schedule.sends(first)
    assert take_all(schedule) == [second, third]
    schedule.sends(second)
    schedule.done(first, succeeded=False)
    for action in (second, third):
        schedule.done(action, succeeded=True)
    assert schedule.idle


def test_if_the_first_fails_the_next_leads() -> None:
    schedule = Schedule(Limits())
    first, second, third = put("x/1.zip"), put("x/2.zip"), put("x/3.zip")
    for action in (first, second, third):
        schedule.add(action)
    assert take_all(schedule) == [first]
    schedule.done(first, succeeded=False)
    assert take_all(schedule) == [second]
    schedule.done(second, succeeded=True)
    assert take_all(schedule) == [third]


def test_files_that_need_no_reference_wait_for_none() -> None:
    schedule = Schedule(Limits())
    actions: list[Action] = [put("x/1.txt"), put("x/2.txt"), Delete("b", "x/3.zip"), Delete("b", "x/4.zip")]
    for action in actions:
        schedule.add(action)
    assert take_all(schedule) == actions


def test_bytes_in_flight_are_bounded_but_two_go_however_large_they_are() -> None:
    schedule = Schedule(Limits(10, 10, bytes_in_flight=100 * MIB))
    files = [put("1", 60 * MIB), put("2", 500 * MIB), put("3", 30 * MIB), put("4", 30 * MIB), put("5", 60 * MIB)]
    for action in files:
        schedule.add(action)
    assert take_all(schedule) == files[:2]
    schedule.done(files[0], succeeded=True)
    assert take_all(schedule) == [files[2]]
    schedule.done(files[1], succeeded=True)
    assert take_all(schedule) == [files[3]]
    schedule.done(files[2], succeeded=True)
    assert take_all(schedule) == [files[4]]


def test_many_small_files_and_few_large_ones_do_not_wait_for_each_other() -> None:
    schedule = Schedule(Limits(objects=8, large_objects=3, bytes_in_flight=4 * MIB))
    large = [put(f"large/{number}", 2 * MIB) for number in range(5)]
    small = [put(f"small/{number}") for number in range(20)]
    for action in (*large, *small):
        schedule.add(action)
    assert take_all(schedule) == [*large[:2], *small[:6]]
    schedule.done(small[0], succeeded=True)
    assert take_all(schedule) == [small[6]]
    schedule.done(large[0], succeeded=True)
    assert take_all(schedule) == [large[2]]  # its turn came before theirs


def test_an_object_of_unknown_size_counts_as_large() -> None:
    schedule = Schedule(Limits(objects=8, large_objects=1))
    unknown = [Copy("b", f"{number}", "to", f"{number}") for number in range(3)]
    for action in unknown:
        schedule.add(action)
    assert take_all(schedule) == unknown[:1]


keys = st.tuples(st.sampled_from("xyz"), st.integers(0, 99), st.sampled_from(["zip", "txt"])).map(
    lambda parts: f"{parts[0]}/{parts[1]}.{parts[2]}"
)


@given(
    st.lists(st.tuples(keys, st.integers(0, 50).map(lambda size: size * MIB // 10)), max_size=30),
    st.integers(1, 5),
    st.data(),
)
def test_everything_goes_once_within_the_bounds(
    files: list[tuple[str, int]], concurrency: int, data: st.DataObject
) -> None:
    schedule = Schedule(Limits(concurrency, max(1, concurrency - 1), 6 * MIB))
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
        large = [action.size or 0 for action in under_way if (action.size or 0) >= MIB]
        assert len(large) <= max(1, concurrency - 1)
        assert len(large) <= 2 or sum(large) <= 6 * MIB
        if under_way:
            ended = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            schedule.done(ended, succeeded=data.draw(st.booleans()))
    assert started == len(files)
