"""What a layer table gives a network is what the data will give it."""

from __future__ import annotations

from typing import Any

import pytest

from couloir.config.given import Given, given_by, in_words

KINDS: list[tuple[dict[str, Any], list[Given]]] = [
    ({"fields": {"x": "image", "y": "label"}, "channels": 3, "image_size": [4, 6]}, [Given((3, 4, 6))]),
    ({"fields": {"x": "row", "y": "value"}, "channels": 5, "image_size": None}, [Given((5,))]),
    ({"fields": {"x": "series", "y": "future"}, "channels": 2, "length": 9, "image_size": None}, [Given((9, 2))]),
    ({"fields": {"x": "video", "y": "label"}, "channels": 1, "length": 8, "image_size": 16}, [Given((1, 8, 16, 16))]),
    ({"fields": {"x": "tokens", "y": "target_tokens"}, "channels": None, "length": 7, "task": "next_token"},
     [Given((7,), tokens=True)]),
    ({"fields": {"x": "tokens", "y": "target_tokens"}, "channels": None, "length": 7, "task": "translation"},
     [Given((7,), tokens=True)] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("data", "given"), KINDS)
def test_each_kind_of_input_has_its_form(data: dict[str, Any], given: list[Given]) -> None:
    assert given_by(data) == given


def test_inputs_are_told_in_words_and_in_bytes() -> None:
    assert in_words([Given((3, 4, 6))]) == "3 x 4 x 6"
    assert in_words([Given((7,), tokens=True)] * 2) == "7 and 7"
    assert (Given((7,), tokens=True).bytes, Given((7,)).bytes) == (56, 28)
