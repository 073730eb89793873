"""What every augmentation is: one draw a sample, applied to each of its fields in the way of the field's kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from couloir.errors import CouloirError

Batch = dict[str, Any]
CHANGED = ("image", "row")
"""Kinds of fields that every augmentation changes: the network's inputs."""


def changed_fields(batch: Batch, kinds: Mapping[str, str], augmentation: nn.Module) -> list[str]:
    """The names of the inputs that an augmentation changes.

    Raises:
        CouloirError: there are none.
    """
    names = [name for name, kind in kinds.items() if kind in CHANGED and name in batch]
    if not names:
        raise CouloirError(
            f"{type(augmentation).__name__} changes fields of the kinds {' and '.join(CHANGED)}; the data has "
            f"{', '.join(kinds.values())}.",
            next_step="augmentation=none",
        )
    return names


class Transform(nn.Module):
    """A random change of a batch. What moves pixels moves a sample's picture, its mask and its boxes by one draw.

    It is called with a whole batch, or with images (B, C, H, W) or rows (B, F) alone. A subclass says how it draws, and
    how it changes inputs; one that moves pixels says how it changes maps and boxes, too.
    """

    by_field = True
    """It takes a batch and the kinds of its fields; a plain function takes the inputs alone."""

    def draw(self, x: Tensor) -> Any:
        """What is random, for inputs (B, ...): one draw a sample."""

    def inputs(self, x: Tensor, draw: Any) -> Tensor:
        """Inputs (B, C, H, W) or (B, F), changed."""
        raise NotImplementedError

    def map(self, x: Tensor, draw: Any) -> Tensor:
        """Maps (B, C, H, W), changed by the draws of their images; left alone by default.

        Integers are classes: each pixel keeps one that there is, or gets `couloir.config.fields.IGNORED`. Floats are
        values in [0, 1].
        """
        return x

    def boxes(self, values: Tensor, sample: Tensor, draw: Any, size: tuple[int, int]) -> Tensor:
        """Boxes changed by the draws of their images; left alone by default.

        Args:
            values: (N, 4): x0, y0, x1, y1 in pixels.
            sample: the number of each box's image in the batch, (N,).
            draw: of the images.
            size: height and width of the images before they are changed.
        """
        return values

    def forward(self, x: Tensor | Batch, fields: Mapping[str, str] | None = None) -> Any:
        """A batch with its fields changed, or inputs alone.

        Args:
            x: a batch of named fields, or inputs (B, ...).
            fields: the kind of each field; None: each is named after its kind.
        """
        if isinstance(x, Tensor):
            return self.inputs(x, self.draw(x))
        kinds = fields or {name: name for name in x}
        changed = changed_fields(x, kinds, self)
        draw = self.draw(x[changed[0]])
        batch = dict(x)
        for name in changed:
            batch[name] = self.inputs(x[name], draw)
        before, after = (tuple(each[changed[0]].shape[-2:]) for each in (x, batch))
        for name, kind in kinds.items():
            if kind == "map" and name in x:
                batch[name] = self._map(x[name], draw)
            elif kind == "boxes" and name in x:
                batch[name] = self._boxes(x[name], draw, before, after)
        return batch

    def _map(self, x: Tensor, draw: Any) -> Tensor:
        """Maps of classes (B, H, W) have no axis for channels."""
        return self.map(x, draw) if x.ndim == 4 else self.map(x[:, None], draw)[:, 0]

    def _boxes(self, field: Any, draw: Any, before: Any, after: Any) -> Any:
        """Move the corners, cut off what has left the image, and leave out boxes of which nothing is left."""
        values, counts = field
        sample = counts.new_tensor(range(len(counts))).repeat_interleave(counts)
        corners = self.boxes(values[:, :4], sample, draw, before)
        height, width = after
        corners = corners.clamp_min(0).minimum(corners.new_tensor([width, height, width, height]))
        left = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
        moved = values.clone()
        moved[:, :4] = corners
        return type(field)(moved[left], sample[left].bincount(minlength=len(counts)))


class InTurn(nn.Sequential):
    """Several transforms of a batch, one after the other."""

    by_field = True

    def forward(self, x: Any, fields: Mapping[str, str] | None = None) -> Any:
        """A batch, or inputs (B, ...), through all of them."""
        for step in self:
            if isinstance(x, Tensor) or getattr(step, "by_field", False):
                x = step(x) if isinstance(x, Tensor) else step(x, fields)
            else:  # of the user's own: a function of inputs alone
                kinds = fields or {name: name for name in x}
                x = {name: step(value) if kinds.get(name) in CHANGED else value for name, value in x.items()}
        return x


def in_turn(**steps: nn.Module) -> InTurn:
    """The steps in the order of their keys.

    Args:
        steps: transforms of batches; none of them mixes samples.
    """
    net = InTurn()
    for name, step in steps.items():
        net.add_module(name, step)
    return net
