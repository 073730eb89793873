"""What a trained classifier says of images: the values of its last hidden layer, and the probabilities of its classes.

Made samples are measured by them. The classifier is one that the user has trained, or, for grey images, the LeNet-5
that comes with Couloir: 61,706 weights in `lenet5_mnist.safetensors`. This sentence made it:

    train experiment=mnist_lenet5 loss.label_smoothing=0 trainer.max_epochs=15

and `couloir export RUN --to safetensors` its file. It is wrong about 66 of MNIST's 10,000 test images, 0.66%. It knows
MNIST's digits and nothing else: of other grey images its features are a ruler that is the same for all, and its classes
mean little.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from pytorch_lightning.utilities.seed import isolate_rng
from torch import Tensor, nn

from couloir.config.build import build, build_untrained
from couloir.config.finished import run_config
from couloir.config.image_size import size_of
from couloir.errors import CouloirError
from couloir.record import safetensors
from couloir.record.checkpoint import best_weights, data_statistics, load_network, read_checkpoint
from couloir.record.find import find_run

EMBEDDED = Path(__file__).with_name("lenet5_mnist.safetensors")
"""The weights of the classifier that comes with Couloir, and what its images were standardised by."""
LENET5 = {
    "_target_": "couloir.model.lenet.lenet5",
    "channels": 1,
    "image_size": 28,
    "num_classes": 10,
    "border": "paper",
}
"""Its network, a node `model`."""
BATCH = 500
"""Images that pass the classifier at a time."""
WEIGHTED = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
"""Layers of which the last one gives the scores."""


class Seen(NamedTuple):
    """What a classifier says of B images.

    Attributes:
        features: of its last hidden layer, float32 (B, F).
        probabilities: of its classes, float32 (B, K).
    """

    features: Tensor
    probabilities: Tensor


class Classifier:
    """A trained classifier of images, fixed.

    It remembers what it has said of the newest two tensors, so that several metrics that are shown the same made and
    the same real images share one pass of each.

    Args:
        net: scores (B, K), or probabilities where its attribute `output` says so.
        size: the images' height and width in its training; others are resized to it, bilinearly.
        mean: what its images were standardised by, a value a channel, images in [0, 1].
        std: theirs.

    Raises:
        CouloirError: the network has no layer whose input could be the features.
    """

    def __init__(self, net: nn.Module, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> None:
        self.net = net.eval().requires_grad_(False)
        self.size = size
        shape = (1, -1, 1, 1)
        self._mean, self._std = (
            torch.tensor(mean).view(shape),
            torch.tensor([value or 1.0 for value in std]).view(shape),
        )
        self._last: nn.Module | None = None
        self._said: list[tuple[weakref.ref[Tensor], Seen]] = []
        with torch.no_grad():
            self._last = self._find_last(torch.zeros(2, len(mean), *size))
            sample = self._pass(torch.zeros(2, len(mean), *size))
        self.num_features, self.num_classes = sample.features.shape[1], sample.probabilities.shape[1]

    def __call__(self, images: Tensor) -> Seen:
        """Features and probabilities of images (B, C, H, W) in [0, 1], where the images are."""
        for place, seen in self._said:
            if place() is images:
                return seen
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            if self._mean.device != images.device:
                self.net.to(images.device)
                self._mean, self._std = self._mean.to(images.device), self._std.to(images.device)
            parts = [self._pass(self._prepared(part.float())) for part in torch.split(images, BATCH)]
            seen = Seen(*(torch.cat(each) for each in zip(*parts, strict=True)))
        self._said = [*self._said[-1:], (weakref.ref(images), seen)]
        return seen

    def _prepared(self, images: Tensor) -> Tensor:
        """Images of the classifier's size, standardised as in its training."""
        if images.shape[-2:] != self.size:
            images = F.interpolate(images, self.size, mode="bilinear", antialias=True)
        return (images - self._mean) / self._std

    def _pass(self, x: Tensor) -> Seen:
        """One batch of prepared images (B, C, h, w)."""
        taken: list[Tensor] = []
        assert self._last is not None
        hook = self._last.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0]))
        try:
            scores = self.net(x).float()
        finally:
            hook.remove()
        features = taken[-1].float()
        features = features.flatten(2).mean(dim=2) if features.dim() > 2 else features  # of maps their means
        if getattr(self.net, "output", "logits") == "probabilities":
            return Seen(features, scores / scores.sum(dim=1, keepdim=True))
        return Seen(features, torch.softmax(scores, dim=1))

    def _find_last(self, x: Tensor) -> nn.Module:
        """The layer that gives the scores: the last one with weights that images pass."""
        called: list[nn.Module] = []
        layers = [module for module in self.net.modules() if isinstance(module, WEIGHTED)]
        hooks = [layer.register_forward_hook(lambda layer, inputs, output: called.append(layer)) for layer in layers]
        try:
            self.net(x)
        finally:
            for hook in hooks:
                hook.remove()
        if not called:
            raise CouloirError(
                f"{type(self.net).__name__} has no linear layer and no convolution, so it has no last hidden layer.",
                next_step="metric.features=RUN of another classifier",
            )
        return called[-1]


def classifier(run: str | None, allowed: Sequence[str] = ()) -> Classifier:
    """The classifier of a run with its best checkpoint, or the one that comes with Couloir.

    Args:
        run: the folder of a classification of images; None: the embedded LeNet-5, for one channel.
        allowed: packages that the run's targets may come from besides the usual ones.

    Raises:
        CouloirError: there is no such run, it has no checkpoint that can be read, or it does not say how its images
            were standardised.
    """
    file = EMBEDDED if run is None else best_weights(find_run(run))
    state = file.stat()
    return _read(file, state.st_size, state.st_mtime_ns, tuple(allowed))


@lru_cache(maxsize=2)
def _read(file: Path, _size: int, _changed: int, allowed: tuple[str, ...]) -> Classifier:
    """The classifier of a file: one for all metrics and splits, as long as the file stays the same."""
    return _embedded() if file == EMBEDDED else _of_run(file, allowed)


def _embedded() -> Classifier:
    facts = safetensors.read_header(EMBEDDED).facts
    with isolate_rng():
        net: nn.Module = build(OmegaConf.create({"model": LENET5}), "model")
    net.load_state_dict(safetensors.read_state(EMBEDDED))
    return Classifier(net, (28, 28), facts["mean"], facts["std"])


def _of_run(file: Path, allowed: Sequence[str]) -> Classifier:
    run = file.parents[1]
    cfg = run_config(run, allowed)
    content: dict[str, Any] = read_checkpoint(file)
    known = data_statistics(content)
    if known.get("mean") is None or known.get("std") is None:
        raise CouloirError(
            f"The run {run.name} does not say how its images were standardised, so it cannot look at others.",
            place=f"metric.features={run}",
            next_step="name a run over one of Couloir's data sets",
        )
    with isolate_rng():
        net: nn.Module = build_untrained(cfg)
    load_network(net, content, run)
    return Classifier(net, size_of(cfg.data.image_size), known["mean"], known["std"])
