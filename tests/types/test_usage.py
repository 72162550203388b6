"""A user's file passes `mypy --strict`, with stubs of aiobotocore or without them."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tools.s3_types import snake

from deltaglider_async.types import responses

if TYPE_CHECKING:
    from tests.types.conftest import Mypy

pytestmark = pytest.mark.timeout(300)  # mypy begins without a cache

USAGE = Path(__file__).with_name("usage.py")
HEAD = "from deltaglider_async import DeltaGliderClient\n\n\nasync def use(client: DeltaGliderClient) -> None:\n    "


@pytest.fixture(params=["with stubs", "without stubs"])
def python(request: pytest.FixtureRequest) -> Path:
    if request.param == "with stubs":
        return Path(sys.executable)
    found: Path = request.getfixturevalue("python_without_stubs")
    return found


@pytest.fixture
def usage(tmp_path: Path) -> Path:
    """The file where no configuration of this project holds."""
    path = tmp_path / "usage.py"
    path.write_text(USAGE.read_text())
    return path


def test_every_operation_can_be_used_under_strict_typing(mypy: Mypy, usage: Path, python: Path) -> None:
    assert mypy(usage, python) == ""


def test_the_user_uses_every_operation_that_has_types() -> None:
    calls = {node.attr for node in ast.walk(ast.parse(USAGE.read_text())) if isinstance(node, ast.Attribute)}
    assert {snake(name.removesuffix("Response")) for name in responses.__all__} <= calls


MISTAKES = {
    'await client.put_object(Bucket="b", Key="k", ContentTyp="x")': 'did you mean "ContentType"',
    'await client.get_object(Bucket="b")': 'Missing positional argument "Key"',
    '(await client.head_object(Bucket="b", Key="k"))["Bodi"]': 'has no key "Bodi"',
    'await client.put_object(Bucket="b", Key="k", StorageClass="COLD")': "incompatible type \"Literal['COLD']\"",
}


def test_mistakes_are_found(mypy: Mypy, tmp_path: Path, python: Path) -> None:
    (tmp_path / "mistakes.py").write_text(HEAD + "\n    ".join(MISTAKES) + "\n")
    lines = mypy(tmp_path / "mistakes.py", python).splitlines()
    first = HEAD.count("\n") + 1
    for number, complaint in enumerate(MISTAKES.values(), first):
        assert any(line.startswith(f"mistakes.py:{number}: error:") and complaint in line for line in lines), lines


def test_mistakes_in_what_is_passed_on_are_found_where_stubs_are_installed(mypy: Mypy, tmp_path: Path) -> None:
    (tmp_path / "mistake.py").write_text(f'{HEAD}await client.put_bucket_polcy(Bucket="b")\n')
    assert 'has no attribute "put_bucket_polcy"' in mypy(tmp_path / "mistake.py")
