"""The partition of AWS that a region is in, as botocore's partitions.json has it; botocore itself may not be loaded."""

from __future__ import annotations

USUAL = "aws"
BY_PREFIX = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "us-iso-": "aws-iso",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}
DOMAINS = {
    "aws-cn": "amazonaws.com.cn",
    "aws-iso": "c2s.ic.gov",
    "aws-iso-b": "sc2s.sgov.gov",
    "aws-iso-e": "cloud.adc-e.uk",
    "aws-iso-f": "csp.hci.ic.gov",
    "aws-eusc": "amazonaws.eu",
}


def partition_of(region: str) -> str:
    """The partition that a region is in; the usual one where the region is not known."""
    return next((partition for prefix, partition in BY_PREFIX.items() if region.startswith(prefix)), USUAL)


def domain_of(region: str) -> str:
    """What the hosts of AWS's services end in there."""
    return DOMAINS.get(partition_of(region), "amazonaws.com")
