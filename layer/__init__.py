"""Builds the layer: what goes into the frozen bundle, the GLIBC audit, the zip, its SBOM and licences."""
