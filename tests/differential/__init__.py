"""The same calls through aioboto3 and through this client must be answered alike.

`program.py` says what a program of calls is, `generate.py` makes them up, `run.py` runs one against a bucket,
`compare.py` finds where two runs differ, and `page.py` knows what docs/compatibility.md allows.
"""
