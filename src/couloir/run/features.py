"""Features computed once: what is fixed of a network sees each sample once, and what learns trains on what it gives.

While a network fits, batches hold features instead of samples, and its forward is its tail. All else (checkpoints,
metrics, the final test, whoever uses the run later) has the whole network, under its own names, and real samples.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Trainer
from torch import Tensor, nn

from couloir.config.augmented import augments
from couloir.data.kept import Kept, read_values, write_values
from couloir.data.samples import Samples
from couloir.errors import CouloirError
from couloir.finetune.parts import Learning
from couloir.finetune.tail import features_of, tail_alone, tail_of
from couloir.log import note, say
from couloir.machine import available_memory, cache_folder
from couloir.task.prediction import Prediction
from couloir.task.task import Task
from couloir.version import __version__

SPLITS = {"train": "training", "val": "validation"}
GIB = 2**30
CACHE_SIZE = 50.0
"""GiB that all caches may take together where the data has no key for it."""
OF_NO_SAMPLE = (
    "batch_size",
    "workers",
    "memory_budget",
    "cache",
    "cache_size",
    "cache_dir",
    "root",
    "tries",
    "block",
    "window",
)
"""Keys of the data that change no sample; where the files are does not matter, what is in them does."""


class _Cut(NamedTuple):
    """A network that is cut in two: the names of its tail's modules, and two samples' features."""

    tail: list[str]
    example: Tensor


@contextmanager
def features_once(cfg: DictConfig, module: Task, trainer: Trainer, data: Any) -> Iterator[None]:
    """Within this a network fits on features that are computed once, where that gives the same numbers.

    Args:
        cfg: the configuration; `finetune.cache_features` says whether: null, where it can be.
        module: the task, its network on the CPU.
        trainer: what will fit it.
        data: set up; its batches of training and validation hold features meanwhile.

    Raises:
        CouloirError: it is asked for, and cannot be.
    """
    node = cfg.get("finetune") or {}
    stated = node.get("cache_features", False)
    if stated is False or module.learning is None:
        yield
        return
    found = _cut(cfg, module, module.learning, trainer, data)
    if isinstance(found, CouloirError):
        if stated:
            raise found
        note.info("features are computed in each step: %s", found.fact)
        yield
        return
    net = module.net
    compute = partial(_compute, cfg, module, trainer, data, found.tail)
    data.stand_ins = {split: Kept(partial(compute, split), data.splits[split].targets) for split in SPLITS}
    say.info("%s", _in_words(data, found))
    try:
        with tail_alone(net, found.tail):
            yield
    finally:
        data.stand_ins = {}


def _cut(cfg: DictConfig, module: Task, learning: Learning, trainer: Trainer, data: Any) -> _Cut | CouloirError:
    """The network, cut in two; or why its features cannot be computed once."""
    problem = _obstacle(cfg, module, learning, trainer, data)
    if problem is not None:
        return _refused(*problem)
    net = module.net
    learning.begin(net, 0)
    x = data.example_batch(2)[module.input][:2]
    tail = tail_of(net, learning.order, learning.learning(0), x)
    if tail is None:
        kind = type(net).__name__
        return _refused(
            f"{kind} cannot be cut in front of what learns: the modules behind that, in turn, do not give its output",
            "finetune.cache_features=false computes features in each step",
        )
    example = features_of(net, tail, x)
    size, room = _bytes(data, example), float(cfg.finetune.get("feature_memory", math.inf)) * GIB
    for most, whose in (
        (room, "finetune.feature_memory lets them take"),
        (available_memory(), "this process can take"),
    ):
        if size > most:
            found = _refused(
                f"the features take {_shown(size)}, more than the {_shown(most)} that {whose}",
                f"finetune.feature_memory={math.ceil(size / GIB)}, less data, or finetune.cache_features=false",
            )
            if cfg.finetune.cache_features is None:
                say.info("features are computed in each step: %s", found.fact)
            return found
    return _Cut(tail, example)


def _obstacle(cfg: DictConfig, module: Task, learning: Learning, trainer: Trainer, data: Any) -> tuple[str, str] | None:
    """Why features cannot be computed once, or would be others, and what to type; None: nothing of that kind."""
    reasons = {
        "what learns changes from epoch to epoch": (len(learning.first_epochs) > 1, "finetune=head"),
        "the augmentation changes the samples in each epoch": (augments(cfg), "augmentation=none"),
        "the data hands out batches of its own": (not isinstance(data, Samples), ""),
        "the task looks at the inputs itself": (not _only_asks_the_network(module), ""),
        "several processes train": (trainer.world_size > 1, "trainer.devices=1"),
        "the network is compiled": (bool(cfg.trainer.get("compile")), "trainer.compile=false"),
        "callbacks.signals looks at all layers": (
            OmegaConf.select(cfg, "callbacks.signals.every_n_epochs") is not None,
            "callbacks.signals.every_n_epochs=null",
        ),
        "callbacks.noise.activations changes what all layers give": (
            bool(OmegaConf.select(cfg, "callbacks.noise.activations")),
            "callbacks.noise.activations=0",
        ),
        "the optimizer looks at samples": (
            hasattr(getattr(module.make_optimizer, "func", None), "estimate_curvature"),
            "optimizer=momentum",
        ),
    }
    found = next(((fact, step) for fact, (holds, step) in reasons.items() if holds), None)
    if found is None:
        return None
    fact, step = found
    return fact, f"{step}, or finetune.cache_features=false" if step else "finetune.cache_features=false"


def _only_asks_the_network(module: Task) -> bool:
    """Whether a batch's inputs go nowhere but into the network."""
    return isinstance(module, Prediction) and type(module).compute is Prediction.compute


def _refused(fact: str, next_step: str) -> CouloirError:
    return CouloirError(f"{fact[0].upper()}{fact[1:]}.", place="finetune.cache_features=true", next_step=next_step)


def _compute(cfg: DictConfig, module: Task, trainer: Trainer, data: Samples, tail: Sequence[str], split: str) -> Tensor:
    """The features of a split's samples, in order, (N, ...), on the network's device: from the disk, where they are."""
    key = None
    if cfg.finetune.get("features_on_disk"):
        key = _key(cfg, module, tail, data, split)
        values = read_values(cache_folder(cfg.data.get("cache_dir")), key)
        if values is not None and len(values) == len(data.splits[split].indices):
            note.info("the features of the %s samples are those of an earlier run", SPLITS[split])
            return values.to(module.device)
    parts: list[Tensor] = []
    batches = data.in_order(split)
    with trainer.precision_plugin.forward_context():
        for batch in batches:
            x = trainer.precision_plugin.convert_input(batch[module.input])
            parts.append(features_of(module.net, tail, x).contiguous())
    batches.close()
    values = torch.cat(parts)
    if key is not None:
        limit = float(cfg.data.get("cache_size", CACHE_SIZE)) * GIB
        if problem := write_values(cache_folder(cfg.data.get("cache_dir")), key, values.cpu(), limit):
            say.warning("%s", f"warning: {problem}: the features are not kept on disk")
    return values


def _key(cfg: DictConfig, module: Task, tail: Sequence[str], data: Samples, split: str) -> str:
    """A name for the features of a split: what they depend on follows into it."""
    digest = hashlib.sha256()
    keys: Any = OmegaConf.to_container(cfg.data, resolve=True)
    said = {name: value for name, value in keys.items() if name not in OF_NO_SAMPLE}
    net: nn.Module = module.net
    machine = (torch.__version__, __version__, str(module.device.type), cfg.trainer.get("precision"))
    for part in (said, data.mean, data.std, data.fingerprint(), split, machine, tail, str(net)):
        digest.update(f"{part}\0".encode())
    learns = set() if module.learning is None else module.learning.learning(0)
    for name, value in net.state_dict().items():
        if name not in learns:
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def _bytes(data: Samples, example: Tensor) -> int:
    """What the features of all samples take."""
    each = example[0].numel() * example.element_size()
    return each * sum(data.sizes()[split] for split in SPLITS)


def _shown(size: float) -> str:
    return f"{size / GIB:.3g} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"


def _in_words(data: Samples, cut: _Cut) -> str:
    sizes = data.sizes()
    counts = " and ".join(f"{sizes[split]:,} {name}" for split, name in SPLITS.items())
    shape = "x".join(map(str, cut.example.shape[1:]))
    return (
        f"features: what enters {cut.tail[0]} is computed once for {counts} samples, {shape} numbers each, "
        f"{_shown(_bytes(data, cut.example))} in memory"
    )
