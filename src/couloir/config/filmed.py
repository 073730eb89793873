"""What `callbacks.film=true` can film of a sentence, as far as that is known without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from omegaconf import DictConfig, OmegaConf

from couloir.config.fields import KINDS, fields_of, input_field
from couloir.config.metrics import MAKING, task_of
from couloir.errors import CouloirError

KEY = "callbacks.film"
DRAWN = {"callbacks.filming": KEY, "callbacks.landscape": "callbacks.landscape.draw"}
"""Callbacks whose keys say how to draw, and the key that says whether to."""
FILMED = (
    "a fitted curve (one input, one value), the regions of classes (two inputs), and the filters and feature maps of "
    "networks for images"
)


def check_film(cfg: DictConfig, choices: Mapping[str, str | None], typed: Sequence[str]) -> None:
    """Refuse a film of what cannot be filmed, and keys of pictures that nobody has asked for.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.
        typed: what was typed.

    Raises:
        CouloirError: there is something of that kind.
    """
    for callback, switch in DRAWN.items():
        words = [word.lstrip("+") for word in typed]
        word = next((word for word in words if word.startswith(f"{callback}.")), None)
        chosen = any(word.startswith((f"{switch}=", f"{callback}.draw=")) for word in words)
        if word is not None and not chosen and OmegaConf.select(cfg, f"{callback}.draw") is False:
            raise CouloirError(f"{word} is of {switch}=true, which is not typed.", next_step=f"add {switch}=true")
    if OmegaConf.select(cfg, KEY) is not True:
        return
    task = f"task={choices.get('task')}"
    if task_of(cfg) in MAKING:
        raise CouloirError(
            f"{task} has a film already: samples/epoch_0001.png and so on, what the network makes. {KEY}=true films "
            f"{FILMED}.",
            next_step=f"leave {KEY} out; callbacks.samples has the keys of that film",
        )
    if str(cfg.trainer.get("strategy")) == "fsdp":
        raise CouloirError(
            f"{KEY}=true looks into the whole network, and trainer.strategy=fsdp cuts it into shares.",
            next_step=f"trainer.strategy=ddp, or leave {KEY} out",
        )
    if cfg.trainer.get("compile") is True:
        raise CouloirError(
            f"{KEY}=true looks at the layers one by one, and trainer.compile=true makes one program of them.",
            next_step="leave one of them out",
        )
    fields = fields_of(cfg.data)
    inputs, outputs = cfg.data.get("channels"), cfg.data.get("num_classes")
    kind, learned = fields.get(input_field(fields)), set(fields.values())
    if kind == "image" or not isinstance(inputs, int) or not str(cfg.data.get("_target_")).startswith("couloir."):
        return
    if kind == "row" and not cfg.data.get("categories"):
        if "value" in learned and inputs == 1 and outputs == 1:
            return
        if "label" in learned and inputs == 2:
            return
    told = f"{inputs} input{'s' * (inputs != 1)}" if kind == "row" else KINDS.get(str(kind), str(kind))
    if kind == "row" and "value" in learned and isinstance(outputs, int):
        told += f" and {outputs} value{'s' * (outputs != 1)}"
    raise CouloirError(
        f"{KEY}=true films {FILMED}; data={choices.get('data')} has {told}.", next_step=f"leave {KEY} out"
    )
