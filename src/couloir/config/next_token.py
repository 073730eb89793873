"""What networks must be that predict the next token, and what carries a state. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping

from omegaconf import DictConfig

from couloir.config import contract, tree
from couloir.config.metrics import NEXT_TOKEN, task_of
from couloir.errors import CouloirError

RECURRENT = "couloir.model.sequence.recurrent."
"""Where Couloir's networks stand that keep a state from step to step."""


def check_next_token(cfg: DictConfig, choices: Mapping[str, str | None]) -> None:
    """Refuse, before torch is imported, networks that see the token they predict, and those that keep no state.

    Args:
        cfg: a settled configuration.
        choices: the choice of each group.

    Raises:
        CouloirError: the network is one of those, or no next token is predicted and a state is to be carried.
    """
    predicts, carries = task_of(cfg) == NEXT_TOKEN, cfg.data.get("carry_state") is True
    if carries and not predicts:
        raise CouloirError(
            "data.carry_state=true goes on from batch to batch in a text whose next token is predicted, and the task "
            f"is {task_of(cfg)}.",
            next_step="data.carry_state=false",
        )
    if predicts and cfg.model.get("bidirectional") is True and str(cfg.model.get("_target_")).startswith(RECURRENT):
        raise CouloirError(
            "model.bidirectional=true reads the text from its end as well, and so sees each token that it is to "
            "predict.",
            next_step="model.bidirectional=false",
        )
    target = str(cfg.model.get("_target_"))
    if carries and target.startswith("couloir.") and not target.startswith(RECURRENT):
        raise CouloirError(
            f"data.carry_state=true hands the network the state behind the batch before, and "
            f"model={choices.get('model')} keeps none.",
            next_step=f"model={', model='.join(keeping_state())}; or data.carry_state=false",
        )


def keeping_state() -> list[str]:
    """The choices of `model` that keep a state from step to step."""
    found = []
    for name, file in tree.choices("model").items():
        targets = [str(key.default) for key in contract.read_keys(file) if key.path == "_target_"]
        found += [name] if targets and targets[0].startswith(RECURRENT) else []
    return found
