"""The bucket protocol: put, get, delete, list, statistics (docs/architecture.md)."""
