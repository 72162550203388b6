"""What making a delta costs and gives on real pairs of files, and whether the look before encoding decides rightly.

    python -m benchmarks.pairs

Prints the two tables of docs/benchmarks.md. Processor time, so a busy machine matters less.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.files import Files
from benchmarks.measure import cpu
from deltaglider_async.codec.encoders import BLOCK
from deltaglider_async.codec.matchers import Matcher
from deltaglider_async.codec.samples import Index
from deltaglider_async.streams.prospect import Places, Prospect

MB = 1_000_000
OPTIONS = ["-9", "-6 -S djw", "-3 -S none", "-3 -N -S none", "-2 -N -S none", "-1 -S none", "-1 -N -S none"]
AT_HAND, AFAR = (64, 32 * 1024), (16, 64 * 1024)
MAX_RATIO = 0.5


def unpacked(wheel: Path) -> Path:
    """The same files as a tar archive without compression."""
    path = wheel.with_suffix(".tar")
    if not path.exists():
        with zipfile.ZipFile(wheel) as archive, tarfile.open(path, "w") as tar:
            for item in archive.infolist():
                told = tarfile.TarInfo(item.filename)
                told.size = item.file_size
                with archive.open(item) as file:
                    tar.addfile(told, file)
    return path


def library(wheel: Path) -> Path:
    """The core of numpy: machine code."""
    path = wheel.with_suffix(".so")
    if not path.exists():
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(next(name for name in archive.namelist() if "/_multiarray_umath." in name)))
    return path


def encoded(reference: Path, target: Path, chosen: list[str]) -> tuple[float, int]:
    """Processor seconds, and bytes of the delta."""
    window = 1 << (reference.stat().st_size - 1).bit_length()
    command = ["xdelta3", "-e", "-c", "-q", "-D", "-A=0", *chosen, "-B", str(max(window, 1 << 20))]
    before = cpu(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([*command, "-s", str(reference), str(target)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    size = 0
    while chunk := process.stdout.read(1 << 20):
        size += len(chunk)
    if process.wait():
        raise SystemExit(f"xdelta3 failed on {target}")
    return cpu(resource.RUSAGE_CHILDREN) - before, size


@dataclass(frozen=True)
class OnDisk:
    """A file as a reference."""

    path: str
    size: int
    fd: int | None = None


def made_here(reference: Path, target: Path) -> str:
    """How quickly, and how much of a delta, is made without an encoder; blocks that are left to one do not count."""
    blocks = [target.read_bytes()[start : start + BLOCK] for start in range(0, target.stat().st_size, BLOCK)]
    matcher = Matcher(OnDisk(str(reference), reference.stat().st_size), Index())

    async def made() -> list[bytes | None]:
        return [await matcher.window(block) for block in blocks]

    begun = time.process_time()
    windows = asyncio.run(made())
    seconds = time.process_time() - begun
    speed = f"{sum(map(len, blocks)) / MB / seconds:.0f} MB/s"
    here = [(len(block), len(made)) for block, made in zip(blocks, windows, strict=True) if made is not None]
    if not here:
        return f"{speed}, all left to `-3`"
    share = f"{100 * sum(made for _, made in here) / sum(size for size, _ in here):.3f} %"
    return (
        f"{speed}, {share}" if len(here) == len(blocks) else f"{speed}, {share} of {len(here)} in {len(blocks)} blocks"
    )


def looked_at(reference: Path, target: Path, number: int, length: int) -> tuple[float, float]:
    """The ratio that a delta has at least, and the processor seconds that it took to know."""
    begun = time.process_time()
    size, places = reference.stat().st_size, []
    with reference.open("rb") as file:
        for start in range(0, size - number, size // number):
            file.seek(start)
            places.append(file.read(min(length, size // number)))
    prospect = Prospect(Places(places[:number], size))
    with target.open("rb") as file:
        while chunk := file.read(1 << 20):
            if prospect.add(chunk):
                return 0.0, time.process_time() - begun
    return prospect.least_ratio(), time.process_time() - begun


def curve(pairs: dict[str, tuple[Path, Path]]) -> Iterator[str]:
    """Lines of a table: options down, pairs across."""
    yield "| options | " + " | ".join(pairs) + " |"
    yield "| --- |" + " --- |" * len(pairs)
    for text in OPTIONS:
        cells = []
        for reference, target in pairs.values():
            seconds, size = encoded(reference, target, text.split())
            whole = target.stat().st_size
            cells.append(f"{whole / MB / max(0.01, seconds):.0f} MB/s, {100 * size / whole:.3f} %")
        yield f"| `{text}` | " + " | ".join(cells) + " |"
    yield "| made here | " + " | ".join(made_here(*pair) for pair in pairs.values()) + " |"


def decisions(files: list[Path]) -> Iterator[str]:
    """Lines of a table: every file as a reference for every other."""
    rows: dict[str, list[tuple[float, float, float]]] = {"reference at hand": [], "reference afar": []}
    for reference in files:
        for target in files:
            if reference != target:
                _, size = encoded(reference, target, ["-1", "-N", "-S", "none"])
                real = size / target.stat().st_size
                for row, (number, length) in zip(rows.values(), (AT_HAND, AFAR), strict=True):
                    row.append((real, *looked_at(reference, target, number, length)))
    columns = ("", "pairs", "plain at once, rightly", "wrongly", "tried, and a delta", "tried in vain", "looking, MB/s")
    yield f"| {' | '.join(columns)} |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    total = sum(file.stat().st_size for file in files) * (len(files) - 1)
    for name, row in rows.items():
        counts = {(plain, worth): 0 for plain in (True, False) for worth in (True, False)}
        for real, least, _ in row:
            counts[least > MAX_RATIO, real <= MAX_RATIO] += 1
        speed = total / MB / sum(seconds for *_, seconds in row)
        yield (
            f"| {name} | {len(row)} | {counts[True, False]} | {counts[True, True]} | {counts[False, True]} | "
            f"{counts[False, False]} | {speed:.0f} |"
        )


def main() -> None:
    """Fetch the files and print the tables."""
    files = Files(Path(__file__).parent.parent / ".bench", quick=False)
    wheels = files.wheels()
    botocore = [wheels / "botocore-1.35.90.zip", wheels / "botocore-1.35.99.zip"]
    playwright = [files.playwright(version) for version in ("1.47.0", "1.49.0", "1.49.1", "1.50.0")]
    folder = files.folder / "pairs"
    folder.mkdir(exist_ok=True)
    for wheel in botocore:
        if not (folder / wheel.name).exists():
            os.link(wheel, folder / wheel.name)
    tars = [unpacked(folder / wheel.name) for wheel in botocore]
    numpy = [files.wheel(f"numpy==2.1.{number}") for number in (1, 2)]
    code = [library(wheel) for wheel in numpy]
    print(f"xdelta3 on {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    pairs = {
        "zip, 13 MB": (botocore[0], botocore[1]),
        "zip, 44 MB, much alike": (playwright[1], playwright[2]),
        "tar of text, 19 MB": (tars[0], tars[1]),
        "machine code, 10 MB": (code[0], code[1]),
        "zip, 45 MB, unrelated": (playwright[0], playwright[3]),
    }
    for line in curve(pairs):
        print(line)
    print()
    for line in decisions([botocore[0], *playwright[1:], *tars, *code, *numpy]):
        print(line)


if __name__ == "__main__":
    main()
