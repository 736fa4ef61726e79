"""A function that exports a span and a count for each invocation by OpenTelemetry's SDK, and says how that went.

`flush` in its event: "force" has the SDK export before the handler returns; with "none" its own threads do that some
time. A handler of SIGTERM exports what is left when the environment ends.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

INTERVAL_MS = int(os.environ.get("INTERVAL_MS", "3600000"))

tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=INTERVAL_MS))
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(), INTERVAL_MS)])
tracer, counter = tracers.get_tracer("orders"), meters.get_meter("orders").create_counter("orders")


def stop_on_sigterm() -> None:
    """Export what is left, in a thread: the main one sleeps, and the kernel may give the signal to any."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    signal.set_wakeup_fd(writing)

    def stop() -> None:
        os.read(reading, 1)
        tracers.shutdown()
        meters.shutdown()
        os._exit(0)

    threading.Thread(target=stop, daemon=True).start()


stop_on_sigterm()


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Make a span for each of `spans`; the milliseconds that the flush took."""
    for number in range(event.get("spans", 1)):
        with tracer.start_as_current_span(f"order {event['n']}-{number}"):
            counter.add(1)
    began = time.monotonic()
    time.sleep(event.get("sleep", 0.0))
    if event["flush"] == "force":
        tracers.force_flush()
        meters.force_flush()
    if event.get("end") == "timeout":
        time.sleep(3600)
    return {"n": event["n"], "ms": (time.monotonic() - began) * 1000}
