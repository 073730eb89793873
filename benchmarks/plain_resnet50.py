"""The other side of `bench_gpu.py`: the reference loop over random images on a GPU, written by hand.

    python benchmarks/plain_resnet50.py [--batch-size N] [--steps N]

Prints images per second, as JSON: ResNet-50, bf16 autocast, channels_last, SGD with momentum, cuDNN's autotuner, no
compilation; one batch of random images that stays on the GPU. With --device cpu and --size 64 it runs anywhere, as a
check of the script.
"""

from __future__ import annotations

import argparse
import json
import time

import torch
from torch import nn

from couloir.model.resnet import resnet50


def main() -> None:
    """Train for some steps, and print the speed of those after the first ten."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=110)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True
    net = resnet50(3, options.size, 1000).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    x = torch.randn(options.batch_size, 3, options.size, options.size, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(0, 1000, (options.batch_size,), device=device)
    warm = options.steps // 11
    for step in range(options.steps):
        if step == warm:
            _wait(device)
            began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16):
            loss = criterion(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    _wait(device)
    rate = (options.steps - warm) * options.batch_size / (time.perf_counter() - began)
    print(json.dumps({"images_per_second": rate}))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
