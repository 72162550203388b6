"""What is measured. Each workload runs its contenders in turn, round after round, each time in a bucket of its own."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.bench import Bench, call, present
from benchmarks.contenders import AWS, DG, ELSEWHERE, EVERYBODY, ORIGINAL, PLAIN, RAW, S5CMD, SDK, XDELTA3, Contender
from benchmarks.files import MB
from benchmarks.lines import FAR, GIGABIT, LATE, LOCAL, VERY_LATE, Line
from deltaglider_async.format.keys import SIZES_KEY


class WrongAnswerError(Exception):
    """A contender gave back something else than was put, or told something wrong."""


def wheels(bench: Bench) -> None:
    """Consecutive wheels, up into a new folder and down into another one."""
    source = bench.files.wheels()
    lines = [(LOCAL, 4), (GIGABIT, 3), (FAR, 1)]
    for line, rounds in lines[:2] if bench.quick else lines:
        for _ in bench.rounds(rounds):
            for contender in present(EVERYBODY):
                bench.say(f"wheels, {line.name}: {contender.name}")
                with bench.bucket() as bucket, bench.folder() as folder:
                    url = f"s3://{bucket}/wheels"
                    up, _ = bench.measure("wheels-up", line, contender.name, contender.command("put-all", source, url))
                    up.stored = bench.stored(bucket)
                    bench.measure("wheels-down", line, contender.name, contender.command("get-all", url, folder))
                    same_folder(contender, source, folder)


def deltas(bench: Bench) -> None:
    """What is stored for the wheels by those who make deltas, against the same reference.

    The first file of `wheels` becomes the reference. For the original that is the first one in the order of the folder,
    which is another one on each machine.
    """
    source = bench.files.wheels()
    first = min(source.iterdir())
    for contender in present((DG, ORIGINAL)):
        bench.say(f"deltas: {contender.name}")
        with bench.bucket() as bucket:
            bench.run(contender.command("put", first, f"s3://{bucket}/wheels/{first.name}"))
            bench.run(contender.command("put-all", source, f"s3://{bucket}/wheels"))
            bench.row("deltas", LOCAL, contender.name).stored = bench.stored(bucket)


def similar(bench: Bench) -> None:
    """A wheel of 44 MB into a folder with the one before it, and back."""
    base, new = bench.files.playwright("1.49.0"), bench.files.playwright("1.49.1")
    for _ in bench.rounds(3):
        for contender in present(EVERYBODY):
            put_and_get(bench, "similar", contender, base, new)


def unrelated(bench: Bench) -> None:
    """A file of 45 MB into a folder with an unrelated one of that size."""
    base, new = bench.files.playwright("1.47.0"), bench.files.playwright("1.50.0")
    for number in bench.rounds(5):
        everybody = (DG, PLAIN, ORIGINAL, AWS) if number < 2 else (DG, PLAIN, AWS)
        for contender in present(everybody):
            put_and_get(bench, "unrelated", contender, base, new, get=False)


def large(bench: Bench) -> None:
    """500 MB of which 50 bytes changed, up into a folder with what it was before, and back."""
    base = bench.files.random("large.zip", (50 if bench.quick else 500) * MB, seed=1)
    new = bench.files.changed(base, 50)
    for number in bench.rounds(3):
        for contender in present(EVERYBODY if number < 2 else (DG, AWS, S5CMD)):
            put_and_get(bench, "large", contender, base, new)


def inserted(bench: Bench) -> None:
    """300 MB with 100 MB inserted in front, up into a folder with the 300 MB."""
    size = (30 if bench.quick else 300) * MB
    base = bench.files.random("front.zip", size, seed=4)
    new = bench.files.inserted(base, size // 3)
    for contender in present((DG, ORIGINAL, AWS)):
        put_and_get(bench, "inserted", contender, base, new, get=False)
    bench.row("inserted-put", LOCAL, DG.name).figures["inserted bytes"] = size // 3


def put_and_get(bench: Bench, workload: str, contender: Contender, base: Path, new: Path, *, get: bool = True) -> None:
    """Put a file into a folder that has another one, and get it."""
    bench.say(f"{workload}: {contender.name}")
    with bench.bucket() as bucket, bench.folder() as folder:
        url, back = f"s3://{bucket}/folder/{new.name}", folder / new.name
        bench.run(contender.command("put", base, f"s3://{bucket}/folder/{base.name}"))
        row, _ = bench.measure(f"{workload}-put", LOCAL, contender.name, contender.command("put", new, url))
        row.stored = bench.stored(bucket, f"folder/{new.name}")
        if get:
            bench.measure(f"{workload}-get", LOCAL, contender.name, contender.command("get", url, back))
            same(contender, new, back)


def small(bench: Bench) -> None:
    """Small files that are no candidates for deltas."""
    count = 200 if bench.quick else 2000
    source = bench.files.small(count, 10_000)
    contenders = {contender.name: contender for contender in present((DG, AWS, S5CMD))}
    for _ in bench.rounds(3):
        for name in (*contenders, SDK, RAW):
            bench.say(f"small files: {name}")
            with bench.bucket() as bucket:
                if contender := contenders.get(name):
                    command = contender.command("put-all", source, f"s3://{bucket}/small")
                else:
                    command = call("puts", "ours" if name == SDK else "plain", source, bucket)
                row, taken = bench.measure("small", LOCAL, name, command)
                row.stored = bench.stored(bucket)
                row.figures["files"] = count
                if name in (SDK, RAW):
                    row.figures.setdefault("cpu of puts", []).append(json.loads(taken.output)["cpu"])


def statistics(bench: Bench) -> None:
    """Listings and detailed statistics of many deltas in many folders, 20 ms away."""
    spaces, deltas = (10, 50) if bench.quick else (200, 50)
    first = bench.files.random("tiny.zip", 20_000, seed=5)
    second = bench.files.changed(first, 5)
    with bench.bucket() as bucket:
        bench.say(f"statistics: making {spaces * deltas} deltas")
        bench.call("seed", bucket, first, second, spaces, deltas)
        for _ in bench.rounds(2):
            for contender in present((ELSEWHERE, *EVERYBODY)):
                bench.say(f"listing: {contender.name}")
                command = contender.command("list-all", f"s3://{bucket}/")
                row, taken = bench.measure("listing", LATE, contender.name, command)
                row.figures["lines shown"] = taken.output.count("\n")
        for contender in present((ELSEWHERE, DG, ORIGINAL)):
            bench.s3.delete_object(Bucket=bucket, Key=SIZES_KEY)  # what another one has found out
            for workload in ("statistics", "statistics-again"):
                bench.say(f"{workload}: {contender.name}")
                command = contender.command("stats", bucket)
                row, taken = bench.measure(workload, LATE, contender.name, command)
                row.figures["found"] = json.loads(taken.output)["delta_objects"]
                if row.figures["found"] != spaces * deltas:
                    raise WrongAnswerError(f"{contender.name} counts {row.figures['found']} deltas: {taken.output}")


def concurrent(bench: Bench) -> None:
    """Many gets of one delta at once through one client, beside one get, and beside xdelta3 by itself."""
    base, new = bench.files.playwright("1.49.0"), bench.files.playwright("1.49.1")
    number = 8 if bench.quick else 64
    with bench.bucket() as bucket, bench.folder() as folder:
        for path in (base, new):
            bench.run(DG.command("put", path, f"s3://{bucket}/folder/{path.name}"))
        delta, key = folder / "delta", f"folder/{new.name}"
        delta.write_bytes(bench.s3.get_object(Bucket=bucket, Key=f"{key}.delta")["Body"].read())
        for _ in bench.rounds(3):
            bench.say(f"{number} gets at once")
            for workload, many in (("get-one", 1), ("get-many", number)):
                row, taken = bench.measure(workload, LOCAL, SDK, call("gets", bucket, key, many))
                row.figures |= {"gets": many, "reference": base.stat().st_size}
                row.figures.setdefault("seconds of gets", []).append(json.loads(taken.output)["seconds"])
            begun = time.perf_counter()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda _: decode(base, delta), range(number)))
            bare = bench.row("get-many", LOCAL, XDELTA3).figures
            bare.setdefault("seconds of gets", []).append(round(time.perf_counter() - begun, 4))


def decode(reference: Path, delta: Path) -> None:
    """xdelta3 by itself, its output thrown away."""
    command = ["xdelta3", "-d", "-c", "-D", "-R", "-s", str(reference), str(delta)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def first_bytes(bench: Bench) -> None:
    """How soon a get of 500 MB begins to answer, and how long a range in its middle takes."""
    base = bench.files.random("large.zip", (50 if bench.quick else 500) * MB, seed=1)
    new = bench.files.changed(base, 50)
    with bench.bucket() as bucket:
        bench.say("first bytes")
        for path in (base, new):
            bench.run(DG.command("put", path, f"s3://{bucket}/ours/{path.name}"))
        bench.run(PLAIN.command("put", new, f"s3://{bucket}/plain/{new.name}"))
        start = new.stat().st_size // 2
        for _ in bench.rounds(5):
            for name, kind in ((SDK, "ours"), (RAW, "plain")):
                found = bench.call("first-bytes", kind, bucket, f"{kind}/{new.name}", start, start + MB - 1)
                for what, seconds in found.items():
                    bench.row(f"first-{what}", LOCAL, name).seconds.append(round(seconds, 4))


def start(bench: Bench) -> None:
    """How long the shortest commands take."""
    tiny = bench.files.random("tiny.zip", 20_000, seed=5)
    with bench.bucket() as bucket:
        for number in range(10):
            bench.s3.put_object(Bucket=bucket, Key=f"{number}.txt", Body=tiny.read_bytes())
        bench.say("start of commands")
        for contender in present(EVERYBODY):  # with compiled modules and warm files
            bench.run(contender.command("list", f"s3://{bucket}/"))
        for _ in bench.rounds(15):
            for contender in present(EVERYBODY):
                bench.measure("version", LOCAL, contender.name, contender.command("version"))
                bench.measure("list", LOCAL, contender.name, contender.command("list", f"s3://{bucket}/"))


def operations(bench: Bench) -> None:
    """Requests of single operations, and the round trips that each waits for: what a delay of 200 ms adds, over it."""
    first = bench.files.random("tiny.zip", 20_000, seed=5)
    second = bench.files.changed(first, 5)
    found: dict[Line, dict[str, dict[str, object]]] = {}
    for line in (LOCAL, VERY_LATE):
        with bench.bucket() as bucket:
            bench.say(f"operations, {line.name}")
            found[line] = bench.call("operations", bucket, first, second, bench.server.metrics, line=line)
    for name, near in found[LOCAL].items():
        row = bench.row("operations", LOCAL, name)
        row.requests = near["requests"]  # type: ignore[assignment]
        added = float(str(found[VERY_LATE][name]["seconds"])) - float(str(near["seconds"]))
        row.figures["round trips"] = round(added / VERY_LATE.round_trip)


def same_folder(contender: Contender, source: Path, folder: Path) -> None:
    for path in source.iterdir():
        same(contender, path, folder / path.name)


def same(contender: Contender, source: Path, back: Path) -> None:
    if not filecmp.cmp(source, back, shallow=False):
        raise WrongAnswerError(f"{contender.name} gave back other bytes for {source.name}")


WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "start": start,
    "wheels": wheels,
    "deltas": deltas,
    "similar": similar,
    "unrelated": unrelated,
    "large": large,
    "inserted": inserted,
    "small": small,
    "statistics": statistics,
    "concurrent": concurrent,
    "first_bytes": first_bytes,
    "operations": operations,
}
