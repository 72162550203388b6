from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import typer
from tests.cli.conftest import DG

from deltaglider_async import __version__
from deltaglider_async.cli.main import COMMANDS, app

GROUP: Any = typer.main.get_command(app)


def test_version_prints_name_and_version() -> None:
    result = subprocess.run([*DG, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"deltaglider-async {__version__}\n"


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_imported_to_print_a_few_lines(option: str) -> None:
    program = (
        "import sys\n"
        "from deltaglider_async.cli.main import run\n"
        f"sys.argv = ['dg', {option!r}]\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        "print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    modules = set(result.stdout.splitlines()[-1].split())
    heavy = {"aioboto3", "aiobotocore", "botocore", "boto3", "pydantic", "cryptography", "rich", "asyncio", "anyio"}
    assert not modules & heavy
    ours = {name.removeprefix("deltaglider_async.") for name in modules if name.startswith("deltaglider_async.")}
    assert not {name for name in ours if name.partition(".")[0] not in {"_version", "cli", "errors"}}
    assert "cli.main" in ours
    assert not ours & {f"cli.{name}" for name in COMMANDS}, "a command's module, for nothing"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_starts_with_three_examples(command: str) -> None:
    result = subprocess.run([*DG, command, "--help"], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[1] == "Examples:"
    assert [line.split()[:2] for line in lines[2:5]] == [["dg", command]] * 3


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"cache", "demo"}))
def test_every_command_that_asks_s3_says_how_it_is_reached(command: str) -> None:
    options = {option for parameter in GROUP.get_command(None, command).params for option in parameter.opts}
    assert options >= {
        "--endpoint-url", "--region", "--profile", "--no-sign-request", "--no-verify-ssl", "--ca-bundle",
    }  # fmt: skip


def test_every_command_is_listed_with_what_it_does() -> None:
    result = subprocess.run([*DG, "--help"], capture_output=True, text=True, check=True)
    listed = result.stdout.partition("Commands:")[2]
    for command in COMMANDS:
        assert any(line.split()[:1] == [command] and len(line.split()) > 2 for line in listed.splitlines())


@pytest.mark.parametrize(
    "arguments",
    [
        ["cp", "a", "b"],
        ["cp", "-", "s3://bucket/"],
        ["cp", "-r", "-", "s3://bucket/a"],
        ["cp", "s3://bucket", "."],
        ["cp", "s3:///key", "."],
        ["cp", "s3://bucket/a", "s3://bucket/a"],
        ["cp", "s3://bucket/p/a", "s3://bucket/p/"],
        ["cp", "-r", "s3://bucket/p", "s3://bucket/p/q"],
        ["cp", "--max-ratio", "2", "a", "s3://bucket/a"],
        ["cp", "--concurrency", "0", "a", "s3://bucket/a"],
        ["cp", "--metadata", "a", "x", "s3://bucket/a"],
        ["cp", "--metadata", '{"a": 1}', "x", "s3://bucket/a"],
        ["cp", "--grants", "own=me", "x", "s3://bucket/a"],
        ["cp", "--acl", "mine", "x", "s3://bucket/a"],
        ["cp", "--max-bandwidth", "fast", "x", "s3://bucket/a"],
        ["cp", "--max-bandwidth", "0", "x", "s3://bucket/a"],
        ["mv", "-", "s3://bucket/a"],
        ["mv", "s3://bucket/a", "s3://bucket/a"],
        ["mv", "a", "b"],
        ["sync", "a", "b"],
        ["sync", "-", "s3://bucket/a"],
        ["sync", "s3://bucket/a", "s3://bucket/a/b"],
        ["rm", "s3://bucket"],
        ["rm", "bucket/key"],
        ["verify", "s3://bucket"],
        ["stats", "--quick", "--detailed", "bucket"],
        ["mb", "bucket"],
        ["mb", "s3://bucket/key"],
        ["rb", "s3://bucket/key"],
        ["rb", "--force", "s3://bucket/key"],
        ["presign", "s3://bucket"],
        ["presign", "s3://bucket/key", "--expires-in", "0"],
        ["presign", "s3://bucket/key", "--expires-in", "604801"],
        ["cat"],
        ["cat", "s3://bucket/"],
        ["cat", "--range", "1", "s3://bucket/key"],
        ["cat", "--range", "5-4", "s3://bucket/key"],
        ["head", "s3://bucket"],
        ["du", "--quick", "--sampled", "bucket"],
        ["du", "--depth", "-1", "bucket"],
        ["purge", "s3://bucket/key"],
        ["cache", "empty"],
        ["doctor", "s3://"],
        ["get-bucket-acl", "s3://bucket/key"],
        ["put-bucket-acl", "bucket"],
        ["put-bucket-acl", "bucket", "--acl", "mine"],
        ["put-bucket-acl", "bucket", "--acl", "private", "--grant-read", "id=1"],
        ["put-bucket-acl", "bucket", "--access-control-policy", "{"],
        ["put-bucket-acl", "bucket", "--access-control-policy", "[]"],
        ["put-bucket-acl", "bucket", "--access-control-policy", "file://nowhere"],
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(arguments: list[str]) -> None:
    result = subprocess.run([*DG, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 252
    assert "Traceback" not in result.stderr
    assert result.stderr
