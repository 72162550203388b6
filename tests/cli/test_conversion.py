"""What options become is what Typer makes of them; its validators are made for those alone that need them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer

from deltaglider_async.cli.conversion import validate_only_what_needs_it

LINES = [
    ["a"], ["a", "--text", "b"], ["a", "--text", ""], ["a", "--several", "b", "--several", "c"],
    ["a", "--number", "7"], ["a", "--number", "0"], ["a", "--number", "x"], ["a", "--share", "0.25"],
    ["a", "--share", "2"], ["a", "--choice", "two"], ["a", "--choice", "three"], ["a", "--path", "p/q"],
    ["a", "--own", "3"], ["a", "--flag"], ["a", "--value", "off"], ["a", "rest", "more"], [],
]  # fmt: skip


def run(arguments: list[str]) -> tuple[Any, ...]:
    """What a command is given, or how it is refused."""
    found: list[Any] = []
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    def command(
        first: str,
        rest: Annotated[list[str] | None, typer.Argument()] = None,
        text: str | None = None,
        several: Annotated[list[str] | None, typer.Option()] = None,
        number: Annotated[int, typer.Option(min=1)] = 5,
        share: Annotated[float | None, typer.Option(min=0, max=1)] = None,
        choice: Literal["one", "two"] = "one",
        path: Path = Path(),
        own: Annotated[int | None, typer.Option(parser=lambda text: int(text) * 2)] = None,
        flag: bool = False,
        value: Annotated[bool | None, typer.Option("--value", is_flag=False)] = None,
    ) -> None:
        found.append([first, rest, text, several, number, share, choice, path, own, flag, value])

    try:
        typer.main.get_command(app).main(arguments, standalone_mode=False)
    except Exception as error:
        return type(error), str(error)
    return tuple((type(each), each) for each in found[0])


@pytest.mark.parametrize("arguments", LINES, ids=" ".join)
def test_every_option_becomes_what_typer_makes_of_it(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    for kind in (typer.core.TyperOption, typer.core.TyperArgument):  # put back afterwards
        if hasattr(kind, "get_runtime_param"):
            monkeypatch.setattr(kind, "get_runtime_param", kind.get_runtime_param)
    usual = run(arguments)
    validate_only_what_needs_it()
    validate_only_what_needs_it()
    assert run(arguments) == usual


PROGRAM = """
import sys
from deltaglider_async.cli.main import run
sys.argv = ["dg", *sys.argv[1:]]
try: run()
except SystemExit: pass
print("pydantic" in sys.modules)
"""


@pytest.mark.parametrize(
    "line",
    ["cp nothing s3://bucket/key", "cp -q -r --exclude * --include *.zip nothing s3://bucket/", "sync nothing s3://b"],
)
def test_a_usual_line_needs_no_validators(line: str) -> None:
    environment = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *line.split()], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.splitlines()[-1] == "False", result.stderr
