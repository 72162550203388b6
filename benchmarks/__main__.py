"""Measure, and write what was found.

python -m benchmarks            docs/benchmarks.md, its pictures, and benchmarks/results.json
python -m benchmarks --quick    tables on standard output, results in .bench/
python -m benchmarks --report   docs/benchmarks.md again from benchmarks/results.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import psutil
from tests.real_servers import program

from benchmarks.bench import Bench
from benchmarks.contenders import EVERYBODY, ROOT, versions
from benchmarks.files import Files
from benchmarks.measure import CommandError
from benchmarks.report import RESULTS, page_of_results, tables
from benchmarks.server import minio
from benchmarks.workloads import WORKLOADS, WrongAnswerError

FOLDER = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and smaller files, one round")
    parser.add_argument("--only", action="append", choices=WORKLOADS, help="only this workload; may be repeated")
    parser.add_argument("--report", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.report:
        results = measured(options.only or list(WORKLOADS), quick=options.quick)
        target = RESULTS if not options.quick and not options.only else FOLDER / "results.json"
        target.write_text(json.dumps(results, indent=1) + "\n")
        print(tables(results))
        if results["failed"]:
            raise SystemExit(f"given up: {', '.join(results['failed'])}")
        if target != RESULTS:
            return
    PAGE.write_text(page_of_results())


def measured(workloads: list[str], *, quick: bool) -> dict[str, Any]:
    """Run workloads on a server of their own."""
    if not program("minio"):
        raise SystemExit("There is no MinIO here: install Go, and run make servers.")
    for contender in EVERYBODY:
        if not contender.here:
            print(f"{contender.name} is missing ({contender.program}): it does not take part.", file=sys.stderr)
    FOLDER.mkdir(exist_ok=True)
    with minio(FOLDER) as server, tempfile.TemporaryDirectory(dir=FOLDER, prefix="work-") as work:
        bench = Bench(server, Files(FOLDER / "files", quick), Path(work), quick=quick)
        results: dict[str, Any] = {
            "made": datetime.now(UTC).isoformat(timespec="minutes"),
            "command": "make bench-quick" if quick else "make bench",
            "machine": machine(),
            "versions": versions(),
            "failed": [],
        }
        for name in workloads:
            try:
                WORKLOADS[name](bench)
            except (CommandError, WrongAnswerError) as error:
                bench.say(f"{name} is given up: {error}")
                results["failed"].append(name)
            results["minutes"] = round(bench.elapsed / 60, 1)
            results |= bench.results()
            (FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        results["lines"] = {
            line.name: bench.check(line) | {"CPU of the relay": cpu} for line, cpu in server.relays().items()
        }
        bench.say("done")
        return results


def machine() -> dict[str, Any]:
    """What this ran on."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    return {
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "processor": processor,
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "free disk": shutil.disk_usage(ROOT).free,
    }


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
