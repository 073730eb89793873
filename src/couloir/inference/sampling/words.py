"""What the words of `couloir sample` ask of a run, and whether the run can do it. Nothing here imports torch."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from couloir.config.fields import fields_of, input_field
from couloir.config.metrics import GAN, MAKING, RECONSTRUCTION, TRANSLATION, task_name, task_of
from couloir.errors import CouloirError, display
from couloir.record.files import check_writable
from couloir.record.find import CHECKPOINT, names_run

SAMPLES, INTERPOLATE, RECONSTRUCT, LATENT, WALK = "samples", "interpolate", "reconstruct", "latent", "walk"
FLAGS = {mode: f"--{mode}" for mode in (INTERPOLATE, RECONSTRUCT, LATENT, WALK)}
"""What is typed for each kind of picture; for samples, nothing."""
COUNTS = {SAMPLES: 64, INTERPOLATE: 8, WALK: 60}
"""What `--count` counts where it is not set: samples, rows, frames."""
LEAST = {WALK: 2}
MOST = 2_500
"""Samples, rows or frames that one picture can show."""
LARGEST_SEED = 2**63 - 1
PNG, GIF, NPY, TXT, FOLDER = ".png", ".gif", ".npy", ".txt", ""
FORMS = {
    SAMPLES: (PNG, NPY, FOLDER), INTERPOLATE: (PNG, NPY, FOLDER), RECONSTRUCT: (PNG, NPY, FOLDER), LATENT: (FOLDER,),
    WALK: (GIF, PNG),
}  # fmt: skip
"""How the names of what is written may end."""
MARK = "couloir sample"
"""What a picture says of who has made it: only such pictures are replaced."""
PLACE = "samples"
"""Where pictures go in a run's folder."""
LATENT_FILES = ("codes.csv", "codes.npy", "codes.png", "manifold.png")


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Attributes:
        mode: `SAMPLES`, `INTERPOLATE`, `RECONSTRUCT`, `LATENT` or `WALK`.
        count: samples, rows or frames; 0 where nothing is counted.
        seed: what the codes follow from.
        label: the class, by its name or number; None: all of them in turn.
        output: the file or folder.
        form: how the name of the output ends, `PNG`, `GIF`, `NPY` or `FOLDER`.
    """

    mode: str
    count: int
    seed: int
    label: str | None
    output: Path
    form: str


def check_task(cfg: Any, run: Path) -> None:
    """Whether the task of a run makes pictures, as far as its name tells: a task of the user's own may.

    Raises:
        CouloirError: it does not.
    """
    task = task_of(cfg)
    node = cfg.get("task") or {}
    if task not in MAKING and str(node.get("_target_", "couloir.")).startswith("couloir."):
        why = "there is no code to draw or to decode, and no text to continue"
        if task == TRANSLATION:
            why = "it translates texts and cannot continue one"
        raise CouloirError(
            f"The run {run.name} has task={task_name(cfg)}, which makes nothing of its own: {why}.",
            next_step="name a run of task=reconstruction, vae, gan or next_token; couloir predict asks this one about "
            "files",
        )


def check_mode(cfg: Any, run: Path, mode: str, label: str | None, files: Sequence[str]) -> None:
    """Whether a run can make such pictures, as far as its configuration tells.

    Args:
        cfg: its configuration.
        run: its folder.
        mode: what is asked for.
        label: the class that is asked for.
        files: the files that are named.

    Raises:
        CouloirError: it cannot.
    """
    task = task_of(cfg)
    fields = fields_of(cfg.data)
    if task == RECONSTRUCTION and (mode == SAMPLES or (mode == INTERPOLATE and not files)):
        raise no_codes_to_draw(run.name)
    if task == GAN and (mode in (RECONSTRUCT, LATENT) or files):
        raise no_encoder(run.name, mode)
    conditional = bool((cfg.get("task") or {}).get("conditional"))
    if label is not None and task in MAKING and not (task == GAN and conditional):
        raise no_classes(run.name, task)
    if fields[input_field(fields)] != "image" and mode != LATENT:
        raise CouloirError(
            f"The run {run.name} was trained on rows, and rows are no pictures.",
            next_step=f"couloir sample {run.name} --latent shows its codes; couloir predict {run.name} FILE gives the "
            "code and the error of each row",
        )


def check_files(mode: str, files: Sequence[str], run: str, outputs: str) -> None:
    """Whether files stand where they are asked for, and nowhere else.

    Args:
        mode: what is asked for.
        files: the words behind the run.
        run: the word for the run.
        outputs: the folder that collects the runs.

    Raises:
        CouloirError: they do not.
    """
    if mode == RECONSTRUCT and not files:
        raise CouloirError("--reconstruct needs files.", next_step=f"couloir sample {run} --reconstruct FILE FILE")
    if mode == INTERPOLATE and len(files) == 1 and Path(files[0]).suffix.lower() != NPY and not Path(files[0]).is_dir():
        raise CouloirError(
            f"--interpolate goes from one picture to another, and {files[0]} is one.",
            next_step=f"couloir sample {run} --interpolate {files[0]} FILE; without files codes are drawn",
        )
    if not files or mode in (RECONSTRUCT, INTERPOLATE):
        return
    if names_run(files[0], outputs):
        raise CouloirError("One run makes pictures at a time.", next_step=f"couloir sample {files[0]}")
    raise CouloirError(
        f"'{files[0]}' stands behind the run, and {FLAGS.get(mode, 'couloir sample')} takes no files.",
        next_step=f"--output {files[0]} says where pictures go; --reconstruct and --interpolate take files",
    )


def check_drawn(mode: str, files: Sequence[str], seed: int | None, label: str | None) -> None:
    """Whether flags about what is drawn stand where something is drawn.

    Raises:
        CouloirError: they do not, or the seed is too large.
    """
    for flag, value in (("--seed", seed), ("--class", label)):
        if value is not None and (mode in (RECONSTRUCT, LATENT) or files):
            raise CouloirError(
                f"{FLAGS[mode]} {'FILE ' * bool(files and mode == INTERPOLATE)}draws nothing, so {flag} says nothing.",
                next_step=f"leave {flag} out",
            )
    if seed is not None and seed > LARGEST_SEED:
        raise CouloirError(f"--seed takes an integer up to {LARGEST_SEED}, not {seed}.", next_step="--seed 0")


def no_codes_to_draw(run: str) -> CouloirError:
    """What is said of an autoencoder that is asked for samples."""
    return CouloirError(
        f"The run {run} is an autoencoder: its codes follow no distribution that is known, so none can be drawn.",
        next_step="train with model=vae or model=conv_vae to draw samples; with this run --reconstruct FILE, "
        "--interpolate FILE FILE, --latent and --walk work",
    )


def no_encoder(run: str, mode: str) -> CouloirError:
    """What is said of a GAN that is asked about the code of a picture."""
    what = f"{FLAGS[mode]} FILE" if mode == INTERPOLATE else FLAGS[mode]
    return CouloirError(
        f"The run {run} is a GAN: it has no encoder, and {what} needs the codes of given pictures.",
        next_step="--interpolate and --walk go between drawn codes; a run of model=vae has an encoder",
    )


def no_classes(run: str, task: str) -> CouloirError:
    """What is said of a class that is asked of a run which does not know what it makes."""
    how = "has task.conditional=false" if task == GAN else f"has task={task}"
    return CouloirError(
        f"--class is for a conditional GAN, and the run {run} {how}: it does not choose what it makes.",
        next_step="leave --class out, or train with task=gan task.conditional=true",
    )


def counted(mode: str, count: int | None, form: str, files: Sequence[str]) -> int:
    """What `--count` is, where it counts something.

    Raises:
        CouloirError: it counts nothing, or more or less than can be shown.
    """
    nothing = mode not in COUNTS or (mode == INTERPOLATE and bool(files))
    if nothing:
        if count is not None:
            what = "all test samples" if mode == LATENT else "each file"
            raise CouloirError(f"{FLAGS[mode]} shows {what}, so --count says nothing.", next_step="leave --count out")
        return 0
    count = COUNTS[mode] if count is None else count
    if count < LEAST.get(mode, 1):
        raise CouloirError(f"--walk needs {LEAST[mode]} frames at least, not {count}.", next_step="--count 60")
    if form in (PNG, GIF) and count > MOST:
        kept = "--output FOLDER or --output FILE.npy takes any number" if mode != WALK else f"--count {MOST}"
        raise CouloirError(f"One picture shows at most {MOST:,}, not {count:,}.", next_step=kept)
    return count


def place_for(
    mode: str, stated: str | None, run: Path, seed: int, label: str | None, files: Sequence[str] = ()
) -> tuple[Path, str]:
    """Where the pictures go, and how its name ends.

    Args:
        mode: what is asked for.
        stated: the word behind `--output`; None: a place in the run's folder.
        run: its folder, or the one of its checkpoints that is named: then that is part of the name.
        seed: part of the name.
        label: the same.
        files: the files that are named.

    Raises:
        CouloirError: the name does not say what is to be written.
    """
    if stated is None:
        folder, of = (run.parents[1], f"_{run.stem}") if run.suffix == CHECKPOINT else (run, "")
        if label is not None:
            of = "_class_" + "".join(letter if letter.isalnum() else "_" for letter in label) + of
        name = {
            SAMPLES: f"sample_seed{seed}{of}.png",
            INTERPOLATE: f"interpolate_{'files' if files else f'seed{seed}'}{of}.png",
            RECONSTRUCT: f"reconstruct{of}.png", LATENT: f"latent{of}", WALK: f"walk_seed{seed}{of}.gif",
        }[mode]  # fmt: skip
        place = folder / PLACE / name
        return place, place.suffix
    place = Path(stated).expanduser()
    form = FOLDER if place.is_dir() or stated.endswith(("/", os.sep)) else place.suffix.lower()
    if form not in FORMS[mode]:
        known = [f"FILE{ending}" if ending else "FOLDER" for ending in FORMS[mode]]
        told = " or ".join([", ".join(known[:-1]), known[-1]] if len(known) > 1 else known)
        what = "is a folder" if form == FOLDER else f"ends in {form}"
        raise CouloirError(
            f"--output {stated} {what}; {FLAGS.get(mode, 'couloir sample')} writes {told}.",
            next_step=f"--output {place.with_suffix(FORMS[mode][0])}",
        )
    return place, form


def check_place(place: Path, form: str, own: bool) -> None:
    """Whether pictures can be written there, and replace nothing but pictures of `couloir sample`.

    Args:
        place: the file or folder.
        form: how its name ends.
        own: whether it is the place in the run's folder, which is made, and not one that the user has named.

    Raises:
        CouloirError: they cannot, or do.
    """
    try:
        if own:
            place.parent.mkdir(exist_ok=True)
        elif not place.parent.is_dir():
            raise CouloirError(
                f"There is no folder {place.parent} to write into.", next_step=f"mkdir -p {place.parent}"
            )
        if form == FOLDER and not os.path.lexists(place):
            place.mkdir()
    except OSError as error:
        raise CouloirError(
            f"{place} cannot be made: {error.strerror}.",
            place=str(error.filename),
            next_step="--output names a place that can be written to",
        ) from error
    if form == FOLDER:
        _check_folder(place)
        check_writable(place / f"0{PNG}")
        return
    if os.path.lexists(place) and not (is_ours(place) or (own and form == TXT)):
        what = "is not replaced" if form == TXT else "is no picture of `couloir sample`"
        raise CouloirError(
            f"{display(place)} exists already, and {what}.",
            next_step=f"--output {place.with_name(f'{place.stem}_new{place.suffix}')}",
        )
    check_writable(place)


def _check_folder(place: Path) -> None:
    if not place.is_dir():
        raise CouloirError(f"--output {place} is a file.", next_step="name a folder, or FILE.png")
    there = {path.name: path for path in place.iterdir()}
    pictures = [path for path in there.values() if path.suffix == PNG]
    # What `--latent` has written is written again: its pictures say so.
    if there and not (there.keys() <= set(LATENT_FILES) and pictures and all(map(is_ours, pictures))):
        raise CouloirError(
            f"--output {place} is there already, and is not an empty folder.", next_step="name another folder"
        )


def is_ours(file: Path) -> bool:
    """Whether a file is a picture that `couloir sample` has written, by what stands in it."""
    try:
        with Image.open(file) as picture:
            said = picture.info.get("Software") or picture.info.get("comment") or ""
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return False
    return (said.decode(errors="replace") if isinstance(said, bytes) else str(said)) == MARK


def overrides_among(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide words into those that name the run and files, and the overrides: those with a `=` that are no file."""
    named = [word for word in words if "=" not in word or os.path.lexists(word) or glob.has_magic(word.split("=")[0])]
    return named, [word for word in words if word not in named]
