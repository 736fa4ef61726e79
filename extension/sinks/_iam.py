"""Where AWS resources are, for the policies that `check` prints; a function at work never loads it."""

from __future__ import annotations

import re
from typing import NamedTuple

from extension.partitions import partition_of

KEY_ID = re.compile(r"(?:mrk-)?[0-9a-f-]{32,36}")
KEY_ARN = re.compile(r"arn:[\w-]+:kms:[a-z0-9-]+:\d{12}:key/[\w-]+")


class Place(NamedTuple):
    """Partition, region and account of a resource; an asterisk where one is not known."""

    partition: str
    region: str
    account: str

    def moved(self, region: str) -> Place:
        """The same in another region, and so perhaps in another partition."""
        return self._replace(partition=partition_of(region), region=region)

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource there."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    def key(self, key: str) -> str:
        """The ARN of a KMS key; an asterisk for an alias, by which no policy can name one."""
        if KEY_ARN.fullmatch(key):
            return key
        return self.arn("kms", f"key/{key}") if KEY_ID.fullmatch(key) else "*"
