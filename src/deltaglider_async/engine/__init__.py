"""The bucket protocol: put, get, copy, delete, list, statistics (docs/architecture.md)."""
