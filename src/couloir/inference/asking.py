"""Finished runs are asked about new samples: batch by batch, one run or the mean of several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from couloir.config.fields import SAMPLE, input_field
from couloir.config.metrics import NEXT_TOKEN, task_of
from couloir.data.features import Feature
from couloir.data.images import reading_of
from couloir.data.npy import opened_array
from couloir.data.sequence.clips import EVEN
from couloir.data.sequence.sequence_files import Wanted as SequencesWanted
from couloir.data.sequence.sequence_files import unseen
from couloir.data.sequence.unseen_videos import UnseenVideos
from couloir.data.table import Wanted
from couloir.data.unseen import Arrays, Photographs, Raw, RowsWanted, Unseen, rows_of
from couloir.data.unseen_sequences import UnseenSequences
from couloir.data.unseen_texts import UnseenTexts
from couloir.data.whole_photographs import WholePhotographs, at_once
from couloir.errors import CouloirError
from couloir.inference.inputs import (
    ARRAYS,
    PHOTOGRAPHS,
    Inputs,
    Unusable,
    array_form,
    check_kinds,
    labels_texts,
    reads_sequences,
    reads_texts,
    reads_videos,
    texts_of,
)
from couloir.inference.texts import Texts
from couloir.inference.trained import Measured, Trained, loaded_size, mean_answer
from couloir.ragged import Padded, Ragged, part
from couloir.ragged import rows_of as count_of
from couloir.record.columns import read_columns
from couloir.task.dense import Dense
from couloir.task.generative import Generative
from couloir.task.prediction import Prediction
from couloir.task.restoration import Restoration
from couloir.task.task import Column, Step


@dataclass
class Asked:
    """Some samples, as each of several runs takes them.

    Attributes:
        samples: one for each run; the same samples in the same order.
        name: the file that they are all in; None: each has its own.
    """

    samples: list[Unseen]
    name: Path | None = None


@dataclass
class Answered:
    """The answers to some samples.

    Attributes:
        asked: what they are among.
        places: their numbers among these, (B,).
        answer: in the data's units, (B, ...), or in the task's own form.
        columns: of `Task.columns`, (B,) or (B, K) by name; none where a table cannot hold the answer.
        truth: (B,) or (B, K) as the data states it; None where nothing is known.
        known: (B,) of which samples it is known.
        pixels: of a map, the images that it is of, as a photograph has them, uint8 (B, H, W, C).
    """

    asked: Asked
    places: NDArray[np.int64]
    answer: Any
    columns: Mapping[str, Column]
    truth: NDArray[Any] | None
    known: NDArray[np.bool_]
    pixels: NDArray[np.uint8] | None = None


@dataclass
class Asking:
    """Runs that answer together.

    Args:
        runs: they know the same classes or values; the answer is the mean of theirs.

    Attributes:
        unusable: the inputs that could not be read, so far.
        notes: what the runs did not know of a table.
        measured: the metrics of the samples whose truth is known.

    Raises:
        CouloirError: the runs do not know the same.
    """

    runs: Sequence[Trained]
    unusable: list[Unusable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        first, *others = self.runs
        for other in others:
            check_alike(first, other)
        self.measured = Measured(first.task)

    @property
    def compares(self) -> bool:
        """Whether answers are compared with a truth; what makes or rebuilds samples has learned none."""
        return not isinstance(self.runs[0].task, Generative)

    def about(self, inputs: Inputs) -> list[Asked]:
        """What is asked about some files.

        Raises:
            CouloirError: a run does not take them.
        """
        for run in self.runs:
            check_kinds(inputs, run.cfg, run.run, run.is_plain)
        if inputs.kind == PHOTOGRAPHS:
            labels = None
            if self.runs[0].data.kind == "label" and self.compares:
                labels, notes = inputs.labels(self.runs[0].classes)
                self.notes += notes
            if reads_videos(self.runs[0].cfg):
                return [Asked([videos_of(run, inputs.files, labels) for run in self.runs])]
            several = len(self.runs) > 1
            return [Asked([photographs_of(run, inputs.files, labels, several) for run in self.runs])]
        if inputs.kind == ARRAYS:
            return [Asked([array_of(run, file) for run in self.runs], file) for file in inputs.files]
        if reads_texts(self.runs[0].cfg):
            return [Asked(self.texts(file), file) for file in inputs.files]
        if reads_sequences(self.runs[0].cfg):
            labels = None
            if self.runs[0].data.kind == "label" and self.compares:
                labels, notes = inputs.labels(self.runs[0].classes)
                self.notes += notes
            return [
                Asked(
                    [sequences_of(run, file, None if labels is None else int(labels[place])) for run in self.runs], file
                )
                for place, file in enumerate(inputs.files)
            ]
        return [Asked(self.tables(file), file) for file in inputs.files]

    def texts(self, file: Path) -> list[Unseen]:
        """The texts of a file, as each run takes them."""
        found = [texts_of(file, run.cfg) for run in self.runs]
        self.unusable += [Unusable(f"{row.file}, line {row.line}", row.reason) for row in found[0].skipped]
        return [texts_for(run, texts) for run, texts in zip(self.runs, found, strict=True)]

    def tables(self, file: Path, **reading: Any) -> list[Unseen]:
        """The rows of a table, as each run takes them; `reading` says how the file is read, where the runs do not."""
        found: list[Unseen] = []
        for run in self.runs:
            samples, notes = rows_of(file, rows_wanted(run), **reading)
            self.notes += [note for note in notes if note not in self.notes]
            found.append(samples)
        if any(len(samples) != len(found[0]) for samples in found):
            raise CouloirError(
                f"The runs do not take the same rows of {file}.",
                next_step="data.on_error=raise shows which, run by run",
            )
        for row in found[0].skipped:
            self.unusable.append(Unusable(f"{row.file}, line {row.line}", row.reason))
        return found

    def answers(self, asked: Asked, strict: str = "") -> Iterator[Answered]:
        """The answers batch by batch; what cannot be read is left out, and goes to `unusable`.

        Args:
            asked: the samples.
            strict: raise what cannot be read, and say what to do then; empty: go on with the others.

        Raises:
            CouloirError: the first that cannot be read, where that is strict.
        """
        first, batch_size = self.runs[0], int(self.runs[0].data.batch_size or 32)
        if isinstance(first.task, Dense) and isinstance(samples := asked.samples[0], Arrays):
            batch_size = at_once(batch_size, *samples.shown_size)
        targets, known = asked.samples[0].targets if self.compares else None, asked.samples[0].known
        start = 0
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(samples.batches(batch_size))) for samples in asked.samples]
            for raws in zip(*streams, strict=True):
                count = count_of(raws[0].x)
                failed = {place: error for raw in raws for place, error in raw.failed.items()}
                for place in sorted(failed):
                    if strict:
                        error = failed[place]
                        raise CouloirError(error.fact, place=error.place, next_step=strict)
                    self.unusable.append(_unusable(failed[place]))
                places = np.delete(np.arange(count), sorted(failed))
                numbers, start = start + places, start + count
                if not len(places):
                    continue
                kept = [raw.x[torch.from_numpy(places)] if failed else raw.x for raw in raws]
                batches = [
                    {**run.prepare(x), SAMPLE: torch.from_numpy(numbers)}
                    for run, x in zip(self.runs, kept, strict=True)
                ]
                replies = [run.respond(batch) for run, batch in zip(self.runs, batches, strict=True)]
                answers = [answer for _, answer in replies]
                if isinstance(first.task, Dense):
                    answers = [_at_size(run, raw, x) for run, raw, x in zip(self.runs, raws, answers, strict=True)]
                answer = mean_answer(answers)
                output = replies[0][0] if len(replies) == 1 else None
                truth = None if targets is None else targets[numbers]
                if truth is not None:
                    self._measure(kept[0], answer, output, truth, known[numbers])
                columns = first.task.columns(answer, output)
                if any(len(values) != len(places) for values in columns.values()):
                    columns = {}
                pixels = shown_pixels(raws[0]) if isinstance(first.task, Dense) else None
                yield Answered(asked, numbers, answer, columns, truth, known[numbers], pixels)

    def _measure(self, x: Any, answer: Any, output: Any, truth: NDArray[Any], known: NDArray[np.bool_]) -> None:
        """Take in the samples whose truth is known."""
        if not known.any():
            return
        run, whole = self.runs[0], bool(known.all())
        chosen = torch.from_numpy(np.flatnonzero(known)).to(run.device)
        batch = run.prepare(x if whole else part(x, chosen.cpu()), truth[known])
        with torch.inference_mode():
            step: Step
            if output is None:
                step = run.task.compare(answer if whole else answer[chosen], batch)
            elif isinstance(run.task, Prediction) and isinstance(output, Tensor):
                step = run.task.compared(output if whole else output[chosen], batch)
            else:
                step = run.task.compute(batch)
        self.measured.add(step, int(known.sum()))


def sequences_of(run: Trained, file: Path, label: int | None = None) -> UnseenSequences:
    """The sequences of a table, as a run takes them, and the class of all of them; -1: it is not known."""
    keys = OmegaConf.to_container(run.cfg.data, resolve=True)
    assert isinstance(keys, dict)
    wanted = SequencesWanted.of({str(name): value for name, value in keys.items()})
    return UnseenSequences(*unseen(file, wanted, run.data.facts["channels"]), label)


def _at_size(run: Trained, raw: Raw, answer: Tensor) -> Tensor:
    """Maps at the size of the photographs, where these were scaled."""
    assert isinstance(run.task, Dense)
    return answer if raw.size is None else run.task.at_size(answer, raw.size)


def shown_pixels(raw: Raw) -> NDArray[np.uint8]:
    """The images of some samples as photographs have them, uint8 (B, H, W, C)."""
    if raw.pixels is not None:
        return raw.pixels
    x = raw.x if raw.x.dtype == torch.uint8 else (raw.x.float().clamp(0, 1) * 255).round().to(torch.uint8)
    found: NDArray[np.uint8] = x.movedim(1, -1).cpu().numpy()
    return found


def _unusable(error: CouloirError) -> Unusable:
    where = error.place or ""
    return Unusable(where, error.fact.removeprefix(f"{Path(where).name} ").rstrip("."))


def check_alike(first: Trained, other: Trained) -> None:
    """Whether two runs can answer together.

    Raises:
        CouloirError: their classes, values, tasks or inputs differ.
    """
    one, its = first.data, other.data
    kinds = [data.fields[input_field(data.fields)] for data in (one, its)]
    for what, mine, others in (
        ("classes", list(one.classes), list(its.classes)),
        ("values", list(one.targets), list(its.targets)),
        ("task", [type(first.task).__name__], [type(other.task).__name__]),
        ("inputs", kinds[:1], kinds[1:]),
    ):
        if mine != others:
            names = [", ".join(map(str, each[:6])) or "none" for each in (mine, others)]
            raise CouloirError(
                f"The runs {first.run.name} and {other.run.name} do not have the same {what}: {names[0]}; {names[1]}.",
                next_step="ask runs together that have the same classes and inputs",
            )


def texts_for(run: Trained, texts: Texts) -> UnseenTexts:
    """Texts as the tokens that a run knows, cut as its own were.

    Raises:
        CouloirError: a text has a token, or a class, that the run does not know.
    """
    tokens = texts.encoded(run.data.vocabulary)
    targets = None
    if labels_texts(run.cfg):
        tokens = [each[: run.cfg.data.get("length")] for each in tokens]
        targets = texts.targets(run.classes, str(run.cfg.data.get("target") or "label"))
    elif task_of(run.cfg) == NEXT_TOKEN and run.cfg.data.get("length"):
        tokens = [each[-int(run.cfg.data.length) :] for each in tokens]  # what follows goes by the last ones
    return UnseenTexts(tokens, texts.texts, texts.lines, targets)


def photographs_of(
    run: Trained, files: list[Path], labels: NDArray[np.int64] | None = None, alone: bool = False
) -> Photographs | WholePhotographs:
    """Photographs as a run takes them: their middles or, where its answers are maps, whole.

    Args:
        run: the run.
        files: the photographs.
        labels: (N,), -1 where the class is not known; None: of none it is known.
        alone: whole ones one at a time.
    """
    if isinstance(run.task, Dense):
        # What restores images is given images that are small or noisy already.
        resize = None if isinstance(run.task, Restoration) else run.cfg.data.get("resize")
        return WholePhotographs(files, reading_of(facts_of(run.cfg)), resize, alone)
    size, resize = loaded_size(run.cfg, run.views)
    assert size is not None, "the run has images"
    squares = 1 if run.views is None else run.views.squares
    reading = reading_of(facts_of(run.cfg))
    return Photographs(files, labels, reading, size, resize, squares, run.cfg.data.get("workers"))


def videos_of(run: Trained, files: list[Path], labels: NDArray[np.int64] | None = None) -> UnseenVideos:
    """Folders of pictures as a run takes videos; `labels` are those of the pictures, as `photographs_of` has them."""
    data = run.cfg.data
    keys = facts_of(run.cfg)
    size, resize = keys["image_size"], keys.get("resize")
    take, short = str(data.get("take") or EVEN), str(data.get("short") or "")
    return UnseenVideos(files, labels, reading_of(keys), size, resize, int(data.length), take, short)


def array_of(run: Trained, file: Path) -> Arrays:
    """An array as a run takes it.

    Raises:
        CouloirError: it has another shape or type.
    """
    array = opened_array(file)
    form = array_form(array.shape, array.dtype, run.cfg, str(file), run.is_plain)
    size = None if isinstance(run.task, Dense) else loaded_size(run.cfg, run.views)[0]
    return Arrays(file, form, size, row_offsets(run, array.shape, str(file)) if form == "rows" else None)


def row_offsets(run: Trained, shape: Sequence[int], place: str) -> NDArray[np.float64] | None:
    """What a run takes off the columns of rows of numbers, (F,), before they become float32.

    Args:
        run: the run.
        shape: of the rows, (N, F).
        place: where they are, for a message.

    Raises:
        CouloirError: the rows have another number of columns, or the run's table has other columns than numbers.
    """
    encoding = run.data.encoding
    if encoding is not None:
        odd = next((each for each in encoding.features if each.kind not in ("number", "boolean")), None)
        if odd is not None:
            raise CouloirError(
                f"The column '{odd.name}' of the run's table is a {odd.kind}: an array of numbers cannot hold it.",
                place=place,
                next_step="give a table: couloir predict RUN table.csv",
            )
    width = run.data.channels if encoding is None else len(encoding.features)
    if shape[1] != width:
        names = [] if encoding is None else [feature.name for feature in encoding.features]
        raise CouloirError(
            f"The rows have {shape[1]} numbers; the run takes {width}{': ' * bool(names)}{', '.join(names[:20])}.",
            place=place,
            next_step="save the columns of the training, in their order",
        )
    return None if encoding is None else np.array([feature.offset for feature in encoding.features])


def rows_wanted(run: Trained) -> RowsWanted:
    """What a run asks of a table."""
    encoding, data = run.data.encoding, run.data
    keys = facts_of(run.cfg)
    if encoding is not None:
        names = list(Wanted.of(keys).targets)
        return RowsWanted(keys, encoding.features, data.channels, names, run.classes, data.kind)
    columns = read_columns(run.run)
    names = [row["column"] for row in columns if row["inputs"]]
    predicted = [row["column"] for row in columns if row["kind"] == "target"]
    features = [Feature(name, "number") for name in names] if len(names) == data.channels else None
    return RowsWanted({}, features, data.channels, predicted, run.classes, data.kind, of_table=False)


def facts_of(cfg: DictConfig) -> dict[str, Any]:
    """The node `data` of a run's configuration in plain values."""
    facts = OmegaConf.to_container(cfg.data, resolve=True)
    assert isinstance(facts, dict)
    return {str(name): value for name, value in facts.items()}


def sample_of(answer: Any, place: int) -> Any:
    """One sample's part of the answer to a batch, as NumPy has it where it is a tensor.

    Raises:
        CouloirError: the answer is in no form that has a part for each sample.
    """
    if isinstance(answer, Ragged | Padded):
        return answer.samples()[place].cpu().numpy()
    if isinstance(answer, Tensor) and answer.ndim:
        return answer[place].cpu().numpy()
    if isinstance(answer, list | tuple):
        return answer[place]
    raise CouloirError(
        f"The answers of this run are one {type(answer).__name__} for all samples, not one for each.",
        next_step="let `answer` of the task return a tensor or a list whose first axis is the samples",
    )
