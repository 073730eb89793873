"""Where flags may stand among the words of `train`."""

from __future__ import annotations

import pytest

from couloir.cli import train
from couloir.cli.main import run


@pytest.mark.parametrize("place", [0, 1, 2])
def test_words_of_a_sweep_may_stand_before_and_after_its_flag(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    words, swept = ["data=iris", "seed=1,2"], list[list[str]]()

    def sweep(words: list[str], command: list[str]) -> None:
        swept.append(words)

    monkeypatch.setattr(train, "_sweep", sweep)
    monkeypatch.setattr(train.Answer, "about_sweep", lambda self, end: 0)
    assert run(["train", *words[:place], "-m", *words[place:]]) == 0
    assert swept == [words]


def test_hydras_own_flags_may_stand_between_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "data=iris", "--cfg", "job", "seed=7"]) == 0
    assert capsys.readouterr().out.startswith("seed: 7\n")
    assert run(["train", "-m", "--cfg", "job", "seed=7,8"]) == 2
    assert "next:  leave -m out" in capsys.readouterr().err
    assert run(["train", "data=iris", "--cfq", "job", "seed=7"]) == 2
    assert "There is no flag '--cfq'" in capsys.readouterr().err
