"""Texts with a class: the vocabulary is that of the training split, and rows that cannot be used are named."""

from __future__ import annotations

import csv
import html
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import couloir
from couloir.data.sequence.sequences import Sequences
from couloir.data.sequence.text_csv import count, inspect, read_texts, text_csv
from couloir.data.sequence.vocabulary import UNKNOWN
from couloir.errors import CouloirError
from couloir.ragged import Padded
from couloir.report import gallery

KEYS: dict[str, Any] = {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 0, "batch_size": 8}
ROWS = [
    (f"word{n} is {'very good' if n % 2 else 'rather bad'} in row {n}", "pos" if n % 2 else "neg") for n in range(60)
]


def written(path: Path, rows: list[tuple[str, str]], header: str = "review,mood") -> Path:
    path.write_text(header + "\n" + "".join(f'"{text}",{label}\n' for text, label in rows))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return written(tmp_path / "t.csv", ROWS)


def loaded(path: Path, **keys: Any) -> Sequences:
    node = {"path": str(path), **KEYS, **keys}
    facts = inspect("text_csv", node)
    data = text_csv(
        task="sequence_classification", fields={"text": "tokens", "label": "label"}, channels=None,
        **{**{name: facts[name] for name in ("classes", "num_classes", "vocabulary_size")}, **node},
    )  # fmt: skip
    data.setup()
    return data


def words_of(data: Sequences, split: str) -> set[str]:
    assert data.vocabulary is not None
    numbers = {
        int(number)
        for batch in data.in_order(split)
        for row in (batch["text"].samples() if isinstance(batch["text"], Padded) else batch["text"])
        for number in row
    }
    return {data.vocabulary.tokens[number] for number in numbers}


def test_the_vocabulary_is_that_of_the_training_split_alone(file: Path) -> None:
    data = loaded(file)
    assert data.vocabulary is not None
    assert set(data.vocabulary.tokens) == words_of(data, "train") | {UNKNOWN}
    assert UNKNOWN in words_of(data, "test"), "each row has a word of its own"
    assert UNKNOWN not in words_of(data, "train")
    assert data.classes == ["neg", "pos"]


def test_each_fold_has_a_vocabulary_of_its_own(file: Path) -> None:
    found = []
    for fold in (0, 1):
        data = loaded(file, folds=3, fold=fold)
        assert data.vocabulary is not None
        assert set(data.vocabulary.tokens) == words_of(data, "train") | {UNKNOWN}
        found.append(set(data.vocabulary.tokens))
    assert found[0] != found[1]
    assert count({"path": str(file), **KEYS}) == (60, None)


def test_words_are_kept_by_how_often_they_are_there(file: Path) -> None:
    few = inspect("text_csv", {"path": str(file), **KEYS, "max_words": 5})
    assert few["vocabulary_size"] == 5
    common = loaded(file, min_count=2)
    assert common.vocabulary is not None
    assert set(common.vocabulary.tokens) == {UNKNOWN, "is", "in", "row", "very", "good", "rather", "bad"}


def test_texts_are_cut_and_the_console_says_how_many(file: Path) -> None:
    data = loaded(file, length=4)
    assert {batch["text"].shape[1] for batch in data.in_order("train")} == {4}
    assert any("60 of 60 texts are cut to their first 4 words" in note for note in data.notes)
    assert inspect("text_csv", {"path": str(file), **KEYS})["length"] == 7


def test_characters_may_be_the_tokens(file: Path) -> None:
    data = loaded(file, tokens="character", lowercase=False)
    assert data.vocabulary is not None
    batch = data.example_batch(1, first=True)
    row = batch["text"].samples()[0] if isinstance(batch["text"], Padded) else batch["text"][0]
    text = data.vocabulary.decode(row.tolist())
    assert text in [text for text, _ in ROWS]


def test_files_of_their_own_are_the_splits(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, part in (("train", ROWS[:40]), ("test", ROWS[40:])):
        written(folder / f"{name}.csv", part)
    data = loaded(folder)
    assert data.sizes() == {"train": 32, "val": 8, "test": 20}
    assert data.vocabulary is not None
    assert set(data.vocabulary.tokens) == words_of(data, "train") | {UNKNOWN}


def test_other_texts_get_the_tokens_of_the_run(file: Path, tmp_path: Path) -> None:
    data = loaded(file)
    other = written(tmp_path / "other.csv", [(f"good bad unheard {n}", "pos" if n % 3 else "neg") for n in range(30)])
    again = text_csv(
        str(other), task="sequence_classification", fields={"text": "tokens", "label": "label"}, channels=None,
        classes=data.classes, num_classes=2, **KEYS,
    )  # fmt: skip
    again.standardised_as(data.state_dict())
    again.setup()
    assert again.vocabulary == data.vocabulary
    assert words_of(again, "test") >= {"good", "bad", UNKNOWN}


def test_columns_are_guessed_where_only_one_may_be_meant(file: Path) -> None:
    found = read_texts({"path": str(file), **KEYS})
    assert found.texts[0] == ROWS[0][0]
    assert found.labels.tolist() == [n % 2 for n in range(60)]


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "header alone": ("t,y\n", {}, "has no text below its header"),
    "target of texts": ("t,y\na b c,x\nd e f,y\n", {"target": "t"}, "names the column of the texts, 't'"),
    "empty text": ("t,y\na b c,x\n , y\nd e f,y\n", {}, "The text in 't' is empty"),
    "empty label": ("t,y\na b c,x\na b d,\nd e f,y\n", {}, "The target 'y' is empty"),
    "no column": ("t,y\na b c,x\na b d,y\n", {"text": "body"}, "'body'"),
    "two texts": ("t,u,y\na b c,d e f,x\na b d,d e g,y\n", {}, "which column has the texts: 2 may: t, u"),
    "two targets": ("t,y,z\na b c,1,x\na b d,2,y\n", {}, "which column has the classes: 2 may: y, z"),
    "one column": ("t,y\na b c,x\na b d,y\n", {"text": "t", "target": "t"}, "name one column"),
    "one class": ("t,y\na b c,x\na b d,x\n", {}, "always 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_table_that_is_no_table_of_texts_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    content, keys, said = WRONG[name]
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(CouloirError, match=said) as caught:
        read_texts({"path": str(path), **KEYS, **keys})
    if name.startswith("empty"):
        assert "t.csv, line 3" in str(caught.value)


def test_rows_without_a_text_may_be_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", [*ROWS, (" ", "pos"), ("a text", "")])
    found = read_texts({"path": str(path), **KEYS, "on_error": "skip"})
    assert len(found.texts) == 60
    assert [row.line for row in found.skipped] == [62, 63]


def test_a_size_that_is_not_that_of_the_vocabulary_is_refused(file: Path) -> None:
    with pytest.raises(CouloirError, match="different tokens, not 7"):
        loaded(file, vocabulary_size=7)


def test_the_check_reads_the_texts_without_torch(file: Path) -> None:
    program = (
        "import sys; from couloir.data.sequence import text_csv, text_file, embedded_sentences; "
        f"text_csv.inspect('text_csv', {{'path': {str(file)!r}, **{KEYS!r}}}); "
        f"embedded_sentences.inspect('description_sentences', {KEYS!r}); "
        f"text_file.inspect('descriptions', {{'length': 32, **{KEYS!r}}}); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", ["description_sentences", "reference_sentences"])
def test_sentences_of_installed_packages_have_several_classes(name: str) -> None:
    from couloir.data.sequence.embedded_sentences import sentences

    found = sentences(name)
    assert len(set(found.texts)) == len(found.texts)
    assert np.bincount(found.labels).min() >= 10
    assert len(found.classes) >= 5


def test_labels_are_learned_and_mistakes_show_their_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # A few labels are wrong, so that a network that has learned the others is wrong about them.
    rows = [(text, "pos" if (label == "pos") != (n % 7 == 0) else "neg") for n, (text, label) in enumerate(ROWS)]
    path = written(tmp_path / "t.csv", rows)
    words = [
        "data=text_csv", f"data.path={path}", "model=text_cnn", "model.embedding=8", "model.maps=4", "trainer=cpu",
        "trainer.max_epochs=6", "optimizer.lr=0.05", "data.batch_size=16", "logger=csv", "metric=kappa",
        "data.test_fraction=0.4",
    ]  # fmt: skip
    result = couloir.train(couloir.compose(words))
    assert result.metrics["test/accuracy"] > 0.6
    assert "test/kappa" in result.metrics
    assert (result.dir / "confusion.csv").is_file()
    assert not (result.dir / "mistakes.png").exists()
    with (result.dir / "mistakes.csv").open(newline="") as stream:
        wrong = list(csv.DictReader(stream))
    assert wrong
    for row in wrong:
        words_said = [word for word in row["text"].split() if word != UNKNOWN]
        assert any(set(words_said) <= set(text.split()) and label == row["label"] for text, label in rows)
        assert {"good", "bad"} & set(words_said)
    found = gallery.mistakes(result.dir)
    assert found is not None
    assert html.escape(wrong[0]["text"]) in found[0]
