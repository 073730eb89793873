"""One class a sample."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from couloir.config.fields import SHARE, input_field
from couloir.data.batches import Batch
from couloir.loss.classification import CrossEntropy
from couloir.loss.focal import Focal
from couloir.metric.classification import ClassificationMetrics, predicted
from couloir.metric.mistakes import WorstMistakes, frames_beside
from couloir.task.forms import class_probabilities
from couloir.task.prediction import Prediction
from couloir.task.task import Step


def _shown_size(data: Any) -> Any:
    """The size of the pictures of samples: of images their own, of videos that of some frames beside each other."""
    name = input_field(data.fields)
    if data.fields[name] != "video" or data.mean is None or not getattr(data, "splits", None):
        return data.image_size
    videos = data.example_batch(1)[name]
    return list(frames_beside(videos).shape[-2:]) if isinstance(videos, Tensor) else None


class Classification(Prediction):
    """Scores (B, C) against labels (B,) or, after mixup, against class probabilities (B, C)."""

    def measures(self) -> dict[str, Metric]:
        """Accuracy and, with more than five classes, top-5 accuracy."""
        return {"accuracy": ClassificationMetrics(self.num_classes)}

    def examine(self, data: Any) -> dict[str, Metric]:
        """The confusion matrix, and the samples that the network is most wrong about."""
        std = [value or 1.0 for value in data.std or ()]
        size = _shown_size(data)
        images = size is not None and data.mean is not None
        mistakes = WorstMistakes(data.mean, std, size) if images else WorstMistakes(None, None, None)
        return {"confusion": MulticlassConfusionMatrix(self.num_classes, validate_args=False), "mistakes": mistakes}

    def observe(self, batch: Batch, step: Step) -> None:
        """Count confusions, and keep mistakes."""
        prediction, y = step.tensors
        self.seen["confusion"].update(prediction, y)
        self.seen["mistakes"].update(self.answer(prediction.detach()), y, batch[self.input])

    def note(self, split: str, batch: Batch, step: Step) -> Tensor:
        """Count, in a validation, how often each class is there and is said."""
        if split == "val":
            if self.validated is None:
                self.validated = torch.zeros(2, self.num_classes, dtype=torch.long, device=self.device)
            share = batch.get(SHARE)
            if share is None or share.own > 0:
                prediction, y = step.tensors
                pairs = torch.stack([y, predicted(prediction)])
                # No bincount: it would wait for a GPU.
                self.validated += (pairs[..., None] == torch.arange(self.num_classes, device=y.device)).sum(dim=1)
        return super().note(split, batch, step)

    def answer(self, output: Tensor) -> Tensor:
        """The probabilities of the classes, (B, C)."""
        return class_probabilities(output, self.net)

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """The true class and the predicted one, (B,), and the probabilities, (B, C)."""
        prediction, y = step.tensors
        return {"truth": y, **self.columns(self.answer(prediction) if answer is None else answer, prediction)}

    def columns(self, answer: Tensor, output: Tensor | None = None) -> dict[str, Tensor]:
        """The predicted class, (B,), and the probabilities, (B, C)."""
        return {"prediction": predicted(answer if output is None else output), "p": answer}

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The loss and the metrics' tensors of probabilities (B, C), in the network's own form.

        Of a mean probability there is no logit, so that a loss of logits is left out, excepted those that take their
        softmax: cross-entropy and focal loss.
        """
        y, logits = batch[self.target], answer.clamp_min(torch.finfo(answer.dtype).tiny).log()
        given = getattr(self.net, "output", "logits")
        wanted = getattr(self.loss, "expects", "values")
        output = answer if given == "probabilities" else logits
        assert self.loss is not None
        if not isinstance(self.loss, CrossEntropy | Focal) and wanted not in ("log_probabilities", "distribution"):
            return Step({}, (output, y))
        form = logits if wanted != "distribution" else answer
        return Step({"loss": self.loss(form, y)}, (output, y), self.weight(y))

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Probabilities (B, C) and labels (B,)."""
        prediction, y = tensors
        return self.answer(prediction), y if y.ndim == 1 else y.argmax(dim=1)
