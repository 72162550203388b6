"""One program of calls against one bucket, through whatever client has boto3's methods."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from tests.differential.program import (
    NO_ETAG,
    Call,
    Content,
    Digest,
    EtagOf,
    ModifiedOf,
    PartsOf,
    Program,
    Source,
    UploadOf,
    VersionOf,
)

#: More pages than any program here has objects.
MOST_PAGES = 60
_LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)
#: How each listing goes on: argument of the next call, and the field of this answer.
_NEXT = {
    "list_objects": {"Marker": "NextMarker"},
    "list_objects_v2": {"ContinuationToken": "NextContinuationToken"},
    "list_object_versions": {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"},
    "list_parts": {"PartNumberMarker": "NextPartNumberMarker"},
    "list_multipart_uploads": {"KeyMarker": "NextKeyMarker", "UploadIdMarker": "NextUploadIdMarker"},
}


@dataclass
class Outcome:
    """What a call came to: an answer (of a listing, all pages), or an exception."""

    answer: Any = None
    error: Exception | None = None


@dataclass
class Upload:
    """A multipart upload of this program, and the parts that were acknowledged."""

    key: str
    id: str
    parts: dict[int, str] = field(default_factory=dict)
    completed: int | None = None
    """The number of the call that completed it."""


@dataclass
class Side:
    """One of the two: a client, a bucket, and what the program has learnt there so far."""

    client: Any
    bucket: str
    uploads: list[Upload] = field(default_factory=list)
    versions: dict[str, list[str]] = field(default_factory=dict)
    looked: Any = None
    """What is called before and after each call, with the number of the call."""

    async def run(self, program: Program) -> list[Outcome]:
        """The outcome of each call."""
        outcomes: list[Outcome] = []
        for step in program:
            if self.looked:
                await self.looked(len(outcomes))
            outcomes.append(await self._outcome(step, len(outcomes)))
        if self.looked:
            await self.looked(len(outcomes))
        return outcomes

    async def _outcome(self, step: Call, number: int) -> Outcome:
        arguments = {name: await self._resolved(name, value) for name, value in step.arguments.items()}
        arguments.setdefault("Bucket", self.bucket)
        try:
            if step.pages:
                return Outcome(await self._pages(step.name, arguments))
            answer = await getattr(self.client, step.name)(**arguments)
            if hasattr(answer, "get") and "Body" in answer:
                async with answer["Body"] as body:
                    answer["Body"] = await body.read()
        except Exception as error:  # whatever it is, the other side must raise it too
            return Outcome(error=error)
        self._learn(step, number, arguments, answer)
        return Outcome(answer)

    async def _pages(self, name: str, arguments: dict[str, Any]) -> Any:
        pages: list[Any] = []
        for _ in range(MOST_PAGES):
            page = await getattr(self.client, name)(**arguments)
            pages.append(page)
            if not page.get("IsTruncated"):
                break
            going_on = {argument: page[told] for argument, told in _NEXT[name].items() if page.get(told)}
            if not going_on and page.get("Contents"):  # the first version of the listing leaves it to the caller
                going_on = {"Marker": page["Contents"][-1]["Key"]}
            if not going_on:
                break
            arguments = arguments | going_on
        if len(pages) > 1 and not any(isinstance(value, list) and value for value in pages[-1].values()):
            # S3 may say that there is more where there is not, and MinIO does: that is no difference.
            pages.pop()
            pages[-1]["IsTruncated"] = False
            for told in _NEXT[name].values():
                pages[-1].pop(told, None)
        return {"pages": pages}

    def _learn(self, step: Call, number: int, arguments: dict[str, Any], answer: Any) -> None:
        if step.name == "create_multipart_upload":
            self.uploads.append(Upload(arguments["Key"], answer["UploadId"]))
        elif step.name in ("upload_part", "upload_part_copy"):
            etag = answer["CopyPartResult"]["ETag"] if step.name == "upload_part_copy" else answer["ETag"]
            for upload in self.uploads:
                if upload.id == arguments["UploadId"]:
                    upload.parts[arguments["PartNumber"]] = etag
        elif step.name == "complete_multipart_upload":
            for upload in self.uploads:
                if upload.id == arguments["UploadId"] and upload.completed is None:
                    upload.completed = number
        if isinstance(answer, dict) and answer.get("VersionId") and "VersionId" not in arguments:
            self.versions.setdefault(arguments["Key"], []).insert(0, answer["VersionId"])

    def upload(self, number: int) -> Upload:
        """The upload of that number, counted around; a made-up one where there is none."""
        return self.uploads[number % len(self.uploads)] if self.uploads else Upload("a", "bm8gc3VjaCB1cGxvYWQ")

    async def _resolved(self, name: str, value: Any) -> Any:
        match value:
            case Content():
                return value.body()
            case Digest():
                return value.value()
            case EtagOf(key):
                return (await self._head(key)).get("ETag", NO_ETAG)
            case ModifiedOf(key):
                return (await self._head(key)).get("LastModified", _LONG_AGO)
            case VersionOf(key, number):
                known = self.versions.get(key) or ["null"]
                return known[number % len(known)]
            case Source():
                return self._source(value)
            case UploadOf(number):
                upload = self.upload(number)
                return upload.key if name == "Key" else upload.id
            case PartsOf():
                return self._parts(value)
        return value

    async def _head(self, key: str) -> Any:
        with suppress(ClientError):
            return await self.client.head_object(Bucket=self.bucket, Key=key)
        return {}

    def _source(self, source: Source) -> Any:
        bucket = source.bucket or self.bucket
        version = ""
        if source.version is not None and (known := self.versions.get(source.key)):
            version = known[source.version % len(known)]
        if source.as_text:
            return f"{bucket}/{source.key}" + (f"?versionId={version}" if version else "")
        return {"Bucket": bucket, "Key": source.key} | ({"VersionId": version} if version else {})

    def _parts(self, wanted: PartsOf) -> Any:
        parts = [
            {"PartNumber": number, "ETag": etag} for number, etag in sorted(self.upload(wanted.number).parts.items())
        ]
        match wanted.which:
            case "last":
                parts = parts[-1:]
            case "reversed":
                parts = parts[::-1]
            case "wrong etag":
                parts = [part | {"ETag": NO_ETAG} for part in parts]
            case "missing part":
                parts = [*parts, {"PartNumber": 77, "ETag": NO_ETAG}]
            case "none":
                parts = []
        return {"Parts": parts}
