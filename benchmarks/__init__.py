"""Timings, as ratios measured side by side in one run; README.md has the method and the last figures."""
