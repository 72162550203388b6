"""A user's file: every operation that has types of ours, and some that are passed on. mypy reads it, nobody runs it."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from deltaglider_async import (
    AbortMultipartUploadResponse,
    BucketStats,
    CompleteMultipartUploadResponse,
    CopyObjectResponse,
    CreateBucketResponse,
    CreateMultipartUploadResponse,
    DeleteBucketResponse,
    DeleteObjectResponse,
    DeleteObjectsRecursiveResponse,
    DeleteObjectsResponse,
    DeleteObjectTaggingResponse,
    DeltaGliderClient,
    Finding,
    GetBucketAclResponse,
    GetObjectAclResponse,
    GetObjectAttributesResponse,
    GetObjectLegalHoldResponse,
    GetObjectResponse,
    GetObjectRetentionResponse,
    GetObjectTaggingResponse,
    HeadBucketResponse,
    HeadObjectResponse,
    ListBucketsResponse,
    ListMultipartUploadsResponse,
    ListObjectsResponse,
    ListObjectsV2Response,
    ListObjectVersionsResponse,
    ListPartsResponse,
    NotFoundError,
    ObjectBody,
    PresignedPost,
    PurgedFiles,
    PutBucketAclResponse,
    PutInfo,
    PutObjectAclResponse,
    PutObjectLegalHoldResponse,
    PutObjectResponse,
    PutObjectRetentionResponse,
    PutObjectTaggingResponse,
    RestoreObjectResponse,
    S3Object,
    SimilarFile,
    UploadPartCopyResponse,
    UploadPartResponse,
    UploadSummary,
    VerifyResult,
    create_client,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)


async def objects(client: DeltaGliderClient, bucket: str, key: str) -> None:
    put = await client.put_object(
        Bucket=bucket, Key=key, Body=Path(key), Metadata={"owner": "me"}, ContentType="application/zip", max_ratio=0.3
    )
    assert_type(put, PutObjectResponse)
    assert_type(put["DeltaGliderInfo"], PutInfo)
    assert_type(put["ETag"], str)
    got = await client.get_object(Bucket=bucket, Key=key, Range="bytes=0-9", IfModifiedSince=NOW)
    assert_type(got, GetObjectResponse)
    assert_type(got["Body"], ObjectBody)
    async with got["Body"] as body:
        assert_type(await body.read(), bytes)
    head = await client.head_object(Bucket=bucket, Key=key, VersionId="1")
    assert_type(head, HeadObjectResponse)
    assert_type(head["Metadata"], dict[str, str])
    attributes = await client.get_object_attributes(Bucket=bucket, Key=key, ObjectAttributes=["ETag", "ObjectSize"])
    assert_type(attributes, GetObjectAttributesResponse)
    copied = await client.copy_object(
        Bucket=bucket, Key="b.zip", CopySource={"Bucket": bucket, "Key": key}, MetadataDirective="COPY"
    )
    assert_type(copied, CopyObjectResponse)
    assert_type(copied["DeltaGliderInfo"], PutInfo)
    deleted = await client.delete_object(Bucket=bucket, Key=key)
    assert_type(deleted, DeleteObjectResponse)
    assert_type(deleted["DeltaGliderInfo"]["Warnings"], list[str])
    many = await client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key}], "Quiet": False})
    assert_type(many, DeleteObjectsResponse)
    for one in many["Deleted"]:
        print(one["Key"], one.get("StoredKey"))


async def multipart(client: DeltaGliderClient, bucket: str, key: str) -> None:
    created = await client.create_multipart_upload(Bucket=bucket, Key=key, ContentType="application/zip")
    assert_type(created, CreateMultipartUploadResponse)
    upload = created["UploadId"]
    part = await client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"content")
    assert_type(part, UploadPartResponse)
    copied = await client.upload_part_copy(
        Bucket=bucket, Key=key, UploadId=upload, PartNumber=2, CopySource={"Bucket": bucket, "Key": key}
    )
    assert_type(copied, UploadPartCopyResponse)
    assert_type(await client.list_parts(Bucket=bucket, Key=key, UploadId=upload), ListPartsResponse)
    done = await client.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    assert_type(done, CompleteMultipartUploadResponse)
    aborted = await client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
    assert_type(aborted, AbortMultipartUploadResponse)
    assert_type(await client.list_multipart_uploads(Bucket=bucket, Prefix="a/"), ListMultipartUploadsResponse)


async def listings(client: DeltaGliderClient, bucket: str) -> list[S3Object]:
    found: list[S3Object] = []
    token = None
    while True:
        page = await client.list_objects_v2(Bucket=bucket, Prefix="a/", ContinuationToken=token, FetchMetadata=True)
        assert_type(page, ListObjectsV2Response)
        found += page.get("Contents", [])
        token = page.get("NextContinuationToken")
        if token is None:
            break
    old = await client.list_objects(Bucket=bucket, Delimiter="/", MaxKeys=10)
    assert_type(old, ListObjectsResponse)
    for entry in old["Contents"]:
        print(entry["Key"], entry["Metadata"]["deltaglider-is-delta"] == "true")
    versions = await client.list_object_versions(Bucket=bucket)
    assert_type(versions, ListObjectVersionsResponse)
    async for pages in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        print(pages["KeyCount"])
    return found


async def properties(client: DeltaGliderClient, bucket: str, key: str) -> None:
    tags = await client.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    assert_type(tags, PutObjectTaggingResponse)
    assert_type(await client.get_object_tagging(Bucket=bucket, Key=key), GetObjectTaggingResponse)
    assert_type(await client.delete_object_tagging(Bucket=bucket, Key=key), DeleteObjectTaggingResponse)
    assert_type(await client.put_object_acl(Bucket=bucket, Key=key, ACL="private"), PutObjectAclResponse)
    assert_type(await client.get_object_acl(Bucket=bucket, Key=key), GetObjectAclResponse)
    hold = await client.put_object_legal_hold(Bucket=bucket, Key=key, LegalHold={"Status": "ON"})
    assert_type(hold, PutObjectLegalHoldResponse)
    assert_type(await client.get_object_legal_hold(Bucket=bucket, Key=key), GetObjectLegalHoldResponse)
    retention = await client.put_object_retention(
        Bucket=bucket, Key=key, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": NOW}
    )
    assert_type(retention, PutObjectRetentionResponse)
    assert_type(await client.get_object_retention(Bucket=bucket, Key=key), GetObjectRetentionResponse)
    restored = await client.restore_object(Bucket=bucket, Key=key, RestoreRequest={"Days": 1})
    assert_type(restored, RestoreObjectResponse)


async def buckets(client: DeltaGliderClient, bucket: str) -> None:
    created = await client.create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    assert_type(created, CreateBucketResponse)
    assert_type(await client.head_bucket(Bucket=bucket), HeadBucketResponse)
    assert_type(await client.put_bucket_acl(Bucket=bucket, ACL="private"), PutBucketAclResponse)
    assert_type(await client.get_bucket_acl(Bucket=bucket), GetBucketAclResponse)
    listed = await client.list_buckets()
    assert_type(listed, ListBucketsResponse)
    for one in listed["Buckets"]:
        print(one["Name"], one.get("DeltaGliderStats"))
    assert_type(await client.delete_bucket(Bucket=bucket), DeleteBucketResponse)


async def transfers(client: DeltaGliderClient, bucket: str, path: Path) -> None:
    await client.upload_file(str(path), bucket, path.name)
    await client.download_file(bucket, path.name, str(path))
    with path.open("rb") as file:
        await client.upload_fileobj(file, bucket, path.name)
    with path.open("wb") as file:
        await client.download_fileobj(bucket, path.name, file)
    await client.copy({"Bucket": bucket, "Key": path.name}, bucket, "b.zip")


async def of_the_original(client: DeltaGliderClient, bucket: str, path: Path) -> None:
    summary = await client.upload(path, f"s3://{bucket}/a/", max_ratio=0.5, ContentType="application/zip")
    assert_type(summary, UploadSummary)
    await client.download(f"s3://{bucket}/a/{path.name}", path)
    assert_type(await client.verify(f"s3://{bucket}/a/{path.name}"), VerifyResult)
    assert_type(await client.get_bucket_stats(bucket, "detailed"), BucketStats)
    async with aclosing(client.fsck(bucket)) as findings:
        async for finding in findings:
            assert_type(finding, Finding)
    below = await client.delete_objects_recursive(Bucket=bucket, Prefix="a/")
    assert_type(below, DeleteObjectsRecursiveResponse)
    assert_type(await client.purge_temp_files(bucket), PurgedFiles)
    assert_type(await client.find_similar_files(bucket, "a/", path.name), list[SimilarFile])
    assert_type(await client.generate_presigned_post(bucket, "a/b"), PresignedPost)
    assert_type(await client.generate_presigned_url_with_rehydration(bucket, "a/b"), str)
    await client.clear_cache()


async def passed_on(client: DeltaGliderClient, bucket: str) -> None:
    await client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    status = await client.get_bucket_versioning(Bucket=bucket)
    print(status["Status"])
    await client.put_bucket_policy(Bucket=bucket, Policy="{}")
    location = await client.get_bucket_location(Bucket=bucket)
    print(location["LocationConstraint"], client.can_paginate("list_objects_v2"), client.meta.endpoint_url)
    await client.get_waiter("bucket_exists").wait(Bucket=bucket)
    try:
        await client.head_object(Bucket=bucket, Key="none")
    except client.exceptions.NoSuchKey:
        print("as boto3 says it")
    except NotFoundError:
        print("or as we do")


async def main() -> None:
    async with create_client(endpoint_url="http://localhost:9000", max_ratio=0.4) as client:
        await objects(client, "releases", "a.zip")
    client = await create_client().open()
    await client.aclose()
