"""Artifacts over HTTP, with aiohttp: uploads and downloads stream, ranges and conditional requests work.

export BUCKET=releases AWS_ENDPOINT_URL=http://localhost:9000
python aiohttp_service.py

curl -T app-1.0.zip http://localhost:8080/objects/app/app-1.0.zip
curl -O -C - http://localhost:8080/objects/app/app-1.0.zip
"""

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC
from email.utils import format_datetime
from typing import Any

from aiohttp import web
from botocore.exceptions import ClientError

from deltaglider_async import (
    DeltaGliderClient,
    DeltaGliderError,
    InvalidRequestError,
    SourceChangedError,
    create_client,
)

CLIENT = web.AppKey("CLIENT", DeltaGliderClient)
BUCKET = web.AppKey("BUCKET", str)
routes = web.RouteTableDef()


async def one_client(app: web.Application) -> AsyncIterator[None]:
    """One client for the whole process: it shares connections and references among all requests."""
    async with create_client() as client:
        app[CLIENT] = client
        yield


@routes.put("/objects/{key:.+}")
async def upload(request: web.Request) -> web.Response:
    """Store the body of the request as it arrives. If the sender goes away in the middle, nothing is stored."""
    answer = await request.app[CLIENT].put_object(
        Bucket=request.app[BUCKET],
        Key=request.match_info["key"],
        Body=request.content,
        ContentLength=request.content_length,
        ContentType=request.content_type,
    )
    info = answer["DeltaGliderInfo"]
    stored = {"etag": answer["ETag"], "size": info["OriginalSize"], "stored": info["StoredSize"]}
    return web.json_response({"key": request.match_info["key"], **stored}, status=201)


@routes.get("/objects/{key:.+}", allow_head=False)
async def download(request: web.Request) -> web.StreamResponse:
    """The object, or the part of it that `Range` asks for."""
    key = request.match_info["key"]
    found = await request.app[CLIENT].get_object(Bucket=request.app[BUCKET], Key=key, **asked(request, "range"))
    # Whatever happens, also a client that hangs up, leaving this block gives back what is behind the body.
    async with found["Body"] as body:
        response = web.StreamResponse(status=206 if "ContentRange" in found else 200, headers=headers_of(found))
        await response.prepare(request)
        try:
            async for chunk in body:
                await response.write(chunk)
        except DeltaGliderError as error:
            logging.getLogger(__name__).error("%s: %s", request.path, error)
            if request.transport is not None:
                request.transport.close()  # tells the client that this is not the end
    return response


@routes.head("/objects/{key:.+}")
async def describe(request: web.Request) -> web.Response:
    """What a GET would say about the object."""
    key = request.match_info["key"]
    found = await request.app[CLIENT].head_object(Bucket=request.app[BUCKET], Key=key, **asked(request))
    return web.Response(headers=headers_of(found))


@routes.get("/health")
async def health(request: web.Request) -> web.Response:
    """Whether the bucket can be reached; 503 if not."""
    await request.app[CLIENT].head_bucket(Bucket=request.app[BUCKET])
    return web.json_response({"status": "ok"})


def asked(request: web.Request, *more: str) -> dict[str, Any]:
    """The conditions of a request as boto3's arguments."""
    names = {"If-Match": "IfMatch", "If-None-Match": "IfNoneMatch"}
    if "range" in more and "If-Range" not in request.headers:  # else the whole object is always a right answer
        names["Range"] = "Range"
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


@web.middleware
async def refuse(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every error of the client is a `DeltaGliderError`, and becomes an answer."""
    try:
        return await handler(request)
    except DeltaGliderError as error:
        status = status_of(error)
        if status in (304, 404, 412, 416):
            return web.Response(status=status)
        if status == 400:
            return web.json_response({"error": str(error)}, status=status)
        logging.getLogger(__name__).error("%s %s: %s", request.method, request.path, error)
        return web.json_response({"error": "the storage cannot be reached or is refusing"}, status=status)


def status_of(error: Exception) -> int:
    """The HTTP status for an error: S3's own where it is the caller's business, else 503."""
    if isinstance(error, (InvalidRequestError, SourceChangedError)):
        return 400
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status in (304, 404, 412, 416):
            return status
    return 503


def make_app() -> web.Application:
    app = web.Application(middlewares=[refuse])
    app[BUCKET] = os.environ["BUCKET"]
    app.cleanup_ctx.append(one_client)
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), port=8080)
