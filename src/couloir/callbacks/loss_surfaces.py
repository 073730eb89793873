"""The picture of the losses of saliency maps, in the folder of a run that learns such a map."""

from __future__ import annotations

from pathlib import Path

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn

from couloir.log import note

FILE = "losses.png"


def loss_surfaces(draw: bool = False) -> LossSurfaces | None:
    """A `LossSurfaces`, or None where nothing is to be drawn."""
    return LossSurfaces() if draw else None


class LossSurfaces(Callback):
    """Draws `losses.png` when training ends: the course's five losses, and among them the run's own."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw, in the first process."""
        if not trainer.is_global_zero:
            return
        # Matplotlib's third dimension takes half a second to import, which other runs do not pay.
        from couloir.artifacts.loss_surfaces import draw_surfaces

        own = getattr(pl_module, "loss", None)
        loss = own if isinstance(own, nn.Module) else None
        undrawn = draw_surfaces(Path(trainer.default_root_dir) / FILE, loss, type(loss).__name__)
        if undrawn is not None:
            note.info("%s", undrawn)
