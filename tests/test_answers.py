"""Errors speak of what the caller asked for, not of the calls that it took."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore import xform_name

from deltaglider_async import create_client
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.client.operations import DELTA_AWARE
from tests.servers import answering, response, s3_error


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("put_object", {"Body": b"x"}),
        ("copy_object", {"CopySource": "bucket/source.zip"}),
        ("delete_object", {}),
        ("get_object", {}),
    ],
)
async def test_who_is_refused_is_told_so_in_the_words_of_boto3(name: str, arguments: dict[str, Any]) -> None:
    async def refuse(request: str, head: bytes) -> bytes:
        if request.startswith("HEAD"):
            return response("403 Forbidden")
        return s3_error("403 Forbidden", "AccessDenied", "Access Denied")

    async with answering(refuse) as url, create_client(endpoint_url=url) as client:
        with pytest.raises(client.exceptions.ClientError) as caught:
            await getattr(client, name)(Bucket="bucket", Key="app.zip", **arguments)
    assert caught.value.response["Error"]["Code"] == "AccessDenied"
    assert xform_name(caught.value.operation_name) == name


async def test_an_error_names_the_key_that_the_caller_named() -> None:
    async def refuse(request: str, head: bytes) -> bytes:
        if request.startswith("HEAD"):
            return response("404 Not Found")
        told = "<Key>a.zip.delta</Key><Resource>/bucket/a.zip.delta</Resource><BucketName>bucket</BucketName>"
        xml = f"<Error><Code>SlowerThanEver</Code><Message>no</Message>{told}</Error>"
        return response("400 Bad Request", xml.encode())

    async with answering(refuse) as url, create_client(endpoint_url=url) as client:
        with pytest.raises(client.exceptions.ClientError) as caught:
            await client.put_object(Bucket="bucket", Key="a.zip", Body=b"x" * 100)
    error: Any = caught.value.response["Error"]
    assert (error["Key"], error["Resource"]) == ("a.zip", "/bucket/a.zip"), json.dumps(error)


def test_methods_keep_their_descriptions() -> None:
    for operation in DELTA_AWARE:
        method = getattr(DeltaGliderClient, xform_name(operation), None)
        assert method is None or method.__doc__, operation


async def test_a_missing_source_is_named_not_the_destination() -> None:
    async def refuse(request: str, head: bytes) -> bytes:
        if request.startswith("HEAD"):
            return response("404 Not Found")
        told = "<Key>source.zip</Key><Resource>/bucket/source.zip</Resource>"
        return response("404 Not Found", f"<Error><Code>NoSuchKey</Code><Message>no</Message>{told}</Error>".encode())

    async with answering(refuse) as url, create_client(endpoint_url=url) as client:
        with pytest.raises(client.exceptions.NoSuchKey) as caught:
            await client.copy_object(Bucket="bucket", Key="a.zip", CopySource="bucket/source.zip")
    error: Any = caught.value.response["Error"]
    assert error["Key"] == "source.zip"
