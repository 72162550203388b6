"""`create_client`: credentials, endpoint and settings become a ready client."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Generator
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError
from botocore.loaders import JSONFileLoader

from deltaglider_async.cache import ReferenceCache
from deltaglider_async.client import DeltaGliderClient
from deltaglider_async.engine.core import Engine
from deltaglider_async.errors import ConfigurationError
from deltaglider_async.format.keys import SIZES_KEY
from deltaglider_async.format.metadata import TOOL
from deltaglider_async.settings import LogLevel, Settings, configure_logging
from deltaglider_async.store.conditions import is_aws
from deltaglider_async.store.errors import translated
from deltaglider_async.store.moments import moment
from deltaglider_async.store.s3 import Store
from deltaglider_async.store.writes import watch_writes
from deltaglider_async.streams.threads import in_thread

if TYPE_CHECKING:
    import aioboto3
    from aiobotocore.session import AioSession

#: What `aioboto3.Session` takes; everything else goes to its `client("s3")`.
_SESSION_ARGUMENTS = frozenset(
    {
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_account_id",
        "botocore_session",
        "profile_name",
        "region_name",
    }
)
#: Requests of one client at once. botocore's own default of 10 is less than one listing with metadata uses.
_CONNECTIONS = 64
#: Of one request, with botocore's backoff between them: some ten seconds until a service that is away is given up.
_ATTEMPTS = 5
#: A host that is there answers sooner; botocore's 60 would be spent on each attempt. Its 60 for reads are kept.
_CONNECT_SECONDS = 10
#: How botocore keeps its descriptions.
_ENDINGS: dict[str, Any] = {".json": open, ".json.gz": gzip.open}
#: For `is_aws`, where no endpoint is named.
_AWS = "https://s3.amazonaws.com"


def create_client(
    endpoint_url: str | None = None,
    log_level: LogLevel | None = None,
    max_ratio: float | None = None,
    tool_version: str = TOOL,
    *,
    settings: Settings | None = None,
    session: aioboto3.Session | None = None,
    s3_client: Any = None,
    delta_policy: str | None = None,
    **aws: Any,
) -> OpenClient:
    """A client as an async context manager.

    `aws`: what `aioboto3.Session` and its `client("s3")` take (`aws_access_key_id`, `profile_name`, `region_name`,
    `config`, `verify`, ...). Or give an `aioboto3.Session`, or an S3 client of aioboto3, which stays yours to
    close. `settings` default to the `DG_*` variables; `max_ratio` and `log_level` beat them, and so does
    `delta_policy`: which objects are delta candidates, in the words of `DG_DELTA_PATTERNS` (`"default *.bin"`).
    `tool_version` is what `dg-tool` records in new objects.

    Raises `ConfigurationError` for a wrong setting, an unknown profile or missing credentials.

        async with create_client(endpoint_url="http://localhost:9000") as client:
            await client.put_object(Bucket="releases", Key="app-1.2.zip", Body=Path("app-1.2.zip"))
    """
    given = {"log_level": log_level, "max_ratio": max_ratio, "delta_patterns": delta_policy}
    overrides: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if settings is None:
        settings = Settings(**overrides)
    elif overrides:
        settings = replace(settings, **overrides)
    if s3_client is not None and (session is not None or aws or endpoint_url):
        raise ConfigurationError("s3_client is complete already: give no session, endpoint or credentials beside it.")
    return OpenClient(settings, tool_version, session, s3_client, {"endpoint_url": endpoint_url, **aws})


class OpenClient:
    """A client about to be opened: `async with` it, or `await` its `open()` and later its client's `aclose()`."""

    def __init__(
        self, settings: Settings, tool: str, session: aioboto3.Session | None, s3_client: Any, aws: dict[str, Any]
    ) -> None:
        self._settings = settings
        self._tool = tool
        self._session = session
        self._s3_client = s3_client
        self._aws = {name: value for name, value in aws.items() if value is not None}
        self._stack = AsyncExitStack()
        self._client: DeltaGliderClient | None = None

    async def __aenter__(self) -> DeltaGliderClient:
        async with AsyncExitStack() as stack:
            configure_logging(self._settings.log_level)
            s3 = self._s3_client or await self._open_s3(stack)
            cache = await ReferenceCache.open(self._settings)
            stack.push_async_callback(cache.aclose)
            engine = Engine(Store(s3), cache, self._settings, self._tool, self._settings.max_ratio)
            # Whoever writes through this client: what was counted before is not true any more.
            stack.callback(watch_writes(s3, engine.remembered.changed, SIZES_KEY))
            self._stack = stack.pop_all()
        self._client = DeltaGliderClient(engine, self._stack.aclose)
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"{name}: there is no client yet. Use `async with create_client(...) as client`, or "
            "`client = await create_client(...).open()`."
        )

    async def open(self) -> DeltaGliderClient:
        """A client that lives until its `aclose()`, for module-level clients.

        Raises what `create_client` does.

            client = await create_client().open()
            await client.aclose()
        """
        return await self.__aenter__()

    def __await__(self) -> Generator[Any, None, DeltaGliderClient]:
        return self.open().__await__()

    async def _open_s3(self, stack: AsyncExitStack) -> Any:
        with translated("open a client for", self._aws.get("endpoint_url") or "S3"):
            try:
                return await stack.enter_async_context(await in_thread(self._make_s3))
            except ValueError as error:  # botocore's "Invalid endpoint: ..."
                if isinstance(error, BotoCoreError):
                    raise
                raise ConfigurationError(
                    f"cannot open a client for {self._aws.get('endpoint_url') or 'S3'}: {error}"
                ) from error

    def _make_s3(self) -> Any:
        """A client of aiobotocore that has yet to be entered: nothing of it belongs to a loop before.

        All that reads files is done here, for a thread: modules, profiles, certificates, service descriptions.
        """
        key_id, secret = self._aws.get("aws_access_key_id"), self._aws.get("aws_secret_access_key")
        if (key_id is None) != (secret is None):
            missing = "aws_access_key_id" if key_id is None else "aws_secret_access_key"
            raise PartialCredentialsError(provider="arguments", cred_var=missing)
        session = self._session._session if self._session else self._make_session()
        arguments = {name: value for name, value in self._aws.items() if name not in _SESSION_ARGUMENTS}
        arguments["region_name"] = self._aws.get("region_name") or session.get_config_variable("region") or "us-east-1"
        config = arguments.pop("config", None)
        unsigned = getattr(config, "signature_version", None) is UNSIGNED

        async def read_everything(endpoint: str) -> Any:
            ours = _default_config(session, endpoint)
            create: Any = session._create_client  # type: ignore[attr-defined]
            client = await create("s3", **arguments, config=ours.merge(config) if config else ours)
            if is_aws(client.meta.endpoint_url) != is_aws(endpoint):  # a profile says so
                return await read_everything(str(client.meta.endpoint_url))
            # Without any, botocore would look again in the caller's loop, which reads files.
            if not unsigned and key_id is None and await session.get_credentials() is None:
                raise NoCredentialsError
            client.can_paginate("list_objects_v2")  # reads what is known of pages, and the next of waiters
            _ = client.waiter_names
            _read_certificates(client)
            return client

        variables = map(os.environ.get, ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"))
        return asyncio.run(read_everything(next(filter(None, (self._aws.get("endpoint_url"), *variables)), _AWS)))

    def _make_session(self) -> AioSession:
        """What `aioboto3.Session` makes, which would import boto3 for its resources."""
        from aiobotocore.session import get_session
        from botocore.loaders import create_loader

        given = self._aws.get
        session = given("botocore_session")
        if session is None:
            session = get_session()
            loader = create_loader(session.get_config_variable("data_path"))
            vars(loader)["file_loader"] = _Descriptions()
            # Whether there is a service: that of S3 is. Looking would be into 400 folders, four times.
            vars(loader)["list_available_services"] = _Any
            _leave_keys_out(loader.load_service_model("s3", "endpoint-rule-set-1"))
            session.register_component("data_loader", loader)
            session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=moment)
        if given("profile_name") is not None:
            session.set_config_variable("profile", given("profile_name"))
        credentials: list[Any] = [
            given(f"aws_{name}") for name in ("access_key_id", "secret_access_key", "session_token")
        ]
        if any(credentials):
            session.set_credentials(*credentials, *filter(None, [given("aws_account_id")]))
        if given("region_name") is not None:
            session.set_config_variable("region", given("region_name"))
        return session


def _leave_keys_out(rules: dict[str, Any]) -> None:
    """Let botocore find the endpoint once per bucket, and remember it.

    No rule depends on the object's key. With it as a parameter, all rules are gone through again for every object:
    a quarter of what a small put costs.
    """
    text = repr(rules["rules"])
    for name in ("Key", "Prefix"):
        if f"'{name}'" not in text and f"{{{name}}}" not in text:
            rules["parameters"].pop(name, None)


def _read_certificates(client: Any) -> None:
    """Read here whom connections trust, which aiobotocore would do in the caller's loop; without TLS nobody is.

    Reading them takes 15 ms, a tenth of what a client takes to be made.
    """
    from botocore.httpsession import get_cert_path

    http: Any = client._endpoint.http_session
    if not hasattr(http, "_get_ssl_context") or http._proxy_config.settings:
        return  # another aiobotocore; or a proxy has certificates of its own
    context: Any = http._get_ssl_context()
    certificates = get_cert_path(http._verify)
    if certificates and client.meta.endpoint_url.startswith("http:"):
        load, wrap = context.load_verify_locations, context.wrap_bio

        def wrap_first(*arguments: Any, **named: Any) -> Any:
            """Redirects may lead to TLS."""
            context.wrap_bio = wrap
            load(certificates)
            return wrap(*arguments, **named)

        context.wrap_bio = wrap_first
    elif certificates:
        try:
            context.load_verify_locations(certificates)
        except OSError:
            return  # the first request says what is wrong with them
    context.load_verify_locations = lambda *_: None
    http._get_ssl_context = lambda: context


class _Descriptions(JSONFileLoader):
    """botocore's descriptions of services, read into dicts. Its own reader takes `OrderedDict`, and twice the time."""

    def load_file(self, file_path: str) -> Any:
        """What it says; None where there is none."""
        for ending, opened in _ENDINGS.items():
            with suppress(FileNotFoundError), opened(file_path + ending, "rb") as file:
                return json.loads(file.read())
        return None


class _Any(list[str]):
    """The names of all services, without knowing one."""

    def __init__(self, type_name: str) -> None:
        super().__init__()

    def __contains__(self, name: object) -> bool:
        return True


def _default_config(session: AioSession, endpoint: str) -> Config:
    """What we choose where the user did not: neither in the environment nor in the profile."""
    profile: dict[str, Any] = session.get_scoped_config()

    def chosen(*names: str) -> bool:
        return any(name in profile or f"AWS_{name.upper()}" in os.environ for name in names)

    # botocore would put its own together twice for each request, a tenth of what a small put costs.
    options: dict[str, Any] = {"max_pool_connections": _CONNECTIONS, "user_agent": TOOL}
    retries: dict[str, Any] = {}
    if not chosen("defaults_mode"):  # which is botocore's own set of them
        options["connect_timeout"] = _CONNECT_SECONDS
        if not chosen("retry_mode"):
            retries["mode"] = "standard"
    if not chosen("max_attempts"):
        retries["total_max_attempts"] = _ATTEMPTS
    if retries:
        options["retries"] = retries
    if not is_aws(endpoint):
        # Several other S3 services refuse botocore's newer headers.
        for name in ("request_checksum_calculation", "response_checksum_validation"):
            if not chosen(name):
                options[name] = "when_required"
    return Config(**options)
