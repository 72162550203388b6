"""Real S3 servers, each in a process of its own: some that keep conditions, and one that ignores them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from deltaglider_async.cli.local_server import local_s3

ACCESS_KEY = "local-access-key"
SECRET_KEY = "local-secret-key"

#: Where `tools/bootstrap.sh servers` puts what it built, and where packages put their programs.
_FOLDERS = os.pathsep.join([str(Path(__file__).parents[1] / ".servers"), str(Path(sys.executable).parent)])

Command = tuple[list[str], dict[str, str]]
"""Arguments and environment."""


def program(name: str) -> str:
    """A program of ours, or else an installed one; empty where there is none."""
    return shutil.which(name, path=_FOLDERS) or shutil.which(name) or ""


def _minio(port: int, folder: Path) -> Command:
    arguments = ["minio", "server", "--quiet", "--address", f"127.0.0.1:{port}"]
    arguments += ["--console-address", f"127.0.0.1:{_free_port()}", str(folder)]
    # It offers a console and looks for updates; neither is wanted here.
    environment = {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CALLHOME_ENABLE": "off"}
    return arguments, environment | {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}


def _versitygw(port: int, folder: Path) -> Command:
    arguments = ["versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "posix", str(folder)]
    return arguments, {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}


def _rclone(port: int, folder: Path) -> Command:
    arguments = ["rclone", "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    return [*arguments, "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"], {}


_COMMANDS: dict[str, Callable[[int, Path], Command]] = {"minio": _minio, "versitygw": _versitygw, "rclone": _rclone}


def _keeps_attributes() -> bool:
    """Whether temporary files can have extended attributes, in which VersityGW keeps metadata."""
    if not hasattr(os, "setxattr"):
        return False
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.name, "user.dg", b"1")
        except OSError:
            return False
    return True


def _conditional() -> list[str]:
    found = [name for name in ("minio", "versitygw") if program(name)]
    return [name for name in found if name == "minio" or _keeps_attributes()] or ["moto"]


#: The servers here that keep conditions: MinIO (all but If-Match on DeleteObject) and VersityGW (all). Where there is
#: no Go to build them with, moto's server stands in, and the names of the tests say so.
CONDITIONAL = _conditional()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def serving(name: str, folder: Path, **variables: str) -> Iterator[str]:
    """URL of a new server that keeps its objects in that folder. It gets these environment variables too."""
    port, log = _free_port(), folder.parent / f"{folder.name}.log"
    arguments, environment = _COMMANDS[name](port, folder)
    environment = {"HOME": str(folder.parent), "PATH": os.defpath, **environment, **variables}
    with log.open("wb") as output:
        server = subprocess.Popen(
            arguments,
            executable=program(name),
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=output,
            stdout=output,
        )
    try:
        while not _answers(port):
            assert server.poll() is None, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    """Whether a server is ready. MinIO says so there, and listens before it is; the others just refuse."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        try:
            connection.request("GET", "/minio/health/ready")
            return connection.getresponse().status < 500
        except (OSError, HTTPException):
            return False


@pytest.fixture(scope="session")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """From the name of a server its URL; started when it is first asked for, and shared by the whole run."""
    running: dict[str, str] = {}
    with ExitStack() as stack:

        def start(name: str) -> str:
            if name not in running and name == "moto":
                portal = stack.enter_context(start_blocking_portal())
                running[name] = stack.enter_context(portal.wrap_async_context_manager(local_s3()))
            elif name not in running:
                running[name] = stack.enter_context(serving(name, tmp_path_factory.mktemp(name)))
            return running[name]

        yield start


@pytest.fixture(scope="session")
def ignorant_endpoint(real_server: Callable[[str], str]) -> str:
    """URL of a real S3 server (rclone's) that answers 200 to every condition and ignores it."""
    return real_server("rclone")


@pytest.fixture(params=CONDITIONAL)
def conditional_endpoint(request: pytest.FixtureRequest, real_server: Callable[[str], str]) -> str:
    """URL of each of the servers of `CONDITIONAL` in turn."""
    return real_server(request.param)


@pytest.fixture(params=[*CONDITIONAL, "rclone"])
def real_endpoint(request: pytest.FixtureRequest, real_server: Callable[[str], str]) -> str:
    """URL of each of the real servers in turn."""
    return real_server(request.param)
