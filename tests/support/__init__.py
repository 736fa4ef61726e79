"""What tests and benchmarks share: servers, fakes at the seams, and the frozen layer. Nothing imports a test module."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
