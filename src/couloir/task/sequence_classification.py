"""One class a sequence."""

from __future__ import annotations

from torchmetrics import Metric
from torchmetrics.classification import MulticlassF1Score

from couloir.task.classification import Classification


class SequenceClassification(Classification):
    """Scores (B, C) of whole sequences against labels (B,)."""

    def measures(self) -> dict[str, Metric]:
        """Those of a classification, and F1, the mean over the classes that are there."""
        return {**super().measures(), "mean_f1": MulticlassF1Score(self.num_classes, validate_args=False)}
