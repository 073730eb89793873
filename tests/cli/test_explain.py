"""`couloir explain`: what is answered, what is left behind, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import couloir
from couloir.cli.main import run as command
from couloir.config.build import build_untrained
from couloir.config.check import checked
from couloir.config.finished import run_config
from couloir.errors import CouloirError
from couloir.inference.begun import begun_network
from couloir.inference.explain.explaining import MODULES, OF_STEPS
from couloir.inference.explain.imagenet import imagenet
from couloir.inference.explain.subject import Subject
from couloir.inference.explain.words import IMAGE, METHODS, ROW
from couloir.inference.forecasting import forecast
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from finished_runs import FinishedRuns

Capture = pytest.CaptureFixture[str]


def answered(capsys: Capture, *words: str | Path) -> dict[str, Any]:
    """The facts that `--json` gives."""
    capsys.readouterr()
    assert command(["explain", *map(str, words), "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def refused(capsys: Capture, *words: str | Path) -> str:
    capsys.readouterr()
    assert command(["explain", *map(str, words)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("error:") == 1
    return shown.err


@pytest.fixture
def digits(finished: FinishedRuns) -> Path:
    """A classifier of the embedded digits, whose data is always there."""
    return finished("digits")


def test_every_method_has_its_function() -> None:
    images = {name for methods in MODULES.values() for name in methods}
    steps = {name for methods in OF_STEPS.values() for name in methods}
    assert images | steps == set(METHODS)
    assert images >= {name for name, method in METHODS.items() if {IMAGE, ROW} & set(method.needs)}


def test_the_answers_are_those_of_predict_and_the_folder_has_the_page_and_the_pictures(
    digits: Path, tmp_path: Path, capsys: Capture
) -> None:
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{number}.png" for number in range(2)]
    for file in files:
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(file)
    facts = answered(capsys, digits, *files, "--methods", "neighbours", "--output", tmp_path / "page")
    run = couloir.load(digits)
    for file, sample in zip(files, facts["samples"], strict=True):
        likeliest = sorted(((value, name) for name, value in run(file).probabilities.items()), reverse=True)[:5]
        assert sample["name"] == file.name
        assert [each["output"] for each in sample["answers"]] == [name for _, name in likeliest]
        assert [each["answer"] for each in sample["answers"]] == pytest.approx([value for value, _ in likeliest])
    there = {path.name for path in (tmp_path / "page").iterdir()}
    assert {"explain.html", "explain.json", "sample_0.png", "sample_1.png", "neighbours_1_5.png"} <= there
    assert 'src="http' not in (tmp_path / "page" / "explain.html").read_text()


def test_neighbours_are_the_training_samples_that_a_search_through_all_of_them_finds(
    digits: Path, capsys: Capture
) -> None:
    facts = answered(capsys, digits, "--methods", "neighbours", "--count", "2")
    subject = Subject(Predictor(run_config(digits), digits))
    loader = subject.data.spread("train", 10**6)
    training = torch.cat([subject.hidden(batch["image"]) for batch in loader])
    shown = torch.cat([subject.hidden(batch["image"]) for batch in subject.data.spread("test", 2)])
    for hidden, found in zip(shown, facts["methods"]["neighbours"], strict=True):
        distances = (training - hidden).square().sum(dim=1).sqrt()
        assert [each["place"] for each in found["nearest"]] == distances.argsort()[:6].tolist()
        assert [each["distance"] for each in found["nearest"]] == pytest.approx(distances.sort().values[:6].tolist())


def test_what_cannot_be_explained_is_refused_before_torch_is_imported(tmp_path: Path) -> None:
    sentences = {
        "explain": "No run is named",
        "explain data=imagenet model=squeezenet photo.jpg": "has no weights",
        "explain latest": "There is no run",
        "explain data=imagenet model=squeezenet model.weights=imagenet": "No photograph is named",
        "explain data=imagenet model=squeezenet model.weights=imagenet a.jpg --methods gradcam": "--methods grad_cam",
    }
    code = (
        "import sys; from couloir.cli.main import run\n"
        f"for words in {list(sentences)!r}:\n"
        "    print(words, run(words.split()), file=sys.stderr)\n"
        "sys.exit('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    told = ended.stderr.split("error: ")[1:]
    assert len(told) == len(sentences)
    for (words, fact), said in zip(sentences.items(), told, strict=True):
        assert fact in said, said
        assert f"{words} 2" in said


def test_a_head_that_weights_do_not_fit_is_refused(tmp_path: Path) -> None:
    words = ["model=mlp", "model.hidden=[4]", f"model.weights={tmp_path / 'other.pth'}"]
    state = build_untrained(checked(words[:2]).cfg).state_dict()
    torch.save(
        {name: value[:3] if len(value) == 10 else value for name, value in state.items()}, tmp_path / "other.pth"
    )
    with pytest.raises(CouloirError, match="3 outputs, and the data has 10 classes"):
        begun_network(checked(words).cfg)


def test_a_flag_that_nothing_goes_by_is_refused(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    page = ["--count", "1", "--output", tmp_path / "pages" / "one"]
    words = [digits, *page, "--methods", "gradients,neighbours"]
    assert "--methods fgsm,pgd,universal do" in refused(capsys, *words, "--epsilon", "0.1")
    assert "goes by --unit" in refused(capsys, *words, "--unit", "0")
    assert "no layer 'no.such'" in refused(capsys, digits, *page, "--methods", "where,layers", "--layer", "no.such")
    assert "--unit" in refused(capsys, digits, *page, "--methods", "where", "--unit", "9999")


def test_images_that_are_enlarged_are_covered_a_few_at_once(finished: FinishedRuns, capsys: Capture) -> None:
    words = ["--methods", "occlusion,receptive_fields", "--count", "1", "data.batch_size=3"]
    facts = answered(capsys, finished("twice as large"), *words)
    assert facts["methods"]["occlusion"][0]["least"] >= 0


def test_maps_of_one_window_are_not_shown_as_those_of_an_image(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(tmp_path / "wide.png")
    told = refused(capsys, finished("masks"), tmp_path / "wide.png", "--methods", "grad_cam", "data.batch_size=1")
    assert "in windows" in told


def test_a_folder_of_the_users_own_is_not_written_into(digits: Path, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "letters.txt").write_text("mine")
    assert "neither empty nor a page" in refused(capsys, digits, "--output", tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "letters.txt"]


def test_a_run_whose_data_is_gone_explains_inputs_and_says_what_it_left_out(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    run, photographs = finished("photographs"), finished.photographs()
    facts = answered(capsys, run, photographs, "--methods", "answer", "--output", tmp_path / "page")
    assert len(facts["samples"]) > 2
    assert all("truth" in sample for sample in facts["samples"])
    assert any("neighbours" in note for note in facts["left_out"])
    assert "takes rows of a table" in refused(capsys, run, photographs, "--methods", "permutation")
    assert "between 0 and 1" in refused(capsys, run, photographs, "--epsilon", "8")
    assert "makes samples" in refused(capsys, finished("vae"))
    assert "--count" in refused(capsys, run, photographs, "--count", "3")
    assert "data.root=FOLDER" in refused(capsys, run)


def test_the_classes_of_imagenet_are_a_thousand_in_the_order_of_published_weights() -> None:
    names = list(imagenet().values())
    assert len(set(names)) == 1000
    assert imagenet()["n02206856"] == "bee"
    assert (names[0], names[309], names[310], names[999]) == ("tench", "bee", "ant", "toilet tissue")


def test_texts_of_a_file_are_explained_token_by_token(finished: FinishedRuns, tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("good film aaa\n\nbad film\n")
    facts = answered(capsys, finished("texts"), file, "--methods", "where", "--output", tmp_path / "page")
    assert [sample["name"] for sample in facts["samples"]] == ["texts.txt, line 1", "texts.txt, line 3"]
    assert f"{file}, line 2: it is empty" in facts["left_out"]
    run = Trained(run_config(finished("texts")), finished("texts"))
    for sample, text in zip(facts["samples"], ("good film aaa", "bad film"), strict=True):
        shares = run.net(torch.tensor([run.data.vocabulary.encode(text)])).softmax(dim=1)[0].tolist()
        said = {each["output"]: each["answer"] for each in sample["answers"]}
        assert said == pytest.approx(dict(zip(run.classes, shares, strict=True)))
    for number, length in enumerate((3, 2)):
        made = facts["methods"]["integrated_gradients"][number]
        values = np.load(tmp_path / "page" / f"integrated_gradients_{number}.npy")
        assert values.shape == (length,)
        assert made["strongest"][0]["value"] == pytest.approx(values[np.abs(values).argmax()])


def test_attention_of_a_translation_is_that_of_both_sides_and_across(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "words.txt"
    file.write_text("abca\n")
    words = ["--methods", "attention,hidden_states", "--output", tmp_path / "page"]
    facts = answered(capsys, finished("translation"), file, *words)
    steps = len(facts["samples"][0]["written"]) + 1  # the stop token, unless the longest answer ends before it
    shapes = {"encoder.layers.0.attention": (4, 4), "decoder.layers.0.attention": None, "decoder.layers.0.across": None}
    for name, shape in shapes.items():
        weights = np.load(tmp_path / "page" / f"attention_0_{name}.npy")
        assert weights.shape[0] == 2
        assert weights.sum(axis=2) == pytest.approx(1, abs=1e-5)
        if shape:
            assert weights.shape[1:] == shape
        else:
            assert weights.shape[1] in (steps, steps - 1)
            assert weights.shape[2] == (4 if name.endswith("across") else weights.shape[1])
        if name == "decoder.layers.0.attention":
            assert np.triu(weights, 1).max() == 0  # nothing looks ahead
    assert np.load(tmp_path / "page" / "hidden_states_0.npy").shape == (4, 8)


def test_a_table_of_series_is_explained_by_its_last_window(
    finished: FinishedRuns, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--methods", "integrated_gradients", "--output", tmp_path / "page"]
    facts = answered(capsys, finished("series"), finished.series(), *words)
    shown = np.load(tmp_path / "page" / "sample_0.npy")
    column = [float(line.split(",")[1]) for line in finished.series().read_text().splitlines()[1:]]
    assert shown[:, 0] == pytest.approx(column[-30:], abs=1e-3)
    answers, _ = forecast([Trained(run_config(finished("series")), finished("series"))], finished.series())
    said = {row["output"]: row["answer"] for row in facts["samples"][0]["answers"]}
    means = dict(zip(answers[0].targets, answers[0].values.mean(axis=0).tolist(), strict=True))
    assert said == pytest.approx(means, rel=1e-5)


def test_what_a_network_over_steps_lacks_is_refused_where_it_is_named(finished: FinishedRuns, capsys: Capture) -> None:
    run = finished("steps")
    assert "forecasts nothing" in refused(capsys, run, "--methods", "horizons")
    assert "needs one of the networks gpt" in refused(capsys, run, "--methods", "attention")
    assert "takes images" in refused(capsys, run, "--methods", "grad_cam")
