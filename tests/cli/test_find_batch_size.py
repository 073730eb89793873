"""`couloir find-batch-size`: which sizes are tried, which is said to fit and to be fast, and where it stops."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import couloir
from couloir import machine
from couloir.cli.main import run as command
from couloir.inspect import find_batch_size as search
from couloir.inspect.batch_sizes import Tried, doubling, expected_memory, fastest, largest
from couloir.inspect.probe import Probe
from pairs import pair

MIB = 2**20
CPU = "trainer=cpu"


def test_sizes_are_tried_and_the_record_names_the_fastest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--max", "64", "--steps", "6", "data.batch_size=7", CPU, f"output_dir={tmp_path}"]
    assert command(["find-batch-size", *words]) == 0
    folder = next((tmp_path / "find-batch-size").iterdir())
    table = list(csv.DictReader((folder / "batch_sizes.csv").open()))
    assert [int(row["batch_size"]) for row in table] == [8, 16, 32, 64]
    speeds = [float(row["samples_per_second"]) for row in table]
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    assert result["largest"] == 64
    assert speeds[[8, 16, 32, 64].index(result["fastest"])] >= 0.95 * max(speeds)
    said = capsys.readouterr().out
    assert f"train trainer=cpu output_dir={tmp_path} data.batch_size={result['fastest']}" in said
    assert "--max ends the search, not the memory" in said
    pixels = np.asarray(Image.open(folder / "batch_sizes.png").convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    assert not (tmp_path / "latest").exists()


def test_sizes_double_up_to_the_last() -> None:
    assert doubling(8, 100) == [8, 16, 32, 64]
    assert doubling(1, 4) == [1, 2, 4]
    assert doubling(8, 5) == [5], "a split of five samples"


def test_the_fastest_is_the_smallest_within_five_percent_of_the_best() -> None:
    speeds = {8: 50.0, 16: 96.0, 32: 94.9, 64: 100.0, 128: 60.0}
    tried = [Tried(size, speed, 1) for size, speed in speeds.items()] + [Tried(256, None, None, "out of memory")]
    best, most = fastest(tried), largest(tried)
    assert best is not None
    assert most is not None
    assert (best.batch_size, most.batch_size) == (16, 128)
    assert fastest([tried[-1]]) is None


def test_memory_is_expected_on_the_line_through_the_last_two_sizes() -> None:
    # 100 for the weights and 5 a sample: 140, 180, then 260.
    assert expected_memory([Tried(8, 1.0, 140), Tried(16, 1.0, 180)]) == 260
    assert expected_memory([Tried(8, 1.0, 140)]) == 280
    assert expected_memory([Tried(8, 1.0, 140), Tried(16, 1.0, 130)]) == 130


def test_a_size_that_would_not_fit_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host kills a process that takes too much; 80% of what is there is the most that is dared."""
    probe = Probe.of(couloir.compose(["data=moons", CPU]).cfg)
    sizes: list[int] = []

    def fake(probe: Any, size: int, steps: int, callbacks: Any, before: int) -> Tried:
        sizes.append(size)
        return Tried(size, 1.0, size * MIB)

    monkeypatch.setattr(search, "_try", fake)
    monkeypatch.setattr(machine, "resident_memory", lambda: 1)
    monkeypatch.setattr(machine, "available_memory", lambda: 100 * MIB)
    tried = list(search.try_sizes(probe, [8, 16, 32, 64, 128, 256], 5, []))
    assert sizes == [8, 16, 32, 64], "128 MiB are more than 80% of 100"
    assert tried[-1].batch_size == 128
    assert "expected to need 128 MiB more; 100 are there" in tried[-1].problem
    monkeypatch.setattr(machine, "available_memory", lambda: 0)
    assert [entry.batch_size for entry in search.try_sizes(probe, [8, 16], 5, [])] == [8]


def test_the_device_s_refusal_ends_the_search_and_the_last_size_is_the_largest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, error = search._try, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def bounded(probe: Probe, size: int, *others: Any) -> Tried:
        if size > 16:
            raise error
        return real(probe, size, *others)

    monkeypatch.setattr(search, "_try", bounded)
    assert command(["find-batch-size", "--steps", "3", "data=moons", CPU, f"output_dir={tmp_path}"]) == 0
    folder = next((tmp_path / "find-batch-size").iterdir())
    assert json.loads((folder / "result.json").read_text())["largest"] == 16
    assert [row["problem"] for row in csv.DictReader((folder / "batch_sizes.csv").open())] == ["", "", "out of memory"]
    assert "ends the search, not the memory" not in capsys.readouterr().out
    monkeypatch.setattr(search, "_try", lambda *_: (_ for _ in ()).throw(error))
    assert command(["find-batch-size", "data=moons", CPU, f"output_dir={tmp_path}"]) == 2
    assert "Even a batch of 8 does not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_only_a_lack_of_memory_counts_as_one(error: BaseException, known: bool) -> None:
    assert search._out_of_memory(error) == known


def test_one_sample_with_batch_normalisation_is_a_row_and_not_an_end() -> None:
    probe = Probe.of(couloir.compose(["data=moons", "model=mlp", "model.batch_norm=true", CPU]).cfg)
    tried = list(search.try_sizes(probe, [1, 2], 3, []))
    assert tried[0].problem == "batch normalisation needs more samples"
    assert tried[1].samples_per_second is not None


def test_only_whole_batches_are_timed_and_the_data_is_left_as_it_was() -> None:
    probe = Probe.of(couloir.compose(["data=moons", "data.batch_size=10", CPU]).cfg)
    samples = probe.data.sizes()["train"]
    batches = search._WholeBatches(probe.data, samples - 1, 5)
    assert [len(x) for x, _ in map(pair, batches)] == [samples - 1] * 5
    assert probe.data.batch_size == 10


def test_memory_that_is_taken_is_seen() -> None:
    before = machine.resident_memory()
    machine.forget_peak_memory()
    block = np.ones(64 * MIB, dtype=np.uint8)
    assert machine.peak_memory() - before > 50 * MIB
    assert machine.resident_memory() - before > 50 * MIB
    del block
    assert machine.available_memory() > 0


def test_limits_of_a_group_and_of_a_shell_are_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cgroup").write_text("0::/a/b\n")
    (tmp_path / "proc/status").write_text("VmSize:\t  1024 kB\n")
    (tmp_path / "cgroup/a/b").mkdir(parents=True)
    for folder, limit, used in (("a", str(50 * MIB), str(20 * MIB)), ("a/b", "max", str(10 * MIB))):
        (tmp_path / "cgroup" / folder / "memory.max").write_text(limit)
        (tmp_path / "cgroup" / folder / "memory.current").write_text(used)
        (tmp_path / "cgroup" / folder / "memory.stat").write_text(f"anon 5\ninactive_file {2 * MIB}\n")
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "cgroup")
    assert machine.available_memory() == 32 * MIB, "the limit of the group above, files in the page cache not counted"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (21 * MIB, 21 * MIB))
    assert machine.available_memory() == 20 * MIB
