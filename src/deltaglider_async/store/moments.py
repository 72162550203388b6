"""Moments as S3 spells them. botocore reads them with dateutil, and more than half of its work on a listing is that."""

from __future__ import annotations

import re
from datetime import datetime

from botocore.utils import parse_timestamp

#: `2026-11-25T20:01:51.123Z` of listings, and `Wed, 25 Nov 2026 20:01:51 GMT` of headers.
_LISTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z", re.ASCII)
_HEADER = re.compile(r"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT", re.ASCII)
_NAMES = "JanFebMarAprMayJunJulAugSepOctNovDec"
_MONTHS = {_NAMES[3 * month : 3 * month + 3]: month + 1 for month in range(12)}
# The zones that botocore gives to them here, so that nobody sees a difference.
_LISTED_ZONE = parse_timestamp("1970-01-01T00:00:00Z").tzinfo
_HEADER_ZONE = parse_timestamp("Thu, 01 Jan 1970 00:00:00 GMT").tzinfo


def moment(text: str) -> datetime:
    """What botocore's `parse_timestamp` gives, which reads all other spellings; and raises what it raises."""
    try:
        if _LISTED.fullmatch(text):
            return datetime.fromisoformat(text[:-1]).replace(tzinfo=_LISTED_ZONE)
        if header := _HEADER.fullmatch(text):
            day, month, year, *clock = header.groups()
            hour, minute, second = map(int, clock)
            return datetime(int(year), _MONTHS[month], int(day), hour, minute, second, tzinfo=_HEADER_ZONE)
    except (KeyError, ValueError):
        pass  # no date, or a second of 60
    found: datetime = parse_timestamp(text)
    return found
