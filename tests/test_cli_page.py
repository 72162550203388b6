"""The page of all commands is what the help texts say."""

from __future__ import annotations

import re
from typing import Any

import typer
from tools import cli_page

from deltaglider_async.cli.main import COMMANDS, app


def test_the_page_is_up_to_date() -> None:
    assert cli_page.PAGE.read_text() == cli_page.page(), "docs/commands.md is out of date: run `make docs`"


def test_every_option_of_every_command_is_on_it() -> None:
    group: Any = typer.main.get_command(app)
    sections = dict(re.findall(r"^## dg (\S+)\n(.*?)(?=^## |\Z)", cli_page.page(), flags=re.M | re.S))
    assert list(sections) == list(COMMANDS)
    for name in COMMANDS:
        rows = [line.split(" | ")[0] for line in sections[name].splitlines() if line.startswith("| `-")]
        told = {option for row in rows for option in re.findall(r"`(-[^`]*)`", row)}
        assert told == {
            option
            for parameter in group.get_command(None, name).params
            if parameter.param_type_name == "option"
            for option in (*parameter.opts, *parameter.secondary_opts)
        }, name
