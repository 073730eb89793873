"""What `couloir sample` does: it asks a finished run for pictures, writes them, and says where they are."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor

from couloir.artifacts.sample_grid import below
from couloir.data.skipped import legible
from couloir.errors import CouloirError, display
from couloir.inference.given import given
from couloir.inference.inputs import Inputs
from couloir.inference.predictor import Predictor
from couloir.inference.sampling.drawing import Codes, Made, Maker, codes_of, in_a_loop, labelled, path
from couloir.inference.sampling.latent import write_latent
from couloir.inference.sampling.pictures import side_of, write_film, write_made, write_picture
from couloir.inference.sampling.words import (
    FOLDER,
    INTERPOLATE,
    LATENT,
    MOST,
    PNG,
    RECONSTRUCT,
    SAMPLES,
    WALK,
    Wanted,
    no_encoder,
)
from couloir.inference.trained import Trained
from couloir.log import warnings_told

STEPS = 10
"""Pictures of a row from one code to another."""
BESIDE = 20
"""Classes that stand beside each other at most: then a class has a column, or a place in a frame, of its own."""
FRAMES = 10
"""From one code of a walk to the next."""
TESTED = 256
"""Test samples among which the codes of an autoencoder's walk are chosen."""


def sample(cfg: DictConfig, run: Path, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    """Make what is asked for, print where it is, and return the facts.

    Args:
        cfg: the run's configuration.
        run: its folder; or one of its checkpoints, where it is not the best that makes the pictures.
        wanted: what is asked for.
        found: the files that are named.

    Raises:
        CouloirError: the run cannot do it, or it cannot be written.
    """
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.tta, cfg.metric = None, None  # nothing is measured, each picture is looked at as it is
    with warnings_told():
        trained = Trained(cfg, run)
        maker = Maker(trained)
        facts: dict[str, Any] = {"run": str(trained.run), "pictures": wanted.mode}
        made = {
            SAMPLES: _samples, INTERPOLATE: _interpolated, RECONSTRUCT: _reconstructed, LATENT: _latent, WALK: _walked,
        }[wanted.mode](maker, wanted, found)  # fmt: skip
    return facts | made


def _samples(maker: Maker, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    label = maker.label(wanted.label)
    parts = maker.samples(wanted.count, wanted.seed, label)
    written = write_made(wanted.output, wanted.form, parts, _columns(maker, label))
    _tell(written, f"{_counted(wanted.count, 'sample')}, seed {wanted.seed}{_of_class(maker, label)}")
    return {**_facts(maker, written, wanted, label), "seed": wanted.seed}


def _columns(maker: Maker, label: int | None) -> int | None:
    """Of one picture: a class a column where they come in turn."""
    in_turn = maker.task.conditional and label is None and len(maker.classes) <= BESIDE
    return len(maker.classes) if in_turn else None


def _interpolated(maker: Maker, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    label = maker.label(wanted.label)
    if found is None:
        maker.check_draws()
        keys = maker.task.draw(torch.arange(2 * wanted.count), wanted.seed)
        pairs = [(keys[2 * row], keys[2 * row + 1]) for row in range(wanted.count)]
        about = f"{_counted(wanted.count, 'row')}, each from one drawn code to another, seed {wanted.seed}"
    else:
        codes, names = _codes_of_files(maker, found)
        if len(codes) < 2:
            raise CouloirError(
                f"--interpolate goes from one picture to another, and there is one: {names[0]}.",
                next_step="name two files, or none: then codes are drawn",
            )
        pairs = list(itertools.pairwise(codes))
        if len(pairs) > MOST and wanted.form == PNG:
            raise CouloirError(
                f"One picture shows at most {MOST:,} rows, and there are {len(pairs):,}.",
                next_step="name fewer files, or --output FOLDER",
            )
        about = f"{_counted(len(pairs), 'row')}, each from the code of one picture to that of the next"
    arc = maker.task.can_draw
    codes = torch.cat([path(begin, end, torch.linspace(0, 1, STEPS), arc) for begin, end in pairs])
    labels = labelled(len(pairs), len(maker.classes), label, STEPS) if maker.task.conditional else None
    parts = _numbered(maker.of(codes, labels), labels)
    written = write_made(wanted.output, wanted.form, parts, STEPS)
    _tell(written, f"{about}; {'along arcs' if arc else 'along lines'}{_of_class(maker, label)}")
    return _facts(maker, written, wanted, label) | ({"seed": wanted.seed} if found is None else {})


def _codes_of_files(maker: Maker, found: Inputs) -> tuple[Tensor, list[str]]:
    """The codes of all samples in some files, (N, K), and where each comes from.

    Raises:
        CouloirError: the network finds no codes, or a file cannot be read.
    """
    _check_encodes(maker, INTERPOLATE)
    unusable: list[tuple[str, str]] = []
    codes, names = [], []
    for part in given(maker.trained, found, unusable):
        with torch.inference_mode():
            codes.append(maker.task.codes(part.batch))
        names += part.names
    for where, reason in unusable:
        raise CouloirError(f"{Path(where).name} {reason}.", place=where, next_step="leave the file out")
    return torch.cat(codes), names


def _check_encodes(maker: Maker, mode: str) -> None:
    if not maker.task.can_encode:
        raise no_encoder(maker.trained.run.name, mode)


def _numbered(parts: Iterator[Tensor], labels: Tensor | None = None) -> Iterator[Made]:
    """Pictures with numbers from 0."""
    count = 0
    for pictures in parts:
        numbers = torch.arange(count, count + len(pictures))
        yield Made(numbers, None if labels is None else labels[numbers], pictures)
        count += len(pictures)


def _reconstructed(maker: Maker, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    assert found is not None, "--reconstruct names files"
    _check_encodes(maker, RECONSTRUCT)
    unusable: list[tuple[str, str]] = []
    errors: list[dict[str, Any]] = []
    seen: list[Tensor] = []

    def rebuilt() -> Iterator[Tensor]:
        task = maker.task
        for part in given(maker.trained, found, unusable):
            with torch.inference_mode():
                pixels, again = task.pixels(part.batch[task.input]), task.rebuilt(part.batch)
            each = (again - pixels).double().square().flatten(1).mean(dim=1).tolist()
            errors.extend({"file": name, "mse": mse} for name, mse in zip(part.names, each, strict=True))
            if wanted.form == PNG:
                seen.append(pixels.cpu())
                if len(errors) > MOST:
                    raise CouloirError(
                        f"One picture shows at most {MOST:,} pairs, and there are more.",
                        next_step="--output FOLDER or --output FILE.npy takes any number",
                    )
            yield again.cpu()

    if wanted.form == PNG:
        pictures = list(rebuilt())
        _check_readable(errors, unusable)
        columns = min(len(errors), STEPS)
        write_picture(wanted.output, below([torch.cat(seen), torch.cat(pictures)], columns, side_of(columns)))
        written = [wanted.output]
    else:
        parts = _numbered(rebuilt())
        first = next(parts, None)
        _check_readable(errors, unusable)
        assert first is not None
        written = write_made(wanted.output, wanted.form, _with(first, parts), None)
    for entry in errors:
        print(f"{legible(entry['file'])}: mean squared error {entry['mse']:.4g}, PSNR {_decibels(entry['mse'])}")  # noqa: T201
    _warn(unusable)
    below_each = "; below each input what is rebuilt of it" if wanted.form == PNG else ""
    _tell(written, f"{_counted(len(errors), 'picture')} rebuilt{below_each}")
    return {**_facts(maker, written, wanted, None), "count": len(errors), "errors": errors}


def _with(first: Made, others: Iterator[Made]) -> Iterator[Made]:
    yield first
    yield from others


def _check_readable(errors: list[dict[str, Any]], unusable: list[tuple[str, str]]) -> None:
    if errors:
        return
    where, reason = unusable[0] if unusable else ("", "holds no sample")
    raise CouloirError(
        f"None of the files can be read: the first one {reason}.", place=where or None, next_step="look at the files"
    )


def _decibels(mse: float) -> str:
    """The peak signal-to-noise ratio of pixels in [0, 1], in words."""
    return f"{-10 * torch.tensor(mse, dtype=torch.float64).log10().item():.2f} dB" if mse > 0 else "infinite"


def _warn(unusable: list[tuple[str, str]]) -> None:
    for where, reason in unusable:
        print(legible(f"warning: {where}: {reason}"), file=sys.stderr)  # noqa: T201


def _tested(maker: Maker, most: int | None = None) -> Codes:
    """The codes of the run's own test split."""
    predictor = Predictor(maker.trained.cfg, maker.trained.checkpoint)
    task = predictor.task
    assert isinstance(task, type(maker.task))
    return codes_of(task, predictor.batches("test"), most)


def _latent(maker: Maker, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    _check_encodes(maker, LATENT)
    codes = _tested(maker)
    written = write_latent(wanted.output, maker, codes, maker.trained.run.name)
    width = codes.values.shape[1]
    _tell(written, f"the codes of {_counted(len(codes.values), 'test sample')}, {_counted(width, 'number')} each")
    return {**_facts(maker, written, wanted, None), "count": len(codes.values), "code_size": width}


def _walked(maker: Maker, wanted: Wanted, found: Inputs | None) -> dict[str, Any]:
    label = maker.label(wanted.label)
    count = max(2, wanted.count // FRAMES)
    if maker.task.can_draw:
        keys, about = maker.task.draw(torch.arange(count), wanted.seed), "drawn codes"
    else:
        codes = torch.from_numpy(_tested(maker, TESTED).values)
        if len(codes) < 2:
            raise CouloirError("A walk needs two test samples at least, and the run's data has one.")
        generator = torch.Generator().manual_seed(wanted.seed)
        keys, about = codes[torch.randperm(len(codes), generator=generator)[:count]], "codes of test samples"
    walk = in_a_loop(keys, wanted.count, spherical=maker.task.can_draw)
    write_film(wanted.output, wanted.form, _frames(maker, walk, label))
    _tell([wanted.output], f"{wanted.count} frames through {len(keys)} {about}, seed {wanted.seed}"
                           f"{_of_class(maker, label)}")  # fmt: skip
    return {**_facts(maker, [wanted.output], wanted, label), "seed": wanted.seed}


def _frames(maker: Maker, walk: Tensor, label: int | None) -> Iterator[Tensor]:
    """The pictures of each frame: one, or of a conditional network one of each class, all of the same code."""
    classes: list[int] = [] if label is None else [label]
    if maker.task.conditional and label is None:
        classes = list(range(min(len(maker.classes), BESIDE)))
    each = max(1, len(classes))
    labels = torch.tensor(classes).repeat(len(walk)) if maker.task.conditional else None
    pictures = torch.cat(list(maker.of(walk.repeat_interleave(each, dim=0), labels)))
    for start in range(0, len(pictures), each):
        yield pictures[start : start + each]


def _facts(maker: Maker, written: list[Path], wanted: Wanted, label: int | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"checkpoint": maker.trained.checkpoint.name}
    facts["files" if wanted.form != FOLDER or wanted.mode == LATENT else "folders"] = [
        str(file.absolute()) for file in written
    ]
    if wanted.count:
        facts["count"] = wanted.count
    if label is not None:
        facts["class"] = maker.classes[label]
    return facts


def _tell(written: list[Path], about: str) -> None:
    """Where the pictures are, and what they are."""
    first, *others = written
    print(f"{display(first)}  ({about})")  # noqa: T201
    for file in others:
        print(display(file))  # noqa: T201


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _of_class(maker: Maker, label: int | None) -> str:
    return "" if label is None else f", class {maker.classes[label]}"
