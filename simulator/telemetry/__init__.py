"""Records, and their way to whoever subscribed."""
