"""References at hand: content-addressed, sealed wherever they rest, leased as open descriptors."""

from __future__ import annotations

from deltaglider_async.cache.leases import Lease
from deltaglider_async.cache.references import ReferenceCache

__all__ = ["Lease", "ReferenceCache"]
