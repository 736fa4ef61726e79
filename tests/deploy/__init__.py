"""Tests of what deploys and releases the layer."""
