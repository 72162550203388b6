"""Told from some places of a reference, whether a delta can be worth it."""

from __future__ import annotations

import random

import pytest

from deltaglider_async.streams.prospect import Places, Prospect

MIB = 1024 * 1024
SIZE = 8 * MIB


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def words(seed: int, size: int = SIZE) -> bytes:
    """Text that compresses to a third or so, with no sentence twice."""
    chosen = random.Random(seed)
    vocabulary = [chosen.randbytes(4).hex()[: chosen.randint(2, 8)].encode() for _ in range(300)]
    return b" ".join(chosen.choices(vocabulary, k=size // 4))[:size]


def looked_at(reference: bytes, target: bytes, number: int = 64, length: int = 32 * 1024) -> tuple[float, bool]:
    """The least ratio, and whether the look ended before the target did."""
    step = max(1, len(reference) // number)
    places = [reference[start : start + min(length, step)] for start in range(0, step * number, step)]
    prospect = Prospect(Places(places, len(reference)))
    for start in range(0, len(target), MIB):
        if prospect.add(target[start : start + MIB]):
            return prospect.least_ratio(), True
    return prospect.least_ratio(), False


BASE = noise(1)


@pytest.mark.parametrize(("number", "length"), [(64, 32 * 1024), (16, 64 * 1024)], ids=["at hand", "afar"])
def test_what_has_nothing_in_common_is_known(number: int, length: int) -> None:
    ratio, early = looked_at(BASE, noise(2), number, length)
    assert ratio > 0.6
    assert not early


@pytest.mark.parametrize(
    "target",
    [
        BASE,
        BASE[5 * MIB :] + BASE[: 5 * MIB],
        noise(3, 4 * MIB) + BASE,
        BASE[: 4 * MIB],
        BASE[2 * MIB :] + noise(3, 2 * MIB),
        b"".join(BASE[at : at + 100_000] + noise(at, 1000) for at in range(0, SIZE, 100_000)),
    ],
    ids=["same", "rotated", "something in front", "half of it", "a quarter new", "small changes all over"],
)
@pytest.mark.parametrize(("number", "length"), [(64, 32 * 1024), (16, 64 * 1024)], ids=["at hand", "afar"])
def test_what_could_be_a_delta_is_tried(target: bytes, number: int, length: int) -> None:
    assert looked_at(BASE, target, number, length)[0] <= 0.5


def test_new_text_is_worth_a_try_for_it_is_compressed() -> None:
    assert looked_at(words(1), words(2))[0] <= 0.5


def test_long_input_that_is_known_so_far_is_not_read_to_its_end() -> None:
    assert looked_at(BASE, BASE * 3) == (0.0, True)


@pytest.mark.parametrize("reference", [bytes(SIZE), b"ab" * (SIZE // 2)], ids=["zeros", "a pattern"])
@pytest.mark.parametrize("target", [bytes(SIZE), noise(5)], ids=["zeros", "noise"])
def test_monotonous_content_is_no_problem(reference: bytes, target: bytes) -> None:
    assert 0.0 <= looked_at(reference, target)[0] <= 1.0


def test_of_a_small_part_of_a_large_reference_nothing_is_known() -> None:
    assert looked_at(BASE, BASE[1000 : 1000 + MIB])[0] == 0.0
