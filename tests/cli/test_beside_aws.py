"""`dg` beside `aws s3`: the same lines, from the same start, must come to the same end.

What differs is in a table of docs/compatibility.md, with the reason; this test reads it, and nothing else is let pass.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.cli.lines import CASES, FUTURE, OLD, Case
from tests.conftest import REGION

from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.timeout(240)  # the first waits for all lines

ROOT = Path(__file__).parents[2]
AWS = ROOT / ".venv-aws" / "bin" / "python"
TOOLS = {"aws": str(AWS), "dg": sys.executable}
#: Of an object, what must be the same beside its bytes.
PROPERTIES = (
    "ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "Expires",
    "StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a case ended with; each field is a column of the table of differences."""

    exit_code: int
    lines: list[str]
    files: dict[str, Any]
    objects: dict[str, Any]


class Lab:
    """Every case, begun for one tool: a folder and two buckets for each."""

    def __init__(self, tool: str, folder: Path, endpoint: str, cases: list[Case], s3: S3Client) -> None:
        self.tool, self.folder, self.endpoint, self.s3 = tool, folder, endpoint, s3
        self.cases = cases
        self.buckets = [(f"{tool}-{secrets.token_hex(6)}", f"{tool}-{secrets.token_hex(6)}") for _ in cases]
        self.codes: list[int] = []
        self.found: dict[int, dict[str, Any]] = {}

    def run(self) -> None:
        """Prepare, run all lines, and read what they left."""
        for number, case in enumerate(self.cases):
            for bucket in self.buckets[number]:
                self.s3.create_bucket(Bucket=bucket)
            self._prepare_files(self.work(number), case)
        asyncio.run(self._put())
        jobs = [self._job(number, case) for number, case in enumerate(self.cases)]
        result = subprocess.run(
            [TOOLS[self.tool], str(Path(__file__).with_name("aws.py")), self.tool, "3"],
            input=json.dumps(jobs), capture_output=True, text=True, check=True,
            env={**os.environ, "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": self.endpoint, "PYTHONPATH": ""},
        )  # fmt: skip
        self.codes = json.loads(result.stdout)
        asyncio.run(self._read())

    def work(self, number: int) -> Path:
        """Where the lines of a case run."""
        return self.folder / str(number) / "work"

    def outcome(self, number: int) -> Outcome:
        """What one case ended with, in words that are the same for both tools."""
        output = Path(f"{self.work(number).parent / 'output'}.out")
        text = output.read_bytes().decode(errors="backslashreplace") if output.exists() else ""
        for name, bucket in zip(("bucket", "other"), self.buckets[number], strict=True):
            text = text.replace(bucket, name)
        text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
        lines = [re.sub(r" \([^()]* [kMG]?B\)$| \([^()]*% saved\)$", "", line) for line in text.splitlines()]
        if not self.cases[number].lines[0].startswith("ls"):
            lines.sort()
        # Below version 2, `aws` has one code for all that ends a command; ours are those of version 2.
        code = self.codes[number] if self.codes[number] < 252 else 255
        return Outcome(code, lines, _tree(self.work(number)), self.found[number])

    def _job(self, number: int, case: Case) -> dict[str, Any]:
        bucket, other = self.buckets[number]
        lines = []
        for line in case.lines:
            words = line.replace("{bucket}", bucket).replace("{other}", other).split()
            if words[0] in ("cp", "mv", "sync") and "<" not in words:
                words.append("--no-progress")
            lines.append(["s3", *words] if self.tool == "aws" else words)
        folder = self.work(number)
        return {"folder": str(folder), "lines": lines, "output": str(folder.parent / "output")}

    def _prepare_files(self, folder: Path, case: Case) -> None:
        folder.mkdir(parents=True)
        for name, content in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (case.times.get(name, OLD),) * 2)
        case.prepare(folder)

    async def _put(self) -> None:
        async with create_client(endpoint_url=self.endpoint) as client:

            async def fill(number: int, case: Case) -> None:
                bucket = self.buckets[number][0]
                for key, content in case.objects.items():
                    if self.tool == "aws":
                        await asyncio.to_thread(self.s3.put_object, Bucket=bucket, Key=key, Body=content)
                    else:
                        await client.put_object(Bucket=bucket, Key=key, Body=content)

            await asyncio.gather(*(fill(*item) for item in enumerate(self.cases)))

    async def _read(self) -> None:
        """Every logical object with its properties; of `aws`, the stored ones are that."""
        async with create_client(endpoint_url=self.endpoint) as client:

            async def read(number: int) -> None:
                found: dict[str, Any] = {}
                for name, bucket in zip(("bucket", "other"), self.buckets[number], strict=True):
                    page = await client.list_objects_v2(Bucket=bucket)
                    for entry in page.get("Contents", ()):
                        answer: Any = await client.head_object(Bucket=bucket, Key=entry["Key"])
                        described: dict[str, Any] = {"size": answer["ContentLength"]}
                        described |= {each: answer[each] for each in PROPERTIES if answer.get(each) is not None}
                        described["metadata"] = {
                            key: value for key, value in answer["Metadata"].items() if key != "mtime"
                        }
                        if answer.get("StorageClass") != "GLACIER":  # of which this server tells nothing more
                            async with (await client.get_object(Bucket=bucket, Key=entry["Key"]))["Body"] as body:
                                described["content"] = await body.read()
                            acl = await client.get_object_acl(Bucket=bucket, Key=entry["Key"])
                            described["grants"] = sorted(str(grant) for grant in acl["Grants"])
                        found[f"{name}/{entry['Key']}"] = described
                self.found[number] = found

            await asyncio.gather(*(read(number) for number in range(len(self.cases))))


def _tree(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        if path.is_fifo() or (path.is_dir() and not path.is_symlink()):
            continue
        moment = path.lstat().st_mtime
        age = "old" if moment == OLD else "future" if moment == FUTURE else "new"
        content: Any = path.readlink() if path.is_symlink() else path.read_bytes()
        found[str(path.relative_to(folder))] = (content, "link" if path.is_symlink() else age)
    return found


@pytest.fixture(scope="module")
def labs(
    request: pytest.FixtureRequest, s3_endpoint: str, s3: S3Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Lab]]:
    """Both tools' labs with the cases that were chosen, running side by side."""
    environment = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true", "TZ": "UTC", "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    if not AWS.exists():
        subprocess.run([ROOT / "tools" / "bootstrap.sh", "aws"], check=True)
    chosen = {
        int(str(item.callspec.params["number"]))
        for item in request.session.items
        if item.path == Path(__file__) and isinstance(item, pytest.Function) and hasattr(item, "callspec")
    }
    cases = [CASES[number] for number in sorted(chosen)]

    # Here and not in the threads: pytest makes the folder of all folders on its first call, and two at once collide.
    made = {tool: Lab(tool, tmp_path_factory.mktemp(tool), s3_endpoint, cases, s3) for tool in TOOLS}

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        for name, value in environment.items():
            patch.setenv(name, value)
        for _ in pool.map(Lab.run, made.values()):
            pass
        yield made


def differences() -> dict[str, str]:
    """Lines that may end differently, and in what; the table of docs/compatibility.md."""
    section = (ROOT / "docs" / "compatibility.md").read_text().partition("\n## Command line\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(.*?)` \| ([a-z, ]+) \| .+ \|$", section, flags=re.M)
    return dict(rows)


@pytest.mark.parametrize("number", range(len(CASES)), ids=lambda number: f"{number}-{CASES[number].name}")
def test_the_same_line_comes_to_the_same_end(labs: dict[str, Lab], number: int) -> None:
    theirs, ours = (labs[tool] for tool in ("aws", "dg"))
    place = theirs.cases.index(CASES[number])
    expected, found = theirs.outcome(place), ours.outcome(place)
    listed = set(differences().get(CASES[number].name, "").split(", "))
    for aspect in ("exit code", "lines", "files", "objects"):
        name = aspect.replace(" ", "_")
        if f"{aspect} sometimes" in listed:
            continue
        if aspect in listed:
            assert getattr(found, name) != getattr(expected, name), f"the table says that {aspect} differ"
        else:
            assert getattr(found, name) == getattr(expected, name)


def test_the_table_of_differences_names_lines_that_are_tried() -> None:
    assert differences().keys() <= {case.name for case in CASES}
