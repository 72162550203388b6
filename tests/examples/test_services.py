"""The services in examples/, over real HTTP, before a real S3 server."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest
import uvicorn
from aiohttp import web
from tests.engine.conftest import content, version

from examples import aiohttp_service, fastapi_service

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 1024 * 1024
BASE = content(1)
#: More than sockets hold between two processes.
LONG = content(2, MIB) * 24
PATIENCE = 30


@asynccontextmanager
async def with_uvicorn() -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(fastapi_service.app, log_level="error", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            assert not serving.done(), serving
            await asyncio.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def with_aiohttp() -> AsyncIterator[str]:
    runner = web.AppRunner(aiohttp_service.make_app())
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


Serve = Callable[[], AbstractAsyncContextManager[str]]


@pytest.fixture(params=[with_uvicorn, with_aiohttp])
def serve(request: pytest.FixtureRequest, s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Serve:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("BUCKET", bucket)
    made: Serve = request.param
    return made


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def put(http: aiohttp.ClientSession, url: str, data: bytes, *, chunked: bool = False) -> dict[str, object]:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 100_000):
            yield data[start : start + 100_000]

    async with http.put(
        url, data=pieces() if chunked else io.BytesIO(data), headers={"Content-Type": "application/zip"}
    ) as answer:
        assert answer.status == 201, await answer.text()
        told: dict[str, object] = await answer.json()
        return told


async def get(http: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
    async with http.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}) as answer:
        return answer.status, await answer.read(), answer.headers


@pytest.mark.parametrize("key", ["app/2.zip", "app/2.txt", "app/a%20name%20with%20%C3%BC.zip"])
async def test_what_goes_up_comes_down(serve: Serve, http: aiohttp.ClientSession, key: str) -> None:
    async with serve() as service:
        await put(http, f"{service}/objects/app/1.zip", BASE)
        data, url = version(BASE, 2), f"{service}/objects/{key}"
        for chunked in (False, True):
            told = await put(http, url, data, chunked=chunked)
            assert told["size"] == len(data)
            assert (told["stored"] != len(data)) == key.endswith(".zip")
            status, body, headers = await get(http, url)
            assert (status, body) == (200, data)
            assert headers["ETag"] == told["etag"]
            assert headers["Content-Type"] == "application/zip"
            assert headers["Content-Length"] == str(len(data))
            async with http.head(url) as answer:
                described = answer.headers
                assert (answer.status, await answer.read()) == (200, b"")
            for name in ("ETag", "Content-Type", "Content-Length", "Last-Modified", "Accept-Ranges"):
                assert described[name] == headers[name]


@pytest.mark.parametrize("key", ["app/2.zip", "app/2.txt"])
async def test_ranges_and_conditions(serve: Serve, http: aiohttp.ClientSession, key: str) -> None:
    async with serve() as service:
        await put(http, f"{service}/objects/app/1.zip", BASE)
        data, url = version(BASE, 2), f"{service}/objects/{key}"
        etag = str((await put(http, url, data))["etag"])
        size = len(data)
        for asked, start, stop in (("100-199", 100, 200), ("299000-", 299_000, size), ("-50", size - 50, size)):
            status, body, headers = await get(http, url, Range=f"bytes={asked}")
            assert (status, body) == (206, data[start:stop])
            assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{size}"
        assert (await get(http, url, Range="bytes=900000-"))[0] == 416
        assert (await get(http, url, Range="bytes=0-9", If_Range='"older"'))[:2] == (200, data)
        assert (await get(http, url, Range="bytes=0-9", If_Match=etag))[:2] == (206, data[:10])

        assert (await get(http, url, If_None_Match=etag))[:2] == (304, b"")
        assert (await get(http, url, If_None_Match='"other"'))[:2] == (200, data)
        assert (await get(http, url, If_Match=etag))[:2] == (200, data)
        assert (await get(http, url, If_Match='"other"'))[0] == 412
        for name, value, expected in (("If-None-Match", etag, 304), ("If-Match", '"other"', 412)):
            async with http.head(url, headers={name: value}) as answer:
                assert answer.status == expected


async def test_errors_have_their_status(serve: Serve, http: aiohttp.ClientSession, s3: S3Client, bucket: str) -> None:
    async with serve() as service:
        assert (await get(http, f"{service}/health"))[0] == 200
        assert (await get(http, f"{service}/objects/missing.zip"))[0] == 404
        async with http.head(f"{service}/objects/missing.zip") as answer:
            assert answer.status == 404
        async with http.put(f"{service}/objects/app/reference.bin", data=b"data") as answer:
            assert answer.status == 400
            assert "reference.bin" in (await answer.json())["error"]
        await asyncio.to_thread(lambda: s3.delete_bucket(Bucket=bucket))
        assert (await get(http, f"{service}/health"))[0] in (404, 503)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110, other processes and sockets tell nobody
            await asyncio.sleep(0.01)


async def decoding() -> bool:
    return any("xdelta3" in child.name() for child in psutil.Process().children())


async def idle() -> bool:
    return not await decoding()


@pytest.mark.parametrize("key", ["app/2.zip", "app/2.txt"])
async def test_a_client_that_hangs_up_in_a_download_leaves_nothing(
    serve: Serve, http: aiohttp.ClientSession, by_xdelta3: None, key: str
) -> None:
    async with serve() as service:
        for name in ("app/1.zip", key):
            await put(http, f"{service}/objects/{name}", LONG)
        url = f"{service}/objects/{key}"
        sockets = len(psutil.Process().net_connections())
        for _ in range(3):
            async with aiohttp.ClientSession() as impatient:
                answer = await impatient.get(url)
                assert await answer.content.readexactly(1000) == LONG[:1000]
                if key.endswith(".zip"):
                    assert await decoding()
                answer.close()
            await until(idle)

        async def closed() -> bool:
            return len(psutil.Process().net_connections()) <= sockets + 2

        await until(closed)
        assert (await get(http, url))[:2] == (200, LONG)


@pytest.mark.parametrize("key", ["app/2.zip", "app/2.txt"])
async def test_a_client_that_hangs_up_in_an_upload_stores_nothing(
    serve: Serve, http: aiohttp.ClientSession, s3: S3Client, bucket: str, key: str
) -> None:
    async with serve() as service:
        await put(http, f"{service}/objects/app/1.zip", BASE)
        host, port = service.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"PUT /objects/{key} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 30000000\r\n\r\n".encode())
        writer.write(LONG[: 20 * MIB])
        await writer.drain()
        writer.close()
        await until(idle)
    uploads = await asyncio.to_thread(lambda: s3.list_multipart_uploads(Bucket=bucket))
    listed = await asyncio.to_thread(lambda: s3.list_objects_v2(Bucket=bucket))
    assert not uploads.get("Uploads")
    assert {item["Key"] for item in listed["Contents"]} == {"app/reference.bin", "app/1.zip.delta"}


async def test_a_damaged_object_never_looks_complete(
    serve: Serve, http: aiohttp.ClientSession, s3: S3Client, bucket: str
) -> None:
    data = LONG[: 6 * MIB]
    async with serve() as service:
        await put(http, f"{service}/objects/long.txt", data)

        def damage() -> None:
            metadata = s3.head_object(Bucket=bucket, Key="long.txt")["Metadata"]
            s3.put_object(Bucket=bucket, Key="long.txt", Body=data[:-1] + b"!", Metadata=metadata)

        await asyncio.to_thread(damage)
        with pytest.raises(aiohttp.ClientPayloadError):
            await get(http, f"{service}/objects/long.txt")
