"""Whether this is an EC2 instance, where it is, and what that means for the cost of moving bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

import anyio
from anyio.to_thread import run_sync
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from botocore.utils import InstanceMetadataRegionFetcher

#: How long the instance's metadata may take, in seconds: elsewhere nobody answers at all.
_LONGEST = 1.0
#: List price of AWS, in dollars, for 10**9 bytes from one region to another, in most regions.
BETWEEN_REGIONS = 0.02
#: `us-east-1` of `us-east-1a`, and `us-west-2` of the local zone `us-west-2-lax-1a`.
_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+)+-[0-9]+")

Outcome = Literal["elsewhere", "same region", "other region", "other region as asked"]


def _ask(fetcher: Any) -> str | None:
    """The availability zone, asked for with a token (IMDSv2) and never without; None where no instance answers."""
    try:
        token = fetcher._fetch_metadata_token()
        if token is None:
            return None
        answer = fetcher._get_request(fetcher._URL_PATH, retry_func=fetcher._default_retry, token=token)
        return str(answer.text).strip()
    except (fetcher._RETRIES_EXCEEDED_ERROR_CLS, BotoCoreError):
        return None


@dataclass(frozen=True, slots=True)
class Check:
    """Where this runs, beside the region that requests go to. `zone` is empty where it is no EC2 instance."""

    outcome: Outcome
    region: str
    zone: str = ""

    def cost(self, size: int) -> float:
        """What AWS takes for so many bytes, in dollars, as far as it depends on the place of the instance."""
        return 0.0 if self.outcome in ("elsewhere", "same region") else size / 10**9 * BETWEEN_REGIONS

    @property
    def lines(self) -> list[str]:
        """What is said about it, the first line always."""
        lines = [f"S3 Client Region: {self.region}"]
        if self.outcome == "elsewhere":
            return lines
        lines.insert(0, f"EC2 Instance: {self.zone}")
        here = region_of(self.zone)
        match self.outcome:
            case "same region":
                lines.append("Instance and S3 are in the same region: no charge for transfer between them.")
            case "other region":
                lines.append(
                    f"Hint: the instance is in {here}. If the buckets are too, set --region {here}; if not, AWS "
                    "charges for transfer between regions."
                )
            case _:
                lines.append(
                    f"Warning: --region {self.region} is not the instance's, {here}: AWS charges for transfer between "
                    "regions."
                )
        return lines


async def check(region: str, *, asked: bool, custom_endpoint: bool, disabled: bool) -> Check:
    """Look for the instance's metadata, for one second at most. `asked`: the user named the region."""
    zone = None if custom_endpoint or disabled else await _zone()
    if zone is None or region_of(zone) is None:
        return Check("elsewhere", region)
    if region_of(zone) == region:
        return Check("same region", region, zone)
    return Check("other region as asked" if asked else "other region", region, zone)


def region_of(zone: str) -> str | None:
    """The region of an availability zone or local zone; None for what is none."""
    found = _REGION.match(zone)
    return found[0] if found else None


async def _zone() -> str | None:
    def ask() -> str | None:
        session = Session()
        config = {
            name: session.get_config_variable(name)
            for name in ("ec2_metadata_service_endpoint", "ec2_metadata_service_endpoint_mode")
        }
        # Two requests, half of the time for each.
        fetcher: Any = InstanceMetadataRegionFetcher
        return _ask(fetcher(timeout=_LONGEST / 2, num_attempts=1, config=config, user_agent=session.user_agent()))

    with anyio.move_on_after(_LONGEST):
        return await run_sync(ask, abandon_on_cancel=True)
    return None
