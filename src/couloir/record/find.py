"""The run that a word names. Nothing here imports torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from couloir.errors import CouloirError, did_you_mean, display
from couloir.record import metrics, status
from couloir.record.configuration import FILE
from couloir.record.folder import LATEST, follow
from couloir.record.status import refuse_newer
from couloir.record.sweep import FILE as SWEEP_FILE
from couloir.record.sweep import TABLE as SWEEP_TABLE

CHECKPOINT = ".ckpt"
"""How the name of a checkpoint ends."""
TRIAL_FILE = "trial.json"
"""What the folder of a run has that belongs to a trial of a sweep."""
SKIPPED = ("checkpoints", "tensorboard", LATEST)
"""Folders in which there are no runs."""
DEEPEST = 6


def runs_and_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str], str]:
    """A verb's arguments as the words that name runs, the overrides, and the folder that `output_dir` says they are in.

    A word with a `=` in it is an override, unless it is the folder of a run or a checkpoint.
    """
    words = [word for word in arguments if "=" not in word or (Path(word) / FILE).is_file() or _is_checkpoint(word)]
    overrides = [word for word in arguments if word not in words]
    return words, overrides, outputs_of(overrides)


def _is_checkpoint(word: str) -> bool:
    return word.endswith(CHECKPOINT) and Path(word).is_file()


def outputs_of(words: Sequence[str]) -> str:
    """The folder that collects the runs, as a word `output_dir=FOLDER` says, in quotes or not."""
    outputs = next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "outputs")
    quoted = len(outputs) > 1 and outputs[0] == outputs[-1] and outputs[0] in "'\""
    return outputs[1:-1] if quoted else outputs


def find_run(word: str, outputs: str | Path = "outputs") -> Path:
    """The folder of a run: a path, also one below `outputs`, `outputs/train`, `outputs/sweep` or `outputs/rerun`, or
    `latest`.

    Args:
        word: what the user typed.
        outputs: the folder that collects the runs.

    Raises:
        CouloirError: there is no such run, it is a sweep, or it was made by a newer Couloir.
    """
    for path in _places(word, outputs) if word else ():
        if (path / FILE).is_file():
            refuse_newer(path.resolve())
            return path.resolve()
    sweep = find_sweep(word, outputs) if word else None
    if sweep is not None:
        raise CouloirError(f"{word} is a sweep of several runs.", next_step=_best_of(sweep))
    if word and Path(word).is_dir():
        below, _ = runs_and_sweeps_below(Path(word))
        such = f", such as {display(below[0])}" if below else ""
        raise CouloirError(f"{word} is not a run: it has no {FILE}.", next_step=f"name the folder of a run{such}")
    if word == "latest" and not (Path(outputs) / word).exists() and any(_configs(Path(outputs))):
        raise CouloirError(
            f"No run in {outputs} has trained yet, and latest is the newest that has.",
            next_step="name the folder of a run; its status.json and train.log say how it ended",
        )
    known = sorted((path.parent for path in _configs(Path(outputs))), key=lambda path: path.name)
    hint = did_you_mean(word, [path.name for path in known], form="{}")
    newest = f"the newest is {known[-1]}" if known else f"`train` makes one in {outputs}/"
    raise CouloirError(f"There is no run '{word}'.", next_step=hint or newest)


def find_trained(word: str, outputs: str | Path = "outputs") -> Path:
    """The folder of a run, as `find_run` does, or the file of one of its checkpoints.

    Args:
        word: what the user typed.
        outputs: the folder that collects the runs.

    Raises:
        CouloirError: there is no such run, or it has no such checkpoint.
    """
    if not word.endswith(CHECKPOINT):
        return find_run(word, outputs)
    file = Path(past_latest(word)).expanduser().absolute()
    run = find_run(str(file.parent.parent), outputs)
    if not file.is_file():
        names = sorted(path.name for path in file.parent.glob(f"*{CHECKPOINT}"))
        raise CouloirError(f"The run {run.name} has no checkpoint {file.name}.", next_step=f"it has {', '.join(names)}")
    return file


def names_run(word: str, outputs: str | Path = "outputs") -> str:
    """How a word names a run or a checkpoint: `here`, as a path; `below`, by a name in `outputs`; empty: not at all."""
    if word.endswith(CHECKPOINT):
        return "here" if (Path(word).expanduser().absolute().parents[1] / FILE).is_file() else ""
    found = [(path / FILE).is_file() or (path / SWEEP_FILE).is_file() for path in _places(word, outputs)]
    is_path = word.startswith((f".{os.sep}", f"..{os.sep}", "./", "../")) or Path(word).is_absolute()
    return "here" if found[0] else "below" if any(found) and not is_path else ""


def past_latest(text: str) -> str:
    """A path with the run or the sweep that `latest` leads to in its place: `latest` will soon be another one."""
    path = Path(text).expanduser()
    for place in (path, *path.parents):
        folder = follow(place).resolve()
        points = place.name == LATEST and (place.is_symlink() or place.is_file())
        if points and any((folder / name).is_file() for name in (FILE, SWEEP_FILE)):
            return str(folder / path.relative_to(place))
    return text


def find_sweep(word: str, outputs: str | Path = "outputs") -> Path | None:
    """The folder of a sweep, named as a run is; None where the word names none."""
    return next((path.resolve() for path in _places(word, outputs) if (path / SWEEP_FILE).is_file()), None)


def runs_and_sweeps_below(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders of the runs and of the sweeps below a folder, itself among them, the newest first; what a link leads
    to is left out.
    """
    runs: list[Path] = []
    sweeps: list[Path] = []
    for path, is_run in _below(folder, 0):
        (runs if is_run else sweeps).append(path)
    return sorted(runs, key=_started, reverse=True), sorted(sweeps, reverse=True)


def _below(folder: Path, depth: int) -> Iterator[tuple[Path, bool]]:
    """The folders of runs and sweeps, and whether each is a run."""
    inner, names = [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED and entry.name[0] != ".":
                    inner.append(Path(entry.path))
    except OSError:
        return
    is_run = FILE in names and (status.FILE in names or metrics.FILE in names)
    if is_run or SWEEP_FILE in names:
        yield folder, is_run
    if not is_run and depth < DEEPEST:
        for path in inner:
            yield from _below(path, depth + 1)


def _started(run: Path) -> tuple[float, str]:
    """When a run's first file was written, as far as the disk tells."""
    try:
        return (run / FILE).stat().st_mtime, run.name
    except OSError:
        return 0.0, run.name


def _places(word: str, outputs: str | Path) -> Iterator[Path]:
    for place in (Path(word), *(Path(outputs) / verb / word for verb in ("", "train", "sweep", "rerun"))):
        yield follow(place)


def _best_of(sweep: Path) -> str:
    """Which of a sweep's runs the user may have meant."""
    first = next((path.parent for path in sorted(sweep.glob(f"*/{FILE}"))), sweep / "0")
    return f"name one of its runs, such as {display(first)}; {SWEEP_TABLE} says which is the best"


def _configs(outputs: Path) -> Iterator[Path]:
    """Of runs, and of the runs of a sweep, which lie one folder deeper, or two where each setting has several."""
    yield from outputs.glob(f"train/*/{FILE}")
    yield from outputs.glob(f"rerun/*/{FILE}")
    yield from outputs.glob(f"sweep/*/*/{FILE}")
    yield from outputs.glob(f"sweep/*/*/*/{FILE}")
