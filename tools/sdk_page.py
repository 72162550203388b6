"""Writes docs/sdk.md from the docstrings of everything public.

python tools/sdk_page.py            write it
python tools/sdk_page.py --check    fail if it is not what would be written
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, is_typeddict

import deltaglider_async
from deltaglider_async import errors
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.client.base import ClientBase
from deltaglider_async.session import OpenClient, create_client
from deltaglider_async.settings import Settings
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.types import additions

WIDTH = 100
#: Of the client's parts; others follow.
ORDER = ["Objects", "Deletes", "Listings", "Multipart", "Transfers", "Buckets", "Original", "Pages", "Presigning"]
PAGE = Path(__file__).parents[1] / "docs" / "sdk.md"

BEGINNING = """# The SDK

Everything public in `deltaglider_async`, from its docstrings. Whatever botocore's S3 client has beside this can be
called on the client too (`await client.put_bucket_policy(...)`) and is passed on as it is. How calls of the original
tool translate is said [elsewhere](migrating-from-deltaglider.md).

In the examples, `client` is an open client:

```python
async with create_client() as client:
    ...
```

Responses are plain dicts. Their types (`PutObjectResponse`, `S3Object`, ...) can be imported from the package, and have
the fields and types of `types-aiobotocore`, and in addition the fields that are described [below](#responses). Where
`types-aiobotocore[s3]` is installed, type checkers also know the operations that are passed on.
"""


def parts() -> Iterator[tuple[type, list[str]]]:
    """The classes that the client is made of, and the public names that each defines, as the page orders them."""
    ours = [part for part in DeltaGliderClient.__mro__ if part.__module__.startswith("deltaglider_async.")]
    for part in sorted(ours, key=place):
        names = [name for name in vars(part) if not name.startswith("_")]
        if part is ClientBase:
            inherited = {name for base in DeltaGliderClient.__mro__[1:] for name in vars(base)}
            names += [name for name in vars(DeltaGliderClient) if not name.startswith("_") and name not in inherited]
        if names and part is not DeltaGliderClient:
            yield part, names


def place(part: type) -> int:
    if part is ClientBase:
        return len(ORDER) + 1
    return ORDER.index(part.__name__) if part.__name__ in ORDER else len(ORDER)


def example_of(text: str) -> str:
    """The code of a docstring; empty where it has none."""
    return "\n\n".join(textwrap.dedent(block) for block in paragraphs(text) if block.startswith("    "))


def paragraphs(text: str) -> list[str]:
    """The parts of a docstring. One that is indented is code, blank lines in it included."""
    found: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        if found and block.startswith("    ") and found[-1].startswith("    "):
            found[-1] += f"\n\n{block}"
        else:
            found.append(block)
    return found


def prose(text: str) -> str:
    """A docstring as Markdown."""
    return "\n\n".join(
        fenced(textwrap.dedent(block)) if block.startswith("    ") else block for block in paragraphs(text)
    )


def fenced(code: str) -> str:
    return f"```python\n{code.rstrip()}\n```"


def definition(function: Any) -> str:
    """How a function is called, as its source says it."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    given = node.args
    defaults = [None] * (len(given.args) - len(given.defaults)) + given.defaults
    parameters = [
        parameter(*pair, function) for pair in zip(given.args, defaults, strict=True) if pair[0].arg != "self"
    ]
    if given.kwonlyargs:
        parameters.append("*")
    parameters += [parameter(*pair, function) for pair in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        parameters.append(f"**{ast.unparse(given.kwarg)}")
    begin = f"{'async ' if isinstance(node, ast.AsyncFunctionDef) else ''}def {node.name}("
    end = f") -> {ast.unparse(node.returns)}: ..." if node.returns else "): ..."
    line = begin + ", ".join(parameters) + end
    if len(line) <= WIDTH:
        return line
    return "\n".join([begin, *(f"    {text}," for text in parameters), end])


def parameter(argument: ast.arg, default: ast.expr | None, function: Any) -> str:
    if default is None:
        return ast.unparse(argument)
    text = ast.unparse(default).replace("'", '"')
    value = inspect.unwrap(function).__globals__.get(text)
    return f"{ast.unparse(argument)} = {value if isinstance(value, int) else text}"


def member(owner: type, name: str, level: str) -> str:
    """A method or property, with its heading."""
    found = inspect.getattr_static(owner, name)
    if isinstance(found, property):
        return f"{level} {name}\n\n{prose(found.__doc__ or '')}\n"
    return f"{level} {name}\n\n{fenced(definition(found))}\n\n{prose(found.__doc__ or '')}\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def fields(kind: type) -> list[tuple[str, str, str, str]]:
    """The fields of a class as its source has them: name, type, default, and the docstring below."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(node, ast.ClassDef)
    found = []
    for line, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            default = ast.unparse(line.value) if line.value else ""
            found.append((line.target.id, ast.unparse(line.annotation), default, inspect.cleandoc(str(text))))
    return found


def in_a_row(text: str) -> str:
    return " ".join(text.split())


def result(kind: type) -> str:
    """A dataclass of results, or a TypedDict."""
    rows = [[f"`{name}`", f"`{annotation}`", in_a_row(text)] for name, annotation, _, text in fields(kind)]
    head = ["field", "type", "meaning"]
    for name, found in vars(kind).items():
        if isinstance(found, property):
            rows.append([f"`{name}`", f"`{found.fget.__annotations__['return']}`", in_a_row(found.__doc__ or "")])
    if not any(row[2] for row in rows):
        head, rows = head[:2], [row[:2] for row in rows]
    return f"### {kind.__name__}\n\n{prose(kind.__doc__ or '')}\n\n{table(head, rows)}"


def settings() -> str:
    rows = []
    for name, annotation, _, text in fields(Settings):
        rows.append([f"`{name}`", f"`DG_{name.upper()}`", f"`{annotation}`", in_a_row(text)])
    text = (
        f"{prose(Settings.__doc__ or '')}\n\nThe defaults, and more, are on [a page of their own](configuration.md).\n"
    )
    return f"## Settings\n\n{text}\n{table(['argument', 'variable', 'type', 'meaning'], rows)}"


def exceptions() -> str:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and kind.__module__ == errors.__name__]
    rows = [
        [f"`{kind.__name__}`", ", ".join(f"`{base.__name__}`" for base in kind.__bases__), in_a_row(kind.__doc__ or "")]
        for kind in kinds
    ]
    text = prose(errors.__doc__ or "").replace(
        "``except client.exceptions.NoSuchKey``", "`except client.exceptions.NoSuchKey`"
    )
    text = text.replace("``except NotFoundError``", "`except NotFoundError`")
    return f"## Exceptions\n\n{text}\n\n{table(['exception', 'is a', 'when'], rows)}"


def title(part: type) -> str:
    return (
        "The client itself"
        if part in (DeltaGliderClient, ClientBase)
        else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part.__name__)
    )


def page() -> str:
    """The text of docs/sdk.md."""
    sections = [
        "## Opening a client\n",
        f"### create_client\n\n{fenced(definition(create_client))}\n\n{prose(create_client.__doc__ or '')}\n",
        f"### OpenClient\n\n{prose(OpenClient.__doc__ or '')}\n",
        member(OpenClient, "open", "####"),
        f"## DeltaGliderClient\n\n{prose(DeltaGliderClient.__doc__ or '')}\n",
        "\n".join(f"* {title(part)}: {', '.join(f'[{name}](#{name})' for name in names)}" for part, names in parts()),
        "",
    ]
    for part, names in parts():
        sections.append(f"### {title(part)}\n\n{prose(part.__doc__ or '')}\n")
        sections += [member(DeltaGliderClient, name, "####") for name in names]
    sections.append(f"## ObjectBody\n\n{prose(ObjectBody.__doc__ or '')}\n")
    sections += [member(ObjectBody, name, "###") for name in vars(ObjectBody) if not name.startswith("_")]
    kinds = [getattr(deltaglider_async, name) for name in deltaglider_async.__all__]
    sections.append("## Results\n")
    results = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    sections += [result(kind) for kind in results if kind is not Settings]
    sections.append("## Responses\n\nWhat is in responses beside boto3's own fields. Sizes are in bytes.\n")
    sections += [
        result(kind)
        for kind in vars(additions).values()
        if is_typeddict(kind) and kind.__module__ == additions.__name__ and kind.__doc__
    ]
    sections += [settings(), exceptions()]
    return "\n".join([BEGINNING, *sections])


def main() -> None:
    text = page()
    if not PAGE.exists() or PAGE.read_text() != text:
        if "--check" in sys.argv:
            sys.exit(f"{PAGE.name}: out of date. Run `make docs`.")
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
