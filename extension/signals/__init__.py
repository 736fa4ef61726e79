"""Metrics and spans derived from platform records. It does no I/O; loaded only where a sink takes them.

docs/signals.md lists each metric and each span, and the shape of the records that carry them.
"""
