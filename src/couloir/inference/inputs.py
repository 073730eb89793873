"""What the words of `couloir predict` name: runs, and photographs, tables or arrays. Nothing here imports torch."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from couloir.config.fields import SEQUENCES, fields_of, input_field, target_field
from couloir.config.finished import Opened
from couloir.config.image_size import in_words, size_of
from couloir.config.metrics import (
    FORECAST,
    NEXT_TOKEN,
    RESTORATION,
    SALIENCY,
    SEGMENTATION,
    TRANSLATION,
    task_of,
)
from couloir.data.cells import read_cells
from couloir.data.columns import no_column
from couloir.data.listing import HIDDEN, NOWHERE, SPLIT_NAMES, Walk, composed
from couloir.data.npy import opened_array
from couloir.data.sequence.sequence_files import tables_in
from couloir.data.table import Wanted
from couloir.data.tabular.source import SUFFIXES
from couloir.errors import CouloirError, did_you_mean
from couloir.inference.texts import Texts, read_texts
from couloir.record.columns import read_columns
from couloir.record.find import find_trained, names_run
from couloir.record.provenance import read_provenance

OPENED = Opened(
    keys=(
        "tta.", "metric.", "data.batch_size", "data.workers", "data.max_pixels", "data.background", "data.bits",
        "data.on_error", "data.missing", "data.missing_words", "data.delimiter", "data.decimal", "data.encoding",
        "data.comment", "data.header", "task.beam", "task.max_tokens", "task.length_penalty", "trainer.accelerator",
        "output_dir", "allow_targets",
    ),
    groups=("tta", "metric"),
    why="cannot change after training",
    takes="couloir predict takes tta=..., metric=..., data.batch_size, data.workers, task.beam and how files are read",
)  # fmt: skip
"""What may be changed of a run that is asked about new samples."""
LIST = "-"
"""The word that stands for a list of files on standard input."""
MAP_TASKS = (SEGMENTATION, SALIENCY, RESTORATION)
"""Tasks that look at whole images of any size, and give a map of each."""
PHOTOGRAPHS, TABLE, ARRAYS = "photographs", "tables", "arrays"
TAKEN = {
    "image": (PHOTOGRAPHS, ARRAYS),
    "row": (TABLE, ARRAYS),
    "series": (TABLE, ARRAYS),
    "video": (PHOTOGRAPHS, ARRAYS),
}
"""What a run takes whose input is of a kind; of any other kind, arrays."""
SEQUENCE_FILES = "couloir.data.sequence.sequence_files.sequences_csv"
"""The data whose tables are a sequence each, or hold some."""


class Unusable(NamedTuple):
    """An input that cannot be read, and why."""

    where: str
    reason: str


@dataclass
class Inputs:
    """What a run is asked about.

    Attributes:
        kind: `PHOTOGRAPHS`, `TABLE` or `ARRAYS`.
        files: in order.
        folders: the folders that were named, each with the places of its photographs among the files.
        unusable: what was found in folders and cannot be used.
        others: how many files of folders are none of what was looked for, by the ends of their names.
        looked_for: what a folder stands for, `PHOTOGRAPHS` or `TABLE`.
    """

    kind: str = ""
    files: list[Path] = field(default_factory=list)
    folders: list[tuple[Path, range]] = field(default_factory=list)
    unusable: list[Unusable] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    looked_for: str = PHOTOGRAPHS

    def labels(self, classes: Sequence[str]) -> tuple[NDArray[np.int64] | None, list[str]]:
        """The label of each photograph, (N,), -1 where its folder does not say it; and why not, in sentences.

        A folder says it where all its photographs lie in folders that are called like classes of the run, also below
        `train`, `val` or `test`. None: no folder says it.
        """
        names = {composed(name): label for label, name in enumerate(classes)}
        labels = np.full(len(self.files), -1, dtype=np.int64)
        notes = []
        for folder, places in self.folders:
            above = [_class_folder(self.files[place], folder, names) for place in places]
            known = [name in names for name in above]
            if all(known):
                labels[places.start : places.stop] = [names[name] for name in above if name is not None]
            elif any(known):
                odd = next(name for name, is_known in zip(above, known, strict=True) if not is_known)
                what = f"'{odd}' is none of the run's classes" if odd else "photographs lie beside its class folders"
                notes.append(f"nothing is compared with the folders of {folder}: {what}")
        return (labels if (labels >= 0).any() else None), notes


def _class_folder(file: Path, folder: Path, names: Mapping[str, int]) -> str | None:
    """The folder below a named one that may be a photograph's class; None where it lies in none."""
    parts = [composed(part) for part in file.relative_to(folder).parts[:-1]]
    if len(parts) > 1 and parts[0] not in names and parts[0].lower() in SPLIT_NAMES:
        parts = parts[1:]
    return parts[0] if parts else None


def divide(arguments: Sequence[str], outputs: str) -> tuple[list[str], list[str], list[str]]:
    """The words that name runs, those that name inputs, and the overrides.

    Runs come first. A word is a run where `find_trained` finds one by it; one with a `=` is an override, unless there
    is a file or a folder of that name.

    Raises:
        CouloirError: the first word is no run; a run stands behind an input; a word may be both.
    """
    overrides = [word for word in arguments if "=" in word and word != LIST and not os.path.lexists(word)]
    words = [word for word in arguments if word not in overrides]
    if not words:
        raise CouloirError("No run is named.", next_step="couloir predict latest photo.jpg")
    find_trained(words[0], outputs)
    runs: list[str] = []
    for place, word in enumerate(words):
        is_run = place == 0 or names_run(word, outputs)
        if not is_run:
            continue
        if names_run(word, outputs) == "below" and os.path.lexists(word) and place:
            raise CouloirError(
                f"'{word}' is a run in {outputs}/, and a file or folder here.",
                next_step=f"write ./{word} for the file or folder, or the whole path of the run",
            )
        if len(runs) < place:
            raise CouloirError(
                f"The run '{word}' stands behind the input '{words[place - 1]}'.",
                next_step="name all runs first: couloir predict RUN RUN INPUT",
            )
        runs.append(word)
    inputs = words[len(runs) :]
    if not inputs:
        raise CouloirError(
            "No input is named.",
            next_step=f"couloir predict {' '.join(runs)} photo.jpg; a folder, a table, an array, or - for a list of "
            "files on standard input",
        )
    return runs, inputs, overrides


def find_inputs(words: Sequence[str], listed: Iterable[str] = (), looked_for: str = PHOTOGRAPHS) -> Inputs:
    """The files that some words name: files, folders of photographs, patterns such as `photos/*.jpg`, and `-`.

    Args:
        words: as typed.
        listed: the lines of standard input, for `-`.
        looked_for: what a folder stands for, as `in_folders` says of a run.

    Raises:
        CouloirError: a word names nothing, or the files are not all of one kind.
    """
    found = Inputs(looked_for=looked_for)
    for word in words:
        if word == LIST:
            _add_listed(found, listed)
            continue
        if not word.strip():  # as an empty variable of the shell is; Path takes it for the current folder
            raise CouloirError("An input is empty.", next_step="name a file or a folder; . is the current one")
        path = Path(word).expanduser()
        if path.is_dir():
            before = len(found.files) + len(found.unusable), Counter(found.others)
            _add_folder(found, path)
            if len(found.files) + len(found.unusable) == before[0]:
                raise _without_files(word, looked_for, found.others - before[1])
        elif os.path.lexists(path):
            _add(found, path)
        elif glob.has_magic(word):
            matched = sorted(glob.glob(os.fspath(path), recursive=True))  # noqa: PTH207  Path.glob shows hidden files
            if not matched:
                raise CouloirError(f"No file matches {word}.", next_step="look at the folder: ls")
            for match in matched:
                if os.path.isdir(match):  # noqa: PTH112
                    if "**" not in word:
                        _add_folder(found, Path(match))
                else:
                    _add(found, Path(match))
        else:
            raise _nothing(word, path)
    if not found.files and found.unusable:
        first = found.unusable[0]
        raise CouloirError(
            f"None of the {len(found.unusable):,} photographs can be read: the first one {first.reason}.",
            place=first.where,
            next_step="save them as JPEG or PNG",
        )
    if not found.files:
        raise _without_files(" ".join(words[:6]), looked_for, found.others)
    return found


def _without_files(named: str, looked_for: str, others: Counter[str]) -> CouloirError:
    held = f", only files such as *{next(iter(others))}" if others else ""
    return CouloirError(
        f"There is no {looked_for.removesuffix('s')} in {named}{held}.",
        next_step="a folder stands for the photographs in it; name tables and arrays as files"
        if looked_for == PHOTOGRAPHS
        else "a folder stands for the tables in it; name arrays as files",
    )


def _nothing(word: str, path: Path) -> CouloirError:
    there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, there, form=f"{path.parent / '{}'}" if path.parent != Path() else "{}")
    return CouloirError(f"There is no file or folder '{word}'.", next_step=hint or "look at the folder: ls")


def _add(found: Inputs, file: Path) -> None:
    kind = kind_of(file)
    if found.kind and kind != found.kind:
        raise CouloirError(
            f"The inputs are of two kinds: {found.files[0] if found.files else found.folders[0][0]} is for "
            f"{found.kind}, {file} for {kind}.",
            next_step="ask for one kind at a time",
        )
    found.kind = kind
    found.files.append(file)


def kind_of(file: Path) -> str:
    """What a file's name says that it holds; any name that says nothing is that of a photograph."""
    suffix = file.suffix.lower()
    return ARRAYS if suffix == ".npy" else TABLE if suffix in SUFFIXES else PHOTOGRAPHS


def in_folders(cfg: Any) -> str:
    """What a folder stands for that a run is asked about: its photographs, or its tables, each a sequence."""
    return TABLE if reads_sequences(cfg) else PHOTOGRAPHS


def _add_folder(found: Inputs, folder: Path) -> None:
    if found.looked_for == TABLE:
        start = len(found.files)
        for file in (tables := tables_in(folder)):
            _add(found, file)
        found.folders.append((folder, range(start, len(found.files))))
        others = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
        found.others += Counter(file.suffix.lower() for file in others if file not in set(tables))
        return
    walk = Walk(skip=True)
    images = walk.images(folder)
    start = len(found.files)
    for file in images:
        _add(found, file)
    found.folders.append((folder, range(start, len(found.files))))
    for entry in walk.left_out:
        if not entry.kind or entry.kind == NOWHERE:
            found.unusable.append(Unusable(entry.file, entry.reason))
        elif entry.kind != HIDDEN:
            found.others[entry.kind] += 1


def _add_listed(found: Inputs, lines: Iterable[str]) -> None:
    before = len(found.files)
    for line in lines:
        name = line.rstrip("\r\n")
        if name.strip():
            _add(found, Path(name))
    if len(found.files) == before:
        raise CouloirError(
            "Standard input names no file.", next_step="find photos -type f | couloir predict RUN -, a file a line"
        )


def check_kinds(inputs: Inputs, cfg: Any, run: Path, is_plain: bool | None = None) -> None:
    """Whether a run takes inputs of such a kind.

    Args:
        inputs: what was named.
        cfg: the run's configuration.
        run: its folder.
        is_plain: whether its data was a module of the user's own, which prepares its samples itself; None: not known.

    Raises:
        CouloirError: it does not, or an array has another shape.
    """
    fields = fields_of(cfg.data)
    kind = fields[input_field(fields)]
    known = kind != "series" or forecasts_series(cfg) or reads_sequences(cfg)
    taken = TAKEN.get(kind, (ARRAYS,)) if known else (ARRAYS,)
    if reads_texts(cfg):
        taken = (TABLE, ARRAYS) if task_of(cfg) == NEXT_TOKEN else (TABLE,)
    if inputs.kind not in taken:
        raise CouloirError(
            f"The run {run.name} takes {' or '.join(taken)}, and the inputs are {inputs.kind}: {inputs.files[0]}.",
            next_step="couloir predict RUN texts.txt, a text a line" if reads_texts(cfg)
            else "couloir predict RUN FOLDER, a folder of pictures for each video" if reads_videos(cfg)
            else "couloir predict RUN table.csv" if TABLE in taken else "couloir predict RUN photo.jpg"
            if PHOTOGRAPHS in taken else "save the inputs as one array: numpy.save('inputs.npy', array)",
        )  # fmt: skip
    if is_plain and inputs.kind == PHOTOGRAPHS:
        raise CouloirError(
            f"The run {run.name} was trained on a data module of your own, {cfg.data.get('_target_')}, which prepares "
            "its images itself: Couloir does not know how.",
            next_step="save what it hands to the network as one array: numpy.save('inputs.npy', array)",
        )
    channels = cfg.data.get("channels")
    if inputs.kind == PHOTOGRAPHS and channels not in (1, 3):
        raise CouloirError(
            f"The run {run.name} takes images of {channels} channels; a photograph has 1 or 3.",
            next_step="save the inputs as one array: numpy.save('inputs.npy', array)",
        )


def check_answered(inputs: Inputs, cfg: Any, run: Path) -> None:
    """Whether `couloir predict` has an answer to inputs of such a kind that is worth a file.

    Raises:
        CouloirError: the run goes on with texts, and is handed some.
    """
    if inputs.kind == TABLE and task_of(cfg) == NEXT_TOKEN:
        raise CouloirError(
            f"The run {run.name} goes on with texts, and couloir predict takes arrays of tokens of it, not "
            f"{inputs.kind}: {inputs.files[0]}.",
            next_step='couloir sample RUN --prompt "TEXT" writes what follows a text, couloir explain RUN TEXTS.txt'
            " says what that goes by",
        )


def reads_texts(cfg: Any) -> bool:
    """Whether a run is asked about texts: it answers each with one, with its class, or with what may follow."""
    return task_of(cfg) in (TRANSLATION, NEXT_TOKEN) or labels_texts(cfg)


def labels_texts(cfg: Any) -> bool:
    """Whether a run says which class a text has."""
    fields = fields_of(cfg.data)
    return fields[input_field(fields)] == "tokens" and fields[target_field(fields)] == "label"


def texts_of(file: Path, cfg: Any) -> Texts:
    """The texts of a file as a run takes them: the column of the training, or one a line.

    Raises:
        CouloirError: as `read_texts`.
    """
    if not labels_texts(cfg):
        return read_texts(file, [input_field(fields_of(cfg.data))])
    data = cfg.data
    reading = {
        name: data[name] for name in ("delimiter", "encoding", "comment", "header") if data.get(name) is not None
    }
    return read_texts(file, [str(data.get("text") or "text")], str(data.get("target") or "label"), reading)


def reads_sequences(cfg: Any) -> bool:
    """Whether a run was trained on files or groups of rows, each a sequence."""
    return str(cfg.data.get("_target_")) == SEQUENCE_FILES


def check_tables(inputs: Inputs, cfg: Any, run: Path) -> None:
    """Look for the columns of the training, or for texts, before torch is imported.

    Raises:
        CouloirError: a table cannot be read, or a column is not there.
    """
    if reads_texts(cfg):
        for file in inputs.files if inputs.kind == TABLE else ():
            texts_of(file, cfg)
        return
    if reads_sequences(cfg):
        return
    columns = read_columns(run)
    used = {row["column"]: row["kind"] for row in columns if row["inputs"]}
    targets = [row["column"] for row in columns if row["kind"] == "target"]
    for file in inputs.files if inputs.kind == TABLE and used else ():
        texts, skip, reading = targets, False, {}
        if "path" in cfg.data and "target" in cfg.data:
            keys = {str(name): cfg.data[name] for name in cfg.data}
            keys |= {name: OmegaConf.to_container(node) for name, node in keys.items() if OmegaConf.is_config(node)}
            stated = Wanted.of({**keys, "path": str(file), "val_path": None, "test_path": None})
            texts = [*stated.targets, *(name for name, kind in used.items() if kind != "number")]
            skip, reading = stated.skip, dict(stated.reading)
        cells = read_cells(str(file), as_text=sorted(set(texts)), skip=skip, **reading)
        for name in used:
            if name not in cells.names and "\\" not in name:  # which may stand for bytes that are no text
                raise no_column(cells, name, "add the column: cells may be empty, and count as gaps in training did")


def check_arrays(inputs: Inputs, cfg: Any, run: Path) -> None:
    """Look at the heads of arrays before torch is imported.

    Raises:
        CouloirError: an array cannot be read, or has another shape or type than the run takes.
    """
    told = read_provenance(run, strict=False).get("data", {})
    is_plain = "fingerprint" in told and told["fingerprint"] is None
    for file in inputs.files if inputs.kind == ARRAYS else ():
        array = opened_array(file)
        array_form(array.shape, array.dtype, cfg, str(file), is_plain)


def array_form(shape: Sequence[int], dtype: Any, cfg: Any, place: str, is_plain: bool) -> str:
    """What an array of samples is to a run: `images`, `images, channels last`, `rows` or `as it is`.

    Args:
        shape: of the whole array, samples first.
        dtype: its type.
        cfg: the run's configuration.
        place: where it is, for a message.
        is_plain: whether the run's data was a module of the user's own.

    Raises:
        CouloirError: it has another shape or type than the run takes.
    """
    fields = fields_of(cfg.data)
    kind, channels, size = fields[input_field(fields)], cfg.data.get("channels"), cfg.data.get("image_size")
    shown = f"({', '.join(map(str, shape))}) of {dtype}"
    numbers = np.dtype(dtype).kind in "fiub"
    if kind == "image" and learns_maps(cfg):
        return _whole_images_form(shape, dtype, int(channels), place, is_plain)
    if kind == "image" and channels and size:
        height, width = size_of(size)
        first, last = (channels, height, width), (height, width, channels)
        forms = [form for form, wanted in (("images", first), ("images, channels last", last))
                 if tuple(shape[1:]) == wanted]  # fmt: skip
        if not forms and channels == 1 and tuple(shape[1:]) == (height, width):
            forms = ["images"]
        typed = np.dtype(dtype) == np.uint8 or np.dtype(dtype).kind == "f"
        if is_plain and "images" in forms and len(shape) == 4 and np.dtype(dtype).kind == "f":
            return "as it is"
        if is_plain or not forms or not typed or (len(forms) == 2 and channels > 1):
            wanted = f"(N, {channels}, {height}, {width})"
            other = "" if is_plain else f" or (N, {height}, {width}, {channels}), of uint8, or of floats in [0, 1]"
            what = " of floats, prepared as your data module does it" if is_plain else other
            if forms and not typed:
                step = "save bytes, array.astype(np.uint8), or floats in [0, 1]"
            elif forms:
                step = "save them as your data module hands them to the network" if is_plain else "order the axes so"
            elif len(shape) == 4 and channels in (shape[1], shape[3]):
                step = f"scale the images to {in_words(size)} before; photographs in files are scaled by Couloir"
            else:
                step = f"save an array of that shape, {channels} channel{'s' * (channels > 1)} a sample: numpy.save"
            raise CouloirError(
                f"The array has the shape {shown}; the run takes {wanted}{what}.", place=place, next_step=step
            )
        return forms[0]
    if kind == "row":
        if len(shape) == 2 and numbers:
            return "as it is" if is_plain else "rows"
        raise CouloirError(
            f"The array has the shape {shown}; the run takes rows of numbers, (N, F).", place=place,
            next_step="save a row for each sample",
        )  # fmt: skip
    if kind in SEQUENCES and not is_plain:
        _check_steps(shape, np.dtype(dtype), cfg.data, kind, place)
        return "as it is"
    if len(shape) > 1 and numbers:
        return "as it is"
    raise CouloirError(
        f"The array has the shape {shown}; the run takes numbers, samples first.", place=place,
        next_step="save the inputs as the run's data module hands them out",
    )  # fmt: skip


def _check_steps(shape: Sequence[int], dtype: Any, data: Mapping[str, Any], kind: str, place: str) -> None:
    """An array of sequences of one length: tokens (N, T), a series (N, T, F) or a video (N, T, C, H, W).

    Raises:
        CouloirError: it is none that the run takes.
    """
    channels, size, length = data.get("channels"), data.get("image_size"), data.get("length")
    forms = {
        "tokens": ((), "(N, T) of integers, the numbers of the tokens", "iu"),
        "series": ((channels,), f"(N, T, {channels}) of numbers", "fiub"),
        "video": ((channels, *(size_of(size) if size else ())), f"(N, T, {channels}, height, width) of bytes", "u"),
    }
    sample, told, kinds = forms[kind]
    # A window, or a clip, is as long as those that the run has learned from.
    fixed = data.get("task") == FORECAST or kind == "video"
    steps = shape[1] if len(shape) > 1 else 0
    formed = len(shape) == len(sample) + 2 and tuple(shape[2:]) == sample
    if formed and dtype.kind in kinds and steps and (not fixed or steps == length):
        return
    told = told.replace("T", str(length), 1) if fixed else told
    raise CouloirError(
        f"The array has the shape ({', '.join(map(str, shape))}) of {dtype}; the run takes {told}.", place=place,
        next_step="save an array with a sequence for each sample: numpy.save; those of another length in a file of "
        "their own",
    )  # fmt: skip


def reads_videos(cfg: Any) -> bool:
    """Whether a run takes videos: folders of pictures."""
    fields = fields_of(cfg.data)
    return fields[input_field(fields)] == "video"


def forecasts_series(cfg: Any) -> bool:
    """Whether a run forecasts series, and so takes tables of them."""
    fields = fields_of(cfg.data)
    return task_of(cfg) == FORECAST and fields[input_field(fields)] == "series"


def learns_maps(cfg: Any) -> bool:
    """Whether a run has one of the tasks that look at whole images and give a map of each."""
    return task_of(cfg) in MAP_TASKS


def _whole_images_form(shape: Sequence[int], dtype: Any, channels: int, place: str, is_plain: bool) -> str:
    """What an array is to a run that takes images of any height and width."""
    kind = np.dtype(dtype)
    first, last = (len(shape) == 4 and shape[axis] == channels for axis in (1, 3))
    grey = len(shape) == 3 and channels == 1
    if is_plain and first and kind.kind == "f":
        return "as it is"
    if not is_plain and (first != last or grey or (first and channels == 1)) and (kind == np.uint8 or kind.kind == "f"):
        return "images" if first or grey else "images, channels last"
    own = " of floats, prepared as your data module does it"
    other = f" or (N, height, width, {channels}), of uint8, or of floats in [0, 1]"
    raise CouloirError(
        f"The array has the shape ({', '.join(map(str, shape))}) of {kind}; the run takes (N, {channels}, height, "
        f"width){own if is_plain else other}.",
        place=place,
        next_step="save them as your data module hands them to the network"
        if is_plain
        else "save bytes, array.astype(np.uint8), or floats, with the axes in this order",
    )
