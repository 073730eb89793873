"""Several classes a sample at once, each present or not."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from couloir.data.batches import Batch
from couloir.metric.multi_label import MultiLabelMetrics
from couloir.task.prediction import Prediction
from couloir.task.task import Step


class MultiLabel(Prediction):
    """Scores (B, K) against labels (B, K) in {0, 1}; a class is predicted where its probability is above one half."""

    def measures(self) -> dict[str, Metric]:
        """The share of labels that are right, and of samples whose labels all are."""
        return {"labels": MultiLabelMetrics(self.gives_probabilities)}

    @property
    def gives_probabilities(self) -> bool:
        """Whether the network's outputs are probabilities; else logits."""
        return bool(getattr(self.net, "output", "logits") == "probabilities")

    def answer(self, output: Tensor) -> Tensor:
        """The probability of each class, (B, K), each from a sigmoid of its own."""
        return output.float() if self.gives_probabilities else torch.sigmoid(output.float())

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """Of each class whether it is there, whether it is predicted, and its probability, (B, K) each."""
        prediction, y = step.tensors
        p = self.answer(prediction) if answer is None else answer
        return {"truth": (y > 0.5).long(), **self.columns(p, prediction)}

    def columns(self, answer: Tensor, output: Tensor | None = None) -> dict[str, Tensor]:
        """Of each class whether it is predicted, and its probability, (B, K) each."""
        if output is None:
            return {"prediction": (answer > 0.5).long(), "p": answer}
        return {"prediction": (output > MultiLabelMetrics(self.gives_probabilities).threshold).long(), "p": answer}

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The metrics' tensors of probabilities (B, K); a mean of probabilities has no logit, and so no loss."""
        return Step({}, (answer if self.gives_probabilities else torch.logit(answer), batch[self.target]))

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Probabilities (B, K) and labels (B, K) int64."""
        prediction, y = tensors
        return self.answer(prediction), y.long()
