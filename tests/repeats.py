"""Cases that all show the same: a few of them run in `make test`, all in `make faults`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def few(cases: Iterable[Any], kept: int) -> list[Any]:
    """The first cases as they are, and the others marked slow; a case may be a tuple of arguments."""
    found = list(cases)
    assert len(found) > kept, "nothing is left out"
    others = [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow) for case in found[kept:]
    ]
    return [*found[:kept], *others]
