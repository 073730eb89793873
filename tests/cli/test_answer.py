"""`--json` prints one object of plain numbers, whatever ends the verb, and `--quiet` prints nothing."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import pytest

from couloir.cli.answer import Answer
from couloir.cli.main import run
from couloir.errors import Interrupted
from couloir.log import quiet, say
from couloir.record.folder import RunFolder

LINE = ["data=line", "data.samples=60", "trainer.max_epochs=4", "trainer=cpu", "logger=csv"]


def refuse(word: str) -> None:
    raise ValueError(f"JSON has no {word}")


def said(*words: str) -> tuple[int, str, str]:
    """The exit code of a verb, its standard output and its standard error."""
    with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
        code = run(list(words))
    return code, out.getvalue(), err.getvalue()


def answer(*words: str, code: int = 0) -> dict[str, Any]:
    """The one object that a verb prints."""
    ended, out, err = said(*words)
    print(out, err)  # shown where the test fails
    assert ended == code
    content = json.loads(out, parse_constant=refuse)
    assert isinstance(content, dict)
    assert ("error: " in err) == ("error" in content)
    return content


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def trained(outputs: Path) -> dict[str, Any]:
    return answer("train", "--json", *LINE, f"output_dir={outputs}")


def test_a_run_answers_with_its_record(trained: dict[str, Any]) -> None:
    folder = Path(trained["run"])
    assert trained["metrics"] == json.loads((folder / "result.json").read_text())
    assert (trained["status"], trained["epoch"], trained["resumed"]) == ("completed", 4, False)
    assert trained["last_epoch"]["val/loss"] == trained["metrics"]["val/loss"]
    course = trained["diagnosis"]["numbers"]["columns"]["val/loss"]
    assert course["last"] == {"epoch": 4, "value": trained["metrics"]["val/loss"]}
    assert course["lowest"]["value"] == trained["diagnosis"]["numbers"]["best"]["value"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["resume", "RUN"], {"status": "completed", "resumed": False}),
        (["evaluate", "RUN"], {"status": "completed", "tta": None}),
        (["diagnose", "RUN", "RUN"], {}),
        (["diff", "RUN", "RUN"], {"nothing": True}),
        (["report", "RUN"], {}),
        (["rerun", "RUN"], {"status": "completed"}),
    ],
    ids=["resume", "evaluate", "diagnose", "diff", "report", "rerun"],
)
def test_verbs_about_a_run_answer_with_one_object(
    words: list[str], expected: dict[str, Any], trained: dict[str, Any], outputs: Path
) -> None:
    run_folder = trained["run"]
    given = answer(*(run_folder if word == "RUN" else word for word in words), "--json", f"output_dir={outputs}")
    assert expected.items() <= given.items()
    if words[0] == "evaluate":
        assert given["test/mae"] == pytest.approx(trained["metrics"]["test/mae"], rel=1e-5)
        assert given["runs"] == [run_folder]
    if words[0] == "diagnose":
        assert [entry["run"] for entry in given["runs"]] == [run_folder] * 2
        assert given["runs"][0]["numbers"] == trained["diagnosis"]["numbers"]
    if words[0] == "report":
        assert Path(given["file"]).is_file()
    if words[0] == "rerun":
        assert given["rerun"]["verdict"] == "identical"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["list"], "groups"),
        (["list", "loss"], "choices"),
        (["list", "optimizer", "adam"], "keys"),
        (["summary"], "layers"),
    ],
)
def test_what_there_is_to_say_is_an_object(words: list[str], key: str) -> None:
    assert answer(*words, "--json")[key]


def test_a_choice_says_of_each_key_what_it_takes() -> None:
    rate = answer("list", "optimizer", "adam", "--json")["keys"]["lr"]
    assert isinstance(rate["default"], float)
    assert rate["accepts"] == "> 0"


def test_probes_answer_with_their_numbers(tmp_path: Path) -> None:
    words = ["--json", "trainer=cpu", "model=linear", f"output_dir={tmp_path}"]
    found = answer("find-lr", "--steps", "40", *words)
    assert found["optimizer.lr"] > 0
    assert Path(found["folder"], "find_lr.csv").is_file()
    sizes = answer("find-batch-size", "--steps=3", "--min=32", "--max=64", *words)
    assert [entry["batch_size"] for entry in sizes["tried"]] == [32, 64]
    assert sizes["data.batch_size"] in (32, 64)


def test_a_diverged_run_answers_with_its_status_and_its_error(outputs: Path) -> None:
    given = answer("train", "--json", *LINE, "optimizer=sgd", "optimizer.lr=1e30", f"output_dir={outputs}", code=3)
    assert given["status"] == "diverged"
    assert given["error"]["exit_code"] == 3
    assert "optimizer.lr" in given["error"]["next"]
    assert given["metrics"] == {}


def test_an_interrupted_run_answers_with_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(tmp_path)
    folder.write_status("interrupted", signal=15, epoch=2, step=30)
    with suppress(Interrupted), Answer(as_json=True) as given, given.about_run(tmp_path, resumed=True):
        raise Interrupted(15)
    content = json.loads(capsys.readouterr().out)
    assert (content["status"], content["signal"], content["epoch"], content["resumed"]) == ("interrupted", 15, 2, True)
    assert "error" not in content


def test_a_mistake_is_on_standard_error_and_in_the_object() -> None:
    given = answer("train", "--json", "optimizer.lr=fast", code=2)
    assert given.keys() == {"error"}
    assert "optimizer.lr" in given["error"]["message"]


@pytest.mark.slow
def test_a_sweep_is_one_object_with_its_trials_ranked_by_what_compares_them(tmp_path: Path) -> None:
    words = [*LINE, "loss=mse,mae", "optimizer.lr=0.01,1e30", "optimizer=sgd", "sweep.isolation=none"]
    given = answer("train", "-m", *words, "--json", f"output_dir={tmp_path}", code=3)
    assert given["status"] == "failed"
    assert given["objectives"] == [{"name": "best/r2", "direction": "maximize"}]
    assert given["note"].startswith("ranked by best/r2")
    states = [trial["state"] for trial in given["trials"]]
    assert (states[0], states[1], states[2]) == ("completed", "diverged", "completed")
    first = given["trials"][0]
    assert first["parameters"] == {"loss": "mse", "optimizer.lr": 0.01}
    assert {"best/r2", "test/r2", "test/mae", "test/loss"} <= first["metrics"].keys()
    assert first["metrics"]["best/r2"] == json.loads(Path(first["runs"][0], "result.json").read_text())["best/r2"]
    best = given["trials"][given["best"]]
    assert best["metrics"]["best/r2"] == max(trial["metrics"].get("best/r2", -9) for trial in given["trials"])
    again = answer("resume", given["sweep"], "--json", code=0)
    assert again["trials"] == given["trials"]


def test_quiet_training_prints_nothing_and_leaves_its_record(tmp_path: Path) -> None:
    assert said("train", "--quiet", *LINE, f"output_dir={tmp_path}") == (0, "", "")
    assert "epoch 4/4" in (tmp_path / "latest" / "train.log").read_text()


def test_quiet_keeps_warnings_for_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say.setLevel(logging.INFO)
    before = list(say.handlers)
    with quiet():
        say.warning("a class is missing")
        say.info("epoch 1")
        print("words")
    assert capsys.readouterr() == ("", "a class is missing\n")
    assert say.handlers == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "--json=true"], "--json takes no value."),
        (["train", "--jsn"], "did you mean --json?"),
        (["train", "--cfg", "job", "--quiet"], "--quiet is about training, and --cfg trains nothing."),
        (["--json", "train"], "flags follow the verb: couloir train --json"),
        (["find-lr", "--jsno"], "did you mean --json?"),
        (["list", "--quiet"], "There is no flag '--quiet'."),
        (["list", "model", "mlp", "adam"], "not 'adam' as well"),
    ],
)
def test_a_flag_in_the_wrong_place_is_answered(words: list[str], expected: str) -> None:
    code, out, err = said(*words)
    assert (code, out) == (2, "")
    assert expected in err
