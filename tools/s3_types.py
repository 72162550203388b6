"""Writes the generated modules of `deltaglider_async.types` from botocore's description of S3.

    python tools/s3_types.py            write them
    python tools/s3_types.py --check    fail if they are not what would be written

What is ours beside S3's own (`DeltaGliderInfo`, ...) is added from `ADDITIONS`, and typed in `types/additions.py`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from botocore.session import Session

#: The client, whose methods say what they name themselves.
CLIENT = Path(__file__).parents[1] / "src" / "deltaglider_async" / "client"
FOLDER = Path(__file__).parents[1] / "src" / "deltaglider_async" / "types"

#: Operations that the client has methods for. All others are botocore's own, and their types too.
OPERATIONS = (
    "AbortMultipartUpload",
    "CompleteMultipartUpload",
    "CopyObject",
    "CreateBucket",
    "CreateMultipartUpload",
    "DeleteBucket",
    "DeleteObject",
    "DeleteObjects",
    "DeleteObjectTagging",
    "GetBucketAcl",
    "GetObject",
    "GetObjectAcl",
    "GetObjectAttributes",
    "GetObjectLegalHold",
    "GetObjectRetention",
    "GetObjectTagging",
    "HeadBucket",
    "HeadObject",
    "ListBuckets",
    "ListMultipartUploads",
    "ListObjects",
    "ListObjectsV2",
    "ListObjectVersions",
    "ListParts",
    "PutBucketAcl",
    "PutObject",
    "PutObjectAcl",
    "PutObjectLegalHold",
    "PutObjectRetention",
    "PutObjectTagging",
    "RestoreObject",
    "UploadPart",
    "UploadPartCopy",
)

#: Class: field: type. What we answer beside what S3 does.
ADDITIONS = {
    "PutObjectResponse": {"DeltaGliderInfo": "additions.PutInfo"},
    "CopyObjectResponse": {"DeltaGliderInfo": "additions.PutInfo"},
    "CompleteMultipartUploadResponse": {"DeltaGliderInfo": "NotRequired[additions.PutInfo]"},
    "GetObjectResponse": {"DeltaGliderInfo": "additions.StoredInfo"},
    "HeadObjectResponse": {"DeltaGliderInfo": "additions.StoredInfo"},
    "GetObjectAttributesResponse": {"DeltaGliderInfo": "additions.StoredInfo"},
    "DeleteObjectResponse": {"DeltaGliderInfo": "additions.DeleteInfo"},
    "DeleteObjectsResponse": {"DeltaGliderInfo": "additions.DeletesInfo"},
    "ListObjectsResponse": {"NextContinuationToken": "NotRequired[str]"},
    "S3Object": {"Metadata": "NotRequired[additions.ListedMetadata]"},
    "S3Bucket": {"DeltaGliderStats": "NotRequired[additions.KnownStats]"},
    "S3DeletedObject": {
        "StoredKey": "NotRequired[str]",
        "Type": "NotRequired[additions.StoredType]",
        "Warnings": "NotRequired[list[str]]",
    },
}

#: In place of botocore's type.
INSTEAD = {("GetObjectResponse", "Body"): "ObjectBody", ("ListObjectsResponse", "Contents"): "list[shapes.S3Object]"}

#: Whether they are there is what programs decide by; so here we say more than types-aiobotocore.
DECIDING = {"NextContinuationToken", "NextMarker", "ContentRange"}

#: Not always there, although at the top of an answer. (To have all of them here, and be asked by type checkers
#: to look whether there is a `ContentLength`, would be no help: so types-aiobotocore has it, and so do we.)
OPTIONAL = {"Contents", "CommonPrefixes", *DECIDING}

#: In place of botocore's type of an argument, which is {}.
GIVEN_INSTEAD = {
    "CopySource": "str | Mapping[str, Any]",
    "Body": "Any",
    "RestoreRequest": "Mapping[str, Any]",
    "Retention": "{} | shapes.S3ObjectLockRetention",
    "SSECustomerKey": "str | bytes",
    "CopySourceSSECustomerKey": "str | bytes",
}

HEADER = '''"""{title}

Written by tools/s3_types.py; change that.
"""

from __future__ import annotations

'''

model = Session().get_service_model("s3")
literals: dict[str, list[str]] = {}
#: What responses, and arguments, are made of, in the order in which it is needed.
structures: dict[str, dict[str, str]] = {}
given: dict[str, dict[str, str]] = {}


def named(shape: Any) -> str:
    return f"S3{shape.name.removeprefix('S3')}"


def response_type(shape: Any, place: str = "") -> str:
    """The type of something that S3 answers."""
    match shape.type_name:
        case "structure":
            name = named(shape)
            if name not in structures:
                structures[name] = {}
                fields = {
                    field: optional(response_type(member), field not in shape.required_members)
                    for field, member in shape.members.items()
                }
                structures.pop(name)  # what it is made of comes before it
                structures[name] = fields | ADDITIONS.get(name, {})
            return place + name
        case "list":
            return f"list[{response_type(shape.member, place)}]"
        case "map":
            return f"dict[{response_type(shape.key)}, {response_type(shape.value)}]"
        case "string" if getattr(shape, "enum", ()):
            return literal(shape)
        case "blob":
            return "bytes"
        case other:
            return SIMPLE[other]


SIMPLE = {
    "string": "str",
    "character": "str",
    "integer": "int",
    "long": "int",
    "boolean": "bool",
    "timestamp": "datetime",
}


def argument_type(shape: Any) -> str:
    """The type of something that callers give."""
    match shape.type_name:
        case "structure":
            name = f"{named(shape)}Argument"
            if name not in given:
                given[name] = {
                    field: optional(argument_type(member), field not in shape.required_members)
                    for field, member in shape.members.items()
                }
                given[name] = given.pop(name)
            return name
        case "list":
            return f"Sequence[{argument_type(shape.member)}]"
        case "map":
            return f"Mapping[{argument_type(shape.key)}, {argument_type(shape.value)}]"
        case "timestamp":
            return "datetime | str"
        case "blob":
            return "bytes"
        case _:
            return response_type(shape)


def own_parameters() -> dict[str, set[str]]:
    """What each method of the client names by itself, beside its `**arguments`."""
    found: dict[str, set[str]] = {}
    for path in CLIENT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef):
                found[node.name] = {argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)}
    return found


def arguments(operation: str) -> dict[str, str]:
    """The fields of what a method takes as `**arguments`."""
    shape = model.operation_model(operation).input_shape
    apart = own_parameters().get(snake(operation), set())
    taken = {}
    for field, member in shape.members.items() if shape else ():
        if field not in apart:
            kind = GIVEN_INSTEAD.get(field) or argument_type(member)
            if "{}" in kind:
                kind = kind.format(argument_type(member))
            taken[field] = f"Required[{kind}]" if shape and field in shape.required_members else kind
    return taken


def optional(kind: str, is_optional: bool) -> str:
    return f"NotRequired[{kind}]" if is_optional else kind


def literal(shape: Any) -> str:
    literals[shape.name] = list(shape.enum)
    return f"literals.{shape.name}"


def response(operation: str) -> dict[str, str]:
    """The fields of an answer."""
    name = f"{operation}Response"
    shape = model.operation_model(operation).output_shape
    fields = {}
    for field, member in shape.members.items() if shape else ():
        kind = INSTEAD.get((name, field)) or response_type(member, "shapes.")
        fields[field] = optional(kind, field in OPTIONAL and (name, field) not in INSTEAD)
    return {**fields, "ResponseMetadata": "shapes.ResponseMetadata", **ADDITIONS.get(name, {})}


def typed_dict(name: str, fields: dict[str, str], text: str, total: bool = True) -> str:
    bases = "TypedDict" if total else "TypedDict, total=False"
    lines = [f"class {name}({bases}):", f'    """{text}"""', ""]
    return "\n".join([*lines, *(f"    {field}: {kind}" for field, kind in fields.items())]) + "\n"


def exported(names: Iterable[str]) -> str:
    return "__all__ = [" + ", ".join(f'"{name}"' for name in sorted(names)) + ",]\n\n"


def snake(operation: str) -> str:
    """`ListObjectsV2` as `list_objects_v2`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")


def modules() -> dict[str, str]:
    """The text of each module, by its name."""
    taken = {operation: arguments(operation) for operation in OPERATIONS}
    responses = {f"{operation}Response": response(operation) for operation in OPERATIONS}
    text = "".join(
        typed_dict(f"{operation}Response", responses[f"{operation}Response"], f"What `{snake(operation)}` returns.")
        + "\n\n"
        for operation in OPERATIONS
    )
    result = {
        "responses": HEADER.format(title="What the client's methods in boto3's names return.")
        + "from datetime import datetime\n"
        + "from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict\n\n"
        + "from deltaglider_async.types import additions, literals, shapes\n\n"
        + "if TYPE_CHECKING:\n    from deltaglider_async.streams.body import ObjectBody\n\n"
        + exported(responses)
        + text,
        "shapes": HEADER.format(title="What responses are made of.")
        + "from datetime import datetime\n"
        + "from typing import NotRequired, TypedDict\n\n"
        + "from deltaglider_async.types import additions, literals\n\n"
        + exported([*structures, "ResponseMetadata"])
        + typed_dict(
            "ResponseMetadata",
            {
                "RequestId": "str",
                "HTTPStatusCode": "int",
                "HTTPHeaders": "dict[str, str]",
                "RetryAttempts": "int",
                "HostId": "NotRequired[str]",
            },
            "How the request went.",
        )
        + "\n\n"
        + "\n\n".join(
            typed_dict(name, fields, f"S3's `{name.removeprefix('S3')}`.") for name, fields in structures.items()
        ),
    }
    result["arguments"] = (
        HEADER.format(title="What the client's methods in boto3's names take, beside what they name themselves.")
        + "from collections.abc import Mapping, Sequence\n"
        + "from datetime import datetime\n"
        + "from typing import Any, NotRequired, Required, TypedDict\n\n"
        + "from deltaglider_async.types import literals, shapes\n\n"
        + exported([*given, *(f"{operation}Arguments" for operation in OPERATIONS)])
        + "\n\n".join(
            typed_dict(name, fields, f"S3's `{name.removeprefix('S3').removesuffix('Argument')}`, as it may be given.")
            for name, fields in given.items()
        )
        + "\n\n"
        + "\n\n".join(
            typed_dict(f"{operation}Arguments", fields, f"Of `{snake(operation)}`.", total=False)
            for operation, fields in taken.items()
        )
    )
    result["literals"] = (
        HEADER.format(title="Words that S3 knows.")
        + "from typing import Literal\n\n"
        + "\n".join(
            f"{name} = Literal[{', '.join(repr(word) for word in words)}]" for name, words in sorted(literals.items())
        )
        + "\n"
    )
    return {name: formatted(text) for name, text in result.items()}


def formatted(text: str) -> str:
    """As `ruff` wants it, without imports that are not used."""
    for command in (["check", "--fix", "-q", "--select", "F401,I"], ["format", "-q"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(FOLDER / "generated.py"), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return text


def main() -> None:
    wrong = []
    for name, text in modules().items():
        path = FOLDER / f"{name}.py"
        if not path.exists() or path.read_text() != text:
            wrong.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if wrong and "--check" in sys.argv:
        sys.exit(f"{', '.join(wrong)}: out of date. Run `python tools/s3_types.py`.")


if __name__ == "__main__":
    main()
