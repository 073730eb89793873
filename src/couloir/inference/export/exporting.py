"""A finished run as a file that other programs use.

The file and what stands beside it are written into a folder of their own, the file is read again and asked about
samples of the validation split, and only then do both get their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, open_dict
from torch import Tensor, nn

from couloir.config.metrics import GAN, task_of
from couloir.data.sequence.sequences import Sequences
from couloir.download import checksum
from couloir.errors import CouloirError, ExportDiffers
from couloir.inference.export.agreement import BATCHES, Seen, agreement, first_samples, windows
from couloir.inference.export.facts import any_size_told, of_generator, of_graph, of_run, takes_any_size
from couloir.inference.export.graph import REFUSALS, Decoder, Graph, PreparedImages, PreparedRows
from couloir.inference.export.over_steps import export_over_steps
from couloir.inference.export.provisional import ENDING, provisional
from couloir.inference.export.writers import write_onnx, write_torch
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from couloir.record.files import as_json
from couloir.record.safetensors import read_state, write_state
from couloir.task.dense import Dense
from couloir.task.generative import Generative
from couloir.task.task import Task

REFUSALS_OF_SIZES = (CouloirError, *REFUSALS)
"""What an attempt may end in whose file takes images of any size: then one of the window's size is written."""
WRITERS = {"torch": write_torch, "onnx": write_onnx}


def export_graph(cfg: DictConfig, run: Path, to: str, file: Path, with_preprocessing: bool) -> dict[str, Any]:
    """Write a run's network as a program, and the facts about it beside the file; returns these facts.

    Args:
        cfg: the run's configuration; where its samples are now.
        run: its folder; or one of its checkpoints, where it is not the best that is exported.
        to: `torch` or `onnx`.
        file: where to; its folder is there.
        with_preprocessing: whether the program prepares its input and answers as the task does.

    Raises:
        CouloirError: the run has no checkpoint or no data, or its network cannot be exported.
        ExportDiffers: the file would not answer as the run does.
    """
    if task_of(cfg) == GAN:
        return export_generator(Trained(_plainly(cfg), run), to, file)
    predictor = _with_data(cfg, run)
    if makes_alone(predictor.task):
        return export_generator(predictor, to, file)
    if isinstance(predictor.data, Sequences):
        return export_over_steps(predictor, to, file, with_preprocessing)
    seen = first_samples(predictor)
    graph = _graph(predictor, seen, with_preprocessing)
    asked = seen.raw if with_preprocessing and seen.raw is not None else seen.prepared
    own = _answers(predictor, seen.prepared, with_preprocessing)
    facts = {
        "format": to,
        **of_run(predictor),
        **of_graph(predictor, asked, own, with_preprocessing),
    }
    several = predictor.data.kind == "value"
    for any_size in (True, False) if takes_any_size(predictor) else (False,):
        stated = {**facts, **any_size_told(facts, predictor)} if any_size else facts
        try:
            with provisional(file) as temporary:
                answers = WRITERS[to](graph, temporary, tuple(asked.shape[1:]), asked.dtype, stated, any_size)
                found = agreement(own, asked, answers, seen.different, apart=own.ndim == 2 and several)
                if any_size:
                    _check_other_size(predictor, answers, with_preprocessing)
                stated["agreement"] = asdict(found)
                stated["sha256"] = checksum(temporary, "sha256")
                temporary.with_name(temporary.name + ENDING).write_text(as_json(stated), encoding="utf-8")
            return stated
        except REFUSALS_OF_SIZES:
            if not any_size:
                raise
    raise AssertionError("the last attempt returns or raises")


def makes_alone(task: Task) -> bool:
    """Whether a task makes samples and finds no codes of any: then the network's own output says nothing."""
    return isinstance(task, Generative) and not task.can_encode


def export_generator(trained: Trained, to: str, file: Path) -> dict[str, Any]:
    """Write what makes a run's images, codes in and images out; its data is not needed.

    Args:
        trained: the run; its network has a `generator`.
        to: `torch` or `onnx`.
        file: where to; its folder is there.

    Returns:
        the facts.

    Raises:
        CouloirError: the network has no generator, or that cannot be exported.
        ExportDiffers: the file would not make what the run makes.
    """
    task, generator = trained.task, getattr(trained.net, "generator", None)
    assert isinstance(task, Generative)
    if not isinstance(generator, nn.Module):
        raise CouloirError(
            f"An export of {type(task).__name__} needs the network's attribute `generator`, which "
            f"{type(trained.net).__name__} lacks.",
            next_step="--to safetensors writes the weights of any network",
        )
    numbers = torch.arange(sum(BATCHES))
    codes = task.draw(numbers)
    labels = (numbers % int(task.num_classes),) if task.conditional else ()
    own = task.make(codes, *labels)
    graph = Decoder(generator.requires_grad_(False), task.conditional).eval()
    facts = {"format": to, **of_run(trained), **of_generator(task, codes, own)}
    with provisional(file) as temporary:
        kinds = tuple(each.dtype for each in labels)
        answers = WRITERS[to](graph, temporary, tuple(codes.shape[1:]), codes.dtype, facts, False, kinds)
        facts["agreement"] = asdict(agreement(own, codes, answers, len(numbers), beside=labels, kind="drawn codes"))
        facts["sha256"] = checksum(temporary, "sha256")
        temporary.with_name(temporary.name + ENDING).write_text(as_json(facts), encoding="utf-8")
    return facts


def _check_other_size(predictor: Predictor, answers: Callable[[Tensor], Tensor], with_preprocessing: bool) -> None:
    """Ask the file about images of another size than it was traced with, of odd sides.

    Raises:
        ExportDiffers: it answers otherwise than the run.
    """
    task = predictor.task
    assert isinstance(task, Dense)
    seen = windows(predictor, (task.window[0] + 5, task.window[1] * 2 - 1))
    asked = seen.raw if with_preprocessing and seen.raw is not None else seen.prepared
    agreement(_answers(predictor, seen.prepared, with_preprocessing), asked, answers, seen.different)


def export_weights(cfg: DictConfig, run: Path, file: Path) -> dict[str, Any]:
    """Write a run's weights under the network's own names, and the facts about them in the file and beside it; returns
    these facts. The data is not needed: what is read back is compared to the bit.

    Args:
        cfg: the run's configuration.
        run: its folder; or one of its checkpoints, where it is not the best that is exported.
        file: where to, `.safetensors`; its folder is there.

    Raises:
        CouloirError: the run has no checkpoint.
        ExportDiffers: what is read back is not what was written.
    """
    trained = Trained(_plainly(cfg), run)
    state = trained.net.state_dict()
    facts = {"format": "safetensors", **of_run(trained)}
    with provisional(file) as temporary:
        write_state(temporary, state, facts)
        again = read_state(temporary)
        different = [name for name in state if name not in again or not _same(state[name], again[name])]
        if different or len(again) != len(state):
            raise ExportDiffers(
                f"What is read back from {file.name} is not what the run has: {', '.join(different[:3]) or 'more'}. No "
                "file is left."
            )
        facts |= {"tensors": len(state), "sha256": checksum(temporary, "sha256")}
        temporary.with_name(temporary.name + ENDING).write_text(as_json(facts), encoding="utf-8")
    return facts


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _plainly(cfg: DictConfig) -> DictConfig:
    """A run's configuration for answers on the CPU, each sample as it is, and not in several views."""
    cfg = cfg.copy()
    with open_dict(cfg):
        cfg.trainer.accelerator, cfg.tta = "cpu", None
        cfg.metric = None  # nothing is measured
        if "memory_budget" in cfg.data:
            cfg.data.memory_budget = 0.0  # a few photographs are looked at: the others need not be decoded
    return cfg


def _with_data(cfg: DictConfig, run: Path) -> Predictor:
    """The run and its data.

    Raises:
        CouloirError: the data is not where it was, and no word says where it is.
    """
    try:
        return Predictor(_plainly(cfg), run)
    except CouloirError as error:
        key = next((f"data.{key}" for key in ("root", "path") if cfg.data.get(key) is not None), None)
        if error.next_step is None or key is None or key not in str(error):
            raise
        raise CouloirError(
            f"{error.fact} An export is checked on samples of the run's validation split.",
            place=error.place,
            next_step=f"{key}=... says where they are now; --to safetensors does without them",
        ) from error


def _graph(predictor: Predictor, seen: Seen, with_preprocessing: bool) -> Graph:
    net = predictor.net.requires_grad_(False)
    data = predictor.data
    if not with_preprocessing:
        if getattr(data, "order", None) is not None:
            raise CouloirError(
                "The network was given the pixels of images in another order (data.permute_pixels=true), and who uses "
                "the file does not know it.",
                next_step="--with-preprocessing: then the file puts them in that order itself",
            )
        return Graph(net).eval()
    if seen.raw is None or data.mean is None:
        raise CouloirError(
            "The run has a data module of its own, and Couloir does not know how it prepares its samples.",
            next_step="leave --with-preprocessing out",
        )
    std, encoding = [value or 1.0 for value in data.std], data.encoding  # as a channel that never varies has been
    prepare: nn.Module
    if data.image_size is not None:
        prepare = PreparedImages(data.mean, std, seen.raw.dtype, data.order)
    else:
        offsets = [0.0] * len(std) if encoding is None else encoding.offsets
        mean = [value - offset for value, offset in zip(data.mean, offsets, strict=True)]
        prepare = PreparedRows(mean, std, encoding)
    return Graph(net, prepare, predictor.task.answer).eval()


def _answers(predictor: Predictor, prepared: Tensor, with_preprocessing: bool) -> Tensor:
    """What the run itself says of prepared samples."""
    with torch.inference_mode():
        output: Any = predictor.net(prepared)
        if not isinstance(output, Tensor):
            raise CouloirError(
                f"The network returns {type(output).__name__}; an export takes networks that return one tensor.",
                next_step="--to safetensors writes the weights of any network",
            )
        return predictor.task.answer(output) if with_preprocessing else output
