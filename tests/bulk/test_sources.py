from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deltaglider_async.bulk.sources import Links, listing, one_file, one_object, walk
from deltaglider_async.errors import LocalIOError, NotFoundError
from deltaglider_async.session import create_client

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


async def test_files_come_in_the_order_of_their_keys(tmp_path: Path) -> None:
    tree(tmp_path, "b.zip", "a/2", "a/1", "c", "a/deep/er/3", "a.txt", "a-b", "a0")
    found = [file async for file in walk(tmp_path)]
    assert [file.name for file in found] == ["a-b", "a.txt", "a/1", "a/2", "a/deep/er/3", "a0", "b.zip", "c"]
    assert [file.path.read_text() for file in found] == [file.name for file in found]
    assert [file.size for file in found] == [len(file.name) for file in found]
    assert [file.modified_ns for file in found] == [file.path.stat().st_mtime_ns for file in found]


async def test_ten_thousand_files_are_found(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / str(number)).touch()
    assert len([file async for file in walk(tmp_path)]) == 10_000


async def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    tree(tmp_path / "src", "a/1")
    tree(tmp_path / "elsewhere", "2")
    (tmp_path / "src" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "src" / "a" / "back").symlink_to(tmp_path / "src")
    found = {file.name: file.problem async for file in walk(tmp_path / "src")}
    assert found.keys() == {"a/1", "a/back/", "link/2"}
    assert found["a/back/"] == "it is a link to a folder that contains it"
    assert found["a/1"] is found["link/2"] is None


async def test_links_are_followed_all_or_to_files_or_not_at_all(tmp_path: Path) -> None:
    tree(tmp_path / "src", "1")
    tree(tmp_path / "elsewhere", "2")
    (tmp_path / "src" / "folder").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "src" / "file").symlink_to(tmp_path / "elsewhere" / "2")
    expected: dict[Links, set[str]] = {"follow": {"1", "file", "folder/2"}, "files": {"1", "file"}, "skip": {"1"}}
    for links, names in expected.items():
        assert {file.name async for file in walk(tmp_path / "src", links)} == names


async def test_a_name_that_is_no_text_comes_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).touch()
    tree(tmp_path, "good")
    found = [file.problem async for file in walk(tmp_path)]
    assert found[0] is None
    assert found[1] is not None
    assert "is not UTF-8" in found[1]


async def test_what_is_no_readable_file_comes_with_its_error(tmp_path: Path) -> None:
    tree(tmp_path, "good")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    found = {file.name: file.problem async for file in walk(tmp_path)}
    assert found["dangling"] == "No such file or directory"
    assert found["pipe"] == "it is no regular file"
    assert found["good"] is None


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalIOError, match="cannot read folder"):
        _ = [file async for file in walk(tmp_path / "nowhere")]
    with pytest.raises(LocalIOError):
        await one_file(tmp_path / "nowhere")
    with pytest.raises(LocalIOError, match="needs -r"):
        await one_file(tmp_path)


async def test_a_listing_pages_lazily_and_names_are_relative(s3_endpoint: str, bucket: str, s3: S3Client) -> None:
    keys = ["p/", "p/a.txt", "p/b/c.txt", "p2/no"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"" if key.endswith("/") else b"x")
    async with create_client(endpoint_url=s3_endpoint) as client:
        found = [each async for each in listing(client, bucket, "p/")]
    assert [each.name for each in found] == ["", "a.txt", "b/c.txt"]
    assert [each.marker for each in found] == [True, False, False]


async def test_sizes_are_the_originals_or_unknown(s3_endpoint: str, bucket: str) -> None:
    content = os.urandom(1000) * 30
    async with create_client(endpoint_url=s3_endpoint) as client:
        for key in ("r/1.zip", "r/2.zip", "r/3.txt"):
            await client.put_object(Bucket=bucket, Key=key, Body=content)
        known = {each.name: each.size async for each in listing(client, bucket, "r/", original_sizes=True)}
        cheap = {each.name: each.size async for each in listing(client, bucket, "r/")}
        one = await one_object(client, bucket, "r/2.zip")
        with pytest.raises(NotFoundError):
            await one_object(client, bucket, "r/4.zip")
    assert known == {"1.zip": 30_000, "2.zip": 30_000, "3.txt": 30_000}
    assert cheap["3.txt"] == 30_000
    assert cheap["2.zip"] in (None, 30_000)
    assert (one.name, one.size) == ("2.zip", 30_000)
