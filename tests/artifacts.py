"""Release artifacts of a few megabytes, made of the interpreter's own library: real text, real code, no network."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

Tree = Mapping[str, bytes]
"""The files of a release by name."""

_PACKAGES = ("asyncio", "concurrent", "email", "encodings", "html", "http", "importlib", "json", "logging", "urllib")
#: Between two releases, something changes in these.
_CHANGED = ("asyncio/tasks.py", "email/header.py", "json/decoder.py")
_MOMENT = (2026, 1, 2, 3, 4, 6)


def releases() -> tuple[Tree, Tree, Tree]:
    """Three releases in a row; each changes a few files of the one before."""
    library = Path(os.__file__).parent
    paths = sorted(path for package in _PACKAGES for path in (library / package).rglob("*.py"))
    first = {str(path.relative_to(library)): path.read_bytes() for path in paths}
    second = first | {name: first[name].replace(b"self", b"itself", 40) for name in _CHANGED} | {"VERSION": b"2\n"}
    third = second | {name: second[name] + b"\n# the third\n" for name in _CHANGED} | {"VERSION": b"3\n"}
    return first, second, third


def zipped(tree: Tree) -> bytes:
    """A `.zip`, compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in tree.items():
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def jar(tree: Tree) -> bytes:
    """A `.jar`: a zip that begins with its manifest."""
    return zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\nCreated-By: 21\r\n\r\n", **tree})


def tarred(tree: Tree) -> bytes:
    """A plain `.tar`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in tree.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_767_323_046
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def deb(tree: Tree) -> bytes:
    """A `.deb` whose parts are not compressed (`dpkg-deb -Znone`): an `ar` archive of three members."""
    control = b"Package: library\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: a library\n"
    members = {"debian-binary": b"2.0\n", "control.tar": tarred({"./control": control}), "data.tar": tarred(tree)}
    archive = [b"!<arch>\n"]
    for name, content in members.items():
        archive.append(f"{name:<16}{1_767_323_046:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
        archive.append(content + b"\n" * (len(content) % 2))
    return b"".join(archive)


def npm_tgz(tree: Tree) -> bytes:
    """A `.tgz` as npm packs it: by zlib with its own level, strategy and header, as no `gzip` command would."""
    content = tarred({f"package/{name}": content for name, content in tree.items()})
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_FILTERED)
    header = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\x13"  # no time, no name, "macOS"
    trailer = struct.pack("<II", zlib.crc32(content), len(content))
    return header + deflate.compress(content) + deflate.flush() + trailer


Compression = Literal["gz", "bz2", "xz"]
_PROGRAM: Mapping[Compression, str] = {"gz": "gzip", "bz2": "bzip2", "xz": "xz"}


def compressed_tar(tree: Tree, compression: Compression, folder: Path) -> bytes:
    """A `.tar.gz`, `.tar.bz2` or `.tar.xz` by this machine's own tar, or by Python where that is missing."""
    if shutil.which("tar") and shutil.which(_PROGRAM[compression]):
        root = folder / "tree"
        for name, content in tree.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        archive = folder / f"archive.tar.{compression}"
        flag = {"gz": "-z", "bz2": "-j", "xz": "-J"}[compression]
        subprocess.run(["tar", flag, "-cf", archive, "-C", root, "."], check=True)
        return archive.read_bytes()
    in_python: Mapping[Compression, Callable[[bytes], bytes]] = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
    }
    return in_python[compression](tarred(tree))
