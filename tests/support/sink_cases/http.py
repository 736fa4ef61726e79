"""An HTTP intake that takes NDJSON."""

from tests.support.fault_server import Answer
from tests.support.sink_contract import Intake, Kind

KIND = Kind(
    url=lambda base, _folder: f"{base}/intake",
    receiver=lambda _folder: Intake(),
    permanent=lambda _request: Answer(403),
    throttled=lambda _request: Answer(429, {"Retry-After": "7"}),
)
