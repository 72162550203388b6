"""The bench itself: runs commands on the server, and keeps what each took."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.session import Session
from tests.real_servers import ACCESS_KEY, SECRET_KEY

from benchmarks import measure
from benchmarks.contenders import ROOT, Contender
from benchmarks.files import Files
from benchmarks.lines import LOCAL, Line
from benchmarks.server import Counts, Server

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass
class Row:
    """What a contender took for one workload over one line: one figure of `seconds` and `cpu` for each round.

    `python` and `tree` are peaks over all rounds, in bytes; the counts are those of the last round. `stored` has the
    bytes in the bucket afterwards, of deltas, whole objects and references. `figures` has what else there is to say.
    """

    workload: str
    line: str
    contender: str
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    python: int = 0
    tree: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    stored: dict[str, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)

    def add(self, taken: measure.Taken, counts: Counts) -> None:
        self.seconds.append(round(taken.seconds, 4))
        self.cpu.append(round(taken.cpu, 4))
        self.python, self.tree = max(self.python, taken.python), max(self.tree, taken.tree)
        self.requests = dict(sorted(counts.requests.items()))
        self.sent, self.received = counts.sent, counts.received


class Bench:
    """A server, files, and rows. `work` is a folder for what comes and goes."""

    def __init__(self, server: Server, files: Files, work: Path, *, quick: bool = False) -> None:
        self.server, self.files, self.work, self.quick = server, files, work, quick
        self.rows: dict[tuple[str, str, str], Row] = {}
        self._begun = time.monotonic()
        home = work / "home"
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "DG_SUPPRESS_DEPRECATION": "1",
        }
        self.s3 = self._client(server.url)

    def _client(self, url: str) -> S3Client:
        config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
        client: S3Client = Session().create_client(  # type: ignore[assignment]
            "s3", region_name="us-east-1", endpoint_url=url, config=config,
            aws_access_key_id=ACCESS_KEY, aws_secret_access_key=SECRET_KEY,
        )  # fmt: skip
        return client

    def rounds(self, full: int) -> range:
        return range(1 if self.quick else full)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._begun

    def say(self, text: str) -> None:
        """Tell who waits what is being done."""
        print(f"{self.elapsed:6.0f} s  {text}", file=sys.stderr, flush=True)

    def row(self, workload: str, line: Line, contender: str) -> Row:
        return self.rows.setdefault((workload, line.name, contender), Row(workload, line.name, contender))

    def run(self, command: Sequence[str], line: Line = LOCAL) -> measure.Taken:
        """Run a command, unmeasured or to be measured otherwise."""
        url = self.server.through(line)
        environment = self.environment | {"AWS_ENDPOINT_URL": url, "S3_ENDPOINT_URL": url}
        return measure.run(list(command), environment, ROOT)

    def measure(self, workload: str, line: Line, contender: str, command: Sequence[str]) -> tuple[Row, measure.Taken]:
        """Run a command and keep what it took."""
        before = self.server.counts()
        taken = self.run(command, line)
        row = self.row(workload, line, contender)
        row.add(taken, self.server.counts().since(before))
        return row, taken

    def check(self, line: Line) -> dict[str, float]:
        """What a line really gives: seconds of a HEAD on an open connection, and Mbit/s of one object up and down."""
        with closing(self._client(self.server.through(line))) as s3, self.bucket() as bucket:
            waits = []
            for _ in range(12):
                begun = time.perf_counter()
                s3.head_bucket(Bucket=bucket)
                waits.append(time.perf_counter() - begun)
            found = {"round trip": round(min(waits), 4)}
            if line.rate:
                data = bytes(int(line.rate / 8))  # a second's worth
                begun = time.perf_counter()
                s3.put_object(Bucket=bucket, Key="data", Body=data)
                found["up"] = round(len(data) * 8e-6 / (time.perf_counter() - begun), 1)
                begun = time.perf_counter()
                s3.get_object(Bucket=bucket, Key="data")["Body"].read()
                found["down"] = round(len(data) * 8e-6 / (time.perf_counter() - begun), 1)
        return found

    def call(self, program: str, *arguments: object, line: Line = LOCAL) -> dict[str, Any]:
        """Run one of benchmarks/calls.py and have its answer, with no measure of memory."""
        answer: dict[str, Any] = json.loads(self.run(call(program, *arguments), line).output)
        return answer

    @contextmanager
    def bucket(self) -> Iterator[str]:
        """A new bucket. If all went well it is removed with all that is in it; else it goes with the server."""
        name = f"bench-{secrets.token_hex(6)}"
        self.s3.create_bucket(Bucket=name)
        yield name
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            if keys := [{"Key": item["Key"]} for item in page.get("Contents", [])]:
                self.s3.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]
        self.s3.delete_bucket(Bucket=name)

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A new folder, removed afterwards."""
        folder = self.work / secrets.token_hex(6)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder)

    def stored(self, bucket: str, key: str = "") -> dict[str, int]:
        """Bytes in a bucket, as deltas, whole objects and references; of one logical key if one is given."""
        found = {"deltas": 0, "whole": 0, "references": 0}
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            for item in page.get("Contents", []):
                name = item["Key"].rpartition("/")[2]
                kind = "references" if name == "reference.bin" else "deltas" if name.endswith(".delta") else "whole"
                found[kind] += item["Size"]
        return found

    def results(self) -> dict[str, Any]:
        return {"quick": self.quick, "rows": [asdict(row) for row in self.rows.values()]}


def call(program: str, *arguments: object) -> list[str]:
    """The command of one of benchmarks/calls.py."""
    return [sys.executable, "-m", "benchmarks.calls", program, *map(str, arguments)]


def present(contenders: Sequence[Contender]) -> list[Contender]:
    """Those that are installed."""
    return [contender for contender in contenders if contender.here]
