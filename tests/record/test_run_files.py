"""What a run folder holds, each file read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.errors import CouloirError
from couloir.record.run_files import RunFiles
from recorded_runs import write_exhibits, write_run


def test_each_file_is_read_once_and_only_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "run", ("model=lenet5",))
    write_exhibits(run)
    read: list[str] = []
    usual = Path.read_text

    def noted(path: Path, *arguments: object, **words: object) -> str:
        read.append(path.name)
        return usual(path, *arguments, **words)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", noted)
    files = RunFiles(run)
    assert read == []
    for _ in range(2):
        assert files.status["status"] == "completed"
        assert files.words == ["model=lenet5"]
        assert files.flat["trainer.max_epochs"] == 12
        assert len(files.rows) == 12
        assert files.numbers["best/epoch"] == 8.0
        assert files.provenance["data"]["sizes"] == {"train": 100, "test": 50}
        assert [signal.epoch for signal in files.signals] == [0, 0, 4, 4]
    assert sorted(read) == [
        "config.yaml", "metrics.csv", "overrides.yaml", "provenance.json", "result.json", "signals.csv", "status.json",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["status", "config", "words", "rows", "numbers", "provenance", "signals"])
def test_a_torn_file_is_an_error_or_is_left_out_and_remembered(name: str, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    write_exhibits(run)
    for file in run.iterdir():
        file.write_bytes(b"\xff")
    with pytest.raises(CouloirError, match="cannot be read"):
        getattr(RunFiles(run), name)
    files = RunFiles(run, strict=False)
    assert not getattr(files, name)
    assert list(files.torn) == [name]
    with pytest.raises(CouloirError, match="cannot be read"):
        files.refuse_torn(name)
