"""Numbers from inputs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.metric.precision import WIDE
from couloir.metric.regression import RegressionMetrics
from couloir.task.prediction import Prediction
from couloir.task.task import Step


class Regression(Prediction):
    """Values (B, K) against values; the network sees targets that the data has shifted and scaled."""

    def measures(self) -> dict[str, Metric]:
        """Mean absolute error, root mean squared error and R², in the data's units."""
        scale = self.target_scale
        return {"errors": RegressionMetrics(scale.tolist() if isinstance(scale, Tensor) else scale)}

    def answer(self, output: Tensor) -> Tensor:
        """Values in the data's units, (B, K)."""
        scale, offset = self._scaling(output)
        return output * scale + offset

    def _scaling(self, like: Tensor) -> tuple[float | Tensor, float | Tensor]:
        """Scale and offset of the values, in the precision of a tensor."""
        scale, offset = self.target_scale, self.target_offset
        if isinstance(scale, Tensor) and isinstance(offset, Tensor):
            return scale.to(like.dtype), offset.to(like.dtype)
        return scale, offset

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Prediction and target in the data's units, (B, K)."""
        prediction, y = tensors
        return self.answer(prediction.to(WIDE)), self.answer(y.to(WIDE))

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """Target and prediction in the data's units, (B, K)."""
        prediction = self.answer(step.tensors[0]) if answer is None else answer
        return {"truth": self.truth(batch), **self.columns(prediction)}

    def columns(self, answer: Tensor, output: Tensor | None = None) -> dict[str, Tensor]:
        """The values in the data's units, (B, K)."""
        return {"prediction": answer}

    def truth(self, batch: Batch) -> Tensor:
        """Targets in the data's units, (B, K)."""
        return self.answer(batch[self.target])

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The loss and the metrics' tensors of answers (B, K)."""
        y = batch[self.target]
        scale, offset = self._scaling(answer)
        prediction = (answer - offset) / scale
        assert self.loss is not None
        return Step({"loss": self.loss(prediction, y)}, (prediction, y))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network, and compare the targets with what the loss is defined for.

        Raises:
            CouloirError: a loss such as mlnet, 1 / (alpha - s), has no value for targets at or above alpha.
        """
        super().check(net, loss, data)
        allowed = getattr(loss, "target_range", None)
        if allowed is None:
            return
        bounds = data.target_bounds()
        if bounds is None:
            return
        low, high = bounds
        if low < allowed[0] or high >= allowed[1]:
            raise CouloirError(
                f"loss {type(loss).__name__} is defined for targets in [{allowed[0]:g}, {allowed[1]:g}); "
                f"the data's lie in [{low:g}, {high:g}].",
                next_step="rescale them with data.target_scaling=unit, or choose another loss",
            )
