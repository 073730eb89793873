"""The pictures of a sweep: `report.html`, and the curves of its runs in one, `comparison.png`."""

from __future__ import annotations

import sys

from couloir.artifacts.comparison import SHOWN, draw_comparison
from couloir.sweep.record import SweepRecord
from couloir.sweep.report import write_report
from couloir.sweep.table import ranked


def draw(record: SweepRecord) -> None:
    """Draw what there is to draw; the trials are done, so that a picture that goes wrong is no failure of theirs."""
    for picture in (write_report, _compare):
        try:
            picture(record)
        except Exception as error:  # noqa: BLE001  there is nobody left to hand it to
            print(f"a picture could not be drawn: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


def _compare(record: SweepRecord) -> None:
    runs = [run for trial in ranked(record) for run in trial.runs if run.is_dir()]
    draw_comparison(record.folder, runs[:SHOWN])
