"""References at hand: content-addressed, sealed wherever they rest, leased as open descriptors."""

from __future__ import annotations

from deltaglider_async.cache.leases import VERIFIED, Lease
from deltaglider_async.cache.references import ReferenceCache

__all__ = ["VERIFIED", "Lease", "ReferenceCache"]
