"""A network with the weights that a sentence names, as if it were a finished run: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from couloir.config.build import build, build_untrained
from couloir.data.plain import prepared
from couloir.errors import CouloirError
from couloir.inference.predictor import Predictor
from couloir.inference.trained import Trained
from couloir.model.weights import load_weights, read_state, weights_file
from couloir.trainer.within_memory import WithinMemory


class Begun(Trained):
    """The network of a sentence with `model.weights`, its data not at hand.

    Args:
        cfg: the sentence's configuration; `data.mean` and `data.std` are known.
        classes: the names of the outputs, where the configuration has none.

    Raises:
        CouloirError: nobody says how the inputs are standardised, or the weights leave a part of the network as it was
            drawn, such as a head for other classes.
    """

    def __init__(self, cfg: DictConfig, classes: Sequence[str] = ()) -> None:
        self.checkpoint = _file_of(cfg)
        self.cfg, self.run = cfg, Path(cfg.output_dir)
        self.is_plain = False
        self.statistics: dict[str, Any] = {"mean": _plain(cfg.data.get("mean")), "std": _plain(cfg.data.get("std")),
                                           "classes": list(cfg.data.get("classes") or classes)}  # fmt: skip
        if self.statistics["mean"] is None:
            raise CouloirError(
                "Nobody says how the images of these weights were standardised, and without the data it cannot be "
                "computed.",
                place=f"model.weights={cfg.model.weights}",
                next_step="data.mean=[0.485,0.456,0.406] data.std=[0.229,0.224,0.225] are ImageNet's",
            )
        self._assemble(lambda: begun_network(cfg))


class BegunWithData(Predictor):
    """The same, together with the sentence's own data.

    Args:
        cfg: the sentence's configuration.
    """

    def __init__(self, cfg: DictConfig) -> None:
        self.checkpoint = _file_of(cfg)
        self.cfg, self.run = cfg, Path(cfg.output_dir)
        self.is_plain, self.statistics = False, {}
        self._assemble(lambda: begun_network(cfg))

    def _data(self) -> Any:
        data = prepared(self.cfg, build(self.cfg, "data"))
        data.prepare_data()
        data.setup()
        data.to(self.device)
        return data


def begun_network(cfg: DictConfig) -> nn.Module:
    """The network of a sentence, all of whose weights are those that `model.weights` names.

    Raises:
        CouloirError: some are not, such as those of a head for another number of classes.
    """
    with WithinMemory(), isolate_rng():
        net: nn.Module = build_untrained(cfg)
    if next(net.parameters(), None) is None:  # kernels that are known
        return net
    file = weights_file(cfg.model)
    _check_head(net, read_state(file), cfg)
    load_weights(net, file, cfg.model.get("adapt_channels"))
    return net


def _check_head(net: nn.Module, state: Mapping[str, Any], cfg: DictConfig) -> None:
    """A head that the weights do not fit would stay as it was drawn, and its answers would mean nothing."""
    own = net.state_dict()
    other = next((name for name in own if name in state and own[name].shape[:1] != state[name].shape[:1]), None)
    if other is None:
        return
    theirs, ours = state[other].shape[0], own[other].shape[0]
    raise CouloirError(
        f"The weights give {theirs:,} outputs, and the data has {ours:,} classes: the head would stay as it was drawn.",
        place=f"model.weights={cfg.model.weights}",
        next_step="name data with the classes of the weights, and photographs as inputs: couloir explain data=imagenet "
        f"model=... model.weights={cfg.model.weights} photos/" if theirs == 1000 else "train the head first: "
        "train finetune=head ..., then couloir explain latest",
    )  # fmt: skip


def _file_of(cfg: DictConfig) -> Path:
    """The file of the weights; of a network without any the sentence stands alone."""
    return Path() if cfg.model.get("weights") is None else weights_file(cfg.model)


def _plain(value: Any) -> list[float] | None:
    return None if value is None else [float(entry) for entry in value]
