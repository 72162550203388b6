"""`create_client`: every way to say who asks whom, and what is said when that does not work."""

from __future__ import annotations

import asyncio
import base64
import logging
import random
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3
import pytest
from botocore.config import Config
from botocore.endpoint_provider import RuleSet
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ProfileNotFound

from deltaglider_async import Settings, create_client
from deltaglider_async.errors import ConfigurationError, DeltaGliderError, InvalidRequestError, StorageIOError
from tests.servers import answering, response, s3_error

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

SECRET = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYzzSECRETKEY"
CACHE_KEY = base64.b64encode(bytes(range(32))).decode()
CREDENTIALS: dict[str, Any] = {
    "aws_access_key_id": "given-key",
    "aws_secret_access_key": SECRET,
    "region_name": "eu-west-3",
}


@pytest.fixture(autouse=True)
def no_secrets_in_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test here does, this package logs no secret at any level."""
    caplog.set_level(logging.DEBUG, "deltaglider_async")
    yield
    assert SECRET not in caplog.text
    assert CACHE_KEY not in caplog.text


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A configuration file with the profile `releases`."""
    (tmp_path / "config").write_text(
        f"[profile releases]\nregion = eu-west-2\naws_access_key_id = of-profile\naws_secret_access_key = {SECRET}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


class Witness:
    """A server that accepts every put and remembers who signed the last request."""

    def __init__(self) -> None:
        self.authorization = ""

    async def answer(self, request: str, head: bytes) -> bytes:
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "authorization":
                self.authorization = value
        return response("404 Not Found")

    @property
    def credential(self) -> tuple[str, str]:
        """Key ID and region."""
        fields = self.authorization.partition("Credential=")[2].split("/")
        return fields[0], fields[2]


async def ask(client: Any) -> None:
    with pytest.raises(DeltaGliderError):
        await client.head_object(Bucket="bucket", Key="key.txt")


async def test_credentials_and_region_may_be_keywords() -> None:
    witness = Witness()
    async with answering(witness.answer) as url:
        async with create_client(url, **CREDENTIALS) as client:
            assert client.meta.endpoint_url == url
            assert client.meta.region_name == "eu-west-3"
            await ask(client)
            assert SECRET not in repr(client)
        assert witness.credential == ("given-key", "eu-west-3")


@pytest.mark.usefixtures("profiles", "no_credentials")
async def test_a_profile_comes_from_the_configuration_file() -> None:
    witness = Witness()
    async with answering(witness.answer) as url, create_client(url, profile_name="releases") as client:
        await ask(client)
    assert witness.credential[0] == "of-profile"


@pytest.mark.usefixtures("profiles", "no_credentials")
async def test_a_profile_has_its_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    async with create_client(profile_name="releases") as client:
        assert client.meta.region_name == "eu-west-2"


async def test_without_any_region_it_is_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    async with create_client() as client:
        assert client.meta.region_name == "us-east-1"


async def test_a_session_may_be_given() -> None:
    witness = Witness()
    session = aioboto3.Session(**CREDENTIALS)
    async with answering(witness.answer) as url, create_client(url, session=session) as client:
        await ask(client)
    assert witness.credential == ("given-key", "eu-west-3")


async def test_a_client_that_was_given_stays_open(s3_endpoint: str, bucket: str) -> None:
    async with aioboto3.Session().client("s3", endpoint_url=s3_endpoint) as s3_client:
        for _ in range(2):
            async with create_client(s3_client=s3_client) as client:
                await client.put_object(Bucket=bucket, Key="key.txt", Body=b"content")
        answer = await s3_client.get_object(Bucket=bucket, Key="key.txt")
        assert await answer["Body"].read() == b"content"
        besides: list[dict[str, Any]] = [{"endpoint_url": s3_endpoint}, {"session": aioboto3.Session()}, CREDENTIALS]
        for more in besides:
            with pytest.raises(ConfigurationError, match="s3_client is complete already") as refused:
                await create_client(s3_client=s3_client, **more)
            assert SECRET not in "".join(traceback.format_exception(refused.value))


async def test_a_client_may_live_at_module_level(s3_endpoint: str, bucket: str) -> None:
    for opening in (create_client(s3_endpoint).open(), create_client(s3_endpoint)):
        client = await opening
        await client.put_object(Bucket=bucket, Key="key.txt", Body=b"content")
        await client.aclose()
        await client.aclose()


@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_closed_client_refuses_to_work(s3_endpoint: str, bucket: str) -> None:
    """Else it opens connections that nobody closes."""
    async with create_client(s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="key.txt", Body=b"content")
    with pytest.raises(DeltaGliderError, match="closed"):
        await client.head_object(Bucket=bucket, Key="key.txt")
    assert s3_endpoint in repr(client)


async def test_closing_leaves_no_cache_behind(s3_endpoint: str, bucket: str, tmp_path: Path) -> None:
    settings = Settings(cache_dir=tmp_path / "cache")
    async with create_client(s3_endpoint, settings=settings) as client:
        await client.put_object(Bucket=bucket, Key="a.zip", Body=bytes(range(256)) * 100)
        await client._engine.cache.settle()
        assert any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    assert not any(path.is_file() and path.stat().st_size > 1000 for path in (tmp_path / "cache").rglob("*"))


async def test_a_call_beats_the_client_which_beats_the_environment(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = random.Random(1).randbytes(100_000)
    half = first[:60_000] + random.Random(2).randbytes(40_000)

    async def stored_as(client: Any, **arguments: Any) -> str:
        await client.delete_object(Bucket=bucket, Key="a/1.zip")
        put = await client.put_object(Bucket=bucket, Key="a/1.zip", Body=half, **arguments)
        return str(put["DeltaGliderInfo"]["StoredAs"])

    async with create_client(s3_endpoint) as client:
        await client.put_object(Bucket=bucket, Key="a/0.zip", Body=first)
        assert await stored_as(client) == "delta"
    monkeypatch.setenv("DG_MAX_RATIO", "0.1")
    async with create_client(s3_endpoint) as client:
        monkeypatch.setenv("DG_MAX_RATIO", "0.9")  # read when the client was made
        assert await stored_as(client) == "plain"
        assert await stored_as(client, max_ratio=0.9) == "delta"
    async with create_client(s3_endpoint, max_ratio=0.1) as client:
        assert await stored_as(client) == "plain"
        assert await stored_as(client, max_ratio=0.9) == "delta"
        assert await stored_as(client, max_ratio=0) == "plain"
    async with create_client(s3_endpoint, settings=Settings(max_ratio=0.9), max_ratio=0.1) as client:
        assert await stored_as(client) == "plain"
    async with create_client(s3_endpoint, settings=Settings(max_ratio=0.1)) as client:
        assert await stored_as(client) == "plain"
        for wrong in (-0.1, 1.1, float("nan")):
            with pytest.raises(InvalidRequestError, match="max_ratio"):
                await stored_as(client, max_ratio=wrong)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigurationError, match=r"DG_MAX_RATIO.*0\.0 to 1\.0"):
            await create_client(s3_endpoint, max_ratio=wrong)


async def test_an_argument_changes_nothing_else_of_the_settings() -> None:
    settings = Settings(cache_encryption_key=CACHE_KEY, cache_backend="memory", max_reference_size="1MiB")
    opening = create_client(settings=settings, max_ratio=0.1, log_level="DEBUG")
    assert opening._settings == replace(settings, max_ratio=0.1, log_level="DEBUG")
    assert CACHE_KEY not in repr(opening) + repr(vars(opening))


async def test_the_endpoint_is_looked_for_once_per_bucket(
    s3_endpoint: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate, looked = RuleSet.evaluate, 0

    def counted(*given: Any) -> Any:
        nonlocal looked
        looked += 1
        return evaluate(*given)

    monkeypatch.setattr(RuleSet, "evaluate", counted)
    async with create_client(s3_endpoint) as client:
        for number in range(5):
            await client.put_object(Bucket=bucket, Key=f"{number}.txt", Body=b"content")
        await client.list_objects_v2(Bucket=bucket, Prefix="0")
    assert looked == 1


async def test_two_clients_work_at_once(s3_endpoint: str, bucket: str) -> None:
    async with create_client(s3_endpoint) as one, create_client(s3_endpoint) as two:
        await one.put_object(Bucket=bucket, Key="key.txt", Body=b"content")
        answer = await two.get_object(Bucket=bucket, Key="key.txt")
        assert await answer["Body"].read() == b"content"
        await one.aclose()
        await two.head_object(Bucket=bucket, Key="key.txt")


async def test_clients_may_be_made_side_by_side(s3_endpoint: str, bucket: str) -> None:
    async def put(number: int) -> None:
        async with create_client(s3_endpoint) as client:
            await client.put_object(Bucket=bucket, Key=f"{number}.txt", Body=b"content")

    await asyncio.gather(*map(put, range(4)))


async def test_the_original_s_dg_tool_may_be_given(s3_endpoint: str, s3: S3Client, bucket: str) -> None:
    async with create_client(s3_endpoint, tool_version="pipeline/7") as client:
        await client.put_object(Bucket=bucket, Key="a.zip", Body=bytes(5000))
    for key in ("reference.bin", "a.zip.delta"):
        assert (await asyncio.to_thread(s3.head_object, Bucket=bucket, Key=key))["Metadata"]["dg-tool"] == "pipeline/7"


# -- what does not work


def everything_shown(error: BaseException) -> str:
    """All that a log, a traceback or a reporter of errors could show of it."""
    shown = []
    chain: BaseException | None = error
    while chain is not None:
        shown += [str(chain), repr(chain), repr(vars(chain))]
        chain = chain.__cause__ or chain.__context__
    return "\n".join([*shown, *traceback.format_exception(error)])


@pytest.fixture
def closed_port() -> str:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    return f"http://127.0.0.1:{port}"


async def test_an_endpoint_that_cannot_be_reached_is_named_within_bounded_time(
    closed_port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")  # five would take up to 15 seconds
    settings = Settings(cache_encryption_key=CACHE_KEY, cache_backend="memory")
    begun = time.monotonic()
    async with create_client(closed_port, settings=settings, **CREDENTIALS) as client:
        calls: tuple[Any, ...] = (
            lambda: client.put_object(Bucket="bucket", Key="a.zip", Body=b"content"),
            lambda: client.get_object(Bucket="bucket", Key="a.zip"),
            lambda: client.list_objects_v2(Bucket="bucket"),
        )
        errors = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    assert time.monotonic() - begun < 10
    for error in errors:
        assert isinstance(error, StorageIOError)
        assert isinstance(error, EndpointConnectionError)
        assert closed_port in str(error)
        assert "s3://bucket/" in str(error)
        assert "Check the endpoint URL" in str(error)
        assert SECRET not in everything_shown(error)
        assert CACHE_KEY not in everything_shown(error)


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("AccessDenied", "policies"),
        ("ExpiredToken", "expired"),
        ("RequestTimeTooSkewed", "clock"),
    ],
)
async def test_refused_credentials_say_what_to_check(code: str, named: str) -> None:
    async def refuse(request: str, head: bytes) -> bytes:
        answer = s3_error("403 Forbidden", code, "Refused by the service.")
        return answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if request.startswith("HEAD") else answer

    settings = Settings(cache_encryption_key=CACHE_KEY, cache_backend="memory")
    async with answering(refuse) as url, create_client(url, settings=settings, **CREDENTIALS) as client:
        calls: tuple[Any, ...] = (
            lambda: client.list_objects_v2(Bucket="bucket"),
            lambda: client.get_object(Bucket="bucket", Key="a.txt"),
            lambda: client.put_object(Bucket="bucket", Key="a.txt", Body=b"content", use_delta=False),
        )
        for call in calls:
            with pytest.raises(StorageIOError) as refused:
                await call()
            error: Any = refused.value
            assert isinstance(error, ClientError)
            assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            assert "s3://bucket/" in str(error)
            assert SECRET not in everything_shown(error)
            assert CACHE_KEY not in everything_shown(error)
            if error.response["Error"].get("Code") == code:  # a HEAD has no body to tell it in
                assert named in str(error)
            else:
                assert "Check the credentials" in str(error)
        assert SECRET not in repr(client) + repr(create_client(url, **CREDENTIALS))


@pytest.mark.usefixtures("no_credentials")
async def test_no_credentials_is_a_matter_of_configuration(s3_endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID") as missing:
        async with create_client(s3_endpoint) as client:
            await client.get_object(Bucket="bucket", Key="key")
    assert isinstance(missing.value, NoCredentialsError)


async def test_half_of_the_credentials_is_a_matter_of_configuration(s3_endpoint: str) -> None:
    halves: list[dict[str, Any]] = [{"aws_secret_access_key": SECRET}, {"aws_access_key_id": "given-key"}]
    for half in halves:
        with pytest.raises(ConfigurationError) as missing:
            async with create_client(s3_endpoint, **half) as client:
                await client.get_object(Bucket="bucket", Key="key")
        assert SECRET not in everything_shown(missing.value)


async def test_an_unknown_profile_is_a_matter_of_configuration(s3_endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="no-such-profile") as missing:
        await create_client(s3_endpoint, profile_name="no-such-profile").open()
    assert isinstance(missing.value, ProfileNotFound)


@pytest.mark.usefixtures("profiles")
async def test_a_damaged_configuration_file_is_a_matter_of_configuration(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile releases\nregion")
    with pytest.raises(ConfigurationError, match="config"):
        await create_client(profile_name="releases").open()


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint_url": "localhost:9000"}, {"endpoint_url": "http://"}, {"region_name": "no region"}],
    ids=["no scheme", "no host", "region"],
)
async def test_what_cannot_be_an_endpoint_is_a_matter_of_configuration(wrong: dict[str, Any]) -> None:
    (value,) = wrong.values()
    with pytest.raises(ConfigurationError) as refused:
        async with create_client(**wrong) as client:
            await client.head_object(Bucket="bucket", Key="key")
    assert value in str(refused.value)


async def test_the_callers_config_is_kept_and_ours_added(s3_endpoint: str) -> None:
    config = Config(connect_timeout=3, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    async with create_client(s3_endpoint, config=config) as client:
        assert client.meta.config.connect_timeout == 3
        assert client.meta.config.retries["total_max_attempts"] == 1
        assert client.meta.config.request_checksum_calculation == "when_required"
        assert client.meta.config.max_pool_connections == 64


async def test_retries_are_set_as_for_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    async def retries(**arguments: Any) -> tuple[str, int]:
        async with create_client(**arguments) as client:
            chosen = client.meta.config.retries
            return chosen["mode"], chosen["total_max_attempts"]

    assert await retries() == ("standard", 5)
    assert await retries(config=Config(retries={"mode": "adaptive", "total_max_attempts": 2})) == ("adaptive", 2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    assert await retries() == ("standard", 3)
    monkeypatch.setenv("AWS_RETRY_MODE", "legacy")
    assert await retries() == ("legacy", 3)
    monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    assert await retries() == ("legacy", 5)


async def test_an_opening_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigurationError, match="DG_CACHE_DIR"):
        await create_client(settings=Settings(cache_dir=tmp_path / "file")).open()


async def test_certificates_are_read_before_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the thread that makes the client; and where there is no TLS, not at all."""
    read: list[bool] = []
    usual = ssl.SSLContext.load_verify_locations

    def note(self: ssl.SSLContext, cafile: Any = None, *others: Any) -> None:
        read.append(threading.current_thread() is threading.main_thread())
        usual(self, cafile, *others)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", note)
    given: dict[str, Any] = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    given["config"] = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    for scheme, expected in (("http", []), ("https", [False])):
        async with create_client(f"{scheme}://127.0.0.1:1", **given) as client:
            with pytest.raises(StorageIOError):
                await client.list_buckets()
        assert read == expected
        read.clear()


async def test_certificates_are_read_when_a_redirect_leads_to_tls() -> None:
    given: dict[str, Any] = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
    async with create_client("http://127.0.0.1:1", **given) as client:
        context = client._engine.store.s3._endpoint.http_session._get_ssl_context()
        assert context.cert_store_stats()["x509_ca"] == 0
        for _ in range(2):
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
            assert context.cert_store_stats()["x509_ca"] > 0


@pytest.mark.parametrize("verify", ["none.pem", False])
async def test_what_is_wrong_with_certificates_is_said_by_the_first_request(verify: Any, tmp_path: Path) -> None:
    given: dict[str, Any] = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "verify": verify}
    given["config"] = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    async with create_client("https://127.0.0.1:1", **given) as client:
        with pytest.raises(StorageIOError, match="No such file" if verify else "connect"):
            await client.list_buckets()
