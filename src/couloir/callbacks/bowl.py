"""The descent of a network with two weights in the bowl of its exact loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import FSDPStrategy
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from couloir.log import note
from couloir.loss.regression import MeanSquaredError
from couloir.record.landscape import BOWL, write_numbers
from couloir.task.regression import Regression

MOST = 20_000
"""Steps that are kept at most."""
SAMPLES = 200_000
"""Training samples that the loss is computed over at most."""


def bowl(draw: bool = True) -> DescentInBowl | None:
    """A `DescentInBowl`, or None where nothing is to be drawn."""
    return DescentInBowl() if draw else None


class DescentInBowl(Callback):
    """Keeps the weights after each step, and draws `bowl.png` when training ends: of a regression with the mean squared
    error and exactly two weights. Of any other network nothing is kept or drawn, and no step is heard of.
    """

    def __init__(self) -> None:
        self._path: list[Any] = []
        """The weights before the first step and after each: two numbers, on a GPU a tensor (2,)."""
        self._rate = 0.0
        self._hook: RemovableHandle | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the optimizer, where there is a bowl."""
        if not has_bowl(pl_module) or isinstance(trainer.strategy, FSDPStrategy):
            return
        weights = list(pl_module.net.parameters())  # type: ignore[union-attr]
        optimizer = trainer.optimizers[0]
        if trainer.global_step == 0:
            self._path = []
        if not self._path:  # a checkpoint of an earlier version has none
            self._rate = float(optimizer.param_groups[0]["lr"])
            self._keep(weights)
        self._hook = optimizer.register_step_post_hook(lambda *_: self._keep(weights))

    def _keep(self, weights: list[nn.Parameter]) -> None:
        if len(self._path) > MOST:
            return
        if weights[0].is_cuda:
            self._path.append(torch.cat([weight.detach().reshape(-1) for weight in weights]))
        elif len(weights) == 2:
            self._path.append((weights[0].item(), weights[1].item()))
        else:
            self._path.append(tuple(weights[0].reshape(-1).tolist()))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process."""
        if self._hook is None:
            return
        self._hook.remove()
        self._hook = None
        if not trainer.is_global_zero or len(self._path) < 2:
            return
        from couloir.artifacts.bowl import bowl_of, draw_bowl, names_of  # Matplotlib, which no step waits for

        assert isinstance(pl_module, Regression)
        batch = trainer.datamodule.example_batch(SAMPLES)  # type: ignore[attr-defined]
        found = bowl_of(pl_module.net, batch[pl_module.input], batch[pl_module.target])
        if found is None:
            return
        run, path, names = Path(trainer.default_root_dir), self._kept().numpy(), names_of(pl_module.net)
        write_numbers(run, BOWL, {**found._asdict(), "path": path, "stable_rate": found.stable, "rate": self._rate})
        undrawn = draw_bowl(run / f"{BOWL}.png", found, path, names, self._rate)
        if undrawn is not None:
            note.info("%s", undrawn)

    def _kept(self) -> Tensor:
        """The path so far, (S, 2) float64 on the CPU."""
        if self._path and isinstance(self._path[0], Tensor):
            return torch.stack(self._path).double().cpu()
        return torch.tensor(self._path, dtype=torch.float64).reshape(-1, 2)

    def state_dict(self) -> dict[str, Any]:
        """The path so far, so that a resumed run goes on with it."""
        return {"path": self._kept(), "rate": self._rate}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the path of a checkpoint."""
        self._path, self._rate = [tuple(point) for point in state_dict["path"].tolist()], state_dict["rate"]


def has_bowl(module: LightningModule) -> bool:
    """Whether a task is a regression by the mean squared error with exactly two weights, which learn."""
    if not (isinstance(module, Regression) and module.automatic_optimization and type(module.loss) is MeanSquaredError):
        return False
    weights = list(module.net.parameters())
    return sum(weight.numel() for weight in weights) == 2 and all(weight.requires_grad for weight in weights)
