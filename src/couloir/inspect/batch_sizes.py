"""What a few training steps at each batch size show: speed, memory, the largest that fits, the fastest, a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from couloir.record.files import rename

NEAR_BEST = 0.95
"""A batch counts as fast from this share of the best samples per second on."""
USABLE = 0.8
"""The share of the memory at hand that a batch may be expected to need."""


@dataclass(frozen=True)
class Tried:
    """One batch size.

    Attributes:
        batch_size: samples a batch.
        samples_per_second: of training steps, the median; None where it was not measured.
        memory: the most bytes in use at a time, beyond what the process had before; None where it was not measured.
        problem: why it was not measured; empty where it was.
    """

    batch_size: int
    samples_per_second: float | None
    memory: int | None
    problem: str = ""


def doubling(first: int, last: int) -> list[int]:
    """`first`, twice as many, and so on, up to `last`; `last` alone where it is the smaller one."""
    sizes = [min(first, last)]
    while sizes[-1] * 2 <= last:
        sizes.append(sizes[-1] * 2)
    return sizes


def expected_memory(tried: list[Tried]) -> int:
    """The bytes that the next, doubled size will need: on the line through the last two sizes, whose constant part is
    the weights and their gradients; twice the last where there is only one. Never less than the last needed.
    """
    measured = [entry.memory for entry in tried if entry.memory is not None]
    if len(measured) < 2:
        return 2 * sum(measured)
    before, last = measured[-2:]
    return last + 2 * max(0, last - before)


def largest(tried: list[Tried]) -> Tried | None:
    """The largest size that was measured."""
    return max((entry for entry in tried if not entry.problem), key=lambda entry: entry.batch_size, default=None)


def fastest(tried: list[Tried]) -> Tried | None:
    """The smallest size within 5% of the most samples a second."""
    speeds = {entry.batch_size: entry.samples_per_second for entry in tried if entry.samples_per_second is not None}
    if not speeds:
        return None
    near = min(size for size, speed in speeds.items() if speed >= NEAR_BEST * max(speeds.values()))
    return next(entry for entry in tried if entry.batch_size == near)


def draw_batch_sizes(tried: list[Tried], file: Path, title: str = "") -> None:
    """Draw speed and memory over the batch size into a PNG, written under a temporary name and renamed."""
    figure = Figure(figsize=(9.6, 4.0), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    speeds = [(entry.batch_size, entry.samples_per_second) for entry in tried if entry.samples_per_second is not None]
    memory = [(entry.batch_size, entry.memory / 2**20) for entry in tried if entry.memory is not None]
    best, most = fastest(tried), largest(tried)
    for axes, points, colour in ((left, speeds, "#1f6fb4"), (right, memory, "#5b8c5a")):
        axes.plot([x for x, _ in points], [y for _, y in points], color=colour, marker="o", markersize=5, linewidth=1.8)
        axes.set_xscale("log", base=2)
        axes.set_xticks([entry.batch_size for entry in tried], [str(entry.batch_size) for entry in tried])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params("x", rotation=45 if len(tried) > 7 else 0)
        axes.set_xlabel("batch size")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        for entry in tried:
            if entry.problem:
                axes.axvline(entry.batch_size, color="#b03030", linestyle=":", linewidth=1.4, label=entry.problem)
    left.set_ylabel("samples per second")
    right.set_ylabel("memory beyond the process's own, MiB")
    if best is not None and most is not None and best.samples_per_second and most.memory is not None:
        label = f"fastest: {best.batch_size}"
        left.plot([best.batch_size], [best.samples_per_second], "o", color="#d1571b", markersize=10, label=label)
        label = f"largest that fits: {most.batch_size}"
        right.plot([most.batch_size], [most.memory / 2**20], "o", color="#d1571b", markersize=10, label=label)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=9, loc="best")
    if title:
        figure.suptitle(title, fontsize=10)
    temporary = file.with_name(f".{file.name}")
    figure.savefig(temporary, format="png")
    rename(temporary, file)
