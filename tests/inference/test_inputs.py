"""Which files a run takes: a run that takes others says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.config.check import checked
from couloir.errors import CouloirError
from couloir.inference.inputs import ARRAYS, TABLE, Inputs, check_answered, check_kinds


def test_a_language_model_that_is_handed_a_text_names_the_verb_that_goes_on_with_it() -> None:
    cfg = checked(["data=descriptions"]).cfg
    with pytest.raises(CouloirError, match="goes on with texts") as caught:
        check_answered(Inputs(TABLE, [Path("book.txt")]), cfg, Path("run"))
    assert "couloir sample RUN --prompt" in str(caught.value.next_step)
    check_kinds(Inputs(TABLE, [Path("book.txt")]), cfg, Path("run"))  # whose next tokens can be explained
    check_kinds(Inputs(ARRAYS, []), cfg, Path("run"))
    check_answered(Inputs(ARRAYS, []), cfg, Path("run"))
