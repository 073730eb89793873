"""Lightning's TensorBoard logger, with hyperparameters that can be compared and a graph of every network."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.compat.proto.event_pb2 import Event
from torch import Tensor, nn

from couloir.config.fields import input_field, is_sequence
from couloir.config.image_size import input_size, sample_shape
from couloir.log import note
from couloir.logger.events import files, session_start, write_events
from couloir.logger.hyperparameters import comparable
from couloir.ragged import Padded
from couloir.torch_private import graph


class TensorBoard(TensorBoardLogger):
    """Event files in a run's folder.

    Args:
        save_dir: the run's folder.
        name: a folder within it, or nothing.
        version: the folder of the event files within that.
        log_graph: whether the network's graph is written as well.
    """

    def __init__(self, save_dir: str, name: str = "", version: str = "tensorboard", log_graph: bool = False) -> None:
        super().__init__(save_dir, name=name, version=version, log_graph=log_graph, default_hp_metric=False)
        self.draws_graph = log_graph

    @rank_zero_only
    def log_hyperparams(
        self, params: dict[str, Any] | Namespace, metrics: dict[str, Any] | None = None, step: int | None = None
    ) -> None:
        """List the run in the HParams tab, without numbers until it has completed."""
        super().log_hyperparams(params, metrics, step)
        plain = vars(params) if isinstance(params, Namespace) else params
        start = session_start(trial_name(Path(self.save_dir)), comparable(plain))
        write_events(Path(self.log_dir), "begun", [start], instead_of=("result",))

    @rank_zero_only
    def log_graph(self, model: LightningModule, input_array: Tensor | None = None) -> None:  # type: ignore[override]
        """Write the network's graph, once; what cannot be traced is said, and no reason to end a run."""
        folder, trainer = Path(self.log_dir), model.trainer
        if not self.draws_graph or trainer.state.fn != "fit" or files(folder, "graph"):
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        try:
            definition = traced(model.net, _input_of(data))  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001  of the tracer, and of networks that it cannot follow
            reason = " ".join(str(error).split())[:300]
            note.info("the network's graph cannot be traced for TensorBoard: %s: %s", type(error).__name__, reason)
            return
        write_events(folder, "graph", [Event(graph_def=definition)])


def trial_name(run: Path) -> str:
    """What a run is called in the HParams tab: the run's folder with the one that it is in."""
    return "/".join(run.resolve().parts[-2:])


def _input_of(data: Any) -> Tensor:
    """Zeros of the form of one sample, (1, ...); of a sequence as many steps as a sample of the training has."""
    if is_sequence(data.fields):
        x = data.example_batch(1)[input_field(data.fields)]
        return torch.zeros_like(x.values if isinstance(x, Padded) else x)
    facts = {"image_size": data.image_size, "factor": getattr(data, "factor", 1), "fields": data.fields}
    return torch.zeros(1, *sample_shape(data.channels, input_size(facts)))


def traced(net: nn.Module, x: Tensor) -> bytes:
    """TensorBoard's graph of a network, in evaluation mode; the network itself is left as it is.

    Args:
        net: any network.
        x: an input, (1, ...).
    """
    alone = copy.deepcopy(net).cpu().float().eval()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        return graph(alone, x)
