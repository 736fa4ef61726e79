"""The routes of the Extensions, Runtime and Telemetry APIs: they read a request, ask the sandbox, and answer."""
