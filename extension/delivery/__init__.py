"""How records reach their sinks, and what becomes of those that do not."""
