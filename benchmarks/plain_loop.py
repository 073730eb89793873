"""The other side of `bench_loop.py`: the loop that one writes by hand, with the data in memory and nothing else.

    python benchmarks/plain_loop.py mlp|lenet5|resnet18|unet|vae|gan|dcgan|lstm|gpt [--samples N] [--epochs N] [--tuned]

Prints the steps per second of the median epoch after the first, as JSON. No metrics, logs, checkpoints or validation;
the samples are float32 and standardised before the first step, masks are int64. The networks are those of Couloir's
own side. The U-Net's images are digits on photographs, which are embedded. The VAE has the Bernoulli likelihood, and
the GANs the non-saturating objective; images are in [0, 1] or [-1, 1] there. The LSTM and the GPT predict the next
character of Shakespeare, or of what Python's `help()` says; the LSTM's state goes on from batch to batch.
`--tuned` adds the execution settings that Couloir has by default: channels_last and the fused optimizer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from couloir.data.cifar import TRAIN, read_archive
from couloir.data.digits_on_photographs import scenes
from couloir.data.mnist import read_idx
from couloir.data.sequence.text import Text, tokens_of
from couloir.data.sequence.windows import streams, windows
from couloir.model.gan import dcgan, gan_mlp
from couloir.model.lenet import lenet5
from couloir.model.mlp import mlp
from couloir.model.resnet import resnet18
from couloir.model.sequence.gpt import gpt
from couloir.model.sequence.recurrent import lstm
from couloir.model.unet import unet
from couloir.model.vae import vae

BATCH = {
    "mlp": 128,
    "lenet5": 128,
    "resnet18": 128,
    "unet": 32,
    "vae": 128,
    "gan": 128,
    "dcgan": 64,
    "lstm": 32,
    "gpt": 32,
}
"""Samples of a step."""
GREY = (1, 28)
SIZES = {
    "mlp": GREY, "lenet5": GREY, "resnet18": (3, 32), "unet": (3, 64), "vae": GREY, "gan": GREY, "dcgan": GREY,
}  # fmt: skip
"""Channels and pixels of each network's images."""
SPANS = {"vae": (0.0, 1.0), "gan": (0.5, 0.5), "dcgan": (0.5, 0.5)}
"""What is taken from pixels in [0, 1], and by what they are then divided; other networks: (0.4, 0.3)."""
LENGTH = 64
"""Characters of a window of text."""
ORDERED = ("lstm",)
"""Networks whose batches go on where those before ended."""
Step = Callable[[Tensor, Tensor], None]


def network(name: str, different: int = 0) -> nn.Module:
    """The network that `train model=NAME` builds in `bench_loop.py`; of text with so many different characters."""
    if name == "lstm":
        keys = {"channels": None, "vocabulary_size": different, "num_classes": different, "answers": "steps"}
        return lstm(**keys, embedding=64, width=256)
    if name == "gpt":
        return gpt(different, different, LENGTH, "steps")
    channels, size = SIZES[name]
    if name == "mlp":
        return mlp(channels, size, 10, hidden=[64, 128, 64])
    if name == "lenet5":
        return lenet5(channels, size, 10, dropout=0.2)
    if name == "unet":
        return unet(channels, size, 11, depth=3, width=16)
    if name == "vae":
        return vae(channels, size, hidden=[400], code_size=20)
    if name == "gan":
        return gan_mlp(channels, size, 10, hidden=[256, 512, 1024])
    if name == "dcgan":
        return dcgan(channels, size, 10, width=16)
    return resnet18(channels, size, 10, stem="cifar")


def images(name: str, count: int) -> tuple[Tensor, Tensor]:
    """So many images and labels: of MNIST or CIFAR-10 in the folder COULOIR_DATA, or made up; or images and masks."""
    channels, size = SIZES[name]
    if name == "unet":
        made = scenes(range(count), "train", size, channels, seed=0, most=3, sigma=3.0)
        return torch.from_numpy(made.images), torch.from_numpy(made.masks).long()
    if "COULOIR_DATA" not in os.environ:
        shape = (count, channels, size, size)
        return torch.randint(0, 256, shape, dtype=torch.uint8), torch.randint(0, 10, (count,))
    root = Path(os.environ["COULOIR_DATA"])
    if channels == 1:
        pixels = read_idx(root / "mnist" / "train-images-idx3-ubyte.gz", dimensions=3)[:count, None]
        labels = read_idx(root / "mnist" / "train-labels-idx1-ubyte.gz", dimensions=1)[:count]
    else:
        contents = read_archive(root / "cifar10" / "cifar-10-binary.tar.gz", TRAIN["cifar10"][:1])
        records = np.frombuffer(contents[TRAIN["cifar10"][0]], np.uint8).reshape(-1, 1 + 3 * size * size)[:count]
        pixels, labels = records[:, 1:].reshape(-1, 3, size, size), records[:, 0]
    return torch.from_numpy(pixels.copy()), torch.from_numpy(labels.astype(np.int64))


def windows_of_text(name: str, count: int) -> tuple[Tensor, Tensor, int]:
    """So many windows of a text, those behind which each character stands, and how many different ones there are."""
    path = str(Path(os.environ["COULOIR_DATA"]) / "text/tinyshakespeare.txt") if "COULOIR_DATA" in os.environ else ""
    found = tokens_of(Text(path, "" if path else "python_reference"))
    text = torch.from_numpy(found.parts["train"]).long()
    cut = streams(count * LENGTH, LENGTH, BATCH[name]) if name in ORDERED else windows(count * LENGTH, LENGTH, True)
    places = torch.from_numpy(cut[0])[:, None] + torch.arange(LENGTH)
    return text[places], text[places + 1], len(found.vocabulary)


def classified(net: Any, optimizer: Callable[[Any], Any]) -> Step:
    """A step by the cross-entropy of labels or masks."""
    adam = optimizer(net.parameters())
    criterion = nn.CrossEntropyLoss()

    def step(x: Tensor, y: Tensor) -> None:
        loss = criterion(net(x), y)
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def predicted(net: Any, optimizer: Callable[[Any], Any]) -> Step:
    """A step by the cross-entropy of next characters."""
    adam = optimizer(net.parameters())
    criterion = nn.CrossEntropyLoss()

    def step(x: Tensor, y: Tensor) -> None:
        loss = criterion(net(x).flatten(0, 1), y.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def carried(net: Any, optimizer: Callable[[Any], Any]) -> Step:
    """The same behind the state of the batch before, through which no gradient flows."""
    adam = optimizer(net.parameters())
    criterion = nn.CrossEntropyLoss()
    state: Any = None

    def step(x: Tensor, y: Tensor) -> None:
        nonlocal state
        scores, (hidden, cell) = net.carried(x, state)
        state = hidden.detach(), cell.detach()
        loss = criterion(scores.flatten(0, 1), y.flatten())
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def encoded(net: Any, optimizer: Callable[[Any], Any]) -> Step:
    """A step of a VAE."""
    adam = optimizer(net.parameters())

    def step(x: Tensor, _y: Tensor) -> None:
        mean, log_variance = net.encode(x)
        code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        fit = F.binary_cross_entropy_with_logits(net.decode(code), x, reduction="sum")
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        adam.zero_grad()
        ((fit + kl) / len(x)).backward()
        adam.step()

    return step


def played(net: Any, optimizer: Callable[[Any], Any]) -> Step:
    """A step of a discriminator, and one of a generator."""
    of_generator, of_discriminator = optimizer(net.generator.parameters()), optimizer(net.discriminator.parameters())

    def step(x: Tensor, _y: Tensor) -> None:
        made = net.generator(torch.randn(len(x), net.code_size))
        loss = F.softplus(-net.discriminator(x)).mean() + F.softplus(net.discriminator(made.detach())).mean()
        of_discriminator.zero_grad()
        loss.backward()
        of_discriminator.step()
        net.discriminator.requires_grad_(False)
        loss = F.softplus(-net.discriminator(made)).mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        net.discriminator.requires_grad_(True)

    return step


STEPS = {"vae": encoded, "gan": played, "dcgan": played, "lstm": carried, "gpt": predicted}
"""How networks learn; the others are `classified`."""


def epoch(step: Step, x: Tensor, y: Tensor, batch: int, ordered: bool = False) -> int:
    """One epoch in a new order, or in the samples' own; its steps."""
    batches = torch.split(torch.arange(len(x)) if ordered else torch.randperm(len(x)), batch)
    for chosen in batches:
        step(x[chosen], y[chosen])
    return len(batches)


def prepared(name: str, samples: int, tuned: bool) -> Callable[[], int]:
    """What runs one epoch over so many samples and returns its steps, with its data in memory and its network built."""
    if name in SIZES:
        x, y = images(name, samples)
        less, by = SPANS.get(name, (0.4, 0.3))
        x = x.float().div_(255).sub_(less).div_(by)
        net = network(name)
    else:
        x, y, different = windows_of_text(name, samples)
        net = network(name, different)
    if tuned and name in SIZES:
        net.to(memory_format=torch.channels_last)
        x = x if x.shape[1] == 1 else x.to(memory_format=torch.channels_last)
    step = STEPS.get(name, classified)(net, partial(torch.optim.Adam, lr=0.001, fused=tuned or None))
    return partial(epoch, step, x, y, BATCH[name], name in ORDERED)


def main() -> None:
    """Train, and print the speed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=BATCH)
    parser.add_argument("--samples", type=int, default=55_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    loop = prepared(options.network, options.samples, options.tuned)
    rates = []
    for _ in range(options.epochs):
        began = time.perf_counter()
        steps = loop()
        rates.append(steps / (time.perf_counter() - began))
    print(json.dumps({"steps_per_second": statistics.median(rates[1:])}))


if __name__ == "__main__":
    main()
