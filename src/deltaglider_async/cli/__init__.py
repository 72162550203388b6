"""The `dg` command: one module per command, on top of `bulk/` and the client."""
