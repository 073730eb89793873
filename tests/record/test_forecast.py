"""`forecast.csv` comes back as it was written, and what is torn is no table."""

from __future__ import annotations

from pathlib import Path

import pytest

from couloir.record.folder import RunFolder
from couloir.record.forecast import FILE, read_forecast, write_forecast


def test_errors_come_back_with_their_gaps(tmp_path: Path) -> None:
    errors = {"model": {"mse": [0.5, 0.25], "mase": [float("nan")] * 2}, "naive": {"mse": [1.0, 2.0]}}
    write_forecast(RunFolder(tmp_path), errors)
    found = read_forecast(tmp_path)
    assert list(found) == ["model", "naive"]
    assert found["model"]["mse"] == [0.5, 0.25]
    assert found["model"]["mase"] == pytest.approx([float("nan")] * 2, nan_ok=True)
    assert found["naive"]["mse"] == [1.0, 2.0]


def test_a_torn_or_missing_table_says_nothing(tmp_path: Path) -> None:
    assert read_forecast(tmp_path) == {}
    (tmp_path / FILE).write_text("step,mse\n1,much\n")
    assert read_forecast(tmp_path) == {}
