"""How often the diagnosis is right: precision and recall of each case, and false alarms on healthy runs.

PYTHONPATH=tests python -m diagnosis.measure          the table of docs/diagnosis.md
PYTHONPATH=tests python -m diagnosis.measure --wrong  the runs that are told wrongly as well
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from couloir.diagnosis.diagnosis import diagnose, diagnose_reading
from couloir.diagnosis.finding import TITLES
from diagnosis import synthetic

HERE = Path(__file__).parent

SEEN, HELD_OUT = ("development", "first", "second", "third"), ("fourth",)
"""The sets of `runs.yaml` that were measured before the rules stood, and the one that was made afterwards."""
Labelled = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A run's name, what is true of it, and what is found."""


@dataclass
class Score:
    """Right and wrong answers about one case."""

    true: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else 1.0


@dataclass
class Measured:
    """All answers about a set of runs."""

    runs: int = 0
    healthy: int = 0
    alarms: int = 0
    scores: dict[str, Score] = field(default_factory=lambda: {case: Score() for case in TITLES})
    wrong: list[Labelled] = field(default_factory=list)


def of_synthetic(seeds: Iterable[int]) -> list[Labelled]:
    return [
        (f"seed {seed}, {reading.name}", cases, tuple(finding.case for finding in diagnose_reading(reading).findings))
        for seed in seeds
        for reading, cases in synthetic.runs(seed)
    ]


def of_real(sets: Sequence[str]) -> list[Labelled]:
    labels = yaml.safe_load((HERE / "runs.yaml").read_text())
    return [
        (name, tuple(label["cases"]), tuple(finding.case for finding in diagnose(HERE / "runs" / name).findings))
        for name, label in labels.items()
        if label["set"] in sets
    ]


def measure(labelled: Iterable[Labelled]) -> Measured:
    """Precision and recall of each case; a healthy run with any finding is a false alarm."""
    measured = Measured()
    for name, true, found in labelled:
        measured.runs += 1
        measured.healthy += not true
        measured.alarms += bool(found and not true)
        for case, score in measured.scores.items():
            score.true += case in true
            score.found += case in found
            score.right += case in true and case in found
        if set(true) != set(found):
            measured.wrong.append((name, true, found))
    return measured


def table() -> str:
    """The measurements as a table in Markdown."""
    sets = [measure(of_synthetic(synthetic.MEASURED)), measure(of_real(HELD_OUT)), measure(of_real(SEEN))]
    head = ["case", "synthetic", "precision", "recall", "real, held out", "precision", "recall", "real, seen", "right"]
    rows = []
    for case, title in TITLES.items():
        cells = [title]
        for one in sets[:2]:
            score = one.scores[case]
            shown = score.true or score.found
            cells += [
                str(score.true),
                f"{score.precision:.2f}" if shown else "",
                f"{score.recall:.2f}" if shown else "",
            ]
        seen = sets[2].scores[case]
        rows.append([*cells, str(seen.true), str(seen.right)])
    alarms = [f"{one.alarms} of {one.healthy} ({one.alarms / one.healthy:.1%})" for one in sets]
    rows.append(["false alarms", alarms[0], "", "", alarms[1], "", "", alarms[2], ""])
    right = [str(one.runs - len(one.wrong)) for one in sets]
    rows.append(
        [
            "runs told rightly",
            f"{right[0]} of {sets[0].runs}",
            "",
            "",
            f"{right[1]} of {sets[1].runs}",
            "",
            "",
            f"{right[2]} of {sets[2].runs}",
            "",
        ]
    )
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    """Print the table, and what is wrong."""
    print(table())
    if "--wrong" in sys.argv:
        for labelled in (of_synthetic(synthetic.MEASURED), of_real(HELD_OUT), of_real(SEEN)):
            print(*measure(labelled).wrong, sep="\n")


if __name__ == "__main__":
    main()
