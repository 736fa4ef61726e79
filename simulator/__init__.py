"""A Lambda on your desk: the execution environment, with its three APIs, for extensions and their tests."""
