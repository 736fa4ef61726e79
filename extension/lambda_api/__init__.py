"""The Extensions API and the Telemetry API as a client sees them, and who the function is."""
