"""Training steps at growing batch sizes, until one does not fit.

Speed and memory are those of whole steps: fetching and augmenting the batch, forward, backward, and the optimizer.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from rich.table import Table

from couloir import machine
from couloir.config.compose import Sentence
from couloir.data.batches import Batch
from couloir.errors import CouloirError, display
from couloir.inspect.batch_sizes import USABLE, Tried, doubling, draw_batch_sizes, expected_memory, fastest, largest
from couloir.inspect.probe import Probe, probing, training_sentence
from couloir.log import note, rendered, say
from couloir.ragged import length
from couloir.record.files import as_csv
from couloir.record.folder import RunFolder
from couloir.record.result import write_result

WARM_UP = 2
"""Steps that are not measured: the first ones allocate memory and choose algorithms."""


def find_batch_size(
    sentence: Sentence, folder: RunFolder, first: int, last: int | None, steps: int, command: list[str]
) -> list[Tried]:
    """Try the sizes, say which fit and which is fast, and write `batch_sizes.csv`, `.png` and `result.json`.

    Args:
        sentence: a checked sentence.
        folder: where the record goes.
        first: the first batch size.
        last: the last one; None: the training split.
        steps: steps at each size.
        command: what was typed.

    Raises:
        CouloirError: the parts do not go together, or not even the first size fits.
    """
    with probing(folder, sentence, command) as stop:
        probe = Probe.of(sentence.cfg, all_learns=True)
        samples = probe.data.sizes()["train"]
        sizes = doubling(first, samples if last is None else min(last, samples))
        tried: list[Tried] = []
        for entry in try_sizes(probe, sizes, steps, [stop]):
            tried.append(entry)
            note.info("%s", entry)
            folder.write_text("batch_sizes.csv", _as_csv(tried))
        words = " ".join(f"{group}={sentence.choices[group]}" for group in ("model", "data", "optimizer"))
        draw_batch_sizes(tried, folder.path / "batch_sizes.png", words)
        most, best = largest(tried), fastest(tried)
        write_result(folder, _numbers(most, best))
        if most is None or best is None:
            raise CouloirError(
                f"Even a batch of {tried[0].batch_size} does not fit: {tried[0].problem}.",
                next_step="a smaller --min, a smaller network or smaller images (data.image_size)",
            )
        end = "--max" if last is not None and last < samples else "the training split"
        suggested = training_sentence(sentence.overrides, "data.batch_size", f"data.batch_size={best.batch_size}")
        say.info(
            "%s",
            f"{rendered(_table(tried, most, best))}\n"
            f"try:     {suggested}\n"
            + (f"         {end} ends the search, not the memory\n" if tried[-1] is most else "")
            + "         the rate belongs to the batch: optimizer.scale_lr=linear"
            + ("" if probe.module.players else ", or couloir find-lr")  # which refuses two players
            + f"\npicture: {display(folder.path / 'batch_sizes.png')}",
        )
    return tried


def try_sizes(probe: Probe, sizes: list[int], steps: int, callbacks: list[Callback]) -> Iterator[Tried]:
    """Take steps at each size in turn; the last entry may be one that does not fit.

    On a GPU a size is tried until the device refuses it. The host does not refuse but kills, so there a size that is
    expected to need more than 80% of the available memory is not tried at all.

    Args:
        probe: what is trained.
        sizes: batch sizes, each twice the one before.
        steps: steps at each, more than `WARM_UP`.
        callbacks: what else watches.
    """
    tried: list[Tried] = []
    before = machine.resident_memory()
    if not before and not _on_gpu(probe):
        raise CouloirError(
            "This system does not say how much memory a process takes.",
            next_step="try batch sizes by hand: train ... data.batch_size=64 trainer.max_epochs=1",
        )
    for size in sizes:
        need = (expected_memory(tried) if tried else _least(probe)) - max(0, machine.resident_memory() - before)
        if not _on_gpu(probe) and need > USABLE * (room := machine.available_memory()):
            yield Tried(size, None, None, f"expected to need {_mib(need)} MiB more; {_mib(room)} are there")
            return
        try:
            entry = _try(probe, size, steps, callbacks, before)
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            entry = Tried(size, None, None, "out of memory")
        except ValueError as error:
            # torch's own words; one sample has no spread to normalise by.
            if "more than 1 value per channel" not in str(error):
                raise
            entry = Tried(size, None, None, "batch normalisation needs more samples")
        gc.collect()
        torch.cuda.empty_cache()
        tried.append(entry)
        yield entry
        if entry.problem == "out of memory":
            return


def _least(probe: Probe) -> int:
    """The bytes of a copy of the weights, their gradients, and two numbers of the optimizer's for each."""
    return 4 * sum(weight.numel() * weight.element_size() for weight in probe.module.net.parameters())


def _try(probe: Probe, size: int, steps: int, callbacks: list[Callback], before: int) -> Tried:
    accumulated = int(probe.cfg.trainer.get("accumulate_grad_batches", 1))
    clock = _Clock()
    whole = _WholeBatches(probe.data, size, steps * accumulated)
    machine.forget_peak_memory()
    probe.steps([clock, *callbacks], steps, whole)
    used = clock.device_peak if clock.device_peak is not None else max(0, machine.peak_memory() - before)
    # A step of several batches ends with the optimizer's, so its time is that of all of them.
    marks = clock.marks[::accumulated]
    seconds = [end - start for start, end in itertools.pairwise(marks)][WARM_UP - 1 :]
    return Tried(size, size * accumulated / statistics.median(seconds), used)


class _Clock(Callback):
    """When each batch was done, on the device as well, and the device's peak."""

    def __init__(self) -> None:
        self.marks: list[float] = []
        self.device_peak: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new peak."""
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the time."""
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
            self.device_peak = torch.cuda.max_memory_allocated(pl_module.device)
        self.marks.append(time.perf_counter())


class _WholeBatches(LightningDataModule):
    """One long epoch of full training batches: the split's, as often as it takes, without its shorter last ones.

    Args:
        data: where they come from.
        size: samples a batch, at most as many as the training split has.
        count: how many batches.
    """

    def __init__(self, data: Any, size: int, count: int) -> None:
        super().__init__()
        self.data, self.size, self.count = data, size, count

    def example_batch(self, count: int | None = None, first: bool = False) -> Batch:
        """What an optimizer that goes by the loss's curvature looks at."""
        batch: Batch = self.data.example_batch(count, first)
        return batch

    def train_dataloader(self) -> _WholeBatches:
        """The batches; the loop asks for an iterable of a known length."""
        return self

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        batches = self.data.train_batches(self.size)
        left = self.count
        try:
            while left:
                for batch in batches:
                    if length(batch) == self.size and left:
                        left -= 1
                        yield batch
                    if not left:
                        return
        finally:
            batches.close()


def _out_of_memory(error: BaseException) -> bool:
    words = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError)
        or "not enough memory" in words
        or "can't allocate memory" in words
    )


def _on_gpu(probe: Probe) -> bool:
    return probe.cfg.trainer.get("accelerator") in ("auto", "gpu", "cuda") and torch.cuda.is_available()


def _mib(count: float) -> str:
    return f"{count / 2**20:,.0f}"


def _table(tried: list[Tried], most: Tried, best: Tried) -> Table:
    table = Table("batch size", "samples/s", "memory, MiB", "")
    for entry in tried:
        marks = [*(["largest that fits"] if entry is most else []), *(["fastest"] if entry is best else [])]
        table.add_row(
            str(entry.batch_size),
            "" if entry.samples_per_second is None else f"{entry.samples_per_second:,.0f}",
            "" if entry.memory is None else _mib(entry.memory),
            entry.problem or ", ".join(marks),
        )
    return table


def _as_csv(tried: list[Tried]) -> str:
    columns = ["batch_size", "samples_per_second", "memory_bytes", "problem"]
    return as_csv(
        columns, [(entry.batch_size, entry.samples_per_second, entry.memory, entry.problem) for entry in tried]
    )


def _numbers(most: Tried | None, best: Tried | None) -> dict[str, Any]:
    return {
        "data.batch_size": None if best is None else best.batch_size,
        "largest": None if most is None else most.batch_size,
        "fastest": None if best is None else best.batch_size,
        "samples_per_second": None if best is None else best.samples_per_second,
        "largest_memory_bytes": None if most is None else most.memory,
    }
