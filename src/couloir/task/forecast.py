"""The steps to come of series, or of videos."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from couloir.config.fields import SAMPLE
from couloir.data.batches import Batch
from couloir.errors import CouloirError
from couloir.metric.forecast import ErrorsByStep, ForecastErrors, WorstWindows, naive, seasonal_naive
from couloir.metric.precision import WIDE
from couloir.ragged import Padded
from couloir.record.forecast import MODEL, NAIVE, SEASONAL
from couloir.task.prediction import Prediction
from couloir.task.task import Step, try_network

WORST = 256
"""Windows with the largest errors that are kept: many of them overlap."""
MOST = 100
"""Values of a window that `predictions.csv` has a column each for; of more it says how large the errors are."""


class Forecast(Prediction):
    """Values to come (B, H, K), or frames (B, H, C, h, w), standardised as the input is.

    The test compares them with two forecasts out of the same windows: the naive one repeats the last value, the
    seasonal naive one the last season.
    """

    def __init__(self, *, data: Any, **keys: Any) -> None:
        self.horizon, self.season = int(data.horizon or 1), data.season
        self.naive_errors, self.input_kind = list(data.naive_errors), data.fields[data.input]
        self._scales = list(data.target_scale), list(data.target_offset)
        super().__init__(data=data, **keys)

    def measures(self) -> dict[str, Metric]:
        """MSE and MAE of standardised values, MASE, and sMAPE in the data's units."""
        return {"errors": ForecastErrors(self.horizon, *self._scales, self.naive_errors)}

    def measured_of(self, split: str) -> dict[str, Metric]:
        """In training MSE and MAE alone."""
        if split == "train":
            return {"errors": ForecastErrors(self.horizon, *self._scales, brief=True)}
        return self.measures()

    def examine(self, data: Any) -> dict[str, Metric]:
        """The errors at each step to come, of the network and of the naive forecasts; and the worst windows."""
        kinds = (MODEL, NAIVE, *([] if self.season is None else [SEASONAL]))
        errors = {f"steps_{kind}": ErrorsByStep(self.horizon, *self._scales, self.naive_errors) for kind in kinds}
        return {**errors, "worst": WorstWindows(WORST)}

    def observe(self, batch: Batch, step: Step) -> None:
        """Compare a test batch with the naive forecasts."""
        prediction, target = step.tensors
        for kind, forecast in {MODEL: prediction, **self.naive_forecasts(batch[self.input])}.items():
            if f"steps_{kind}" in self.seen:
                self.seen[f"steps_{kind}"].update(forecast, target)
        if SAMPLE in batch:
            errors = (prediction - target).to(WIDE).square().flatten(1).mean(dim=1)
            self.seen["worst"].update(errors, cast(Tensor, batch[SAMPLE]).to(errors.device))

    def naive_forecasts(self, x: Any) -> dict[str, Tensor]:
        """What is known without a network, (B, H, K, ...) by its kind; without a season, or in windows that are shorter
        than it, the naive forecast alone.
        """
        if isinstance(x, Padded):
            each = [self.naive_forecasts(sample[None]) for sample in x.samples()]
            return {kind: torch.cat([found[kind] for found in each]) for kind in each[0]}
        x = x.transpose(1, 2) if self.input_kind == "video" else x
        found = {NAIVE: naive(x, self.horizon, len(self._scales[0]))}
        if self.season is not None and self.season <= x.shape[1]:
            found[SEASONAL] = seasonal_naive(x, self.horizon, len(self._scales[0]), self.season)
        return found

    def answer(self, output: Tensor) -> Tensor:
        """Values to come in the data's units, (B, H, K, ...)."""
        scale, offset = self._scaling(output)
        return output * scale + offset

    def _scaling(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and offset of the K targets, as (B, H, K, ...) takes them."""
        shape = (-1,) + (1,) * (like.ndim - 3)
        scale, offset = cast(Tensor, self.target_scale), cast(Tensor, self.target_offset)
        return scale.to(like.dtype).view(shape), offset.to(like.dtype).view(shape)

    def chosen(self, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Forecast and truth in the data's units, (B, H * K)."""
        prediction, y = tensors
        return self.answer(prediction.to(WIDE)).flatten(1), self.answer(y.to(WIDE)).flatten(1)

    def tabled(self, batch: Batch, step: Step, answer: Tensor | None = None) -> dict[str, Tensor]:
        """How large the errors of each window are, and truth and forecast in the data's units, where these are few."""
        prediction, y = step.tensors
        error = (prediction - y).flatten(1)
        errors = {"mse": error.square().mean(dim=1), "mae": error.abs().mean(dim=1)}
        forecast = self.answer(prediction) if answer is None else answer
        few = forecast[0].numel() <= MOST
        truth = {"truth": self.truth(batch).flatten(1)} if few else {}
        return {**errors, **truth, **self.columns(forecast)}

    def columns(self, answer: Tensor, output: Tensor | None = None) -> dict[str, Tensor]:
        """The values to come in the data's units, (B, H * K), where these are few."""
        return {"prediction": answer.flatten(1)} if answer[0].numel() <= MOST else {}

    def truth(self, batch: Batch) -> Tensor:
        """What came, in the data's units, (B, H, K, ...)."""
        return self.answer(cast(Tensor, batch[self.target]))

    def compare(self, answer: Tensor, batch: Batch) -> Step:
        """The loss and the metrics' tensors of answers (B, H, K, ...)."""
        y = cast(Tensor, batch[self.target])
        scale, offset = self._scaling(answer)
        prediction = (answer - offset) / scale
        assert self.loss is not None
        return Step({"loss": self.loss(prediction, y)}, (prediction, y))

    @classmethod
    def check(cls, net: nn.Module, loss: nn.Module | None, data: Any) -> None:
        """Send two samples through the network.

        Raises:
            CouloirError: it does not take them, or does not give as many steps and values as are to come.
        """
        output, count = try_network(net, data)
        expected = tuple(data.example_batch(2)[data.target].shape)
        shape = tuple(getattr(output, "shape", ()))
        if shape != expected:
            raise CouloirError(
                f"The network returns shape {shape} for {count} samples; the forecast is of {expected}: samples, "
                "steps, values.",
                next_step="a network whose key answers is horizon, such as model=dlinear or model=lstm",
            )
