"""Predicted ratios beside those of the deltas that xdelta3 makes of the same pairs."""

from __future__ import annotations

import io
import random
import subprocess
import sysconfig
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tests import artifacts

from deltaglider_async.streams.sketch import PLACE, PLACES, Comparison, Likeness, Sketch, choose_pattern

#: How far a confident prediction may be from the delta that is made then.
TOLERANCE = 0.12
PIECE = 1 << 20

Tree = list[tuple[str, bytes]]


def places(content: bytes) -> list[bytes]:
    step = max(1, len(content) // PLACES)
    return [content[at : at + min(PLACE, step)] for at in range(0, step * PLACES, step)]


def compare(reference: bytes, target: bytes, piece: int = PIECE) -> Likeness:
    sketch = Sketch(choose_pattern(places(reference) + places(target)))
    for at in range(0, len(reference), piece):
        sketch.add(reference[at : at + piece])
    comparison = Comparison(sketch)
    for at in range(0, len(target), piece):
        comparison.add(target[at : at + piece])
    return comparison.likeness()


def real_ratio(reference: bytes, target: bytes, folder: Path) -> float:
    """What the delta comes to that a put would make."""
    (folder / "reference").write_bytes(reference)
    window = 1 << max(20, (len(reference) - 1).bit_length())
    command = [
        "xdelta3",
        "-e",
        "-c",
        "-D",
        "-q",
        "-3",
        "-S",
        "none",
        "-A=x",
        f"-B{window}",
        "-s",
        f"{folder}/reference",
    ]
    return len(subprocess.run(command, input=target, capture_output=True, check=True).stdout) / len(target)


@cache
def installed(package: str) -> Tree:
    """The files of an installed package, as its wheel has them."""
    root = Path(sysconfig.get_paths()["purelib"])
    files = (path for path in sorted((root / package).rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return [(str(path.relative_to(root)), path.read_bytes()) for path in files]


def edited(tree: Tree, share: float) -> Tree:
    """Lines put into a share of the files."""
    chance = random.Random(3)
    changed = []
    for name, content in tree:
        if chance.random() < share:
            at = chance.randrange(len(content) + 1)
            content = content[:at] + b"# changed %d\n" % chance.randrange(10**9) + content[at:]
        changed.append((name, content))
    return changed


def zipped(tree: Tree) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def tarred(tree: Tree) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in tree:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def dna(seed: int, size: int) -> bytes:
    return bytes(random.Random(seed).choices(b"ACGT", k=size))


MEGABYTES = noise(1, 3_000_000)
ZEROS = bytes(10**6)


def log(seed: int, lines: int) -> bytes:
    chance = random.Random(seed)
    return b"".join(
        b"2026-01-%02d %02d:%02d INFO id=%d path=/a/%d took=%dms\n"
        % (*(chance.randrange(most) for most in (31, 24, 60)), chance.getrandbits(30), lines, chance.randrange(500))
        for _ in range(lines)
    )


def releases(first: int, second: int) -> tuple[bytes, bytes]:
    trees = artifacts.releases()
    return artifacts.zipped(trees[first]), artifacts.zipped(trees[second])


PAIRS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "two releases": lambda: releases(0, 1),
    "two releases, zip after zip": lambda: releases(1, 2),
    "a wheel with 5 % changed": lambda: (zipped(installed("rich")), zipped(edited(installed("rich"), 0.05))),
    "a wheel with 30 % changed": lambda: (zipped(installed("pydantic")), zipped(edited(installed("pydantic"), 0.3))),
    "a wheel with all changed": lambda: (zipped(installed("typer")), zipped(edited(installed("typer"), 1.0))),
    "a tar with all changed": lambda: (tarred(installed("rich")), tarred(edited(installed("rich"), 1.0))),
    "a tar in another order": lambda: (tarred(installed("rich")), tarred(installed("rich")[::-1])),
    "half of a wheel": lambda: (zipped(installed("rich")[::2]), zipped(installed("rich"))),
    "half of a tar": lambda: (tarred(installed("pydantic")[::2]), tarred(installed("pydantic"))),
    # The first half is mostly one table of what occurs nowhere else.
    "half of a tar, the first": lambda: (tarred(installed("rich")[:50]), tarred(installed("rich"))),
    "another wheel": lambda: (zipped(installed("rich")), zipped(installed("typer"))),
    "another tar": lambda: (tarred(installed("rich")), tarred(installed("pydantic"))),
    "random, the same": lambda: (noise(1, 3_000_000), noise(1, 3_000_000)),
    "random, with an insertion": lambda: (MEGABYTES, MEGABYTES[:999_999] + noise(2, 10**6) + MEGABYTES[999_999:]),
    "random, after zeros": lambda: (ZEROS, noise(2, 10**6)),
    "random, unrelated": lambda: (noise(1, 3_000_000), noise(2, 2_000_000)),
    "random, small": lambda: (noise(1, 60_000), noise(1, 60_000)[30_000:] + noise(2, 30_000)),
    "zeros around": lambda: (ZEROS + noise(1, 10**6), ZEROS + noise(1, 10**6)[:500_000] + noise(2, 500_000)),
    "letters of DNA": lambda: (dna(1, 10**6), dna(1, 10**6)[400_000:] + dna(2, 400_000)),
    "hexadecimal": lambda: (noise(1, 10**6).hex().encode(), (noise(1, 500_000) + noise(2, 500_000)).hex().encode()),
    "logs that go on": lambda: (log(1, 20_000), log(1, 20_000) + log(2, 10_000)),
    "other logs": lambda: (log(1, 20_000), log(2, 15_000)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_prediction_is_near_the_delta_that_is_made(pair: str, tmp_path: Path) -> None:
    reference, target = PAIRS[pair]()
    likeness = compare(reference, target)
    assert likeness.confidence >= 0.5
    assert likeness.ratio == pytest.approx(real_ratio(reference, target, tmp_path), abs=TOLERANCE)


@pytest.mark.parametrize(
    ("reference", "target"),
    [
        (noise(1, 2000), noise(1, 2000)),
        (b"", noise(1, 2000)),
        (noise(1, 10**6), bytes(10**6)),
        (noise(1, 10**6), b""),
        (b"x", b"x"),
    ],
    ids=["short", "nothing to compare with", "zeros to store", "nothing", "a byte"],
)
def test_too_little_to_compare_is_no_knowledge(reference: bytes, target: bytes) -> None:
    likeness = compare(reference, target)
    assert likeness.confidence == 0.0
    assert 0.0 <= likeness.ratio <= 1.0


def test_pieces_make_no_difference_worth_speaking_of() -> None:
    reference, target = noise(1, 10**6), noise(1, 600_000) + noise(2, 400_000)
    ratios = [compare(reference, target, piece).ratio for piece in (100, 4096, 1 << 20)]
    assert max(ratios) - min(ratios) < 0.02


def test_memory_does_not_grow_with_the_files() -> None:
    """Of 64 MiB, a quarter of a million samples would be found; a bounded number is kept."""
    chance = random.Random(1)
    pattern = choose_pattern([chance.randbytes(PLACE) for _ in range(PLACES)])
    tracemalloc.start()
    try:
        sketch = Sketch(pattern)
        for _ in range(64):
            sketch.add(chance.randbytes(PIECE))
        comparison = Comparison(sketch)
        for _ in range(32):
            comparison.add(chance.randbytes(PIECE))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sketch.step > 1
    assert len(sketch.samples) <= 1 << 16
    assert most < 24 * 1024 * 1024
    assert comparison.likeness().missing > 0.99
