"""What `couloir predict` does: it asks finished runs about files, writes their answers, and says how good they are."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from omegaconf import DictConfig

from couloir.artifacts.labelled_tiles import quick_png
from couloir.artifacts.prediction_table import Columns
from couloir.callbacks.progress import shown_number
from couloir.data.skipped import legible
from couloir.errors import CouloirError
from couloir.inference.answers import CSV, INDEX, LINES, blocks, into, write_folder
from couloir.inference.asking import Answered, Asked, Asking
from couloir.inference.forecasting import forecast, picture
from couloir.inference.inputs import PHOTOGRAPHS, TABLE, Inputs, reads_videos
from couloir.inference.map_files import MapFiles
from couloir.inference.map_words import NOTHING, Wanted
from couloir.inference.trained import Trained
from couloir.log import warnings_told
from couloir.record.files import write_atomically
from couloir.task.dense import Dense


def predict(
    cfgs: Sequence[DictConfig],
    runs: Sequence[Path],
    inputs: Inputs,
    top: int | None,
    output: Path | None,
    as_lines: bool,
    strict: bool,
    wanted: Wanted = NOTHING,
) -> int:
    """Answer about all inputs; what is no data goes to standard error.

    Args:
        cfgs: the configuration of each run.
        runs: their folders, or checkpoints of theirs.
        inputs: the files.
        top: so many of the most probable classes; None: all.
        output: a file, or, where an answer is no row of numbers, a folder; None: standard output.
        as_lines: JSON lines on standard output.
        strict: end with the first input that cannot be read.
        wanted: what is written besides maps.

    Returns:
        0.

    Raises:
        CouloirError: the runs do not take these inputs, or not together; none of the inputs can be read.
    """
    with warnings_told(), ExitStack() as stack:
        asking = Asking([Trained(cfg, run) for cfg, run in zip(cfgs, runs, strict=True)])
        if wanted.overlay and any(run.is_plain for run in asking.runs):
            raise CouloirError(
                "--overlay needs the image as people see it, and the run's own data module does not say how.",
                next_step="leave --overlay out",
            )
        more = MapFiles(asking.runs[0].task, wanted) if isinstance(asking.runs[0].task, Dense) else None
        for entry in inputs.unusable:
            _warn(f"{entry.where}: {entry.reason}")
        several = len(inputs.files) > 1
        everything = asking.about(inputs)
        answers = stack.enter_context(closing(_told(asking, everything, strict)))
        first = next(answers, None)
        if first is None:
            raise _nothing(asking, inputs)
        data, task = asking.runs[0].data, asking.runs[0].task
        again = itertools.chain([first], answers)
        if first.columns:
            if output is not None and output.suffix.lower() not in (CSV, LINES):
                raise CouloirError(
                    f"--output {output} ends in neither .csv nor .jsonl, and these answers are rows.",
                    next_step=f"--output {output}.csv",
                )
            columns = Columns(data.kind, data.classes, data.targets)
            count = 0
            with into(output, as_lines, columns) as write:
                compared = asking.compares and any(asked.samples[0].targets is not None for asked in everything)
                for block in blocks(again, top, several, compared):
                    write(block)
                    count += len(block.known)
        else:
            if output is None or output.suffix.lower() in (CSV, LINES):
                shape = tuple(getattr(first.answer, "shape", ()))[1:]
                form = f", but {shape} each" if shape else ""
                raise CouloirError(
                    f"The answers of {type(task).__name__} are no rows of numbers{form}, and go into a file each.",
                    next_step="--output FOLDER",
                )
            count = write_folder(again, output, task, several, more)
            _say(f"{output / INDEX} says which file is whose")
    _summarise(asking, inputs, count)
    return 0


def predict_series(
    cfgs: Sequence[DictConfig], runs: Sequence[Path], inputs: Inputs, output: Path | None, as_lines: bool,
    plot: Path | None,
) -> int:  # fmt: skip
    """Write the steps that follow the last ones of tables of series; what is no data goes to standard error.

    Args:
        cfgs: the configuration of each run.
        runs: their folders, or checkpoints of theirs.
        inputs: the tables.
        output: a file; None: standard output.
        as_lines: JSON lines on standard output.
        plot: the file of a picture; None: there is none.

    Returns:
        0.

    Raises:
        CouloirError: the runs do not forecast the same, or a table does not fit.
    """
    with warnings_told():
        trained = [Trained(cfg, run) for cfg, run in zip(cfgs, runs, strict=True)]
        found = []
        for file in inputs.files:
            answers, notes = forecast(trained, file)
            for note in notes:
                _warn(note)
            found.append((file, answers))
        columns = Columns("value", [], trained[0].data.targets)
        several = len(found) > 1
        count = 0
        with into(output, as_lines, columns) as write:
            for file, answers in found:
                for answer in answers:
                    write(answer.block(str(file) if several else ""))
                    count += 1
        if plot is not None:
            write_atomically(plot, quick_png(picture([answer for _, answers in found for answer in answers])))
    horizon = int(trained[0].data.horizon)
    _say(f"{horizon:,} step{'' if horizon == 1 else 's'} of {count:,} series")
    return 0


def _told(asking: Asking, everything: Sequence[Asked], strict: bool) -> Generator[Answered]:
    """The answers, with a warning for each input that cannot be read, as it comes."""
    if strict and asking.unusable:
        first = asking.unusable[0]
        raise CouloirError(
            first.reason, place=first.where, next_step="correct it; without --strict the others are done"
        )
    told = _warn_of(asking, 0)
    for asked in everything:
        for answered in asking.answers(asked, "repair it; without --strict the others are done" if strict else ""):
            told = _warn_of(asking, told)
            yield answered
    _warn_of(asking, told)


def _warn_of(asking: Asking, told: int) -> int:
    for entry in asking.unusable[told:]:
        _warn(f"{entry.where}: {entry.reason}")
    return len(asking.unusable)


def _nothing(asking: Asking, inputs: Inputs) -> CouloirError:
    bad = [*inputs.unusable, *asking.unusable]
    if not bad:
        return CouloirError(
            f"There is no sample in {', '.join(map(str, inputs.files[:6]))}.", next_step="name inputs that have some"
        )
    return CouloirError(
        f"None of the {len(bad):,} inputs can be read: the first one {bad[0].reason}.",
        place=bad[0].where,
        next_step="look at the files",
    )


def _summarise(asking: Asking, inputs: Inputs, count: int) -> None:
    """What was done, what was not, and how good the answers are."""
    for note in asking.notes:
        _warn(note)
    what = {PHOTOGRAPHS: "photograph", TABLE: "row"}.get(inputs.kind, "sample")
    what = "video" if reads_videos(asking.runs[0].cfg) else what
    line = f"{count:,} {what}{'' if count == 1 else 's'}"
    if unread := len(inputs.unusable) + len(asking.unusable):
        line += f"; {unread:,} could not be read"
    if inputs.others:
        others = ", ".join(f"{number:,} *{kind}" if kind[0] == "." else f"{number:,} {kind}"
                           for kind, number in inputs.others.most_common(6))  # fmt: skip
        line += f"; not {inputs.looked_for}: {others}"
    _say(line)
    if numbers := asking.measured.numbers():
        known = asking.measured.count
        shown = ", ".join(f"{name} {shown_number(value)}" for name, value in numbers.items())
        of = "" if known == count else f" (of the {known:,} whose truth is known)"
        _say(f"compared with the truth: {shown}{of}")


def _warn(text: str) -> None:
    _say(f"warning: {text}")


def _say(text: str) -> None:
    print(legible(text), file=sys.stderr)  # noqa: T201
