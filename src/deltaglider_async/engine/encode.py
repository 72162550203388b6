"""Makes the delta of a put, and proves it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from deltaglider_async.cache import Lease
from deltaglider_async.codec import xdelta
from deltaglider_async.engine.core import Engine, where
from deltaglider_async.engine.prospect import is_compressed
from deltaglider_async.engine.request import PutRequest, Refused
from deltaglider_async.errors import DiffEncodeError
from deltaglider_async.format import metadata as meta
from deltaglider_async.format.candidates import MAGIC_LENGTH, compressed_stream
from deltaglider_async.streams import Chunks
from deltaglider_async.streams.digest import Digest, digested
from deltaglider_async.streams.reported import reported
from deltaglider_async.streams.source import Source
from deltaglider_async.streams.spool import Spool
from deltaglider_async.streams.turns import Turn


@dataclass(frozen=True, slots=True)
class Delta:
    """A proven delta of `size` bytes."""

    spool: Spool
    metadata: Mapping[str, str]
    size: int
    sha256: str

    @property
    def ratio(self) -> float:
        """Delta size divided by original size."""
        return self.spool.size / self.size if self.size else 1.0


#: From so many bytes on, more encoders than one may work on a file.
_LONG = 32 * 1024 * 1024


class _TooLargeError(Exception):
    """The encoder's output passed the limit."""


async def encode(
    engine: Engine, request: PutRequest, lease: Lease, reference_key: str, spool: Spool, *, unchanged: bool = False
) -> Delta | Refused:
    """Encode into the spool, and decode what comes out at the same time: a delta counts if it gives back its input.

    `unchanged` says that the input is the reference.
    """
    # With IfMatch the form that has the ETag is kept, whatever the ratio.
    max_ratio = 1e9 if request.arguments.get("IfMatch") else request.max_ratio
    size, program = request.source.size, engine.settings.xdelta3
    limit = None if size is None else int(size * max_ratio)
    options: tuple[str, ...] = ()
    level = engine.settings.xdelta3_level
    if not unchanged:
        options = xdelta.options(lease.size, compressed=await is_compressed(lease), level=level)
    sent, proof, kept = Digest(), Digest(), _Kept(spool, limit)
    try:
        async with engine.encoding() as turn:
            body = reported(digested(_resting(request.source.open(), turn), sent), request.progress, "encoding")
            if unchanged:
                delta = engine.codec.unchanged(lease, body)
            else:
                spare = partial(engine.another_encoder, lease.size) if size is None or size >= _LONG else None
                # Who chose a level wants what an encoder makes.
                index = engine.index_of(lease) if level is None else None
                delta = engine.codec.encode(lease, body, options=options, program=program, spare=spare, index=index)
            proven = engine.codec.decode(lease, kept.chunks(delta), 1 << 63, program=program, stock=True)
            async with aclosing(proven) as decoded:
                async for chunk in decoded:
                    await proof.update(chunk)
                    if proof.size > sent.size:
                        break  # what goes in is counted before it can come out: this decoder talks without end
    except _TooLargeError:
        assert size is not None
        return Refused("the delta is larger than max_ratio allows", spool.size / size)
    sha256 = await sent.hexdigest()
    if not kept.whole or (proof.size, await proof.hexdigest()) != (sent.size, sha256):
        raise DiffEncodeError(
            f"cannot put {where(request.bucket, request.key)}: the delta did not decode to its input. Nothing was "
            f"stored. Please report this with the output of {program} -V; until then, put with use_delta=False."
        )
    if spool.size > max_ratio * sent.size:
        return Refused("the delta is larger than max_ratio allows", spool.size / max(1, sent.size))
    metadata = meta.DeltaMetadata(
        file_sha256=sha256,
        file_size=sent.size,
        ref_key=reference_key,
        ref_sha256=lease.sha256,
        original_name=request.name,
        delta_size=spool.size,
        delta_cmd=" ".join(("xdelta3 -e -D", *options, "-s reference.bin")),
        note="zero-diff (reference identical)" if unchanged else "",
    ).encode(tool=engine.tool)
    if not meta.fits(metadata | request.kept_metadata):
        return Refused(f"metadata of a delta and the user's together exceed {meta.LARGEST_METADATA:,} bytes")
    request.announced.check_sha256(sha256)
    return Delta(spool, metadata | request.kept_metadata, sent.size, sha256)


async def compression_of(source: Source) -> str | None:
    """The compression that the source has as a whole, by its first bytes."""
    head = b""
    async with aclosing(source.open()) as chunks:
        async for chunk in chunks:
            head += chunk[:MAGIC_LENGTH]
            if len(head) >= MAGIC_LENGTH:
                break
    return compressed_stream(head)


async def _resting(chunks: Chunks, turn: Turn) -> Chunks:
    """The same chunks. While a slow source has none, others need not wait for their turn."""
    async with aclosing(chunks):
        while True:
            with turn.resting():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk


class _Kept:
    """What an encoder gives, on its way to the proof."""

    def __init__(self, spool: Spool, limit: int | None) -> None:
        self._spool, self._limit = spool, limit
        #: Whether it came to its end. A decoder that ends before has proven nothing.
        self.whole = False

    async def chunks(self, delta: Chunks) -> Chunks:
        """The same chunks, kept as well; raises `_TooLargeError` as soon as they are more than the limit."""
        async with aclosing(delta):
            async for chunk in delta:
                await self._spool.write(chunk)
                if self._limit is not None and self._spool.size > self._limit:
                    raise _TooLargeError
                yield chunk
        self.whole = True
