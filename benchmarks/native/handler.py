"""A Python handler that does what bootstrap.c does: see there."""

import time


class Printed:
    """How many lines there were."""

    total = 0


def handler(event: dict[str, int], _: object) -> dict[str, float]:
    """Count, print, and tell how long the counting took."""
    began = time.monotonic()
    for _number in range(event["loops"]):
        pass
    took = time.monotonic() - began
    for line in range(Printed.total, Printed.total + event["lines"]):
        print(f"L{line:08d} INFO".ljust(event["bytes"], "x")[: event["bytes"]])
    Printed.total += event["lines"]
    return {"handlerMs": took * 1000, "printed": Printed.total}
