"""Artifacts over HTTP, with FastAPI: uploads and downloads stream, ranges and conditional requests work.

export BUCKET=releases AWS_ENDPOINT_URL=http://localhost:9000
pip install fastapi uvicorn && uvicorn fastapi_service:app

curl -T app-1.0.zip http://localhost:8000/objects/app/app-1.0.zip
curl -O -C - http://localhost:8000/objects/app/app-1.0.zip
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from botocore.exceptions import ClientError
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from deltaglider_async import (
    DeltaGliderClient,
    DeltaGliderError,
    InvalidRequestError,
    SourceChangedError,
    create_client,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One client for the whole process: it shares connections and references among all requests."""
    app.state.bucket = os.environ["BUCKET"]
    async with create_client() as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.put("/objects/{key:path}", status_code=201)
async def upload(key: str, request: Request) -> dict[str, Any]:
    """Store the body of the request as it arrives. If the sender goes away in the middle, nothing is stored."""
    client: DeltaGliderClient = request.app.state.client
    length = request.headers.get("content-length")
    answer = await client.put_object(
        Bucket=request.app.state.bucket,
        Key=key,
        Body=request.stream(),
        ContentLength=int(length) if length else None,
        ContentType=request.headers.get("content-type", "application/octet-stream"),
    )
    info = answer["DeltaGliderInfo"]
    return {"key": key, "etag": answer["ETag"], "size": info["OriginalSize"], "stored": info["StoredSize"]}


@app.get("/objects/{key:path}")
async def download(key: str, request: Request) -> Response:
    """The object, or the part of it that `Range` asks for."""
    client: DeltaGliderClient = request.app.state.client
    found = await client.get_object(Bucket=request.app.state.bucket, Key=key, **asked(request, "range"))
    return ObjectResponse(found)


@app.head("/objects/{key:path}")
async def describe(key: str, request: Request) -> Response:
    """What a GET would say about the object."""
    client: DeltaGliderClient = request.app.state.client
    found = await client.head_object(Bucket=request.app.state.bucket, Key=key, **asked(request))
    return Response(headers=headers_of(found))


@app.get("/health")
async def health(request: Request) -> dict[str, str]:
    """Whether the bucket can be reached; 503 if not."""
    client: DeltaGliderClient = request.app.state.client
    await client.head_bucket(Bucket=request.app.state.bucket)
    return {"status": "ok"}


class ObjectResponse(StreamingResponse):
    """Sends an object. Whatever happens, also a client that hangs up, gives back what is behind its body."""

    def __init__(self, found: Any) -> None:
        status = 206 if "ContentRange" in found else 200
        super().__init__(found["Body"], status_code=status, headers=headers_of(found))
        self.body_of_object = found["Body"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.body_of_object:
            try:
                await super().__call__(scope, receive, send)
            except ClientDisconnect:
                logging.getLogger(__name__).info("%s: the client hung up", scope["path"])


def asked(request: Request, *more: str) -> dict[str, Any]:
    """The conditions of a request as boto3's arguments."""
    names = {"if-match": "IfMatch", "if-none-match": "IfNoneMatch"}
    if "range" in more and "if-range" not in request.headers:  # else the whole object is always a right answer
        names["range"] = "Range"
    return {argument: request.headers[name] for name, argument in names.items() if name in request.headers}


def headers_of(found: Any) -> dict[str, str]:
    headers = {
        "Content-Length": str(found["ContentLength"]),
        "Content-Type": found.get("ContentType", "application/octet-stream"),
        "ETag": found["ETag"],
        "Last-Modified": format_datetime(found["LastModified"].astimezone(UTC), usegmt=True),
        "Accept-Ranges": "bytes",
    }
    return headers | ({"Content-Range": found["ContentRange"]} if "ContentRange" in found else {})


@app.exception_handler(DeltaGliderError)
async def refuse(request: Request, error: Exception) -> Response:
    """Every error of the client is one of these; before the first byte of a download, it becomes an answer."""
    status = status_of(error)
    if status in (304, 404, 412, 416):
        return Response(status_code=status)
    if status == 400:
        return JSONResponse({"error": str(error)}, status_code=status)
    logging.getLogger(__name__).error("%s %s: %s", request.method, request.url.path, error)
    return JSONResponse({"error": "the storage cannot be reached or is refusing"}, status_code=status)


@app.exception_handler(ClientDisconnect)
async def gone(request: Request, error: Exception) -> Response:
    """The sender of an upload went away; nobody reads this answer."""
    return Response(status_code=400)


def status_of(error: Exception) -> int:
    """The HTTP status for an error: S3's own where it is the caller's business, else 503."""
    if isinstance(error, (InvalidRequestError, SourceChangedError)):
        return 400
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (304, 404, 412, 416):
            return status
    return 503
