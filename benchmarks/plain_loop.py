"""The other side of `bench_loop.py`: the loop that one writes by hand, with the data in memory and nothing else.

    python benchmarks/plain_loop.py NETWORK DATA EPOCHS [--tuned]

Prints the steps per second of the median epoch after the first. No metrics, logs, checkpoints or validation; the samples
are float32 and standardised before the first step. The network and the optimizer are those of Couloir's own side.
`--tuned` adds the execution settings that Couloir has by default: channels_last and the fused optimizer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch
from hydra.utils import instantiate

from couloir.config.compose import compose_sentence


def main() -> None:
    """Train, and print the measured speed as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sentence", nargs="*")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tuned", action="store_true")
    options = parser.parse_args()
    cfg = compose_sentence(options.sentence, with_sources=False).cfg
    torch.manual_seed(0)
    x, y = samples(cfg)
    net = instantiate(cfg.model, _convert_="all")
    if options.tuned and any(isinstance(module, torch.nn.Conv2d) for module in net.modules()):
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001, fused=options.tuned or None)
    criterion = torch.nn.CrossEntropyLoss()
    rates = [epoch(net, optimizer, criterion, x, y, cfg.data.batch_size) for _ in range(options.epochs)]
    print(json.dumps({"steps_per_second": statistics.median(rates[1:])}))


def samples(cfg) -> tuple[torch.Tensor, torch.Tensor]:
    """The training split as two tensors, standardised."""
    data = instantiate(cfg.data, _convert_="all")
    data.setup()
    batches = list(data.val_dataloader()) if not len(data.train_dataloader()) else list(data.train_dataloader())
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def epoch(net, optimizer, criterion, x, y, batch_size: int) -> float:
    """One epoch in a new order; its steps per second."""
    began = time.perf_counter()
    order = torch.split(torch.randperm(len(x)), batch_size)
    for chosen in order:
        loss = criterion(net(x[chosen]), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return len(order) / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
