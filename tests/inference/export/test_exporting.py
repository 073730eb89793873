"""Exports of runs: the same answers as the run's own test, what stands beside the file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import couloir
from couloir.config.finished import run_config
from couloir.download import checksum
from couloir.errors import CouloirError, ExportDiffers
from couloir.inference.export import exporting
from couloir.inference.export.agreement import agreement
from couloir.inference.export.exporting import export_graph, export_weights
from couloir.inference.trained import Trained
from couloir.record.predictions import read_predictions
from couloir.record.safetensors import read_header, read_state
from couloir.report.card import write_card
from finished_runs import FinishedRuns

TABLE = "size,city,built,garden,price,kind"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Trains a sentence once, for one epoch."""
    folder, made = tmp_path_factory.mktemp("runs"), dict[tuple[str, ...], Path]()

    def run(*words: str) -> Path:
        if words not in made:
            told = [*words, "trainer.max_epochs=1", "logger=csv", "trainer=cpu", f"output_dir={folder}"]
            made[words] = couloir.train(couloir.compose(told)).dir
        return made[words]

    return run


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows with a number, a category with gaps, a date, a boolean, a value and a class."""
    rng = np.random.default_rng(0)
    lines = [TABLE]
    for number in range(60):
        size, city, garden = (
            rng.uniform(20, 200),
            "" if number % 9 == 4 else ("Bern", "Chur")[rng.integers(2)],
            number % 2,
        )
        kind, built = ("flat", "house")[garden], f"20{number % 20:02}-0{1 + number % 9}-11"
        lines.append(f"{size:.1f},{city},{built},{('no', 'yes')[garden]},{3000 * size + 20000 * garden:.0f},{kind}")
    file = tmp_path_factory.mktemp("table") / "houses.csv"
    file.write_text("\n".join(lines) + "\n")
    return file


def exported(run: Path, to: str, file: Path, with_preprocessing: bool) -> tuple[dict[str, Any], Any]:
    """The facts about an export, and a function that asks the file."""
    facts = export_graph(run_config(run), run, to, file, with_preprocessing)
    if to == "torch":
        module = torch.export.load(file).module()
        return facts, lambda x: module(torch.from_numpy(x)).detach().numpy()
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file))
    names = facts["input"]["name"], facts["output"]["name"]
    return facts, lambda x: session.run([names[1]], {names[0]: x})[0]


def test_pixels_go_in_and_the_probabilities_of_the_runs_own_test_come_out(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    run = trained("data.subset=64")
    facts, answers = exported(run, "onnx", tmp_path / "digits.onnx", with_preprocessing=True)
    told = list(read_predictions(run))
    images = digits(run)
    found = answers(images)
    expected = [[float(row[f"p({name})"]) for name in facts["classes"]] for row in told]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert images.dtype == np.uint8
    check_facts(run, tmp_path / "digits.onnx", facts)


def check_facts(run: Path, file: Path, facts: dict[str, Any]) -> None:
    """What stands beside and within the file."""
    import onnx

    assert facts["input"]["shape"] == ["batch", 1, 8, 8]
    assert facts["output"]["name"] == "probabilities"
    beside = json.loads(file.with_name("digits.onnx.json").read_text())
    assert beside == json.loads(json.dumps(facts))
    assert beside["sha256"] == checksum(file, "sha256")
    assert beside["checkpoint_sha256"] == checksum(run / "checkpoints" / "best.ckpt", "sha256")
    assert beside["agreement"]["batch_sizes"] == [1, 3, 5, 7]
    assert beside["agreement"]["samples"] == 10, "there are no more to validate on"
    assert 0 <= beside["agreement"]["largest_difference"] <= beside["agreement"]["limit"] <= 1e-4
    model = onnx.load(file)
    within = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(within["classes"]) == [str(digit) for digit in range(10)]
    assert json.loads(within["mean"]) == facts["mean"]
    assert within["run"] == run.name
    (given,), (answer,) = model.graph.input, model.graph.output
    assert (given.name, answer.name) == ("image", "probabilities")
    assert given.type.tensor_type.shape.dim[0].dim_param == answer.type.tensor_type.shape.dim[0].dim_param == "batch"


def digits(run: Path) -> np.ndarray:
    """The test split's images as the set has them, from scikit-learn and the samples' numbers."""
    from couloir.config.build import build

    data = build(run_config(run), "data")
    data.setup()
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)[:, None]
    chosen: np.ndarray = images[data.splits["test"].indices]
    return chosen


def test_without_preprocessing_the_network_alone_is_there(trained: Callable[..., Path], tmp_path: Path) -> None:
    run = trained("data.subset=64")
    facts, answers = exported(run, "torch", tmp_path / "digits.pt2", with_preprocessing=False)
    x = (digits(run) / 255 - facts["mean"][0]) / facts["std"][0]
    logits = answers(x.astype(np.float32))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [[float(row[f"p({name})"]) for name in facts["classes"]] for row in read_predictions(run)]
    np.testing.assert_allclose(p, expected, atol=1e-5)
    assert facts["output"]["name"] == "logits"


def rows_in(table: Path, columns: list[dict[str, Any]], lines: list[int]) -> np.ndarray:
    """Some lines of a table as the facts about its columns say that they go in."""
    head, *rows = [line.split(",") for line in table.read_text().splitlines()]
    found = []
    for line in lines:
        cells, row = dict(zip(head, rows[line - 2], strict=True)), list[float]()
        for column in columns:
            cell = cells[column["name"]]
            if column["kind"] == "number":
                row.append(float(cell) - column["offset"])
            elif column["kind"] == "date":
                day = np.datetime64(cell, "D")
                parts = {"month": day.astype("M8[M]").astype(int) % 12, "weekday": (day.astype(int) + 3) % 7}
                row += [day.astype(int) - column["offset"], *(parts[cycle] for cycle in column["cycles"])]
            else:
                row.append(column["categories"].index(cell) if cell else np.nan)
        found.append(row)
    return np.array(found, dtype=np.float32)


@pytest.mark.parametrize(("target", "to"), [("kind", "onnx"), ("price", "torch")])
def test_rows_of_a_table_go_in_as_the_facts_say(
    target: str, to: str, trained: Callable[..., Path], table: Path, tmp_path: Path
) -> None:
    other = {"kind": "price", "price": "kind"}[target]
    run = trained("data=csv", f"data.path={table}", f"data.target={target}", f"data.ignore=[{other}]", "model=mlp")
    facts, answers = exported(run, to, tmp_path / ("rows" + {"onnx": ".onnx", "torch": ".pt2"}[to]), True)
    told = list(read_predictions(run))
    found = answers(rows_in(table, facts["columns"], [int(row["line"]) for row in told]))
    if target == "price":
        expected = [[float(row["prediction"])] for row in told]
        assert facts["targets"] == ["price"]
        assert facts["output"]["name"] == "values"
    else:
        expected = [[float(row[f"p({name})"]) for name in facts["classes"]] for row in told]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_weights_have_the_networks_own_names_and_begin_another_run(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    run = trained("data.subset=64")
    file = tmp_path / "lenet5.safetensors"
    facts = export_weights(run_config(run), run, file)
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    state = read_state(file)
    assert {f"net.{name}" for name in state} == {name for name in checkpoint if name.startswith("net.")}
    assert all(torch.equal(value, checkpoint[f"net.{name}"]) for name, value in state.items())
    assert read_header(file).facts["mean"] == facts["mean"] == pytest.approx([0.306], abs=0.02)
    from couloir.config.build import build

    net = build(couloir.compose([f"model.weights={file}", "trainer=cpu"]).cfg, "model")
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_weights_need_no_data(trained: Callable[..., Path], table: Path, tmp_path: Path) -> None:
    copy = tmp_path / "table.csv"
    copy.write_text(table.read_text())
    run = trained("data=csv", f"data.path={copy}", "data.target=kind", "data.ignore=[price]", "model=mlp", "seed=3")
    copy.unlink()
    assert export_weights(run_config(run), run, tmp_path / "mlp.safetensors")["classes"] == ["flat", "house"]
    with pytest.raises(CouloirError, match=r"checked on samples(?s:.)*data.path=\.\.\. says where"):
        export_graph(run_config(run), run, "torch", tmp_path / "mlp.pt2", with_preprocessing=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlp.safetensors", "mlp.safetensors.json"]


def test_a_file_that_answers_otherwise_is_not_left(
    trained: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = exporting.WRITERS["torch"]

    def wrong(*arguments: Any) -> Any:
        answers = right(*arguments)
        return lambda x: answers(x) + 1e-3

    monkeypatch.setitem(exporting.WRITERS, "torch", wrong)
    run = trained("data.subset=64")
    with pytest.raises(ExportDiffers, match=r"largest difference on 10 validation samples is 0\.001") as failed:
        export_graph(run_config(run), run, "torch", tmp_path / "net.pt2", with_preprocessing=True)
    assert failed.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_agreement_is_measured_against_the_range_of_the_answers() -> None:
    own = torch.linspace(0, 10, 16)[:, None]
    found = agreement(own, own, lambda x: x + 9e-4, samples=16)
    assert (found.samples, found.batch_sizes) == (16, [1, 3, 5, 7])
    assert found.largest_difference == pytest.approx(9e-4, rel=1e-2)
    assert found.limit == pytest.approx(1e-3)
    for answers in (lambda x: x + 2e-3, lambda x: x * float("nan"), lambda x: x[:, :0]):
        with pytest.raises(ExportDiffers):
            agreement(own, own, answers, samples=16)
    with pytest.raises(CouloirError, match="NaN or infinity"):
        agreement(own * float("nan"), own, lambda x: x, samples=16)
    large = torch.full((16, 1), 1e7)  # float32 has no finer steps there
    assert agreement(large, large, lambda x: x + 1, samples=16).limit == 4


def test_each_of_several_values_is_measured_against_its_own_range() -> None:
    own = torch.stack([torch.linspace(0, 1000, 16), torch.linspace(0, 1, 16)], dim=1)
    off = torch.tensor([0.0, 2e-4])
    assert agreement(own, own, lambda x: x + off / 4, 16, apart=True).limit == pytest.approx(1e-4)
    with pytest.raises(ExportDiffers, match=r"limit is 0\.0001"):
        agreement(own, own, lambda x: x + off, samples=16, apart=True)


def test_a_network_for_maps_takes_images_of_any_size_where_the_exporter_allows_it(
    finished: FinishedRuns, tmp_path: Path
) -> None:
    run, image = finished("twice as large"), np.random.default_rng(0).integers(0, 256, (9, 6), dtype=np.uint8)
    facts, answers = exported(run, "onnx", tmp_path / "larger.onnx", with_preprocessing=True)
    assert facts["input"]["shape"] == ["batch", 1, "height", "width"]
    assert facts["output"]["shape"] == ["batch", 1, "2 * height", "2 * width"]
    assert (facts["output"]["name"], facts["resize"]["window"], facts["resize"]["factor"]) == ("image_out", [4, 4], 2)
    trained = Trained(run_config(run), run)
    with torch.no_grad():  # at once, and not in tiles
        expected = trained.task.answer(trained.net(trained.prepare(torch.from_numpy(image[None, None]))["image"]))
    np.testing.assert_allclose(answers(image[None, None]), expected.numpy(), atol=1e-5)


def test_a_segmentation_is_checked_on_windows_of_its_validation_images(finished: FinishedRuns, tmp_path: Path) -> None:
    run = finished("masks")
    cfg = run_config(run)
    cfg.data.root = str(finished.masks())
    facts = export_graph(cfg, run, "torch", tmp_path / "masks.pt2", with_preprocessing=False)
    assert facts["agreement"]["samples"] == 2
    assert facts["input"]["shape"][:2] == ["batch", 3]
    assert "window" in facts["resize"]
    x = torch.randn(2, 3, 24, 24)
    module = torch.export.load(tmp_path / "masks.pt2").module()
    torch.testing.assert_close(module(x), Trained(run_config(run), run).net(x))
    card = write_card(run, None, tmp_path / "card.md")
    assert card is None or card.exists()
    told = (tmp_path / "card.md").read_text()
    assert "it says of each pixel of an image which class it belongs to" in told
    assert "images of any size, 3 channels; trained on windows of 24 pixels" in told


@pytest.mark.parametrize("to", ["torch", "onnx"])
def test_of_a_gan_the_generator_takes_codes_and_classes_and_gives_pixels(
    to: str, finished: FinishedRuns, tmp_path: Path
) -> None:
    run = finished("gan")
    file = tmp_path / f"made.{to}"
    facts = export_graph(run_config(run), run, to, file, False)
    assert facts == json.loads(file.with_name(f"{file.name}.json").read_text())
    assert [facts[name]["shape"] for name in ("input", "labels", "output")] == [
        ["batch", 4], ["batch"], ["batch", 1, 8, 8],
    ]  # fmt: skip
    task = Trained(run_config(run), run).task
    codes, labels = torch.randn(9, 4, generator=torch.Generator().manual_seed(1)), torch.arange(9)
    expected = task.make(codes, labels)  # type: ignore[operator]
    if to == "torch":
        found = torch.export.load(file).module()(codes, labels)
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(file)
        found = torch.from_numpy(session.run(None, {"codes": codes.numpy(), "labels": labels.numpy()})[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(("name", "to"), [("vae", "torch"), ("autoencoder", "onnx")])
def test_of_an_autoencoder_and_a_vae_the_graph_rebuilds_images(
    name: str, to: str, finished: FinishedRuns, tmp_path: Path
) -> None:
    run = finished(name)
    file = tmp_path / f"made.{to}"
    facts = export_graph(run_config(run), run, to, file, True)
    assert [facts["task"], facts["output"]["name"]] == ["vae" if name == "vae" else "reconstruction", "rebuilt"]
    images = np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8)
    if to == "torch":
        found = torch.export.load(file).module()(torch.from_numpy(images))
    else:
        import onnxruntime

        found = torch.from_numpy(onnxruntime.InferenceSession(file).run(None, {"image": images})[0])
    torch.testing.assert_close(found, couloir.load(run).rebuild(images), atol=1e-5, rtol=0)
