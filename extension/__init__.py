"""The forwarder: an external Lambda extension that delivers telemetry to sinks. Starts in __main__."""
