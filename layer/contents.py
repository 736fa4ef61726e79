"""What goes into the frozen bundle and what stays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Modules that something in the bundle can do without: each is imported in a `try`, or by functions we never call.
EXCLUDED_MODULES = [
    "OpenSSL",
    "_codecs_cn",
    "_codecs_hk",
    "_codecs_iso2022",
    "_codecs_jp",
    "_codecs_kr",
    "_codecs_tw",
    "_multibytecodec",
    "_pydatetime",
    "_pydecimal",
    "boto3.docs",
    "boto3.dynamodb",
    "boto3.ec2",
    "boto3.resources",
    "boto3.s3",
    "bz2",
    "compression",
    "cryptography",
    "cffi",
    "ctypes",
    "curses",
    "distutils",
    "lzma",
    "multiprocessing",
    "optparse",
    "packaging",
    "pdb",
    "pydoc",
    "readline",
    "s3transfer",
    "setuptools",
    "sqlite3",
    "tkinter",
    "unittest",
    "xml.sax",
    "zstandard._cffi",
    "zstandard.backend_cffi",
]
# What extension modules in C import: PyInstaller can't see it. A package that brings such modules is named in
# requirements/layer.in, here, and in UNWANTED_DATA if it brings sources, too; for Lambda, it needs manylinux2014 wheels
# of both architectures (layer/freeze.sh).
IMPORTED_BY_EXTENSIONS = ["httptools.parser.errors", "isal._isal", "isal.igzip_lib", "isal.isal_zlib"]
# What PyInstaller takes from this machine for a library that layer/needless.py takes off the lists of those who do not
# use it; where one is used after all, the audit says so.
UNWANTED_BINARIES = ("libgcc_s.so.1", "libstdc++.so.6")
WANTED_DATA = (".pyc", "botocore/cacert.pem")
UNWANTED_DATA = ("boto3/", "botocore/", "httptools/", "isal/", "uvloop/", "zstandard/")


def hidden_imports(root: Path) -> list[str]:
    """Every module of the forwarder: sinks are imported by name, so PyInstaller can't see them."""
    paths = [path.relative_to(root).with_suffix("") for path in sorted((root / "extension").rglob("*.py"))]
    return IMPORTED_BY_EXTENSIONS + [".".join(path.parts).removesuffix(".__init__") for path in paths]


def is_unwanted_data(name: str) -> bool:
    """Whether a data file stays out: botocore's, of which aws_data has a pruned copy, and sources of extensions.

    So does what CPython was configured with: it names folders of the machine that compiled it.
    """
    return name.startswith("_sysconfigdata") or (name.startswith(UNWANTED_DATA) and not name.endswith(WANTED_DATA))
