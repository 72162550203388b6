"""Uploads as a service of aiohttp receives them, over real HTTP, straight into `put_object`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from deltaglider_async.session import create_client

DATA = random.Random(1).randbytes(9 << 20)


@pytest.fixture
async def service(s3_endpoint: str, bucket: str) -> AsyncIterator[str]:
    async with create_client(endpoint_url=s3_endpoint) as client:

        async def part(request: web.Request) -> web.Response:
            async for field in await request.multipart():
                await client.put_object(Bucket=bucket, Key="part.zip", Body=field)
            return web.Response()

        async def form(request: web.Request) -> web.Response:
            fields = await request.post()
            await client.put_object(Bucket=bucket, Key="form.zip", Body=fields["file"])
            return web.Response()

        async def content(request: web.Request) -> web.Response:
            length = request.content_length
            await client.put_object(Bucket=bucket, Key="content.zip", Body=request.content, ContentLength=length)
            return web.Response()

        async def download(request: web.Request) -> web.StreamResponse:
            found = await client.get_object(Bucket=bucket, Key=request.match_info["key"])
            response = web.StreamResponse(headers={"Content-Length": str(found["ContentLength"])})
            await response.prepare(request)
            async with found["Body"] as body:
                async for chunk in body:
                    await response.write(chunk)
            return response

        application = web.Application(client_max_size=32 << 20)
        application.add_routes(
            [
                web.post("/part", part),
                web.post("/form", form),
                web.post("/content", content),
                web.get("/{key}", download),
            ]
        )
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("way", ["part", "form", "content"])
async def test_an_upload_goes_through_to_s3_and_comes_back(service: str, way: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(DATA), 100_000):
            yield DATA[start : start + 100_000]

    async with aiohttp.ClientSession() as session:
        if way == "content":
            answer = await session.post(f"{service}/{way}", data=pieces(), headers={"Content-Length": str(len(DATA))})
        else:
            form = aiohttp.FormData()
            form.add_field("file", pieces(), filename="upload.zip")
            answer = await session.post(f"{service}/{way}", data=form)
        assert answer.status == 200, await answer.text()
        answer = await session.get(f"{service}/{way}.zip")
        assert await answer.read() == DATA
