"""`couloir board`: TensorBoard on the runs, each of them once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couloir.cli.main import run
from couloir.errors import CouloirError
from couloir.logger import server
from couloir.logger.events import scalar, session_end, session_start, write_events
from waiting import LONGEST, wait_until


def a_run(outputs: Path, name: str, **numbers: float) -> Path:
    """The folder of a run, as far as TensorBoard and `find_run` look into it."""
    folder = outputs / "train" / name
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("model: {}\n")
    columns = {"optimizer": "adam", "optimizer.lr": 0.1, f"model.{name}": 1}
    points = [scalar(key.replace("_", "/"), value, step=7) for key, value in numbers.items()]
    write_events(folder / "tensorboard", "result", [session_start(f"train/{name}", columns), *points, session_end()])
    return folder


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    for name, loss in (("one", 0.5), ("other", 0.25)):
        a_run(tmp_path / "outputs", name, best_loss=loss)
    (tmp_path / "outputs/latest").symlink_to("train/other", target_is_directory=True)
    return tmp_path / "outputs"


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens at."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def answer(url: str, question: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(url, headers={"Content-Type": "application/json"})
    if question is not None:
        request.data = json.dumps(question).encode()
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=LONGEST) as reply:
        return json.loads(reply.read())


def test_the_board_shows_each_run_once_and_compares_them_until_ctrl_c(outputs: Path, taken: int) -> None:
    words = [sys.executable, "-m", "couloir", "board", "--host", "127.0.0.1", "--port", str(taken)]
    board = subprocess.Popen(
        words, cwd=outputs.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        assert board.stdout is not None
        line = board.stdout.readline()  # ends when the process does
        assert "TensorBoard on" in line, board.stderr.read() if board.stderr else ""
        url = line.partition(": ")[2].split()[0]
        assert int(url.rstrip("/").rpartition(":")[2]) > taken, "the next free port, where one is taken"
        expected = ["train/one/tensorboard/result", "train/other/tensorboard/result"]
        wait_until(lambda: len(answer(f"{url}data/runs")) >= 2, at_work=lambda: board.poll() is None)
        assert answer(f"{url}data/runs") == expected, "`latest` is not a run of its own"
        experiment = answer(f"{url}data/plugin/hparams/experiment", {"experimentName": "", "includeMetrics": True})
        assert {info["name"] for info in experiment["hparamInfos"]} == {
            "optimizer", "optimizer.lr", "model.one", "model.other",
        }  # fmt: skip
        assert [info["name"]["tag"] for info in experiment["metricInfos"]] == ["best/loss"]
        os.killpg(board.pid, signal.SIGINT)  # as a terminal does
        out, error = board.communicate(timeout=LONGEST)
    finally:
        if board.poll() is None:
            os.killpg(board.pid, signal.SIGKILL)
            board.communicate()
    assert board.returncode == 0
    assert "Traceback" not in out + error
    assert error == ""


def test_a_board_is_of_all_runs_of_a_folder_or_of_one(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs.parent)
    run_folder = outputs / "train/other"
    assert server.find_events(None, "outputs") == outputs
    assert server.find_events("outputs/train", "outputs") == outputs / "train"
    assert server.find_events("latest", "outputs") == run_folder
    assert server.find_events("other", "outputs") == run_folder


def test_without_runs_a_sentence_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    for words in (["board", str(tmp_path / "empty")], ["board", f"output_dir={tmp_path}/nowhere"]):
        assert run(words) == 2
        assert "There is no run for TensorBoard" in capsys.readouterr().err
    assert run(["board", "one", "other"]) == 2
    assert "takes one folder, not 2" in capsys.readouterr().err


def test_ports_and_hosts_that_there_are_not_are_said_in_a_sentence(
    outputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["board", str(outputs), "--port", "70000"]) == 2
    assert "--port" in capsys.readouterr().err
    assert run(["board", str(outputs), "--host"]) == 2
    assert "--host needs an address" in capsys.readouterr().err
    assert run(["board", str(outputs), "--host=no.such.host.invalid"]) == 2
    assert "The address 'no.such.host.invalid' cannot be used" in capsys.readouterr().err


def test_when_no_port_is_free_a_sentence_says_so(taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PORTS", 1)
    with pytest.raises(CouloirError, match=r"The 1 ports"):
        server._start(tmp_path, "127.0.0.1", taken)


def test_runs_of_a_new_kind_turn_up_while_the_board_is_open(outputs: Path, tmp_path: Path) -> None:
    links = tmp_path / "links"
    links.mkdir()
    assert server._link(outputs, links)
    assert [link.name for link in links.iterdir()] == ["train"]
    (outputs / "sweep").mkdir()
    assert server._link(outputs, links)
    assert sorted(link.name for link in links.iterdir()) == ["sweep", "train"]
    assert not server._link(outputs / "train", links), "nothing stands there twice"
