from __future__ import annotations

import json
from typing import NoReturn

import pytest

from extension import lenient

HALF = r'"\ud800"'


def refuse(constant: str) -> NoReturn:
    """No parser but Python's own reads these."""
    raise AssertionError(constant)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("[1e400]", [None]),
        (f"[-1e400,{HALF}]", [None, "\ud800"]),
        (f'[NaN,"NaN",{HALF}]', [None, "NaN", "\ud800"]),
        (f'["Infinity",1.5,{HALF}]', ["Infinity", 1.5, "\ud800"]),
        (f"[{2**70},{HALF}]", [float(2**70), "\ud800"]),
        ("[18446744073709551616]", [2**64]),
    ],
)
def test_what_is_written_is_json(read: str, written: object) -> None:
    """Numbers too large, and half surrogate pairs beside them, are written so that any parser reads them."""
    text = lenient.dumps(lenient.loads_printed(read))
    assert json.loads(text, parse_constant=refuse) == written
