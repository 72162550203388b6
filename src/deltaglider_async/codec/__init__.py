"""Bytes to bytes: xdelta3 processes and VCDIFF framing. Knows nothing of S3.

A codec is two async generators: `encode(reference, body)` gives the chunks of a delta, `decode(reference,
delta, size)` gives back the chunks of the body. `dg-codec` in a delta's metadata names the codec; none means
plain VCDIFF, which is the only one so far.
"""
