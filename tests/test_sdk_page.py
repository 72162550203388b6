"""The reference of the SDK is what the docstrings say, the docstrings say what a caller needs, their examples run."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
import textwrap
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiofiles
import pytest
from tools import sdk_page

import deltaglider_async
from deltaglider_async import DeltaGliderClient, ObjectBody, OpenClient, create_client
from tests import artifacts

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

#: What cannot fail.
WITHOUT_RAISES = {"aclose", "clear_cache", "close", "delta_policy", "exceptions", "meta", "tell"}
#: What a line of prose shows as well.
WITHOUT_EXAMPLE = {"aclose", "clear_cache", "close", "delta_policy", "meta", "tell"}


def documented() -> Iterator[tuple[str, Any]]:
    """Everything that has a heading on the page, and is called: its name and itself."""
    yield "create_client", create_client
    for owner in (OpenClient, ObjectBody):
        yield from ((f"{owner.__name__}.{name}", vars(owner)[name]) for name in vars(owner) if not name.startswith("_"))
    yield "ObjectBody", ObjectBody
    for part, names in sdk_page.parts():
        yield part.__name__, part
        yield from ((f"client.{name}", inspect.getattr_static(DeltaGliderClient, name)) for name in names)


PUBLIC = dict(documented())
EXAMPLES = {name: example for name, found in PUBLIC.items() if (example := sdk_page.example_of(found.__doc__ or ""))}


def test_the_page_is_made_from_the_docstrings_as_they_are() -> None:
    assert sdk_page.PAGE.read_text() == sdk_page.page(), "docs/sdk.md is out of date: run `make docs`"


@pytest.mark.parametrize("name", [name for name, found in PUBLIC.items() if not isinstance(found, type)])
def test_a_docstring_says_what_a_call_raises_and_shows_one(name: str) -> None:
    text = PUBLIC[name].__doc__
    assert text
    short = name.rpartition(".")[2]
    owner = next((part for part, names in sdk_page.parts() if short in names), ObjectBody)
    told = f"{text} {owner.__doc__}"  # some say it once for all
    assert short in WITHOUT_RAISES or re.search(r"[Rr]aises? |[Ee]rrors as", told)
    assert short in WITHOUT_EXAMPLE or sdk_page.example_of(text) or sdk_page.example_of(owner.__doc__ or "")


def test_whatever_can_be_imported_from_the_package_is_on_the_page_or_a_type_of_boto3s() -> None:
    text = sdk_page.page()
    for name in deltaglider_async.__all__:
        of_boto3 = name.endswith("Response") or name.startswith("S3") or name in ("ResponseMetadata", "ListedMetadata")
        assert of_boto3 or f" {name}\n" in text or f"`{name}`" in text or name == "__version__", name


@pytest.fixture(scope="module")
def zips() -> dict[str, bytes]:
    # Their beginnings: examples are many, and what is tested is that they are right.
    return {f"app-1.{i}.zip": artifacts.zipped(tree)[:100_000] for i, tree in enumerate(artifacts.releases())}


@pytest.fixture
def folder(zips: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples find their files: three releases."""
    for name, content in zips.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", EXAMPLES)
async def test_the_example_runs(
    name: str, zips: dict[str, bytes], s3_endpoint: str, bucket: str, s3: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{bucket}-nightly"
    await asyncio.to_thread(s3.create_bucket, Bucket=other)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    code = EXAMPLES[name].replace("http://localhost:9000", s3_endpoint)
    for word, actual in (("releases", bucket), ("nightly", other)):
        code = code.replace(word, actual)
    example = compiled(code)
    async with create_client() as client:
        for where in (bucket, other) if "nightly" in EXAMPLES[name] else (bucket,):
            for path, content in zips.items():
                await client.put_object(Bucket=where, Key=f"app/{path}", Body=content)
        response = await client.get_object(Bucket=bucket, Key="app/app-1.1.zip")
        async with response["Body"] as body:
            given = {"client": client, "body": body, "response": response, "Path": Path, "aclosing": aclosing}
            await example({**given, "aiofiles": aiofiles, "asyncio": asyncio, "io": io, "timedelta": timedelta})


def compiled(code: str) -> Callable[[dict[str, Any]], Any]:
    """An example as a coroutine function of the names that it uses."""
    program = ast.parse(f"async def example():\n{textwrap.indent(code, '    ')}")

    async def run(names: dict[str, Any]) -> None:
        names |= {name: getattr(deltaglider_async, name) for name in deltaglider_async.__all__}
        exec(compile(program, "<example>", "exec"), names)  # noqa: S102
        await names["example"]()

    return run
