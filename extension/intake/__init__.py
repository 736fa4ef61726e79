"""From bytes to lines, and what the lines of the platform say of invocations."""
