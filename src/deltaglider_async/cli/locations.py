"""What a source or destination on the command line names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer


@dataclass(frozen=True, slots=True)
class InS3:
    """`s3://bucket/key`; the key may be empty."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def folder(self) -> str:
        """The key as a prefix of what is in it: empty or ending in `/`."""
        return self.key if not self.key or self.key.endswith("/") else f"{self.key}/"


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A local file or folder."""

    path: Path
    into: bool
    """Written as a folder, with a separator at its end."""

    @property
    def text(self) -> str:
        """As it would be typed."""
        return str(self.path)


#: Standard input or output.
Standard = Literal["-"]
Location = InS3 | OnDisk | Standard


def parse_location(text: str) -> Location:
    """The location that an argument names. Raises a usage error for an S3 URL without bucket."""
    if text == "-":
        return "-"
    if text[:5].lower() != "s3://":
        if not text:
            raise typer.BadParameter("an empty name is no file. Use . for the current folder.")
        return OnDisk(Path(text), text.endswith((os.sep, "/")))
    bucket, _, key = text[5:].partition("/")
    if not bucket:
        raise typer.BadParameter(f"{text!r} names no bucket. Expected: s3://bucket/key")
    return InS3(bucket, key)


def parse_s3(text: str) -> InS3:
    """The place in S3 that an argument names. Raises a usage error for anything else."""
    location = parse_location(text)
    if not isinstance(location, InS3):
        raise typer.BadParameter(f"{text!r} is no S3 URL. Expected: s3://bucket/key")
    return location


def parse_object(text: str) -> InS3:
    """The object that an argument names. Raises a usage error for anything else."""
    place = parse_s3(text)
    if not place.key:
        raise typer.BadParameter(f"{place} is a bucket. Expected: s3://bucket/key")
    return place


def parse_bucket(text: str) -> InS3:
    """The bucket, or the folder in one, that an argument names: `bucket`, `s3://bucket` or `s3://bucket/prefix`."""
    return parse_s3(text if text[:5].lower() == "s3://" else f"s3://{text}")
