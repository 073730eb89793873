"""Texts that a run is asked about: the answer to each line, in a file of lines or a table, and what is refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import torch

import couloir
from couloir.cli.main import run as command
from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.trained import Trained
from couloir.record.predictions import read_predictions
from finished_runs import FinishedRuns

Capture = pytest.CaptureFixture[str]


def asked(words: list[str], capsys: Capture, status: int = 0) -> tuple[str, str]:
    """What stands on standard output and on standard error."""
    capsys.readouterr()
    assert command(["predict", *words]) == status
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_each_line_is_answered_as_the_runs_own_test_answers_it(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("translation")
    known = list(read_predictions(run))
    file = tmp_path / "sources.txt"
    file.write_text("\n\n".join(row["source"] for row in known) + "\n")
    out, err = asked([str(run), str(file)], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["text"], row["prediction"]) for row in rows] == [(row["source"], row["prediction"]) for row in known]
    assert [row["line"] for row in rows] == [str(1 + 2 * number) for number in range(len(known))]
    assert f"{file}, line 2: is empty" in err


def test_a_column_is_read_by_the_name_of_the_source_and_a_beam_writes_what_the_task_does(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("translation")
    file = tmp_path / "pairs.csv"
    file.write_text("id,source\n7,abca\n8,cb\n")
    out, _ = asked([str(run), str(file), "--json", "task.beam=3"], capsys)
    trained = Trained(run_config(run), run)
    trained.task.beam = 3  # type: ignore[assignment]
    numbers = [trained.data.vocabulary.encode(text) for text in ("abca", "cb")]
    alone = [trained.answer(trained.prepare(torch.tensor([each]))) for each in numbers]
    written = [trained.task.columns(answer)["prediction"] for answer in alone]
    assert [json.loads(line) for line in out.splitlines()] == [
        {"line": 2, "text": "abca", "prediction": written[0][0]},
        {"line": 3, "text": "cb", "prediction": written[1][0]},
    ]


@pytest.mark.parametrize(
    ("name", "content", "fact", "place"),
    [
        ("a.txt", b"ab\nac!b\n", "a.txt has '!', which the run does not know", "a.txt, line 2"),
        ("a.txt", b"\n \n", "a.txt has no text", "a.txt"),
        ("a.txt", b"ab\n\xff\n", "is no UTF-8", "a.txt, line 2"),
        ("a.csv", b"id,text\n1,ab\n", "a.csv has no column source", "columns: id, text"),
        ("a.png", b"", "takes tables, and the inputs are photographs", ""),
    ],
)
def test_what_is_no_text_of_the_runs_characters_is_refused_with_its_line(
    name: str, content: bytes, fact: str, place: str, finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / name).write_bytes(content)
    out, err = asked([str(finished("translation")), str(tmp_path / name)], capsys, status=2)
    assert out == ""
    assert fact in err
    assert place in err


def test_several_runs_that_translate_are_refused_together(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "a.txt").write_text("ab\n")
    run = str(finished("translation"))
    _, err = asked([run, run, str(tmp_path / "a.txt")], capsys, status=2)
    assert "no mean" in err


def test_an_evaluation_may_write_by_a_beam(
    finished: FinishedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(["evaluate", str(finished("translation")), "task.beam=2"]) == 0
    folder = next((tmp_path / "outputs/evaluate").glob("2*"))
    assert len(list(read_predictions(folder))) == 4
    assert "exact_match" in capsys.readouterr().out


def test_the_class_of_each_text_is_told_as_the_network_tells_it(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("texts")
    texts = [text for text, _ in finished.texts()[:5]]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join([*texts, "", "good unheardof"]) + "\n")
    out, err = asked([str(run), str(file)], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["line"] for row in rows] == ["1", "2", "3", "4", "5", "7"]
    assert f"{file}, line 6: is empty" in err
    trained = Trained(run_config(run), run)
    vocabulary = trained.data.vocabulary
    for row in rows:
        tokens = vocabulary.encode(row["text"])[:4]
        alone = trained.answer(trained.prepare(torch.tensor([tokens])))[0].tolist()
        assert [float(row["p(n)"]), float(row["p(p)"])] == pytest.approx(alone, abs=1e-6)
        assert row["prediction"] == "np"[alone[1] > alone[0]]
    assert vocabulary.encode("unheardof") == [vocabulary.numbers["<unknown>"]]


def test_classes_beside_texts_are_compared_and_other_classes_are_refused(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run = finished("texts")
    file = tmp_path / "texts.csv"
    file.write_text(
        "id,mood,review\n" + "".join(f"{n},{mood},{text}\n" for n, (text, mood) in enumerate(finished.texts()))
    )
    out, err = asked([str(run), str(file)], capsys)
    rows = list(csv.DictReader(io.StringIO(out)))
    right = sum(row["truth"] == row["prediction"] for row in rows) / len(rows)
    assert f"accuracy {right:.4f}"[:12] in err
    file.write_text("mood,review\np,good film\n,bad film\n")
    assert "of the 1 whose truth is known" in asked([str(run), str(file)], capsys)[1]
    file.write_text("mood,review\np,good film\nsad,bad film\n")
    assert "The class 'sad' is none of the run's: n, p" in asked([str(run), str(file)], capsys, status=2)[1]
    file.write_text("mood,story\np,good film\n")
    assert "has no column review" in asked([str(run), str(file)], capsys, status=2)[1]


def test_a_loaded_run_takes_texts_and_files_of_texts(finished: FinishedRuns, tmp_path: Path) -> None:
    loaded = couloir.load(finished("texts"))
    texts = [text for text, _ in finished.texts()[:3]]
    answers = loaded(texts)
    assert [answer.label for answer in answers] == [loaded(text).label for text in texts]
    assert loaded([]) == []
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts))
    assert [answer.probabilities for answer in loaded(file)] == [answer.probabilities for answer in answers]
    with pytest.raises(CouloirError, match="A text is empty"):
        loaded(["good", " "])
