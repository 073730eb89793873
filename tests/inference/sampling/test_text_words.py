"""What `couloir sample` is asked of a run that writes text, before torch: what says nothing is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from couloir.errors import CouloirError
from couloir.inference.sampling import text_words
from couloir.inference.sampling.words import FOLDER, TXT, check_place

RUN = Path("outputs/train/mine")


def flags(**stated: Any) -> dict[str, Any]:
    names = [*text_words.FLAGS, "--count", "--seed", "--class", "--output"]
    return {name: stated.get(name.strip("-").replace("-", "_")) for name in names}


def wanted(mode: str = "", files: tuple[str, ...] = (), **stated: Any) -> text_words.WantedText:
    return text_words.wanted_text(flags(**stated), mode, files, RUN, "outputs")


def test_a_run_of_next_token_writes_and_others_do_not() -> None:
    node = {"task": {"_target_": "couloir.task.next_token.NextToken"}, "data": {"fields": {"text": "tokens"}}}
    assert text_words.writes_text(OmegaConf.create(node))
    node["task"]["_target_"] = "couloir.task.vae.VAE"  # type: ignore[index]
    assert not text_words.writes_text(OmegaConf.create(node))


def test_what_is_not_said_is_filled_in() -> None:
    found = wanted()
    assert (found.prompt, found.tokens, found.count, found.seed) == ("", 500, 1, 0)
    assert (found.temperature, found.top_k, found.top_p, found.form) == (1.0, None, None, TXT)
    assert found.output.parent == RUN / "samples"


def test_the_same_words_write_the_same_file_and_others_another() -> None:
    assert wanted(prompt="a", seed=3).output == wanted(prompt="a", seed=3).output
    assert wanted(prompt="a", seed=3).output != wanted(prompt="b", seed=3).output
    checkpoint = text_words.wanted_text(flags(), "", [], RUN / "checkpoints/last.ckpt", "outputs")
    assert checkpoint.output.parent == RUN / "samples"
    assert checkpoint.output.stem.endswith("_last")


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({"class": "7"}, "--class is of pictures"),
        ({"temperature": 0, "top_k": 3}, "--top-k says nothing"),
        ({"temperature": 0, "top_p": 0.5}, "--top-p says nothing"),
        ({"temperature": 0, "seed": 0}, "--seed says nothing"),
        ({"temperature": 0, "count": 2}, "--count says nothing"),
        ({"seed": 2**63}, "--seed takes an integer up to"),
        ({"tokens": 2_000_000}, "--tokens takes at most 1,000,000"),
        ({"output": "a.png"}, "ends in .png, and texts go to FILE.txt or FOLDER"),
        ({"mode": "--latent"}, "--latent is of pictures"),
        ({"files": ("a.txt",)}, "a run that writes text takes no files"),
    ],
)
def test_what_is_of_pictures_or_says_nothing_is_refused(stated: dict[str, Any], said: str) -> None:
    with pytest.raises(CouloirError) as refused:
        wanted(**stated)
    assert said in str(refused.value)


@pytest.mark.parametrize("flag", text_words.FLAGS)
def test_what_is_of_texts_is_refused_where_pictures_are_made(flag: str) -> None:
    text_words.refuse_text_flags(flags(), RUN)
    with pytest.raises(CouloirError, match=f"{flag} is of a text"):
        text_words.refuse_text_flags(flags(**{flag.strip("-").replace("-", "_"): 0}), RUN)


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("poem")
    with pytest.raises(CouloirError, match="exists already, and is not replaced"):
        check_place(file, TXT, own=False)
    check_place(file, TXT, own=True)
    assert wanted(output=f"{tmp_path}/new/").form == FOLDER
