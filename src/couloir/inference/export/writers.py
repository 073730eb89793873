"""The formats of an export: how each is written, and how its file answers.

A file is written where the caller says, and read again from there before the caller believes in it.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from couloir.errors import ExportDiffers
from couloir.inference.export.graph import REFUSALS, refused, traced
from couloir.record.files import as_json

Answers = Callable[..., Tensor]
"""(B, ...), and each further input (B,) -> what the file answers, (B, ...)."""
FACTS = "couloir.json"
"""The file within a `.pt2` archive that says what it is."""


def write_torch(
    graph: nn.Module,
    file: Path,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    facts: Mapping[str, Any],
    any_size: bool = False,
    beside: tuple[torch.dtype, ...] = (),
    any_length: bool = False,
) -> Answers:
    """A `.pt2` archive, which `torch.export.load` reads without the classes of the network.

    Args:
        graph: in evaluation mode, on the CPU.
        file: it ends in `.pt2`.
        shape: of one sample.
        dtype: of the samples.
        facts: what the archive says of itself.
        any_size: whether it takes images of any height and width.
        beside: of `traced`.
        any_length: of `traced`.

    Raises:
        CouloirError: torch.export does not take the network.
    """
    with _silence():
        program = traced(graph, shape, dtype, any_size, beside, any_length)
        torch.export.save(program, file, extra_files={FACTS: as_json(dict(facts))})
        module = torch.export.load(file).module()

    def answers(*inputs: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = module(*inputs)
        return found

    return answers


def write_onnx(
    graph: nn.Module,
    file: Path,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    facts: Mapping[str, Any],
    any_size: bool = False,
    beside: tuple[torch.dtype, ...] = (),
    any_length: bool = False,
) -> Answers:
    """An ONNX file, whose inputs and output are called as the facts say, and which onnxruntime answers for.

    Args:
        graph: in evaluation mode, on the CPU.
        file: it ends in `.onnx`; beyond 2 GB the weights go into a second file beside it.
        shape: of one sample.
        dtype: of the samples.
        facts: what the file says of itself: each an entry of `metadata_props`, in JSON unless it is text.
        any_size: whether it takes images of any height and width.
        beside: of `traced`.
        any_length: of `traced`.

    Raises:
        CouloirError: torch.export or torch.onnx does not take the network.
    """
    names = [facts[name]["name"] for name in ("input", "labels") if name in facts]
    named = {0: "batch", **({2: "height", 3: "width"} if any_size else {}), **({1: "steps"} if any_length else {})}
    sizes = (named, *({0: "batch"} for _ in beside))
    with _silence():
        program = traced(graph, shape, dtype, any_size, beside, any_length)
        try:
            with torch.no_grad():
                made = torch.onnx.export(
                    program,
                    (),
                    input_names=names,
                    output_names=[facts["output"]["name"]],
                    dynamic_shapes=sizes,
                    dynamo=True,
                    verbose=False,
                )
        except REFUSALS as error:
            raise refused(error, graph, "torch.onnx") from error
        assert made is not None
        model = made.model
        for node in model.graph:
            node.metadata_props.clear()  # what each came of, with the names of files on this machine
        model.metadata_props.update({key: _as_text(value) for key, value in facts.items()})
        made.save(file)
    return _by_onnxruntime(file)


def _by_onnxruntime(file: Path) -> Answers:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def answers(*inputs: Tensor) -> Tensor:
        try:
            (found,) = session.run(None, {name: x.numpy() for name, x in zip(names, inputs, strict=True)})
        except Exception as error:  # onnxruntime's errors have no class in common
            raise ExportDiffers(
                f"onnxruntime does not take {tuple(inputs[0].shape)}: {str(error).splitlines()[0]}. No file is left."
            ) from error
        return torch.from_numpy(found)

    return answers


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@contextmanager
def _silence() -> Iterator[None]:
    """The exporters tell of what is deprecated within them, and of torchvision's layers, which are not there."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
