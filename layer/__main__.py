"""usage: python -m layer BUNDLE OUT ARCH --lambda|"": audit a frozen bundle and pack it into OUT."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from layer import archive, glibc, papers

LAMBDA_GLIBC = glibc.Version(2, 34)  # Amazon Linux 2023, which every current runtime and provided.al2023 are built on
ROOT = Path(__file__).parent.parent


def main(arguments: list[str]) -> str | None:
    """Write the zip and its papers. Returns what is wrong, in words, where something is."""
    bundle, out, arch, option = arguments
    name = f"telemetry-forwarder-{arch}"
    audit = glibc.audit(Path(bundle))
    floor = max(audit.values())
    report = glibc.report(audit)
    print(report.splitlines()[0])
    if option == "--lambda" and floor > LAMBDA_GLIBC:
        above = [path for path, needed in audit.items() if needed > LAMBDA_GLIBC]
        return (
            f"--lambda: GLIBC_{floor} is needed by {', '.join(above)}, and Lambda has "
            f"{LAMBDA_GLIBC}; build with Docker, or with `make layer-bullseye`"
        )
    components = papers.components(Path(bundle))
    licences = papers.licences(components, ROOT / "LICENSE")
    layer = Path(out, f"{name}.zip")
    archive.write(layer, archive.entries(ROOT / "bootstrap", Path(bundle), licences))
    print(archive.sizes(layer))
    digest = hashlib.sha256(layer.read_bytes()).hexdigest()
    Path(out, f"{name}.zip.sha256").write_text(f"{digest}  {name}.zip\n")
    Path(out, f"{name}.glibc.txt").write_text(report)
    Path(out, f"{name}.cdx.json").write_text(papers.sbom(components, digest))
    Path(out, f"{name}.licences.txt").write_text(licences)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
