"""What stands beside an exported file: what goes in, what comes out, how a photograph or a row becomes the input."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from couloir.config.fields import is_sequence
from couloir.config.image_size import size_of
from couloir.config.metrics import task_of
from couloir.download import checksum
from couloir.inference.trained import Trained
from couloir.task.dense import Dense
from couloir.task.generative import Generative
from couloir.task.prediction import Prediction
from couloir.task.rebuilding import Rebuilding
from couloir.task.restoration import Restoration
from couloir.version import __version__

ANSWERS = {
    "label": "probabilities", "labels": "probabilities", "value": "values", "target_tokens": "probabilities",
    "future": "values",
}  # fmt: skip
"""What a prediction is called, by the kind of its target."""
MEANINGS = {
    "label": "the probability of each class, in the order of `classes`; they add up to 1",
    "labels": "the probability of each class, in the order of `classes`, each on its own",
    "value": "the values in the data's units, in the order of `targets`",
    "target_tokens": "behind each step the probability of each token of `vocabulary`; they add up to 1",
    "future": "the values to come in the data's units: a row for each step, in the order of the input's first channels",
}
SCALED = {
    "label": "one score a class, in the order of `classes`; softmax makes probabilities of them",
    "labels": "one score a class, in the order of `classes`; sigmoid makes a probability of each",
    "value": "scaled values; value * target_scale + target_offset is in the data's units",
    "target_tokens": "behind each step a score for each token of `vocabulary`; softmax makes probabilities of them",
    "future": "scaled values to come, a row for each step; value * target_scale + target_offset is in the data's units",
}
SURE = "one number from 0 to 1 a class, in the order of `classes`"
COVERED = (
    "turned upright as EXIF says, scaled with its shape (bilinear, antialiased) until it just covers `covers`; then "
    "its middle is cut out"
)
WHOLE = "turned upright as EXIF says, at its own size{scaled}"
WINDOWS = "; larger images in windows of `window`, smaller ones surrounded by their mirror image"
MAPS = {
    "classes": ("probabilities", "the probability of each class at each pixel, in the order of `classes`"),
    "values": ("map", "a value from 0 to 1 for each pixel"),
    "shares": ("map", "a value for each pixel; they sum to one over the image"),
    "images": ("image", "the channels of the image, from 0 to 1"),
}
"""What a map is called, and what it says, by `Dense.shown_as`."""
MAP_SCORES = {
    "classes": "one score a class for each pixel, in the order of `classes`; softmax makes probabilities of them",
    "values": "one score for each pixel; sigmoid makes values from 0 to 1 of them",
    "shares": "one score for each pixel; a softmax over all pixels of an image makes a density of them",
    "images": "the channels of the image, about from 0 to 1",
}
STRETCHED = "each side scaled by its own factor (bilinear, antialiased)"


def of_run(trained: Trained) -> dict[str, Any]:
    """The facts about a run that do not depend on the format."""
    cfg, data = trained.cfg, trained.data
    facts: dict[str, Any] = {
        "couloir": __version__,
        "run": trained.run.name,
        "checkpoint": trained.checkpoint.name,
        "checkpoint_sha256": checksum(trained.checkpoint, "sha256"),
        "model": str(cfg.model.get("_target_", "")).rpartition(".")[2],
        "parameters": sum(parameter.numel() for parameter in trained.net.parameters()),
        "task": task_of(cfg) if isinstance(trained.task, Generative) else str(cfg.data.get("task")),
        "fields": dict(data.fields),
        "channels": data.channels,
        "num_classes": data.num_classes,
        "classes": list(data.classes),
        "mean": data.mean,
        "std": None if data.std is None else [value or 1.0 for value in data.std],  # a channel that never varies
    }
    if data.image_size is not None:
        facts["image_size"] = list(size_of(data.image_size))
        dense = trained.task if isinstance(trained.task, Dense) else None
        facts |= {} if data.mean is None else {"resize": _resize(cfg) if dense is None else _whole(cfg, dense)}
    if data.kind == "value":
        facts["targets"] = list(data.targets)
        facts |= {"target_offset": data.target_offset, "target_scale": data.target_scale}
    if is_sequence(data.fields):
        facts |= {} if data.horizon is None else {"horizon": data.horizon}
        facts |= {} if data.vocabulary is None else {"vocabulary": data.vocabulary.plain()}
        facts |= (
            {} if data.kind != "future" else {"target_offset": data.target_offset, "target_scale": data.target_scale}
        )
    if data.encoding is not None:
        facts["columns"] = data.encoding.plain()
        facts["inputs"] = list(data.encoding.inputs)
    return facts


def _resize(cfg: DictConfig) -> dict[str, Any]:
    """How an image of another size becomes the input."""
    size = list(size_of(cfg.data.image_size))
    if "resize" not in cfg.data:
        return {"size": size, "rule": STRETCHED}
    return {"covers": list(size_of(cfg.data.get("resize") or cfg.data.image_size)), "middle": size, "rule": COVERED}


def _whole(cfg: DictConfig, task: Dense) -> dict[str, Any]:
    """How a photograph becomes the input of a network that looks at whole images."""
    covers = None if isinstance(task, Restoration) else cfg.data.get("resize")
    scaled = "" if covers is None else ", scaled with its shape until it just covers `covers`"
    told = {} if covers is None else {"covers": list(size_of(covers))}
    rule = WHOLE.format(scaled=scaled) + WINDOWS * (not takes_any_size_of(task))
    return {**told, "window": list(task.window), "factor": task.factor, "rule": rule}


def takes_any_size(trained: Trained) -> bool:
    """Whether a run's network takes images of any height and width."""
    return isinstance(trained.task, Dense) and takes_any_size_of(trained.task)


def takes_any_size_of(task: Dense) -> bool:
    """The same of a task: a network without padding takes windows alone."""
    return not getattr(task.net, "shrinks", False)


def any_size_told(facts: dict[str, Any], trained: Trained) -> dict[str, Any]:
    """Input and output of a graph that takes images of any height and width.

    Args:
        facts: of `of_graph`.
        trained: the run.
    """
    factor = trained.task.factor if isinstance(trained.task, Dense) else 1
    sides = ["height", "width"] if factor == 1 else [f"{factor} * height", f"{factor} * width"]
    taken, given = facts["input"], facts["output"]
    return {
        "input": {**taken, "shape": [*taken["shape"][:2], "height", "width"]},
        "output": {**given, "shape": [*given["shape"][:2], *sides]},
    }


def any_length_told(facts: dict[str, Any], trained: Trained) -> dict[str, Any]:
    """Input and output of a graph that takes sequences of any length.

    Args:
        facts: of `of_graph`.
        trained: the run.
    """
    taken, given = facts["input"], facts["output"]
    each_step = trained.data.kind == "target_tokens"
    return {
        "input": {**taken, "shape": ["batch", "steps", *taken["shape"][2:]]},
        "output": {
            **given,
            "shape": ["batch", *(["steps"] if each_step else given["shape"][1:2]), *given["shape"][2:]],
        },
    }


def of_graph(trained: Trained, asked: Tensor, own: Tensor, with_preprocessing: bool) -> dict[str, Any]:
    """Input and output of a graph.

    Args:
        trained: the run.
        asked: what the graph takes, (B, ...).
        own: what the run answers with, (B, ...).
        with_preprocessing: whether the graph prepares its input, and answers as the task does.
    """
    name = _identifier(trained.task.input)
    taken = {"name": name, "dtype": _dtype(asked), "shape": ["batch", *asked.shape[1:]]}
    given = {"dtype": _dtype(own), "shape": ["batch", *own.shape[1:]]}
    output, meaning = _output(trained, with_preprocessing)
    return {
        "with_preprocessing": with_preprocessing,
        "input": {**taken, "what": _input(trained, asked, with_preprocessing)},
        "output": {"name": output if output != name else f"{output}_out", **given, "what": meaning},
    }


def of_generator(task: Generative, codes: Tensor, made: Tensor) -> dict[str, Any]:
    """Inputs and output of a graph that makes images.

    Args:
        task: says whether it is told a class.
        codes: what the graph takes, (B, K).
        made: what comes out, (B, C, H, W).
    """
    facts: dict[str, Any] = {
        "with_preprocessing": False,
        "input": {
            "name": "codes", "dtype": _dtype(codes), "shape": ["batch", *codes.shape[1:]],
            "what": "a code, numbers drawn from N(0, 1)",
        },
        "output": {
            "name": "images", "dtype": _dtype(made), "shape": ["batch", *made.shape[1:]],
            "what": "pixels from 0 to 1",
        },
    }  # fmt: skip
    if task.conditional:
        facts["labels"] = {
            "name": "labels", "dtype": "int64", "shape": ["batch"],
            "what": "the number of the class to make, its place in `classes`",
        }  # fmt: skip
    return facts


def _output(trained: Trained, with_preprocessing: bool) -> tuple[str, str]:
    kind = trained.data.kind
    if isinstance(trained.task, Dense):
        name, meaning = MAPS[trained.task.shown_as]
        return (name, meaning) if with_preprocessing else ("output", MAP_SCORES[trained.task.shown_as])
    if isinstance(trained.task, Rebuilding):
        values = "values from 0 to 1 a pixel" if trained.task.makes_images else "numbers as they were standardised"
        return "rebuilt", f"the sample out of its code: {values}"
    if kind not in ANSWERS or not (isinstance(trained.task, Prediction) or is_sequence(trained.data.fields)):
        return ("answer", "the task's answer") if with_preprocessing else ("output", "the network's output")
    if with_preprocessing:
        return ANSWERS[kind], MEANINGS[kind]
    if kind in ("value", "future"):
        return "output", SCALED[kind]
    form = str(getattr(trained.net, "output", "logits"))
    return form, SCALED[kind] if form == "logits" else SURE


def _input(trained: Trained, asked: Tensor, with_preprocessing: bool) -> str:
    data = trained.data
    if is_sequence(data.fields):
        return _steps(trained, with_preprocessing)
    if data.mean is None:
        return "as the batches of the run's own data module have it"
    images = data.image_size is not None
    of_table = data.encoding is not None
    if not with_preprocessing:
        order = ", in the order of `inputs`" if of_table else ""
        return (
            f"standardised: (pixel / 255 - mean) / std{' of its channel' * (data.channels > 1)}"
            if images
            else (f"standardised: (number - mean) / std{order}")
        )
    if images:
        colours = {1: "grey", 3: "red, green, blue"}.get(data.channels, f"{data.channels} channels")
        return f"pixels from 0 to 255, {colours}" if asked.dtype == torch.uint8 else f"pixels from 0 to 1, {colours}"
    if not of_table:
        return "a row of numbers, as the data has them"
    return (
        "a row of the table, in the order of `columns`: a number less its `offset` (subtract it in float64); the place "
        "of a category or boolean among its `categories`, from 0, and -1 for another category; a date as days since "
        "1970 less its `offset`, then each of its `cycles` (month from 0, weekday from Monday 0, hour); NaN where a "
        "value is missing"
    )


def _steps(trained: Trained, with_preprocessing: bool) -> str:
    """What a sequence is as an input; those of a batch are of one length."""
    of_one_length = "; the sequences of a batch have as many steps, and no padding"
    if trained.data.input_kind == "tokens":
        return f"the number of each token, its place in `vocabulary`{of_one_length}"
    if trained.data.input_kind == "video":
        return "frame after frame, pixels from 0 to 255" if with_preprocessing else (
            "channels, then frames, standardised: (pixel / 255 - mean) / std of its channel"
        )  # fmt: skip
    told = "the numbers of each step, as the data has them" if with_preprocessing else (
        "the numbers of each step, standardised: (number - mean) / std of its channel"
    )  # fmt: skip
    return told + of_one_length


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _identifier(name: str) -> str:
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name)
    return plain if plain[:1].isalpha() else f"x_{plain}"
