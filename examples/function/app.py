"""A small function that prints in the ways functions do."""

from __future__ import annotations

import json
import logging
from typing import Any

logger = logging.getLogger()
logger.setLevel(logging.INFO)
logger.info("cold start")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Print plain text, a log line, JSON and some Unicode; return how much time was left."""
    number = event.get("n", 0)
    print(f"invocation {number} begins")
    logger.warning("stock is low for order %s", number)
    print(json.dumps({"level": "INFO", "order": number, "total": 12.5, "items": ["tea", "milk"]}))
    print("grüße aus der Wolke ☁")
    return {"n": number, "remainingMs": context.get_remaining_time_in_millis()}
