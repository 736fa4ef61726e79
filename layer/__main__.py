"""usage: python -m layer BUNDLE OUT ARCH TOOLCHAIN|"" RE2|"": audit a frozen bundle and pack it into OUT."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from layer import archive, glibc, needless, sbom

LAMBDA_GLIBC = glibc.Version(2, 26)  # Amazon Linux 2, the oldest that a runtime is built on (docs/layer.md)
ROOT = Path(__file__).parent.parent


def main(arguments: list[str]) -> str | None:
    """Write the zip, its sha256, audit, SBOM and licences. Returns what is wrong, in words, where something is."""
    bundle, out, arch = Path(arguments[0]), Path(arguments[1]), arguments[2]
    toolchain = Path(arguments[3]) if arguments[3] else None
    # What does not load on Lambda never has the name of what does.
    name = f"telemetry-forwarder-{arch}" if toolchain else f"telemetry-forwarder-{arch}-local"
    needless.drop(bundle)
    audit = glibc.audit(bundle)
    report = glibc.report(audit)
    print(report.splitlines()[0])
    if toolchain and (problem := refusal(audit, glibc.strangers(bundle))):
        return problem
    components = sbom.components(bundle, [Path(folder) for folder in arguments[3:5] if folder])
    licences = sbom.licences(components, ROOT / "LICENSE")
    layer = out / f"{name}.zip"
    bootstrap = toolchain / "bootstrap" if toolchain else ROOT / "bootstrap"
    archive.write(layer, archive.entries(bootstrap, bundle, licences))
    print(archive.sizes(layer))
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    (out / f"{name}.zip.sha256").write_text(f"{digest}  {name}.zip\n")
    (out / f"{name}.glibc.txt").write_text(report)
    (out / f"{name}.cdx.json").write_text(sbom.cyclonedx(components, digest))
    (out / f"{name}.licences.txt").write_text(licences)
    return None


def refusal(audit: dict[str, glibc.Version], strangers: dict[str, list[str]]) -> str | None:
    """Why this bundle would not load on every runtime of Lambda; None if it would."""
    if above := [path for path, needed in audit.items() if needed > LAMBDA_GLIBC]:
        return f"--lambda: GLIBC_{max(audit.values())} is needed by {', '.join(above)}, and Lambda has {LAMBDA_GLIBC}"
    if strangers:
        needs = ", ".join(f"{path} needs {' and '.join(names)}" for path, names in strangers.items())
        return f"--lambda: libraries that not every runtime has: {needs}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
