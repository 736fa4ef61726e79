"""What the bundle is made of: an SBOM (CycloneDX 1.6, JSON) and the licences.

A file in the bundle belongs to a Python distribution, to a package of the operating system, or to CPython; for Lambda,
the latter two are Debian's source packages, which layer/toolchain.sh compiled.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Sequence


class Component(NamedTuple):
    """Something bundled: `licence` is an SPDX expression or a name, `texts` are its licences in full.

    `sha256` is that of the .dsc of a source package, which has those of its files; "" for what is not built from one.
    """

    name: str
    version: str
    purl: str
    licence: str
    texts: tuple[str, ...]
    sha256: str = ""


def components(bundle: Path, compiled: Sequence[Path]) -> list[Component]:
    """Everything that has files in a bundle, by name; `compiled` are the folders of what is not the system's."""
    internal = bundle / "_internal"
    bundled = {path.relative_to(internal) for path in internal.rglob("*") if path.is_file()}
    sources = {path.with_suffix(".py") if path.suffix == ".pyc" else path for path in bundled}
    found = []
    for distribution in importlib.metadata.distributions():
        files = {Path(str(file)) for file in distribution.files or ()}
        if distribution.name == "pyinstaller" or sources & files:  # PyInstaller's part is the executable
            found.append(_of_distribution(distribution))
    if compiled:
        return sorted(
            [*found, *(part for folder in compiled for part in (*_of_sources(folder), *_of_packages(folder)))]
        )
    libraries = [path.name for path in bundled if path.parent == Path() and ".so" in path.suffixes]
    found += {_of_system(name) for name in libraries if not name.startswith("libpython")}
    return sorted([*found, _cpython()])


def cyclonedx(found: list[Component], zip_sha256: str) -> str:
    """A CycloneDX document without time and serial number, so that it is the same for the same layer."""
    parts = [
        {
            "type": "library",
            "bom-ref": component.purl,
            "name": component.name,
            "version": component.version,
            "purl": component.purl,
            "licenses": [{"license": {"name": component.licence}}],
            **({"hashes": [{"alg": "SHA-256", "content": component.sha256}]} if component.sha256 else {}),
        }
        for component in found
    ]
    subject = {
        "type": "application",
        "bom-ref": "telemetry-forwarder",
        "name": "telemetry-forwarder",
        "licenses": [{"license": {"id": "Apache-2.0"}}],
        "hashes": [{"alg": "SHA-256", "content": zip_sha256}],
    }
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": subject},
        "components": parts,
        "dependencies": [{"ref": "telemetry-forwarder", "dependsOn": [component.purl for component in found]}],
    }
    return json.dumps(document, indent=1) + "\n"


def licences(found: list[Component], own: Path) -> str:
    """All licences in one text, the forwarder's own first. Raises ValueError where one is missing."""
    if missing := [component.name for component in found if not component.texts]:
        raise ValueError(f"no licence text found for {', '.join(missing)}")
    parts = [f"telemetry-forwarder\n\n{own.read_text()}"]
    parts += [f"{part.name} {part.version} ({part.licence})\n\n" + "\n".join(part.texts) for part in found]
    return f"\n{'=' * 80}\n".join(parts)


def _cpython() -> Component:
    version = platform.python_version()
    texts = [Path(sysconfig.get_path("stdlib"), "LICENSE.txt")]
    texts += [Path(f"/usr/share/doc/python{sysconfig.get_python_version()}/copyright")]
    texts += Path("/usr/share/licenses").glob(f"python{sysconfig.get_python_version()}*/LICENSE")
    return Component("cpython", version, f"pkg:generic/cpython@{version}", "Python-2.0", _texts(texts))


def _of_distribution(distribution: importlib.metadata.Distribution) -> Component:
    metadata = distribution.metadata
    name, version = distribution.name, distribution.version
    said = [text for field in ("License-Expression", "License") for text in metadata.get_all(field) or []]
    said += [text.rpartition(" :: ")[2] for text in metadata.get_all("Classifier") or [] if text.startswith("License")]
    licence = next((text for text in said if "\n" not in text), "see its text")
    files = [file for file in distribution.files or () if ".dist-info/" in str(file)]
    texts = [Path(str(file.locate())) for file in files if _is_licence(file.name)]
    return Component(name, version, f"pkg:pypi/{name.lower()}@{version}", licence, _texts(texts))


def _of_sources(folder: Path) -> list[Component]:
    """The source packages that were compiled, but for libffi: it is linked into ctypes, which stays out."""
    found = []
    for line in (folder / "sources.txt").read_text().splitlines():
        source, version, digest = line.split()
        name = "cpython" if source.startswith("python") else source
        purl = f"pkg:deb/debian/{source}@{quote(version, safe=':~')}?arch=source"
        texts = _texts([folder / "licences" / source])
        if source != "libffi":
            found.append(Component(name, version, purl, "see its text", texts, digest))
    return found


def _of_packages(folder: Path) -> list[Component]:
    """The packages of PyPI whose headers, or whose library for C++, are in what was compiled."""
    packages = folder / "packages.txt"
    found = []
    for line in packages.read_text().splitlines() if packages.exists() else ():
        name, version = line.split()
        texts = _texts([folder / "licences" / name])
        found.append(Component(name, version, f"pkg:pypi/{name}@{version}", "see its text", texts))
    return found


def _of_system(library: str) -> Component:
    """The operating system's package that a shared library came from."""
    path = next(Path(folder, library) for folder in _library_folders() if Path(folder, library).exists())
    if shutil.which("dpkg-query"):
        for spelled in (path.resolve(), Path(str(path.resolve()).removeprefix("/usr"))):
            owner = subprocess.run(["dpkg-query", "-S", spelled], capture_output=True, text=True, check=False).stdout
            if owner:
                name = owner.partition(":")[0]
                version = _output("dpkg-query", "-W", "-f", "${Version}", owner.partition(": ")[0])
                texts = _texts([Path("/usr/share/doc", name, "copyright")])
                return Component(name, version, f"pkg:deb/debian/{name}@{version}", "see its text", texts)
    name, version = _output("rpm", "-qf", "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}", str(path)).split()
    licence = _output("rpm", "-q", "--queryformat", "%{LICENSE}", name)
    texts = _texts(sorted(Path("/usr/share/licenses", name).glob("*")))
    return Component(name, version, f"pkg:rpm/amzn/{name}@{version}", licence, texts)


def _library_folders() -> list[str]:
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    return [f"/usr/lib/{multiarch}", f"/lib/{multiarch}", "/usr/lib64", "/lib64", "/usr/lib", "/usr/local/lib"]


def _is_licence(name: str) -> bool:
    return name.upper().startswith(("LICEN", "COPYING", "NOTICE", "AUTHORS"))


def _texts(paths: list[Path]) -> tuple[str, ...]:
    return tuple(path.read_text(errors="replace") for path in paths if path.is_file())


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
