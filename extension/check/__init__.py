"""`telemetry-forwarder check`: what settings would do, what is wrong with them, and what the role needs. Never at work.

It is the one part that prints for people, and it takes its time: nothing of it is imported in a function.
"""
