"""The generated parts of `docs/diagnosis.md`: pictures of labelled runs of the tests, and the measurements."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from couloir.artifacts.log_axis import wants_log  # noqa: E402
from couloir.diagnosis.reading import read_run  # noqa: E402
from diagnosis import measure  # noqa: E402

REMEDIES = re.compile(r"(<!-- remedies -->\n).*?(<!-- /remedies -->)", re.DOTALL)
HALVES = {"development": "development", "held_out": "held out"}
"""The halves of `benchmarks/remedies.yaml`, and what they are called; the script writes `docs/remedies_HALF.json`."""
MEASURED = re.compile(r"(<!-- measured -->\n).*?(<!-- /measured -->)", re.DOTALL)
PICTURES = {
    "healthy": "healthy_lenet5",
    "underfitting": "underfitting_spirals_linear",
    "halted_early": "halted_early_mlp",
    "overfitting": "overfitting_cifar10",
    "memorisation": "memorisation_cifar10",
    "unrepresentative_training": "unrepresentative_training_noise",
    "unrepresentative_validation": "unrepresentative_validation_moons",
    "rate_too_large": "rate_too_large_rises",
    "vanishing_gradients": "vanishing_sigmoid",
    "exploding_gradients": "exploding_wide_weights",
    "dead_units": "dead_zeros",
    "leak_suspected": "leak_noisy_training",
}
"""Case -> the labelled run that its picture shows."""
LINES = {"train": ("#1f6fb4", "training"), "val": ("#d1571b", "validation")}


def draw(file: Path, content: Callable[[Axes], None]) -> None:
    """A small picture of one pair of axes."""
    figure = Figure(figsize=(4.0, 2.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    content(axes)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8)
    figure.savefig(file, format="png", metadata={"Software": None})


def losses(run: Path) -> Callable[[Axes], None]:
    """Both loss curves of a run."""

    def content(axes: Axes) -> None:
        rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
        for split, (colour, name) in LINES.items():
            values = [float(row[f"{split}/loss"]) for row in rows]
            axes.plot(
                range(1, len(rows) + 1), values, color=colour, label=name, marker="o", markersize=2.5, linewidth=1.4
            )
        if wants_log([value for line in axes.get_lines() for value in map(float, line.get_ydata())]):
            axes.set_yscale("log")
        chance = read_run(run).chance
        if chance is not None and chance < 1.3 * max(axes.get_ylim()[1], 0.0) and axes.get_ylim()[0] > 0.2 * chance:
            axes.axhline(chance, color="#777777", linestyle=":", linewidth=1.2, label="guessing")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")

    return content


def layers(run: Path, column: str, name: str) -> Callable[[Axes], None]:
    """A deviation layer by layer at the end of a run, from `signals.csv`."""

    def content(axes: Axes) -> None:
        rows = list(csv.DictReader((run / "signals.csv").read_text().splitlines()))
        last = max(int(row["epoch"]) for row in rows)
        values = [float(row[column]) for row in rows if int(row["epoch"]) == last and row["weight_gradient_variance"]]
        deviations = [math.sqrt(value) for value in values]
        axes.plot(
            range(1, len(values) + 1),
            deviations,
            color="#4b7f52",
            label=name,
            marker="o",
            markersize=2.5,
            linewidth=1.4,
        )
        axes.set_xlabel("layer")
        axes.set_ylabel("deviation")
        if min(deviations) > 0:
            axes.set_yscale("log")

    return content


def waiting(axes: Axes) -> None:
    """What six epochs are made of where the data is slow; drawn, not measured."""
    epochs, shares = range(1, 7), [0.66, 0.6, 0.61, 0.59, 0.6, 0.6]
    axes.bar(epochs, [1 - share for share in shares], color="#1f6fb4", label="training")
    axes.bar(epochs, shares, bottom=[1 - share for share in shares], color="#e0b040", label="waiting")
    axes.set_xlabel("epoch")
    axes.set_ylabel("share of the time")
    axes.set_ylim(0, 1.35)


def remedies() -> str:
    """What the remedies did for sentences that train badly, as tables; a half without a file has no numbers."""
    files = {half: ROOT / f"docs/remedies_{half}.json" for half in HALVES}
    found = {half: json.loads(file.read_text()) for half, file in files.items() if file.exists()}
    shares = {half: content["summary"][half] for half, content in found.items()}
    labels = list(dict.fromkeys(label for half in shares.values() for label in half))
    rows = [["", *HALVES.values()], ["---"] * (1 + len(HALVES))]
    for label in labels:
        cells = [shares[half][label] if half in shares else None for half in HALVES]
        rows.append([label, *("not measured yet" if cell is None else _share(cell) for cell in cells)])
    tables = [_markdown(rows)]
    for half, content in found.items():
        head = ["sentence", "fault", "good", "spoilt", "first remedy", "after it", "after three rounds"]
        rows = [head, ["---"] * len(head)]
        for one in content["sentences"]:
            if one["rounds"]:
                scores = [one["good"][0], one["bad"][0], *(one["rounds"][place]["score"] for place in (0, -1))]
                good, bad, first, last = (f"{score:.3f}" for score in scores)
                remedy = one["rounds"][0]["remedy"]
                typed = f"`{remedy}`" if remedy else "none"
                rows.append([one["name"], one["fault"], good, bad, typed, first, last])
        tables.append(f"Each sentence, {HALVES[half]}:\n\n{_markdown(rows)}")
    return "\n\n".join(tables)


def _share(cell: dict[str, float]) -> str:
    return f"{cell['count']} of {cell['of']}" + (f" ({cell['count'] / cell['of']:.0%})" if cell["of"] else "")


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def build() -> None:
    """Draw the pictures and fill in the table."""
    runs = ROOT / "tests/diagnosis/runs"
    for case, run in PICTURES.items():
        content = losses(runs / run)
        if case in ("vanishing_gradients", "exploding_gradients"):
            content = layers(runs / run, "gradient_variance", "gradient of the layer's output")
        elif case == "dead_units":
            content = layers(runs / run, "activation_variance", "the layer's output")
        draw(ROOT / f"docs/images/diagnosis_{case}.png", content)
    draw(ROOT / "docs/images/diagnosis_waiting_for_data.png", waiting)
    page = ROOT / "docs/diagnosis.md"
    text = page.read_text(encoding="utf-8")
    text = MEASURED.sub(lambda found: f"{found[1]}{measure.table()}\n{found[2]}", text)
    text = REMEDIES.sub(lambda found: f"{found[1]}{remedies()}\n{found[2]}", text)
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    build()
