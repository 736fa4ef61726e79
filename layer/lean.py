"""Copies of packages that load less: imports wait for the first call that needs them; where there is none, they go.

boto3's resources and its transfers to S3 are never called, nor are asyncio's streams and its own event loop. It is done
to the bundle and nowhere else: from source, the packages are as they were published. Every edit must fit, so that a
version that has changed stops the build.
"""

from __future__ import annotations

import dis
import shutil
from typing import TYPE_CHECKING

from layer import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

S3_TRANSFERS = """\
        self._session.register(
            'creating-client-class.s3',
            boto3.utils.lazy_call(
                'boto3.s3.inject.inject_s3_transfer_methods'
            ),
        )
"""
RESOURCES = """\
        self.resource_factory = ResourceFactory(
            self._session.get_component('event_emitter')
        )
"""
XML = """\
from xml.etree import ElementTree as ETree
from xml.etree.ElementTree import ParseError as XMLParseError
"""
FLAGS = "dis.COMPILER_FLAG_NAMES.items()"
UNIX_EVENTS = """\
else:
    from .unix_events import *  # pragma: no cover
    __all__ += unix_events.__all__
"""
# By file: what is taken out of it, and what comes in its place.
EDITS: dict[str, list[tuple[str, str]]] = {
    "boto3/compat.py": [
        ("from s3transfer.manager import TransferConfig\n", ""),
        ("hasattr(TransferConfig, 'UNSET_DEFAULT')", "False"),
    ],
    "boto3/session.py": [
        ("from .resources.factory import ResourceFactory\n", ""),
        (RESOURCES, ""),
        (S3_TRANSFERS, ""),
    ],
    # XML is for S3 and STS; in compat others could find it, so that it could not wait there
    "botocore/compat.py": [("import xml.etree.ElementTree as ETree\nXMLParseError = ETree.ParseError\n", "")],
    "botocore/handlers.py": [
        ("    ETree,\n", ""),
        ("    XMLParseError,\n", ""),
        ("import uuid\n", f"import uuid\n{XML}"),
    ],
    "botocore/parsers.py": [("from botocore.compat import ETree, XMLParseError\n", XML)],
    "botocore/response.py": [("    XMLParseError,  # noqa: F401\n", "")],
}
# By file: which of its imports wait, as layer/later.py names them.
LATER: dict[str, tuple[str, ...]] = {
    "botocore/auth.py": ("calendar",),
    "botocore/compat.py": ("shlex",),
    "botocore/configloader.py": ("configparser", "shlex"),
    "botocore/credentials.py": ("dateutil.parser", "parse", "tzlocal", "tzutc"),
    "botocore/docs/__init__.py": ("ServiceDocumenter",),
    "botocore/docs/docstring.py": (
        "DocumentStructure",
        "document_model_driven_method",
        "document_paginate_method",
        "document_wait_method",
    ),
    "botocore/handlers.py": ("ETree", "XMLParseError"),
    "botocore/paginate.py": ("jmespath",),
    "botocore/parsers.py": ("ETree", "XMLParseError"),
    "botocore/regions.py": ("jmespath",),
    "botocore/serialize.py": ("ElementTree", "calendar"),
    "botocore/tokens.py": ("dateutil.parser", "tzutc"),
    "botocore/utils.py": ("Path", "dateutil.parser", "ip_address", "tempfile", "tzutc"),
    "botocore/waiter.py": ("jmespath",),
    "urllib3/fields.py": ("mimetypes",),
    "urllib3/http2/__init__.py": ("version",),
}
# The same for CPython's own library, of the version that the layer brings.
LIBRARY_EDITS: dict[str, list[tuple[str, str]]] = {
    "asyncio/__init__.py": [
        ("from .streams import *\n", ""),
        ("from .subprocess import *\n", ""),
        ("           streams.__all__ +\n", ""),
        ("           subprocess.__all__ +\n", ""),
        (UNIX_EVENTS, ""),  # the loop is uvloop's
    ],
    # each annotation of each NamedTuple would be compiled; whoever evaluates one, which nobody does, takes text as well
    "typing.py": [("code = compile(arg_to_compile, '<string>', 'eval')", "code = arg_to_compile")],
    "inspect.py": [(FLAGS, f"{dis.COMPILER_FLAG_NAMES}.items()")],
}
LIBRARY_LATER: dict[str, tuple[str, ...]] = {
    "email/_policybase.py": ("header",),
    "email/message.py": ("quopri",),
    "email/encoders.py": ("_encodestring",),
    "inspect.py": ("ast", "dis", "linecache", "tokenize"),
    "subprocess.py": ("locale",),
    "traceback.py": ("textwrap",),
    "urllib/parse.py": ("ipaddress",),
    "urllib/request.py": ("ContentTooShortError", "HTTPError", "URLError", "addclosehook", "addinfourl", "tempfile"),
}


def write(site: Path, folder: Path) -> None:
    """Copy the packages from `site` to `folder`, edited. Raises ValueError where a package has changed."""
    _write(site, folder, EDITS, LATER)


def write_library(library: Path, folder: Path) -> None:
    """Copy modules of CPython's library, as `write` does."""
    _write(library, folder, LIBRARY_EDITS, LIBRARY_LATER)


def edited(name: str, text: str, edits: Iterable[tuple[str, str]], wait: Iterable[str] = ()) -> str:
    """The text of a file with its edits, and with the imports that wait."""
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{name} of the version that is pinned has changed: layer/lean.py does not fit it")
        text = text.replace(old, new)
    try:
        return later.defer(text, {*wait}) if wait else text
    except ValueError as error:
        raise ValueError(f"{name} of the version that is pinned has changed: {error}") from None


def _write(
    source: Path, folder: Path, edits: Mapping[str, list[tuple[str, str]]], later_: Mapping[str, tuple[str, ...]]
) -> None:
    names = sorted({*edits, *later_})
    for top in sorted({name.partition("/")[0] for name in names}):
        if (source / top).is_dir():
            shutil.copytree(source / top, folder / top, ignore=shutil.ignore_patterns("__pycache__", "data", "test*"))
        else:
            shutil.copy(source / top, folder / top)
    for name in names:
        path = folder / name
        path.write_text(edited(name, path.read_text(), edits.get(name, ()), later_.get(name, ())))
