"""Writes docs/commands.md from the commands' help texts.

python tools/cli_page.py            write it
python tools/cli_page.py --check    fail if it is not what would be written
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from deltaglider_async.cli.main import COMMANDS, function_of

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"

BEGINNING = """# Every command and option

What `dg COMMAND --help` says. [The command line](cli.md) explains it, with examples that run.
"""


def page() -> str:
    """The text of docs/commands.md."""
    return "\n".join([BEGINNING, *(section(name, function_of(name)) for name in COMMANDS)])


def section(name: str, command: Callable[..., Any]) -> str:
    """A command: how it is called, its help text, its options."""
    parameters = inspect.signature(command, eval_str=True).parameters.values()
    arguments, options = [], []
    for parameter in parameters:
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(info, OptionInfo):
                kind = get_args(parameter.annotation)[0]
                options.append(f"| {spelled(info, kind)} | {cell(info.help or '')} |")
            elif isinstance(info, ArgumentInfo):
                given = (info.metavar or parameter.name.upper()).strip("[]")
                arguments.append(given if parameter.default is parameter.empty else f"[{given}]")
    examples, _, prose = inspect.cleandoc(command.__doc__ or "").lstrip("\b\n").partition("\n\n")
    lines = [line.removeprefix("  ") for line in examples.splitlines()[1:]]
    return "\n".join(
        [
            f"## dg {name}\n\n`{' '.join(['dg', name, *arguments])}`\n\n{prose}\n\n```text",
            *lines,
            "```\n\n| option | meaning |\n| --- | --- |",
            *options,
            "",
        ]
    )


def spelled(option: OptionInfo, kind: Any) -> str:
    """An option as it is typed, with what its value may be."""
    # In an annotation, Typer leaves the first name where the default would be.
    declared = [each for each in (option.default, *(option.param_decls or ())) if isinstance(each, str)]
    names = ", ".join(f"`{name}`" for each in declared for name in each.split("/"))
    choices = [choice for each in (kind, *get_args(kind)) if get_origin(each) is Literal for choice in get_args(each)]
    value = " or ".join(f"`{choice}`" for choice in choices) or (f"`{option.metavar}`" if option.metavar else "")
    return f"{names} {value}".rstrip()


def cell(text: str) -> str:
    """A text that fits into a table."""
    return text.replace("|", "\\|").replace("<", "\\<").replace("*", "\\*")


def main() -> None:
    text = page()
    if not PAGE.exists() or PAGE.read_text() != text:
        if "--check" in sys.argv:
            sys.exit(f"{PAGE.name}: out of date. Run `make docs`.")
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
