"""A finished run that makes or rebuilds samples, in Python: samples to codes, and codes to samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from couloir.config.fields import SAMPLE
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.inference.asking import Asked
from couloir.inference.trained import Trained
from couloir.task.generative import Generative


def makes(run: Trained, encodes: bool) -> Generative:
    """The task of a run whose network makes samples out of codes.

    Args:
        run: the run.
        encodes: whether it must find codes of samples as well.

    Raises:
        CouloirError: it does not.
    """
    task = run.task
    if isinstance(task, Generative) and (task.can_encode or not encodes):
        return task
    what = "finds no codes of samples" if encodes else "makes nothing out of codes"
    raise CouloirError(
        f"The run {run.run.name} is of {type(task).__name__}, which {what}.",
        next_step="a run of task=reconstruction or task=vae" if encodes else "a run of task=reconstruction, vae or gan",
    )


def looked(run: Trained, asked: Iterable[Asked], look: Callable[[Batch], Tensor]) -> Tensor:
    """What a look at some samples gives, (N, ...).

    Args:
        run: the run.
        asked: the samples, as it takes them.
        look: a batch -> (B, ...).

    Raises:
        CouloirError: one of them cannot be read.
    """
    found, begin = [], 0
    for each in asked:
        with closing(each.samples[0].batches(int(run.data.batch_size or 32))) as raws:
            for raw in raws:
                for error in raw.failed.values():
                    raise CouloirError(error.fact, place=error.place, next_step="repair it, or leave it out")
                numbers = torch.arange(begin, begin + len(raw.x))
                begin += len(raw.x)
                with torch.inference_mode():
                    found.append(look({**run.prepare(raw.x), SAMPLE: numbers}).float().cpu())
    return torch.cat(found) if found else torch.empty(0)


def decoded(run: Trained, codes: Any, labels: Any = None) -> Tensor:
    """The samples of codes, images (N, C, H, W) in [0, 1] or rows (N, F) as they were standardised.

    Args:
        run: the run.
        codes: (N, K), or one of them (K,): then the sample has no first axis either.
        labels: of a network that is told a class, their numbers, (N,) or one for all.

    Raises:
        CouloirError: codes of another size, or a class that is missing.
    """
    task = makes(run, encodes=False)
    given = torch.as_tensor(codes, dtype=torch.float32)
    single = given.ndim == 1
    given = given[None] if single else given
    if given.ndim != 2 or given.shape[1] != task.code_size:
        raise CouloirError(
            f"The codes have the shape {tuple(given.shape)}; a code of this run has {task.code_size} numbers.",
            next_step=f"an array of shape (N, {task.code_size})",
        )
    if (labels is None) == task.conditional:
        raise CouloirError(
            "The network is told a class with each code." if task.conditional else "The network is told no class.",
            next_step="decode(codes, labels)" if task.conditional else "decode(codes)",
        )
    told = None
    if labels is not None:
        told = torch.as_tensor(labels, dtype=torch.int64).expand(len(given)).to(task.device)
    with torch.inference_mode():
        made = task.make(given.to(task.device), told).float().cpu()
    return made[0] if single else made
