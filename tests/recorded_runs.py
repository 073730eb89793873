"""Run folders written by hand, as `train` leaves them, for tests that read them."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import yaml

EVIL = "</script><script>alert(1)</script>"


def png(width: int, height: int) -> bytes:
    """A grey picture whose pixels are all different from their neighbours."""
    lines = b"".join(b"\0" + bytes((x * 7 + y * 13) % 256 for x in range(width)) for y in range(height))

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def write_run(
    folder: Path, words: tuple[str, ...] = ("model=lenet5",), epochs: int = 12,
    classes: tuple[str, ...] = ("cat", "dog"), lr: float = 0.1, status: str = "completed", **facts: Any,
) -> Path:  # fmt: skip
    """A run of a classifier; its validation loss is least in epoch 8.

    Args:
        folder: the run folder.
        words: what was typed.
        epochs: that are complete.
        classes: their names.
        lr: the learning rate.
        status: of `status.json`.
        facts: more of it.
    """
    folder.mkdir(parents=True)
    config = {
        "seed": 0,
        "optimizer": {"_target_": "couloir.optimizer.adaptive.adam", "lr": lr, "betas": [0.9, 0.999]},
        "trainer": {"max_epochs": 12},
        "callbacks": {"checkpoint": {"monitor": "val/loss", "mode": "min"}},
        "model": {"_target_": "couloir.model.lenet.lenet5", "dropout": 0.2},
        "loss": {"_target_": "couloir.loss.classification.CrossEntropy"},
        "data": {"_target_": "couloir.data.mnist.mnist", "batch_size": 128, "task": "classification", "num_classes": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "overrides.yaml").write_text(yaml.safe_dump(list(words)))
    rows = ["epoch,step,lr,train/loss,val/loss,train/accuracy,val/accuracy,gradients/norm,waiting,seconds"]
    for epoch in range(1, epochs + 1):
        val = 0.2 + 0.01 * (epoch - 8) ** 2
        rows.append(
            f"{epoch},{10 * epoch},{lr},{2 / epoch},{val},{1 - 0.5 / epoch},{0.99 - val / 4},{3 / epoch},0.1,1.5"
        )
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    state = {"status": status, "started": "2026-01-02T03:04:05+00:00", "epoch": epochs, "step": 10 * epochs, **facts}
    (folder / "status.json").write_text(json.dumps(state))
    origin = {
        "command": ["train", *words], "couloir": "0.1.0", "python": "3.11.7", "seed": 0,
        "git": {"commit": "abc123", "dirty": True}, "packages": {"torch": "2.13.0", "numpy": "2.4.6"},
        "hardware": {"cores": 2, "gpus": []},
        "data": {"fingerprint": "sha256:feed", "sizes": {"train": 100, "test": 50}},
    }  # fmt: skip
    (folder / "provenance.json").write_text(json.dumps(origin))
    if status == "completed":
        numbers = {
            "train/loss": 0.2, "val/loss": 0.4, "val/accuracy": 0.8, "epochs": epochs, "best/epoch": 8,
            "best/loss": 0.2,
            "best/accuracy": 0.94, "test/loss": 0.3, "test/accuracy": 0.91 + lr / 100, "parameters": 61706,
            "seconds": 75.0,
        }  # fmt: skip
        (folder / "result.json").write_text(json.dumps(numbers))
        counts = [[20 if row == column else (row + 2 * column) % 4 for column in range(len(classes))]
                  for row in range(len(classes))]  # fmt: skip
        lines = [",".join(["true\\predicted", *classes])]
        lines += [",".join([name, *map(str, row)]) for name, row in zip(classes, counts, strict=True)]
        (folder / "confusion.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_exhibits(run: Path, count: int = 40, label: str = "cat") -> None:
    """Pictures, layers and signals of a run."""
    rows = [f"{place},{100 + place},{label},dog,{1 - place / 100},{place / 100}" for place in range(count)]
    head = "place,index,label,prediction,confidence,label_confidence"
    (run / "mistakes.csv").write_text("\n".join([head, *rows]) + "\n")
    (run / "mistakes.png").write_bytes(png(10 * 28, 28 * -(-count // 10)))
    (run / "filters.png").write_bytes(png(16 * 5, 5))
    entries = {
        "mistakes": {"columns": 10, "tile": [28, 28], "count": count},
        "filters": {"layer": "c1", "columns": 16, "tile": [5, 5], "count": 6},
    }
    (run / "pictures.json").write_text(json.dumps(entries))
    layer = {"name": "c1", "type": "Conv2d", "output_shape": [6, 28, 28], "parameters": 156, "multiply_adds": 117600}
    (run / "layers.json").write_text(
        json.dumps({"layers": [layer], "totals": {"parameters": 156, "multiply_adds": 117600}})
    )
    columns = "epoch,layer,activation_mean,activation_variance,gradient_variance,weight_gradient_variance"
    lines = [f"{epoch},{name},0.1,{0.5 + epoch},1e-06,1e-05" for epoch in (0, 4) for name in ("c1", "f6")]
    (run / "signals.csv").write_text("\n".join([columns, *lines]) + "\n")
