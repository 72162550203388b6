"""A day of a release's life, in boto3: some thirty of its calls. `awaited.py` is the same with `async` and `await`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Tell = Callable[..., None]


def publish(s3: Any, bucket: str, folder: Path, tell: Tell) -> None:
    """Put files there in every way that boto3 has."""
    s3.create_bucket(Bucket=bucket)
    tell("bucket", s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"])
    tell("buckets", bucket in [each["Name"] for each in s3.list_buckets()["Buckets"]])
    first = (folder / "app-1.0.zip").read_bytes()
    response = s3.put_object(
        Bucket=bucket,
        Key="app/app-1.0.zip",
        Body=first,
        ContentType="application/zip",
        CacheControl="max-age=60",
        Metadata={"commit": "abc"},
        Tagging="stage=test",
    )
    tell("put", response["ResponseMetadata"]["HTTPStatusCode"])
    s3.upload_file(str(folder / "app-1.1.zip"), bucket, "app/app-1.1.zip", ExtraArgs={"Metadata": {"commit": "def"}})
    with (folder / "app-1.2.zip").open("rb") as file:
        s3.upload_fileobj(file, bucket, "app/app-1.2.zip")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="app/app-1.3.zip", ContentType="application/zip")
    upload_id = upload["UploadId"]
    part = s3.upload_part(Bucket=bucket, Key="app/app-1.3.zip", UploadId=upload_id, PartNumber=1, Body=first + b"!")
    parts = s3.list_parts(Bucket=bucket, Key="app/app-1.3.zip", UploadId=upload_id)["Parts"]
    tell("parts", [(each["PartNumber"], each["Size"]) for each in parts])
    tell("uploads", [each["Key"] for each in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]])
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key="app/app-1.3.zip",
        UploadId=upload_id,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    abandoned = s3.create_multipart_upload(Bucket=bucket, Key="app/app-1.4.zip")["UploadId"]
    s3.abort_multipart_upload(Bucket=bucket, Key="app/app-1.4.zip", UploadId=abandoned)
    for name in ("app/notes.txt", "app/old/notes.txt", "index.html"):
        s3.put_object(Bucket=bucket, Key=name, Body=name.encode())


def read(s3: Any, bucket: str, folder: Path, tell: Tell) -> None:
    """Read them, whole and in pieces, with conditions, and what is not there."""
    head = s3.head_object(Bucket=bucket, Key="app/app-1.0.zip")
    tell("head", head["ContentLength"], head["ContentType"], head["CacheControl"], head["Metadata"])
    response = s3.get_object(Bucket=bucket, Key="app/app-1.3.zip")
    body = response["Body"].read()
    tell("get", response["ContentLength"], response["ContentType"], hashlib.sha256(body).hexdigest())
    response = s3.get_object(Bucket=bucket, Key="app/app-1.1.zip", Range="bytes=100-199")
    tell("range", response["ResponseMetadata"]["HTTPStatusCode"], response["ContentRange"], response["Body"].read())
    s3.download_file(bucket, "app/app-1.1.zip", str(folder / "back.zip"))
    tell("file", hashlib.sha256((folder / "back.zip").read_bytes()).hexdigest())
    with (folder / "again.zip").open("wb") as file:
        s3.download_fileobj(bucket, "app/app-1.2.zip", file)
    tell("fileobj", hashlib.sha256((folder / "again.zip").read_bytes()).hexdigest())
    told = s3.get_object_attributes(Bucket=bucket, Key="app/app-1.0.zip", ObjectAttributes=["ObjectSize"])
    tell("attributes", told["ObjectSize"])
    try:
        s3.get_object(Bucket=bucket, Key="app/app-1.0.zip", IfNoneMatch=head["ETag"])
    except s3.exceptions.ClientError as error:
        tell("not modified", error.response["Error"]["Code"])
    try:
        s3.get_object(Bucket=bucket, Key="app/missing.zip")
    except s3.exceptions.NoSuchKey as error:
        tell("missing", error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"])
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key="app/app-1.2.zip")


def tend(s3: Any, bucket: str, tell: Tell) -> None:
    """Tags, copies, listings, and the end."""
    tell("tags", s3.get_object_tagging(Bucket=bucket, Key="app/app-1.0.zip")["TagSet"])
    s3.put_object_tagging(Bucket=bucket, Key="app/app-1.0.zip", Tagging={"TagSet": [{"Key": "stage", "Value": "live"}]})
    tell("tags", s3.get_object_tagging(Bucket=bucket, Key="app/app-1.0.zip")["TagSet"])
    source = {"Bucket": bucket, "Key": "app/app-1.0.zip"}
    s3.copy_object(Bucket=bucket, Key="live/app.zip", CopySource=source)
    s3.copy(source, bucket, "live/copy.zip")
    head = s3.head_object(Bucket=bucket, Key="live/app.zip")
    tell("copy", head["ContentLength"], head["ContentType"], head["Metadata"])
    page = s3.list_objects_v2(Bucket=bucket, Prefix="app/", Delimiter="/")
    tell("page", [each["Key"] for each in page["Contents"]], page["CommonPrefixes"], page["KeyCount"])
    page = s3.list_objects(Bucket=bucket, MaxKeys=2)
    tell("first", [each["Key"] for each in page["Contents"]], page["IsTruncated"])
    paginator = s3.get_paginator("list_objects_v2")
    for page in paginator.paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}):
        tell("pages", [each["Key"] for each in page["Contents"]])
    versions = s3.list_object_versions(Bucket=bucket, Prefix="live/")["Versions"]
    tell("versions", [(each["Key"], each["IsLatest"]) for each in versions])
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "team", "Value": "release"}]})
    tell("bucket tags", s3.get_bucket_tagging(Bucket=bucket)["TagSet"])
    s3.delete_object(Bucket=bucket, Key="index.html")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    response = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    tell("deleted", sorted(each["Key"] for each in response["Deleted"]), response.get("Errors"))
    tell("left", s3.list_objects_v2(Bucket=bucket)["KeyCount"])
