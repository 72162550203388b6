"""The documentation is executed: every block of code, every link, every name of a variable or an option.

The blocks of one page run in order, in one folder, against one S3 server of their own, as a reader would run them.
A block that needs an earlier one makes sure that it ran, so that each may be chosen alone and in any order.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import typer
from anyio.from_thread import BlockingPortal, start_blocking_portal
from botocore.session import Session
from markdown_it import MarkdownIt

from deltaglider_async.cli.local_server import local_s3
from deltaglider_async.cli.main import COMMANDS, app
from deltaglider_async.settings import Settings
from tests import artifacts

if TYPE_CHECKING:
    from markdown_it.token import Token

pytestmark = pytest.mark.timeout(180)  # a block may have to wait for all that are before it

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What the pages call the endpoint.
ENDPOINT = "http://localhost:9000"
BUCKET = "releases"

VARIABLES = {f"DG_{each.name.upper()}": each.name for each in fields(Settings)}


def parsed(text: str) -> list[Token]:
    """The page as the tokens of its Markdown."""
    return MarkdownIt("commonmark").enable("table").parse(text)


def flat(tokens: list[Token]) -> Iterator[Token]:
    """All tokens, those inside of others too."""
    for token in tokens:
        yield token
        yield from flat(token.children or [])


@dataclass(frozen=True)
class Block:
    """A block of code. `language` is empty where the page names none; `line` is that of the first line of code."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}-{self.language or 'none'}"


def blocks_of(page: str, text: str) -> list[Block]:
    """Every block of code in a page, fenced or indented."""
    return [
        Block(page, (token.map or [0])[0] + 2, token.info.strip(), token.content)
        for token in flat(parsed(text))
        if token.type in ("fence", "code_block")
    ]


class BlockError(Exception):
    """A block did not do what the page says."""


@dataclass
class Reading:
    """A page being followed from top to bottom, in a folder, against an S3 server."""

    folder: Path
    endpoint_url: str
    blocks: list[Block]
    forked: list[str]
    failed: BlockError | None = None
    _done: int = field(default=0, init=False)

    def reach(self, block: Block) -> None:
        """Run the blocks up to this one, each once. Raises `BlockError` if it, or one before it, fails."""
        while self._done <= self.blocks.index(block):
            if self.failed is None:
                try:
                    self._run(self.blocks[self._done])
                except BlockError as error:
                    self.failed = error
            if self.failed is not None:
                raise self.failed
            self._done += 1

    def _run(self, block: Block) -> None:
        match block.language:
            case "text":
                return
            case "python":
                # Written to a file, so that tracebacks show the code; padded, so that they name the page's lines.
                script = self.folder.parent / "block.py"
                script.write_text("\n" * (block.line - 1) + self._adapted(block.code))
                command = [*self.forked, "python", str(script)]
            case "sh":
                # Made by hand, these would set up or test everything: it is enough that they are there.
                code = re.sub(r"^make\b", f"make -n -C {shlex.quote(str(ROOT))}", self._adapted(block.code), flags=re.M)
                command = ["bash", "-euo", "pipefail", "-c", "\n" * (block.line - 1) + code]
            case other:
                raise BlockError(
                    f"{block}: nothing knows how to execute {other!r}. Known: python, sh; text is a figure."
                )
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode:
            raise BlockError(f"{block}: exit code {result.returncode}\n{result.stdout}")

    def _adapted(self, code: str) -> str:
        return code.replace(ENDPOINT, self.endpoint_url)

    def _environment(self) -> dict[str, str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        dg = self.folder.parent / "bin" / "dg"
        if not dg.exists():
            dg.parent.mkdir()
            dg.write_text(f'#!/bin/sh\nexec {shlex.join([*self.forked, "dg"])} "$@"\n')
            dg.chmod(0o755)
        programs = str(Path(sys.executable).parent)
        return environment | {
            "PATH": os.pathsep.join([str(dg.parent), programs, environment.get("PATH", os.defpath)]),
            "HOME": str(self.folder.parent),
            "AWS_ENDPOINT_URL": self.endpoint_url,
        }


def prepared(folder: Path) -> Path:
    """The files that the pages speak of: two releases, and a folder of what a build leaves."""
    first, second, third = artifacts.releases()
    dist = folder / "dist"
    dist.mkdir(parents=True)
    for version, tree in (("1.0", first), ("1.1", second)):
        (folder / f"app-{version}.zip").write_bytes(artifacts.zipped(tree))
    (dist / "app-1.2.zip").write_bytes(artifacts.zipped(third))
    (dist / "notes.txt").write_text("The third release.\n")
    (dist / "build.tmp").write_text("left over\n")
    return folder


Follow = Callable[[str], Reading]


@pytest.fixture(scope="module")
def follow(tmp_path_factory: pytest.TempPathFactory, forked: list[str]) -> Iterator[Follow]:
    """The reading of a page, begun when its first block is asked for, with an S3 server of its own."""
    readings: dict[str, Reading] = {}
    with ExitStack() as stack:
        portal: BlockingPortal = stack.enter_context(start_blocking_portal())

        def begin(page: str) -> Reading:
            if page not in readings:
                endpoint_url = stack.enter_context(portal.wrap_async_context_manager(local_s3()))
                s3: Any = Session().create_client("s3", endpoint_url=endpoint_url)
                s3.create_bucket(Bucket=BUCKET)
                s3.close()
                folder = prepared(tmp_path_factory.mktemp("page") / "work")
                readings[page] = Reading(folder, endpoint_url, blocks_of(page, (ROOT / page).read_text()), forked)
            return readings[page]

        yield begin


def every_block() -> list[Block]:
    # The blocks of sdk.md are signatures, and the docstrings' examples, which tests/test_sdk_page.py runs.
    pages = [path for path in PAGES if path.name != "sdk.md"]
    return [block for path in pages for block in blocks_of(str(path.relative_to(ROOT)), path.read_text())]


@pytest.mark.parametrize("block", every_block(), ids=str)
def test_the_block_does_what_the_page_says(block: Block, follow: Follow) -> None:
    follow(block.page).reach(block)


@pytest.mark.parametrize(
    ("language", "code", "complaint"),
    [
        ("python", "pass\nraise SystemExit('refused')", "refused"),
        ("python", "pass\nassert 1 == 2", "line 4"),
        ("sh", "false\ntrue", "exit code 1"),
        ("sh", "echo $NOT_SET\ntrue", "line 3"),
        ("sh", "false | cat", "exit code 1"),
        ("sh", "dg cp missing.zip s3://releases/", "missing.zip"),
        ("sh", "make no-such-target  # a comment", "no-such-target"),
        ("", "dg ls", "nothing knows how to execute ''"),
        ("console", "$ dg ls", "nothing knows how to execute 'console'"),
    ],
)
def test_a_block_that_is_wrong_fails(
    language: str, code: str, complaint: str, tmp_path: Path, s3_endpoint: str, forked: list[str]
) -> None:
    (tmp_path / "work").mkdir()
    (block,) = blocks_of("page.md", f"\n```{language}\n{code}\n```\n")
    reading = Reading(tmp_path / "work", s3_endpoint, [block], forked)
    for _ in range(2):  # the second time it is remembered
        with pytest.raises(BlockError, match=re.escape(complaint)):
            reading.reach(block)


def test_no_block_escapes() -> None:
    page = "```sh\na\n```\n* item\n  ~~~python\n  b\n  ~~~\n\ntext\n\n    c\n\n> ````\n> d\n> ````\n"
    assert [(block.language, block.code) for block in blocks_of("page.md", page)] == [
        ("sh", "a\n"), ("python", "b\n"), ("", "c\n"), ("", "d\n"),
    ]  # fmt: skip


def test_every_page_named_by_the_readme_is_there_and_every_page_is_named_by_it() -> None:
    named = {link for link in links_of(PAGES[0]) if link.startswith("docs/")}
    assert {str(path.relative_to(ROOT)) for path in PAGES[1:]} <= named


def links_of(path: Path) -> list[str]:
    """What a page points to: links and images."""
    targets = (token.attrs.get("href") or token.attrs.get("src") for token in flat(parsed(path.read_text())))
    return [str(target) for target in targets if target]


def anchors_of(path: Path) -> set[str]:
    """The headings of a page, as links spell them."""
    tokens = parsed(path.read_text())
    headings = (tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links_of(path):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path.name} points to {link}"
        assert not anchor or anchor in anchors_of(target), f"{path.name} points to {link}"


def test_every_variable_is_described_and_none_is_invented() -> None:
    named = {path: set(re.findall(r"\bDG_[A-Z0-9_]*[A-Z0-9]\b", path.read_text())) for path in PAGES}
    assert set().union(*named.values()) <= VARIABLES.keys()
    assert named[ROOT / "docs" / "configuration.md"] == VARIABLES.keys()


def rows_of(text: str) -> list[list[str]]:
    """The cells of every row of every table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_the_defaults_are_those_of_the_program() -> None:
    rows = rows_of((ROOT / "docs" / "configuration.md").read_text())
    described = {cells[0].strip("`"): cells[1] for cells in rows if cells[0].strip("`") in VARIABLES}
    assert described.keys() == VARIABLES.keys()
    for variable, default in described.items():
        name = VARIABLES[variable]
        if default.startswith("`"):  # others are told in words
            told: Any = {name: default.strip("`")}
            assert getattr(Settings(**told), name) == getattr(Settings(), name), variable
        else:
            assert getattr(Settings(), name) is None or getattr(Settings, name, MISSING) is MISSING, variable


def test_every_command_and_option_is_described_and_none_is_invented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    group: Any = typer.main.get_command(app)
    commands = {"": group, **{name: group.get_command(None, name) for name in COMMANDS}}
    options = {
        option
        for command in commands.values()
        for parameter in command.params
        if parameter.param_type_name == "option"
        for option in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help"}
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z0-9-]*\b(?=[`= ])", prose)) == options
    assert {f"dg-{name}" for name in COMMANDS} <= anchors_of(ROOT / "docs" / "cli.md")
