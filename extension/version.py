"""The forwarder's version, as in pyproject.toml; a test keeps them equal. A leaf: the frozen binary has no metadata."""

VERSION = "0.1.0"
USER_AGENT = f"telemetry-forwarder/{VERSION}"
