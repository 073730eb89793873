"""A film of what cannot be filmed is refused before torch is imported, and one of what can is not."""

from __future__ import annotations

from pathlib import Path

import pytest

import couloir
from couloir.errors import CouloirError

FILM = "callbacks.film=true"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=iris", FILM], "data=iris has 4 inputs"),
        (["data=linnerud", FILM], "data=linnerud has 3 inputs and 3 values"),
        (["data=digits", "task=vae", FILM], "task=vae has a film already"),
        (["data=digits", "trainer.compile=true", FILM], "one program of them"),
        (["data=digits", "trainer.strategy=fsdp", FILM], "cuts it into shares"),
        (["data=moons", "callbacks.filming.every_n_epochs=5"], "every_n_epochs=5 is of callbacks.film=true"),
        (["data=moons", "callbacks.landscape.points=5"], "points=5 is of callbacks.landscape.draw=true"),
        (["data=moons", "callbacks.landscape.draw=true", "trainer.strategy=fsdp"], "draw=true needs the whole network"),
        (["data=moons", "callbacks.noise.weights=0.1", "trainer=ddp", "trainer.devices=2"], "draws in one process"),
        (["data=moons", "callbacks.film=often"], "callbacks.film takes true or false, not often"),
        (["data=moons", "callbacks.pictures=null"], "callbacks.pictures takes true or false, not null"),
        (["data=moons", "+callbacks.flim=true"], "Nothing reads the key|not a choice with keys"),
    ],
)
def test_what_cannot_be_filmed_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(CouloirError, match=said):
        couloir.compose(words)


def test_two_categories_are_no_two_numbers(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("colour,kind\n" + "red,a\ngreen,b\n" * 20)
    with pytest.raises(CouloirError, match="has 2 inputs"):
        couloir.compose(["data=csv", f"data.path={file}", "data.target=kind", FILM])


def test_what_can_be_filmed_is_left_alone() -> None:
    for words in (["data=line"], ["data=spirals", "callbacks.filming.every_n_epochs=5"], ["data=digits"]):
        assert couloir.compose([*words, FILM])
