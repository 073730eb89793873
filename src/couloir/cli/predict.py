"""`couloir predict RUN... INPUT... [OVERRIDES]`: what finished runs say of new photographs, rows or arrays."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.flags import Flag, take_flags
from couloir.errors import CouloirError
from couloir.record.files import check_writable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from omegaconf import DictConfig

    from couloir.inference.map_words import Wanted

JSON, STRICT, OVERLAY, PROBABILITIES = "--json", "--strict", "--overlay", "--probabilities"
USAGE = """usage: couloir predict RUN... INPUT... [--top N] [--json] [--output FILE] [--strict] [KEY=VALUE ...]
       couloir predict RUN... INPUT... --output FOLDER [--overlay] [--probabilities] [--strict] [KEY=VALUE ...]

What a run says of new samples: a row each, as CSV on standard output, or as a table on a terminal.
A run is a folder, its name, or `latest`; or one of its checkpoints. Several runs are an ensemble: the mean of their
answers. An input is a photograph, a folder of them, a pattern in quotes, a table with the columns of the training in
any order (.csv, .tsv, .parquet), an array (.npy), or - for a list of files on standard input. A run that translates
or tells the class of texts takes these: a .txt with one a line, or a table with a column called as in the training.
  couloir predict latest photo.jpg
  couloir predict latest photos/ 'more/**/*.png'     folders and patterns
  couloir predict RUN RUN table.csv --output answers.csv
  couloir predict RUN sources.txt                    the answer to each line
  find photos -type f | couloir predict latest - --json
A run whose answers are maps looks at whole photographs, each at its own size, and writes a picture for each:
  couloir predict latest photos/ --output masks --overlay
A run that forecasts writes the steps that follow the last ones of a table, with their dates:
  couloir predict latest sales.csv --output next.csv --plot next.png
A folder whose folders are called like the classes, or a table with its target, is compared as well, on standard error.

  --top N         the N most probable classes of each sample, instead of all
  --json          a JSON object a line
  --output FILE   into a file that ends in .csv or .jsonl; a folder, where an answer is a map or the like
                  of maps a new folder, with a picture for each sample and answers.csv, a row for each
  --overlay       of maps: the photograph with its classes in colours, or with what is salient in red
  --probabilities  of classes: NAME_probabilities.npy, float16 (classes, height, width); of a saliency map its exact
                  values: NAME_values.npy, and a picture with 16 bits
  --probability CLASS  of one class: a picture with 16 bits, 65535 is 1
  --plot FILE.png  of a run that forecasts: what was known and what follows it
  --strict        end with the first input that cannot be read (exit 2); else it is named, and the rest is done (exit 0)
Keys: tta=CHOICE, metric=CHOICE, data.batch_size, data.workers, trainer.accelerator, output_dir, how a table is read
(data.on_error=skip leaves rows out), and of what translates task.beam, task.max_tokens, task.length_penalty"""

SWITCHES = (JSON, STRICT, OVERLAY, PROBABILITIES)
FLAGS = [
    Flag("--top", None, "int >= 1", takes="how many classes: N"),
    Flag("--output", None, takes="the name of a FILE"),
    Flag("--plot", None, takes="the name of a FILE"),
    Flag("--probability", None, takes="the name of a CLASS"),
]
ROW_KINDS = ("label", "labels", "value")
"""Kinds of targets whose answers are rows of numbers."""


def main(arguments: list[str]) -> int:
    """Answer about each input, on standard output or into a file."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    options, words = take_flags([word for word in arguments if word not in SWITCHES], FLAGS, also=SWITCHES)
    output = None if options["--output"] is None else Path(options["--output"]).expanduser()
    from couloir.inference.map_words import Wanted

    wanted = Wanted(OVERLAY in arguments, PROBABILITIES in arguments, options["--probability"])
    plot = None if options["--plot"] is None else Path(options["--plot"]).expanduser()
    return _predict(words, options["--top"], output, JSON in arguments, STRICT in arguments, wanted, plot)


def _predict(
    words: list[str], top: int | None, output: Path | None, as_lines: bool, strict: bool, wanted: Wanted,
    plot: Path | None,
) -> int:  # fmt: skip
    from couloir.config.finished import asked_runs
    from couloir.inference.inputs import (
        LIST,
        OPENED,
        TABLE,
        check_answered,
        check_arrays,
        check_kinds,
        check_tables,
        divide,
        find_inputs,
        forecasts_series,
        in_folders,
    )
    from couloir.inference.map_words import check_maps
    from couloir.record.find import outputs_of

    outputs = outputs_of(words)
    named, inputs, overrides = divide(words, outputs)
    runs, folders, cfgs = asked_runs(named, outputs, overrides, OPENED)
    check_maps(cfgs[0], wanted, output, as_lines)
    _check_form(cfgs[0], top, output, as_lines)
    found = find_inputs(inputs, _listed() if LIST in inputs else (), in_folders(cfgs[0]))
    _check_output(output, found.files)
    if strict and found.unusable:
        first = found.unusable[0]
        raise CouloirError(
            f"{Path(first.where).name} {first.reason}.",
            place=first.where,
            next_step="leave the file out; without --strict it is named, and the rest is done",
        )
    for cfg, folder in zip(cfgs, folders, strict=True):
        check_answered(found, cfg, folder)
        check_kinds(found, cfg, folder)
        if found.kind == TABLE and forecasts_series(cfg):
            continue
        check_arrays(found, cfg, folder)
        check_tables(found, cfg, folder)

    if found.kind == TABLE and all(map(forecasts_series, cfgs)):
        _check_plot(plot, found.files)
        from couloir.inference.predict import predict_series

        return predict_series(cfgs, runs, found, output, as_lines, plot)
    if plot is not None:
        raise CouloirError(
            "--plot draws what a run forecasts of a table of series, and this is none.", next_step="leave --plot out"
        )

    from couloir.inference.predict import predict

    return predict(cfgs, runs, found, top, output, as_lines, strict, wanted)


def _check_plot(plot: Path | None, files: Sequence[Path]) -> None:
    """Whether a picture can be written.

    Raises:
        CouloirError: its name says that it is none, or it cannot be written.
    """
    if plot is None:
        return
    if plot.suffix.lower() != ".png":
        raise CouloirError(f"--plot {plot} is no .png file.", next_step=f"--plot {plot.with_suffix('.png')}")
    if not plot.parent.is_dir():
        raise CouloirError(f"There is no folder {plot.parent} to write into.", next_step=f"mkdir -p {plot.parent}")
    _check_output(plot, files)


def _listed() -> list[str]:
    """The files that standard input names, a line or, as `find -print0` writes them, a zero byte after each."""
    if sys.stdin is None:  # Python's own sign that it is closed
        return []
    text = sys.stdin.buffer.read().decode(errors="surrogateescape")
    return text.split("\0" if "\0" in text else "\n")  # no `splitlines`: a name may hold its rarer ends of lines


def _check_form(cfg: DictConfig, top: int | None, output: Path | None, as_lines: bool) -> None:
    """Whether the answers can have the form that is asked for.

    Raises:
        CouloirError: they cannot, or the file cannot be written.
    """
    from couloir.config.fields import fields_of, input_field, target_field
    from couloir.config.made_for import MODEL
    from couloir.config.metrics import NEXT_TOKEN, task_of
    from couloir.inference.inputs import reads_texts

    fields = fields_of(cfg.data)
    kind = fields[target_field(fields)]
    texts = reads_texts(cfg) and task_of(cfg) != NEXT_TOKEN  # whose probabilities are a matrix each
    rows = kind in ROW_KINDS or texts or (kind == "future" and fields[input_field(fields)] == "series")
    if top is not None and (kind not in ("label", "labels") or (cfg.get("task") or {}).get(MODEL)):
        raise CouloirError("--top names classes, and this run has none.", next_step="leave --top out")
    if output is None:
        return
    if as_lines and output.suffix.lower() != ".jsonl":
        raise CouloirError(
            f"--json is for standard output, and --output {output} is no .jsonl file.",
            next_step=f"--output {output.with_suffix('.jsonl')}",
        )
    if rows and output.suffix.lower() not in (".csv", ".jsonl"):
        raise CouloirError(
            f"--output {output} ends in neither .csv nor .jsonl, which says what is written.",
            next_step=f"--output {output.name or 'answers'}.csv",
        )
    if not output.parent.is_dir():
        raise CouloirError(f"There is no folder {output.parent} to write into.", next_step=f"mkdir -p {output.parent}")
    if output.is_dir() and rows:
        raise CouloirError(f"--output {output} is a folder.", next_step="name a file")


def _check_output(output: Path | None, files: Sequence[Path]) -> None:
    """Whether answers can be written where they shall go, and replace none of the files that they are about.

    Raises:
        CouloirError: they cannot, or do.
    """
    if output is None or not output.parent.is_dir() or output.is_dir():
        return
    there = output.exists()
    if there and any(file.exists() and output.samefile(file) for file in files):
        raise CouloirError(
            f"--output {output} is one of the inputs, and answers would replace it.",
            next_step=f"--output {output.with_name(f'{output.stem}_answers{output.suffix}')}",
        )
    check_writable(output)
