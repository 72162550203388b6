"""Command lines that `aws s3` and `dg` are given alike, and what they start from."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9 \u00fc.txt") for form in ("NFC", "NFD"))
#: Names that something between a shell and S3 could take for something else.
AWKWARD = (
    "a b.txt", "a+b.txt", "100%.txt", "a%20b.txt", "it's.txt", '"quoted".txt', ".hidden", "..dots", "-dash",
    "a&b=c?.txt",
    "#hash", "back\\slash", "star*[x]", "tab\there", "\u6f22\u5b57.txt", COMPOSED, f"decomposed/{DECOMPOSED}",
    "/".join(["long" * 50] * 5)[:1000], "deep/er/est/file.zip",
)  # fmt: skip
OLD, FUTURE = 1_500_000_000, 2_200_000_000
RELEASE = bytes(range(256)) * 40


def version(number: int) -> bytes:
    """Content that makes a good delta against its neighbours."""
    return RELEASE + b"version %d" % number


Files = dict[str, bytes]
Prepare = Callable[[Path], None]


@dataclass(frozen=True)
class Case:
    """Lines, of which `{bucket}` and `{other}` are buckets, run one after the other in a folder."""

    lines: tuple[str, ...]
    files: Files = field(default_factory=dict)
    objects: Files = field(default_factory=dict)
    """What is in the bucket. Ours has deltas there."""
    prepare: Prepare = lambda folder: None
    times: dict[str, int] = field(default_factory=dict)
    """Modification times of files; of others it is `OLD`."""

    @property
    def name(self) -> str:
        """As the table of differences spells it."""
        return "; ".join(self.lines).replace("{bucket}", "bucket").replace("{other}", "other")


def case(*lines: str, files: Files | None = None, objects: Files | None = None,
         prepare: Prepare = lambda folder: None, times: dict[str, int] | None = None) -> Case:  # fmt: skip
    return Case(lines, files or {}, objects or {}, prepare, times or {})


def links(folder: Path) -> None:
    """Symbolic links to a file, to a folder, and to nothing."""
    (folder / "src/link").symlink_to("a.txt")
    (folder / "src/folder").symlink_to("../elsewhere")
    (folder / "src/dangling").symlink_to("nowhere")


def good_links(folder: Path) -> None:
    (folder / "src/link").symlink_to("a.txt")
    (folder / "src/folder").symlink_to("../elsewhere")


def empty_folders(folder: Path) -> None:
    (folder / "src/empty/deeper").mkdir(parents=True)


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "src/pipe")


TREE = {"src/a.txt": b"a", "src/b.zip": version(0), "src/sub/c.txt": b"ccc", "src/sub/d.zip": version(1), "src/e": b""}
OBJECTS = {
    "p/a.txt": b"a", "p/b.zip": version(0), "p/c.zip": version(1), "p/sub/d.txt": b"dd", "p/sub/e.zip": version(2),
    "p2/other": b"x", "top.txt": b"t",
}  # fmt: skip
NAMES = {f"src/{name}": name.encode() for name in AWKWARD}
KEYS = {f"p/{name}": name.encode() for name in AWKWARD}
FROZEN = "cp --recursive src s3://{bucket}/g --storage-class GLACIER"

CASES = [
    # cp, one file
    case("cp src/a.txt s3://{bucket}/", files=TREE),
    case("cp src/a.txt s3://{bucket}", files=TREE),
    case("cp src/b.zip s3://{bucket}/x/y.zip", files=TREE),
    case("cp src/a.txt s3://{bucket}/x/", files=TREE),
    case("cp src/a.txt s3://{bucket}/x/ --dryrun", files=TREE),
    case("cp src/a.txt s3://{bucket}/x/ --exclude * --include *.txt", files=TREE),
    case("cp src/a.txt s3://{bucket}/x/ --exclude *.txt", files=TREE),
    case("cp src s3://{bucket}/x/", files=TREE),
    case("cp nowhere s3://{bucket}/x/"),
    case("cp s3://{bucket}/p/b.zip .", objects=OBJECTS),
    case("cp s3://{bucket}/p/c.zip new/name.zip", objects=OBJECTS),
    case("cp s3://{bucket}/p/a.txt made/", objects=OBJECTS),
    case("cp s3://{bucket}/nowhere out", objects=OBJECTS),
    case("cp s3://{bucket}/p/c.zip s3://{other}/", objects=OBJECTS),
    case("cp s3://{bucket}/p/c.zip s3://{bucket}/q/name.zip", objects=OBJECTS),
    case("cp - s3://{bucket}/in.txt < src/a.txt", files=TREE),
    case("cp s3://{bucket}/p/c.zip -", objects=OBJECTS),
    # cp -r
    case("cp --recursive src s3://{bucket}/x", files=TREE),
    case("cp --recursive src s3://{bucket}", files=TREE),
    case("cp --recursive src s3://{bucket}/x --exclude * --include *.zip", files=TREE),
    case("cp --recursive src s3://{bucket}/x --include *.zip --exclude sub/* --include sub/c*", files=TREE),
    case("cp --recursive src s3://{bucket}/x --exclude *.txt --dryrun", files=TREE),
    case("cp --recursive src s3://{bucket}/", files=NAMES),
    case("cp --recursive src s3://{bucket}/", files=TREE, prepare=empty_folders),
    case("cp --recursive src s3://{bucket}/l", files={**TREE, "elsewhere/f.txt": b"f"}, prepare=links),
    case("cp --recursive src s3://{bucket}/n --no-follow-symlinks", files={**TREE, "elsewhere/f.txt": b"f"},
         prepare=links),
    case("cp --recursive src s3://{bucket}/fifo", files=TREE, prepare=pipe),
    case("cp --recursive s3://{bucket}/p out", objects=OBJECTS),
    case("cp --recursive s3://{bucket} out --exclude p/*", objects=OBJECTS),
    case("cp --recursive s3://{bucket}/p/ out", objects=KEYS),
    case("cp --recursive s3://{bucket}/ out", objects={"d/": b"", "d/e/": b"", "d/f": b"f"}),
    case("cp --recursive s3://{bucket}/ .", objects={"a": b"file", "a/b": b"below", "c": b"c"}),
    case("cp --recursive s3://{bucket}/ out/", objects={"a//b": b"empty part", "c": b"c"}),
    case("cp --recursive s3://{bucket}/p s3://{other}/q", objects=OBJECTS),
    case("cp --recursive s3://{bucket}/p/ s3://{other}/p/", objects=KEYS),
    case("cp --recursive src s3://no-such-bucket-anywhere/x", files=TREE),
    # what objects are written with
    case("cp src/a.txt s3://{bucket}/o --content-type x/y --cache-control no-cache --content-language de "
         "--content-disposition inline --content-encoding aws-chunked,x --expires 2030-01-02T03:04:05Z "
         "--metadata owner=me,team=us --storage-class STANDARD_IA --website-redirect /there", files=TREE),
    case("cp --recursive src s3://{bucket}/o --metadata {\"owner\":\"me\"} --sse --acl public-read", files=TREE),
    case("cp src/a.txt s3://{bucket}/o --no-guess-mime-type", files=TREE),
    case("cp src/a.txt s3://{bucket}/o --grants read=uri=http://acs.amazonaws.com/groups/global/AllUsers "
         "full=id=79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be", files=TREE),
    case("cp src/a.txt s3://{bucket}/1 --metadata owner=me --content-type x/y", "cp s3://{bucket}/1 s3://{bucket}/2",
         "cp s3://{bucket}/1 s3://{bucket}/3 --metadata owner=you",
         "cp s3://{bucket}/1 s3://{bucket}/4 --metadata-directive REPLACE --content-type z/z", files=TREE),
    case("cp src/b.zip s3://{bucket}/c/ --checksum-algorithm CRC32 --sse-c --sse-c-key "
         "0123456789abcdef0123456789abcdef",
         "cp s3://{bucket}/c/b.zip s3://{other}/d --source-region eu-west-1 --sse-c-copy-source AES256 "
         "--sse-c-copy-source-key 0123456789abcdef0123456789abcdef", files=TREE),
    case("cp src/a.txt s3://{bucket}/c/ --sse-c", files=TREE),
    case("cp --recursive s3://{bucket}/p out --case-conflict warn --checksum-mode ENABLED --page-size 2",
         objects=OBJECTS),
    case(FROZEN, "cp --recursive s3://{bucket}/g out", files=TREE),
    case(FROZEN, "cp --recursive s3://{bucket}/g s3://{other}/h --ignore-glacier-warnings", files=TREE),
    case(FROZEN, "cp s3://{bucket}/g/b.zip out.zip --force-glacier-transfer", files=TREE),
    case(FROZEN, "mv s3://{bucket}/g/b.zip out.zip", files=TREE),
    case(FROZEN, "sync s3://{bucket}/g out", files=TREE),
    # mv
    case("mv src/b.zip s3://{bucket}/x/", files=TREE),
    case("mv --recursive src s3://{bucket}/x --exclude *.txt", files=TREE),
    case("mv s3://{bucket}/p/c.zip out.zip", objects=OBJECTS),
    case("mv --recursive s3://{bucket}/p out", objects=OBJECTS),
    case("mv s3://{bucket}/p/c.zip s3://{bucket}/q/", objects=OBJECTS),
    case("mv --recursive s3://{bucket}/p s3://{other}/q --include * --exclude sub/*", objects=OBJECTS),
    case("mv s3://{bucket}/p/a.txt s3://{bucket}/p/a.txt", objects=OBJECTS),
    # rm
    case("mb s3://{bucket}", objects={"a": b"a"}),
    case("rb s3://{bucket}", objects={"a": b"a"}),
    case("rb s3://{other}", "mb s3://{other} --tags team builds"),
    case("rb s3://{other} --force", "mb s3://{other}"),
    case("rm s3://{bucket}/p/b.zip", objects=OBJECTS),
    case("rm s3://{bucket}/nowhere", objects=OBJECTS),
    case("rm --recursive s3://{bucket}/p --page-size 2", objects=OBJECTS),
    case("rm --recursive s3://{bucket}/ --exclude p/* --dryrun", objects=OBJECTS),
    case("rm --recursive s3://{bucket}/p/", objects=KEYS),
    case("rm --recursive s3://{bucket}/d", objects={"d/": b"", "d/e": b"e"}),
    # sync
    case("sync src s3://{bucket}/x", "sync src s3://{bucket}/x", files=TREE),
    case("sync src s3://{bucket}/p", files={"src/a.txt": b"a", "src/b.zip": version(0), "src/c.zip": version(3)},
         objects=OBJECTS, times={"src/b.zip": FUTURE}),
    case("sync src s3://{bucket}/p --size-only", files={"src/a.txt": b"b", "src/c.zip": version(1)}, objects=OBJECTS,
         times={"src/a.txt": FUTURE, "src/c.zip": FUTURE}),
    case("sync src s3://{bucket}/p --delete", files={"src/a.txt": b"a", "src/b.zip": version(0)}, objects=OBJECTS),
    case("sync src s3://{bucket}/p --delete --exclude *.zip", files={"src/b.txt": b"b"}, objects=OBJECTS),
    case("sync src s3://{bucket}/p --delete", files=NAMES, objects=KEYS | {"p/too/much": b""}),
    case("sync s3://{bucket}/p out", files={"out/a.txt": b"b", "out/c.zip": b"other size", "out/b.zip": version(0)},
         objects=OBJECTS, times={"out/b.zip": FUTURE}),
    case("sync s3://{bucket}/p out --exact-timestamps", files={"out/a.txt": b"b"}, objects=OBJECTS),
    case("sync s3://{bucket}/p out --delete", files={"out/gone": b"", "out/sub/gone.zip": b"", "out/a.txt": b"a"},
         objects=OBJECTS),
    case("sync s3://{bucket}/p out --delete --dryrun", files={"out/gone": b""}, objects=OBJECTS),
    case("sync s3://{bucket}/p s3://{other}/q --delete", "sync s3://{bucket}/p s3://{other}/q", objects=OBJECTS),
    case("sync src s3://{bucket}/d --delete", files={"src/a": b"a"}, objects={"d/": b"", "d/e/": b"", "d/b": b"b"}),
    case("sync src s3://{bucket}/x", files={**TREE, "elsewhere/f.txt": b"f"}, prepare=good_links),
    # ls
    case("ls s3://{bucket}", objects=OBJECTS),
    case("ls s3://{bucket}/p", objects=OBJECTS),
    case("ls s3://{bucket}/p/ --human-readable --summarize", objects=OBJECTS),
    case("ls s3://{bucket} --recursive --summarize", objects=OBJECTS),
    case("ls {bucket}/p/", objects=OBJECTS),
    case("ls s3://{bucket}/nothing", objects=OBJECTS),
    case("ls s3://{bucket}/p/ --recursive", objects=KEYS),
    case("ls s3://{bucket}/d/", objects={"d/": b"", "d//x": b"", "d/e": b"e"}),
    case("ls s3://no-such-bucket-anywhere"),
    case("ls --page-size 2 s3://{bucket}/p/", objects=OBJECTS),
]  # fmt: skip
