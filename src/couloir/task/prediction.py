"""A prediction a sample, compared with its target: what classifications and regressions share."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.task.forms import total_loss
from couloir.task.task import Step, Task, try_network


class Prediction(Task):
    """One output a sample, (B, num_classes), and one loss."""

    def compute(self, batch: Batch) -> Step:
        """The loss; prediction and target for the metrics."""
        return self.compared(self.net(batch[self.input]), batch)

    def compared(self, outputs: Any, batch: Batch) -> Step:
        """The same, where what the network returns for the batch is known already."""
        y = batch[self.target]
        prediction = outputs[0] if isinstance(outputs, tuple) else outputs
        return Step({"loss": self.criterion(outputs, y)}, (prediction, y), self.weight(y))

    def weight(self, y: Tensor) -> Tensor | None:
        """What a batch with these targets counts among others; None: the number of its samples."""
        total_weight = getattr(self.loss, "total_weight", None)
        found: Tensor | None = None if total_weight is None else total_weight(y)
        return found

    def criterion(self, outputs: Any, y: Tensor) -> Tensor:
        """The loss of what the network returns, its auxiliary heads' in training included."""
        assert self.loss is not None
        return total_loss(outputs, y, self.net, self.loss)

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network.

        Raises:
            CouloirError: it does not take them, or does not return one value a class.
        """
        output, count = try_network(net, data)
        expected = (count, data.num_classes)
        if tuple(getattr(output, "shape", ())) != expected:
            raise CouloirError(
                f"The network returns shape {tuple(getattr(output, 'shape', ()))} for {count} samples; the data needs "
                f"{expected}.",
                next_step="let the model end in num_classes outputs (num_classes: ${data.num_classes} in its YAML)",
            )
