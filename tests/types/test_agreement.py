"""The TypedDicts of responses agree with types-aiobotocore's, field by field, in the judgement of mypy."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, get_type_hints, is_typeddict

import pytest
import types_aiobotocore_s3
from botocore.session import Session
from tools.s3_types import snake

import deltaglider_async
from deltaglider_async import types
from deltaglider_async.streams.body import ObjectBody
from deltaglider_async.types import responses, shapes

if TYPE_CHECKING:
    from tests.types.conftest import Mypy

pytestmark = pytest.mark.timeout(300)  # mypy begins without a cache

#: `Body` is ours: a body of aiobotocore's own would not wait for the digest.
DIFFERENT = {("GetObjectResponse", "Body")}

STUBS = Path(inspect.getfile(types_aiobotocore_s3)).with_name("type_defs.pyi")


def fields_of_stubs() -> dict[str, dict[str, str]]:
    """Each TypedDict of types-aiobotocore: its fields and their annotations."""
    found = {}
    for node in ast.parse(STUBS.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {
                line.target.id: ast.unparse(line.annotation)
                for line in node.body
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
            }
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):  # `X = TypedDict("X", {...})`
            name, fields = node.value.args
            assert isinstance(fields, ast.Dict)
            found[ast.literal_eval(name)] = {
                ast.literal_eval(key): ast.unparse(annotation)
                for key, annotation in zip(fields.keys, fields.values, strict=True)
                if key is not None
            }
    return found


THEIRS = fields_of_stubs()


def counterpart(ours: str) -> str:
    """The name that types-aiobotocore has for one of our TypedDicts."""
    if ours.endswith("Response"):
        name = f"{ours.removesuffix('Response')}OutputTypeDef"
        return name if name in THEIRS else "EmptyResponseMetadataTypeDef"
    name = ours.removeprefix("S3")
    return f"{name}OutputTypeDef" if f"{name}OutputTypeDef" in THEIRS else f"{name}TypeDef"


def comparison(ours: str, theirs: str) -> str:
    """A function that mypy accepts only if a field of ours can stand for the same one of theirs."""
    lines = [f"def {ours}(ours: types.{ours}, theirs: stubs.{theirs}) -> None:"]
    for field, annotation in THEIRS[theirs].items():
        if (ours, field) in DIFFERENT:
            continue
        # Into a list rather than in its place: what is in ours may have more fields.
        slot = "[:]" if "list[" in annotation else ""
        lines.append(f'    theirs["{field}"]{slot} = ours["{field}"]')
        if "TypeDef" not in annotation:  # those are compared themselves
            lines.append(f'    ours["{field}"] = theirs["{field}"]')
    return "\n".join(lines) + "\n"


def check_file(folder: Path, pairs: dict[str, str]) -> Path:
    path = folder / "agreement.py"
    head = "import types_aiobotocore_s3.type_defs as stubs\n\nfrom deltaglider_async import types\n"
    path.write_text("\n\n".join([head, *(comparison(ours, theirs) for ours, theirs in pairs.items())]))
    return path


def test_every_field_of_types_aiobotocore_is_here_with_the_same_type(mypy: Mypy, tmp_path: Path) -> None:
    pairs = {ours: counterpart(ours) for ours in [*responses.__all__, *shapes.__all__]}
    assert len(set(pairs.values()) - {"EmptyResponseMetadataTypeDef"}) > 40
    assert mypy(check_file(tmp_path, pairs)) == ""


def test_every_request_of_types_aiobotocore_can_be_given(mypy: Mypy, tmp_path: Path) -> None:
    lines = [
        "from typing import Any",
        "import types_aiobotocore_s3.type_defs as stubs",
        "from deltaglider_async import DeltaGliderClient",
    ]
    for name in responses.__all__:
        operation = name.removesuffix("Response")
        request = f"{operation}RequestTypeDef"
        assert request in THEIRS
        lines.append(f"async def {operation}(client: DeltaGliderClient, request: stubs.{request}) -> Any:")
        lines.append(f"    return await client.{snake(operation)}(**request)")
    (tmp_path / "requests.py").write_text("\n".join(lines))
    assert mypy(tmp_path / "requests.py") == ""


def test_disagreement_would_be_found(mypy: Mypy, tmp_path: Path) -> None:
    complaints = mypy(
        check_file(
            tmp_path,
            {
                "HeadBucketResponse": "ListBucketsOutputTypeDef",  # has other fields
                "S3Part": "ObjectVersionTypeDef",  # StorageClass is missing, the others are the same
                "ListObjectsResponse": "ListObjectVersionsOutputTypeDef",  # a list of other things
                "S3ObjectVersion": "ObjectTypeDef",  # other words in StorageClass
            },
        )
    )
    assert 'TypedDict "HeadBucketResponse" has no key "Buckets"' in complaints
    assert 'TypedDict "S3Part" has no key "StorageClass"' in complaints
    assert 'TypedDict "ListObjectsResponse" has no key "Versions"' in complaints
    assert 'Value of "StorageClass" has incompatible type' in complaints


def test_every_field_of_the_installed_botocore_is_here() -> None:
    model = Session().get_service_model("s3")
    for name in responses.__all__:
        shape = model.operation_model(name.removesuffix("Response")).output_shape
        fields = set(shape.members) if shape else set()
        assert fields <= getattr(types, name).__annotations__.keys(), name


def test_all_shapes_can_be_imported_from_the_package() -> None:
    shapes_of_ours = {name for name in types.__all__ if isinstance(getattr(types, name), type)}
    assert shapes_of_ours <= set(deltaglider_async.__all__)


def test_all_types_can_be_looked_into_when_a_program_runs() -> None:
    for name in types.__all__:
        if is_typeddict(kind := getattr(types, name)):
            assert get_type_hints(kind, localns={"ObjectBody": ObjectBody}), name
