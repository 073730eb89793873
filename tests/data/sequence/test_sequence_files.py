"""Sequences out of files or groups of rows: their classes, their lengths, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import couloir
from couloir.cli.predict import main as predict
from couloir.config.check import checked
from couloir.data.sequence.sequence_files import inspect, sequences_csv
from couloir.data.sequence.sequences import Sequences
from couloir.errors import CouloirError
from couloir.ragged import Padded

LENGTHS = [3, 5, 4, 6, 3, 4, 5, 6, 3, 4]
KEYS: dict[str, Any] = {"target": None, "group": None, "labels": None, "ignore": [], "length": None}


def steps(number: int) -> list[tuple[float, float]]:
    return [(number + step / 10, -step) for step in range(LENGTHS[number])]


def groups(folder: Path, target: Any = lambda number: "ab"[number % 2], header: str = "id,kind,x,y") -> Path:
    rows = [f"s{number},{target(number)},{x},{y}" for number in range(10) for x, y in steps(number)]
    file = folder / "groups.csv"
    file.write_text("\n".join([header, *rows]) + "\n")
    return file


def files(folder: Path, by_class: bool = True) -> Path:
    root = folder / "files"
    for number in range(10):
        below = root / "ab"[number % 2] if by_class else root
        below.mkdir(parents=True, exist_ok=True)
        below.joinpath(f"{number}.csv").write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in steps(number)))
    return root


def loaded(path: Path, **keys: Any) -> Sequences:
    stated = {**KEYS, "path": str(path), **keys}
    facts = inspect("sequences_csv", stated)
    stated |= {name: facts[name] for name in ("task", "fields", "channels", "num_classes", "classes")}
    data = sequences_csv(**stated, batch_size=4, seed=1, val_fraction=0.2, test_fraction=0.2)
    data.setup()
    return data


def of_splits(data: Sequences) -> dict[float, Any]:
    """The target of each sequence by the number of its first value."""
    found = {}
    for split in data.splits.values():
        for number, target in zip(split.indices.tolist(), split.targets.tolist(), strict=True):
            field: Any = split.source
            stretch = field.fields["series"]
            found[float(stretch.values[stretch.starts[number], 0])] = target
    return found


def test_groups_of_rows_and_files_in_folders_are_the_same_sequences(tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("file,kind\n" + "".join(f"{number}.csv,{'ab'[number % 2]}\n" for number in range(10)))
    (tmp_path / "loose").mkdir()
    for data in (
        loaded(groups(tmp_path), group="id", target="kind"),
        loaded(files(tmp_path)),
        loaded(files(tmp_path / "loose", by_class=False), labels=str(labels)),
    ):
        assert (data.classes, data.channels, sum(data.sizes().values())) == (["a", "b"], 2, 10)
        assert of_splits(data) == {float(number): number % 2 for number in range(10)}
        batch = data.example_batch(4)
        assert isinstance(batch["series"], Padded)


def test_batches_are_padded_and_standardised_by_the_steps_that_are_there(tmp_path: Path) -> None:
    data = loaded(groups(tmp_path), group="id", target="kind")
    train = data.splits["train"].indices
    values = np.concatenate([steps(number) for number in train.tolist()])
    assert data.mean == pytest.approx(values.mean(axis=0))
    assert data.std == pytest.approx(values.std(axis=0))
    series: Any = data.example_batch(3, first=True)["series"]
    for number, sample in zip(train[:3].tolist(), series.samples(), strict=True):
        expected = (np.array(steps(number)) - values.mean(axis=0)) / values.std(axis=0)
        assert sample.numpy() == pytest.approx(expected, abs=1e-5)


def test_numbers_as_targets_are_a_regression_and_few_integers_are_classes(tmp_path: Path) -> None:
    keys = {**KEYS, "group": "id", "target": "kind"}
    found = inspect("sequences_csv", {**keys, "path": str(groups(tmp_path, lambda number: number / 4))})
    assert (found["task"], found["num_classes"], found["fields"]["value"]) == ("regression", 1, "value")
    found = inspect("sequences_csv", {**keys, "path": str(groups(tmp_path, lambda number: f"{number % 3}.0"))})
    assert (found["task"], found["classes"]) == ("sequence_classification", ["0", "1", "2"])


def test_sequences_are_cut_to_the_steps_that_are_stated(tmp_path: Path) -> None:
    data = loaded(groups(tmp_path), group="id", target="kind", length=3)
    assert (
        inspect("sequences_csv", {**KEYS, "path": str(groups(tmp_path)), "group": "id", "target": "kind"})["length"]
        == 6
    )
    assert tuple(data.example_batch(4)["series"].shape) == (4, 3, 2)


@pytest.mark.parametrize(
    ("change", "keys", "fact"),
    [
        (("s3,b,3.2,-2", "s3,a,3.2,-2"), {}, "has the classes 'b' and 'a'"),
        (("s3,b,3.2,-2", "s3,b,,-2"), {}, "'x' is empty"),
        (("s3,b,3.2,-2", "s3,b,much,-2"), {}, "'x' is 'much'"),
        (("s3,b,3.2,-2", ",b,3.2,-2"), {}, "The group 'id' is empty"),
        (("s3,b,3.2,-2", "s3,,3.2,-2"), {}, "The class 'kind' is empty"),
        (None, {"target": "sort"}, "no column 'sort'"),
        (None, {"target": None}, "nothing says its class"),
        (None, {"group": None}, "a column of a table with groups"),
        (None, {"labels": "labels.csv"}, "data.labels says the classes of files"),
        (None, {"group": None, "target": None}, "nothing says which of its rows are a sequence"),
        (None, {"path": "nowhere"}, "no file or folder"),
        (None, {"task": "regression"}, "is not a number, and a regression"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(
    tmp_path: Path, change: tuple[str, str] | None, keys: dict[str, Any], fact: str
) -> None:
    file = groups(tmp_path)
    if change is not None:
        text = file.read_text()
        assert change[0] in text
        file.write_text(text.replace(*change, 1))
    with pytest.raises(CouloirError, match=fact) as caught:
        inspect("sequences_csv", {**KEYS, "path": str(file), "group": "id", "target": "kind", **keys})
    assert caught.value.next_step
    if change is not None:
        assert "groups.csv, line " in str(caught.value.place)


@pytest.mark.parametrize(
    ("file", "text", "fact"),
    [
        ("a/2.csv", "x,z\n1,2\n", "no column 'y'"),
        ("a/2.csv", "x,y,z\n1,2,3\n", "additional column 'z'"),
        ("a/0.csv", "x,y\n", "no row below its header"),
        ("0.csv", "x,y\n1,2\n", "lies in no folder of a class"),
    ],
)
def test_files_that_do_not_go_together_are_refused(tmp_path: Path, file: str, text: str, fact: str) -> None:
    root = files(tmp_path)
    root.joinpath(file).write_text(text)
    with pytest.raises(CouloirError, match=fact):
        inspect("sequences_csv", {**KEYS, "path": str(root)})


def test_labels_and_files_must_know_each_other(tmp_path: Path) -> None:
    root, labels = files(tmp_path, by_class=False), tmp_path / "labels.csv"
    rows = [f"{number}.csv,{'ab'[number % 2]}" for number in range(10)]
    for wrong, fact in (
        ([*rows, "10.csv,a"], "There is no file"), ([*rows, rows[0]], "named twice"), (rows[1:], "no row for 1 of 10"),
        ([*rows[1:], "0.csv,"], "The class of 0.csv is empty"),
    ):  # fmt: skip
        labels.write_text("file,kind\n" + "\n".join(wrong) + "\n")
        with pytest.raises(CouloirError, match=fact):
            inspect("sequences_csv", {**KEYS, "path": str(root), "labels": str(labels)})


def test_a_sentence_trains_and_its_run_answers_about_another_table(tmp_path: Path) -> None:
    words = [
        "data=sequences_csv", f"data.path={groups(tmp_path)}", "data.group=id", "data.target=kind", "model.width=4",
        "trainer=cpu", "trainer.max_epochs=1", "logger=none", f"output_dir={tmp_path / 'outputs'}",
    ]  # fmt: skip
    assert checked(words).cfg.task.answers == "sequence"
    run = couloir.load(couloir.train(couloir.compose(words)).dir)
    new = tmp_path / "new.csv"
    new.write_text("y,id,x\n" + "".join(f"{y},s{number},{x}\n" for number in (7, 2) for x, y in steps(number)))
    answers = run(new)
    alone = tmp_path / "alone.csv"
    alone.write_text("y,id,x\n" + "".join(f"{y},s2,{x}\n" for x, y in steps(2)))
    assert len(answers) == 2
    assert answers[1].probabilities == pytest.approx(run(alone)[0].probabilities, abs=1e-6)


def test_a_run_on_files_is_asked_about_folders_of_files_and_compared_with_their_classes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = files(tmp_path)
    words = [
        "data=sequences_csv", f"data.path={root}", "model.width=4", "trainer=cpu", "trainer.max_epochs=1", "test=false",
        "logger=none", f"output_dir={tmp_path / 'outputs'}",
    ]  # fmt: skip
    run = couloir.train(couloir.compose(words)).dir
    assert len(couloir.load(run)(root)) == 10
    root.joinpath("a", "notes.md").write_text("kept beside")
    capfd.readouterr()
    assert predict([str(run), str(root), str(root / "a" / "0.csv")]) == 0
    said = capfd.readouterr()
    rows = said.out.splitlines()
    assert rows[0].startswith("file,line,truth,prediction")
    assert [row.split(",")[2] for row in rows[1:]] == [*"aaaaabbbbb", ""]
    assert "not tables: 1 *.md" in said.err
    assert "of the 10 whose truth is known" in said.err
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CouloirError, match="There is no table in"):
        predict([str(run), str(root), str(empty)])
