"""What TensorBoard finds of a run, read back with its own reader."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from torch import Tensor, nn

import couloir
from couloir.artifacts import board as board_of_run
from couloir.artifacts.board import conclude_on_board
from couloir.artifacts.board_pictures import confusion_picture, mistakes_picture
from couloir.logger import tensorboard
from couloir.logger.events import scalar, write_events
from couloir.logger.tensorboard import traced
from interruption import stopped

WORDS = ["data=digits", "data.subset=200", "model=mlp", "model.hidden=[8]", "trainer.max_epochs=2"]


def board(run: Path) -> EventAccumulator:
    return EventAccumulator(str(run / "tensorboard/result")).Reload()


def sessions(run: Path) -> list[dict[str, Any]]:
    """The hyperparameters of each start of a session that stands in the run's files."""
    found = board(run).SummaryMetadata
    try:
        content = found(metadata.SESSION_START_INFO_TAG).plugin_data.content
    except KeyError:
        return []
    start = metadata.parse_session_start_info_plugin_data(content)
    assert not [file for file in (run / "tensorboard").glob("events.*") if b"_hparams_" in file.read_bytes()]
    files = [file for file in (run / "tensorboard/result").iterdir() if b"session_start" in file.read_bytes()]
    return [dict(start.hparams) for _ in files]


def ended(run: Path) -> bool:
    return metadata.SESSION_END_INFO_TAG in board(run).Tags()["tensors"]


@pytest.fixture(scope="module", autouse=True)
def drawn() -> Iterator[None]:
    """The pictures, which other tests leave out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            board_of_run, "PICTURES",
            {"test/confusion": confusion_picture, "test/most wrong": mistakes_picture},
        )  # fmt: skip
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> couloir.RunResult:
    folder = tmp_path_factory.mktemp("board")
    return couloir.train(couloir.compose([*WORDS, "logger.tensorboard.log_graph=true", f"output_dir={folder}"]))


def test_the_hparams_tab_has_the_run_with_its_settings_and_its_numbers(run: couloir.RunResult) -> None:
    (start,) = sessions(run.dir)
    assert start["optimizer.lr"].number_value == pytest.approx(0.002)
    assert start["optimizer"].string_value == "adam"
    assert ended(run.dir)
    accumulator = board(run.dir)
    numbers = {name: accumulator.Scalars(name) for name in accumulator.Tags()["scalars"]}
    numbers |= {
        name: accumulator.Tensors(name) for name in accumulator.Tags()["tensors"] if name.startswith(("best/", "test/"))
    }
    assert {"best/loss", "best/accuracy", "test/loss", "test/accuracy"} <= set(numbers)
    for name, points in numbers.items():
        assert len(points) == 1, name
        value = points[0].tensor_proto.float_val[0] if hasattr(points[0], "tensor_proto") else points[0].value
        assert value == pytest.approx(run.metrics[name])


def test_the_confusion_matrix_and_the_graph_are_there(run: couloir.RunResult) -> None:
    accumulator = board(run.dir)
    (picture,) = accumulator.Images("test/confusion")
    with Image.open(io.BytesIO(picture.encoded_image_string)) as image:
        assert image.size == (picture.width, picture.height)
        assert image.width > 300
    graph = accumulator.Graph()
    assert any("Linear" in node.name for node in graph.node)


def test_a_run_that_was_stopped_has_its_row_and_one_that_went_on_has_no_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_run = stopped([*WORDS, f"output_dir={tmp_path}"], "train", 4, monkeypatch)
    assert len(sessions(stopped_run)) == 1
    assert not ended(stopped_run)
    from couloir.cli.main import run as couloir_command

    assert couloir_command(["resume", str(stopped_run)]) == 0
    assert len(sessions(stopped_run)) == 1
    assert ended(stopped_run)
    assert len(list((stopped_run / "tensorboard/result").iterdir())) == 1


def test_a_file_takes_the_place_of_those_before_it_and_of_torn_ones(tmp_path: Path) -> None:
    (tmp_path / "result").mkdir()
    (tmp_path / "result/.events.out.tfevents.1.begun-torn").touch()
    for kind in ("begun", "graph", "begun", "result"):
        write_events(tmp_path, kind, [scalar("test/loss", 1.0, step=1)], instead_of=("begun",))
    assert sorted(file.suffix for file in (tmp_path / "result").iterdir()) == [".graph", ".result"]


def with_mistakes(folder: Path) -> Path:
    """A run's folder with mistakes."""
    Image.new("L", (40, 6)).save(folder / "mistakes.png")
    (folder / "pictures.json").write_text(json.dumps({"mistakes": {"columns": 10, "tile": [4, 6], "count": 3}}))
    return folder


def test_runs_without_pictures_have_none_and_one_that_cannot_be_read_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert mistakes_picture(tmp_path) is None
    assert confusion_picture(tmp_path) is None
    with_mistakes(tmp_path)
    (tmp_path / "mistakes.png").write_bytes(b"torn")
    (tmp_path / "tensorboard").mkdir()
    with caplog.at_level(logging.INFO, logger="couloir.file"):
        conclude_on_board(tmp_path, couloir.compose(WORDS).cfg, {"best/loss": 1.0}, step=7)
    assert len(caplog.messages) == 1
    assert "test/most wrong cannot be drawn" in caplog.messages[0]
    assert ended(tmp_path)


def test_a_trial_of_a_sweep_has_its_row_without_waiting_for_pictures(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_mistakes(tmp_path)
    (tmp_path / "mistakes.png").write_bytes(b"torn")  # would be noted, if it were looked at
    (tmp_path / "tensorboard").mkdir()
    (tmp_path / "trial.json").write_text("{}")
    with caplog.at_level(logging.INFO, logger="couloir.file"):
        conclude_on_board(tmp_path, couloir.compose(WORDS).cfg, {"best/loss": 1.0}, step=7)
    assert caplog.messages == []
    assert ended(tmp_path)


class Rooted(nn.Module):
    """A network that changes its buffers and draws, also when it is only looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        out: Tensor = self.layer(x) + torch.rand(1)
        return out


def test_tracing_leaves_the_network_and_the_random_numbers_alone() -> None:
    net = Rooted()
    random = torch.get_rng_state()
    assert traced(net, torch.zeros(1, 3))
    assert net.calls == 0
    assert net.training
    assert torch.equal(torch.get_rng_state(), random)


def test_a_network_that_cannot_be_traced_is_said_once_and_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bytes:
        raise RuntimeError("Tracer cannot infer type")

    monkeypatch.setattr(tensorboard, "traced", broken)
    words = [*WORDS, "trainer.max_epochs=1", "logger.tensorboard.log_graph=true", f"output_dir={tmp_path}"]
    run = couloir.train(couloir.compose(words))
    log = (run.dir / "train.log").read_text()
    assert log.count("the network's graph cannot be traced for TensorBoard: RuntimeError: Tracer cannot") == 1
