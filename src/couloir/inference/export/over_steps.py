"""A network over steps as a program: for sequences of any length where it can be, else for those of one length.

A program takes no lengths beside its sequences: those of a batch are as long as each other. What a shorter one is
answered does not depend on the padding behind it, so that nothing is lost.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from couloir.config.given import TRANSLATION
from couloir.data.sequence.sequences import Sequences
from couloir.download import checksum
from couloir.errors import CouloirError
from couloir.inference.export.agreement import BATCHES, Agreement, agreement
from couloir.inference.export.facts import any_length_told, of_graph, of_run
from couloir.inference.export.graph import REFUSALS, Graph, PreparedSteps
from couloir.inference.export.provisional import ENDING, provisional
from couloir.inference.export.recurrent import looped
from couloir.inference.export.writers import write_onnx, write_torch
from couloir.inference.predictor import Predictor
from couloir.ragged import Padded
from couloir.record.files import as_json

WRITERS = {"torch": write_torch, "onnx": write_onnx}
REFUSALS_OF_LENGTHS = (CouloirError, *REFUSALS)
"""What an attempt may end in whose file takes sequences of any length."""
ONE_LENGTH = "Constraints violated"
"""What torch.export says where a size that should be open became a constant."""
LEAST = 2
"""Steps that a program is traced with at least: of one step it would be for one step alone."""


class Asked(NamedTuple):
    """One batch that a file is asked about.

    Attributes:
        raw: as the data reads it, (B, T, ...).
        prepared: as the network takes it.
    """

    raw: Tensor
    prepared: Tensor


def export_over_steps(predictor: Predictor, to: str, file: Path, with_preprocessing: bool) -> dict[str, Any]:
    """Write a run's network over steps as a program, and the facts about it beside the file; returns these facts.

    Args:
        predictor: the run with its data, `Sequences`.
        to: `torch` or `onnx`.
        file: where to; its folder is there.
        with_preprocessing: whether the program prepares its input and answers as the task does.

    Raises:
        CouloirError: the network takes more than one input, or cannot be exported.
        ExportDiffers: the file would not answer as the run does.
    """
    data = predictor.data
    if data.task == TRANSLATION:
        raise CouloirError(
            "A network that translates writes token after token and takes what it has written; an export is one pass.",
            next_step="--to safetensors writes its weights",
        )
    batches = _batches(data)
    length = max(LEAST, *(batch.raw.shape[1] for batch in batches))
    one_length = len({batch.raw.shape[1] for batch in batches}) == 1
    graph = _graph(predictor, batches[0].raw, with_preprocessing)
    for any_length in (data.input_kind != "video", False):
        asked = [*batches, *([_shortened(batches[-1], data)] if any_length and one_length and length > LEAST else [])]
        shown = [batch.raw if with_preprocessing else batch.prepared for batch in asked]
        shape = (length, *shown[0].shape[2:]) if any_length else tuple(shown[0].shape[1:])
        try:
            own = [_answers(predictor, batch.prepared, with_preprocessing) for batch in asked]
            facts = {"format": to, **of_run(predictor), **of_graph(predictor, shown[0], own[0], with_preprocessing)}
            facts |= any_length_told(facts, predictor) if any_length else {}
            with provisional(file) as temporary:
                answers = WRITERS[to](graph, temporary, shape, shown[0].dtype, facts, any_length=any_length)
                different = min(sum(BATCHES), len(data.splits["val"].indices))
                found = [
                    agreement(one, other, answers, different, batches=(len(one),))
                    for one, other in zip(own, shown, strict=True)
                ]
                facts["agreement"] = asdict(_worst(found, [len(one) for one in own]))
                facts["sha256"] = checksum(temporary, "sha256")
                temporary.with_name(temporary.name + ENDING).write_text(as_json(facts), encoding="utf-8")
            return facts
        except REFUSALS_OF_LENGTHS as error:
            if one_length and any_length:
                continue
            if ONE_LENGTH in str(error):
                raise CouloirError(
                    "torch.export writes this network for one number of steps alone, and the samples have different "
                    "numbers of them.",
                    next_step="--to safetensors writes the weights of any network; model=lstm, gru, tcn, wavenet and "
                    "transformer_encoder take any number",
                ) from error
            raise
    raise AssertionError("the last attempt returns or raises")


def _batches(data: Sequences) -> list[Asked]:
    """The first validation samples in batches of several sizes; those of a batch are cut to the shortest of it."""
    split = data.splits["val"]
    places = torch.arange(sum(BATCHES)) % len(split.indices)
    found = []
    for part in torch.split(places, list(BATCHES)):
        raw = split.source.fetch(torch.from_numpy(split.indices)[part])[data.input]
        raw = raw.values[:, : int(raw.lengths.min())] if isinstance(raw, Padded) else raw
        found.append(_asked(raw, data))
    return found


def _asked(raw: Tensor, data: Sequences) -> Asked:
    raw = raw.long() if data.input_kind == "tokens" else raw
    prepared: Any = data.as_batch(raw)[data.input]
    return Asked(raw, prepared)


def _shortened(batch: Asked, data: Sequences) -> Asked:
    """The same sequences, half as long: whether a file takes another length than that which all samples have."""
    return _asked(batch.raw[:, : max(1, batch.raw.shape[1] // 2)], data)


def _graph(predictor: Predictor, raw: Tensor, with_preprocessing: bool) -> Graph:
    net, data = looped(predictor.net.requires_grad_(False)), predictor.data
    if not with_preprocessing:
        return Graph(net).eval()
    prepare: nn.Module | None = None
    if data.input_kind != "tokens":
        std = [value or 1.0 for value in data.std]
        prepare = PreparedSteps(data.mean, std, data.input_kind == "video", raw.dtype)
    return Graph(net, prepare, predictor.task.answer).eval()


def _answers(predictor: Predictor, prepared: Tensor, with_preprocessing: bool) -> Tensor:
    with torch.inference_mode():
        output: Any = predictor.net(prepared)
        output = predictor.task.answer(output) if with_preprocessing else output
    if not isinstance(output, Tensor):
        raise CouloirError(
            f"The network returns {type(output).__name__}; an export takes networks that return one tensor.",
            next_step="--to safetensors writes the weights of any network",
        )
    return output


def _worst(found: list[Agreement], sizes: list[int]) -> Agreement:
    worst = max(found, key=lambda each: each.largest_difference / each.limit)
    return Agreement(worst.samples, sizes, worst.largest_difference, worst.range, worst.limit)
