"""Fixtures that tests of the frozen layer share with those of the sinks."""

from __future__ import annotations

from tests.support.moto import moto as moto  # noqa: PLC0414 - a fixture, passed on to this folder
from tests.support.moto import moto_process as moto_process  # noqa: PLC0414 - as above
