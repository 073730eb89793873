"""A network over steps that is looked into: tokens, series or videos, each sequence by itself and without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from couloir.config.fields import SAMPLE
from couloir.config.image_size import size_of
from couloir.config.metrics import TRANSLATION, task_of
from couloir.data.sequence.vocabulary import Vocabulary
from couloir.errors import CouloirError
from couloir.inference.class_words import class_number
from couloir.inference.explain.subject import BATCH, Shown, Subject
from couloir.inference.explain.words import TOKENS, VIDEO, Wanted
from couloir.inference.trained import Trained
from couloir.model.sequence.network import at_last
from couloir.ragged import Padded, joined

STEPS = 8
"""Steps of sequences of zeros, where nobody says how many there are."""
LETTERS = 90
"""Letters of a text in a table at most."""


def samples_of(x: Any, kind: str) -> list[Tensor]:
    """The sequences of a field as a network takes each alone, (1, t, ...); of videos (1, C, t, H, W)."""
    if isinstance(x, Tensor):
        return list(torch.split(x, 1))
    axis = 2 if kind == VIDEO else 1
    lengths = x.lengths.tolist()
    return [row[None].narrow(axis, 0, length) for row, length in zip(x.values, lengths, strict=True)]


def excerpt(text: str, end: bool = False) -> str:
    """The beginning of a text, or its end, where it has more than `LETTERS` letters."""
    if len(text) <= LETTERS:
        return text
    return f"…{text[1 - LETTERS :]}" if end else f"{text[: LETTERS - 1]}…"


@dataclass
class ShownSequences(Shown):
    """Sequences that are explained.

    Attributes:
        x: standardised, a tensor where all are as long, else `Padded`.
        pixels: the same.
        samples: each alone, (1, t, ...); of videos (1, C, t, H, W).
    """

    x: Any
    samples: Sequence[Tensor] = ()

    def __len__(self) -> int:
        return len(self.samples)


class OverSteps(Subject):
    """A network over steps.

    Args:
        trained: a finished run.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__(trained)
        self.translates = task_of(trained.cfg) == TRANSLATION if hasattr(trained, "cfg") else False
        self.axis = 2 if self.kind == VIDEO else 1
        """The axis of the steps."""

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What tokens stand for; None: nobody says it."""
        return getattr(self.data, "vocabulary", None)

    @property
    def chooses(self) -> bool:
        """Whether its answer is one of several classes or tokens, whose probabilities sum to 1."""
        return self.data.kind in ("label", "target_tokens")

    def name_of(self, target: int) -> str:
        """What an output is called: a class, a token in quotation marks, or a series."""
        if self.data.kind == "target_tokens" and self.vocabulary is not None:
            return repr(self.vocabulary.decode([target]))
        return super().name_of(target)

    def scores(self, x: Any) -> Tensor:
        """The raw score of each output, (B, K): of classes; of each token as the next one behind the last step, or as
        the first of a translation; of a forecast the mean over the steps to come of each series. Gradients pass.

        Args:
            x: (B, T), (B, T, F), (B, C, T, H, W), or `Padded`.
        """
        output = self.net(x)
        if not isinstance(output, Tensor):
            raise CouloirError(
                f"The network gives a {type(output).__name__}, and what is explained is a tensor of scores.",
                next_step="let the network return its scores in evaluation",
            )
        if self.data.kind == "future":
            return output.mean(dim=1)
        if self.data.kind == "target_tokens":
            return output[:, -1] if self.translates else at_last(output, x.lengths if isinstance(x, Padded) else None)
        return output.reshape(len(output), -1)

    def answers(self, x: Any) -> Tensor:
        """What the scores mean, (B, K) without gradient: probabilities, or means to come in the data's units."""
        with torch.no_grad():
            if isinstance(x, Tensor):
                return torch.cat([self.as_answers(self.scores(part)) for part in torch.split(x, BATCH)])
            return torch.cat([self.as_answers(self.scores(each)) for each in samples_of(x, self.kind)])

    def as_answers(self, scores: Tensor) -> Tensor:
        """The same of scores (B, K); gradients pass."""
        if self.data.kind == "target_tokens":
            return scores.softmax(dim=1)
        if self.data.kind == "future":
            scale, offset = (
                torch.as_tensor(each, dtype=scores.dtype, device=scores.device)
                for each in (self.data.target_scale, self.data.target_offset)
            )
            return scores * scale + offset
        return super().as_answers(scores)

    def gradients(self, x: Tensor, target: Tensor) -> Tensor:
        """How the score of the target changes with each number of standardised inputs, in the form of `x`."""
        with torch.backends.cudnn.flags(enabled=False):  # whose recurrent layers have no gradients in evaluation
            return super().gradients(x, target)

    def empty(self, count: int = 1) -> Tensor:
        """Sequences of zeros."""
        steps = self.trained.cfg.data.get("length") or STEPS
        if self.kind == TOKENS:
            return torch.zeros(count, steps, dtype=torch.int64, device=self.device)
        if self.kind == VIDEO:
            height, width = size_of(self.trained.cfg.data.image_size)
            return torch.zeros(count, self.data.channels, steps, height, width, device=self.device)
        return torch.zeros(count, steps, self.data.channels, device=self.device)

    def outputs(self, x: Any, name: str) -> Tensor:
        """What one layer gives, (B, ...), without gradient; of each step the mean, where the layer gives steps."""
        if isinstance(x, Tensor):
            return super().outputs(x, name)
        parts = [super(OverSteps, self).outputs(each, name) for each in samples_of(x, self.kind)]
        if len({part.shape[1:] for part in parts}) > 1:
            parts = [part.mean(dim=1) for part in parts]
        return torch.cat(parts)

    def hidden(self, x: Any) -> Tensor:
        """What the last layer with weights takes, (B, F), without gradient; where it answers each step, of the last."""
        if not self.scoring:
            return torch.cat([each.flatten(1).float() for each in samples_of(x, self.kind)])
        found: list[Tensor] = []

        def keep(module: nn.Module, inputs: Any) -> None:
            found.append(inputs[0].detach())

        hook = self.net.get_submodule(self.scoring[0]).register_forward_pre_hook(keep)
        parts = []
        try:
            with torch.no_grad():
                for each in torch.split(x, BATCH) if isinstance(x, Tensor) else samples_of(x, self.kind):
                    found.clear()
                    self.net(each)
                    last = found[-1]
                    steps = self.data.kind == "target_tokens" and last.ndim == 3
                    parts.append(last[:, -1] if steps else last.flatten(1))
        finally:
            hook.remove()
        return torch.cat(parts)

    def split(self, name: str, most: int | None = None) -> Iterator[tuple[Tensor, Tensor | None, list[int]]]:
        """The sequences of a split, as for `Subject.split`; those of a batch that are as long come together."""
        if not self.has_data:
            yield from super().split(name, most)  # which says that there is no data
            return
        start = 0
        for batch in self.data.spread(name, 2**62 if most is None else most):
            field, target = batch[self.task.input], batch.get(self.task.target)
            samples = [each.to(self.device) for each in samples_of(field, self.kind)]
            numbers = batch.get(SAMPLE)
            places = list(range(start, start + len(samples))) if numbers is None else numbers.tolist()
            known = target.to(self.device) if isinstance(target, Tensor) and self.data.kind != "target_tokens" else None
            by_length: dict[int, list[int]] = {}
            for at, sample in enumerate(samples):
                by_length.setdefault(sample.shape[self.axis], []).append(at)
            for chosen in by_length.values():
                x = torch.cat([samples[at] for at in chosen])
                yield x, None if known is None else known[chosen], [places[at] for at in chosen]
            start += len(samples)

    def said(self, x: Tensor) -> list[str]:
        """Texts that stand for tokens (B, T), shortened; of anything else nothing. Of texts that go on the end is kept,
        as what a network makes of them is what it makes of their last token.
        """
        if self.kind != TOKENS or self.vocabulary is None:
            return []
        texts = [self.vocabulary.decode(row) for row in x.tolist()]
        goes_on = self.data.kind == "target_tokens" and not self.translates
        return [excerpt(text, goes_on) for text in texts]

    def written(self, shown: Shown, number: int) -> str:
        """What a network that translates writes for a sample; of others nothing."""
        if not self.translates or not isinstance(shown, ShownSequences):
            return ""
        task: Any = self.task
        return str(task.texts(task.look(shown.samples[number]))[0])

    def words(self, x: Tensor) -> list[str]:
        """What stands at each step of one sequence of tokens (1, T); its numbers, where nobody says what they are."""
        numbers = x[0].tolist()
        if self.vocabulary is None:
            return [str(number) for number in numbers]
        return [self.vocabulary.decode([number]) for number in numbers]


class Inside:
    """One sequence as numbers that gradients pass to: a series or a video as it is, tokens as their vectors.

    Args:
        subject: the network.
        x: the sequence, (1, t, ...).

    Attributes:
        values: these numbers, (1, t', ...). A network that fills its tokens up on both sides has more steps here.

    Raises:
        CouloirError: the tokens pass no embedding.
    """

    def __init__(self, subject: OverSteps, x: Tensor) -> None:
        self.subject, self.x = subject, x
        self._embedding: nn.Embedding | None = None
        self._offset = self._call = 0
        self.values = x
        if subject.kind == TOKENS:
            self._embedding, self._offset, self.values = self._found()

    def _found(self) -> tuple[nn.Embedding, int, Tensor]:
        calls: list[tuple[nn.Embedding, int, Tensor, Tensor]] = []

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(module, nn.Embedding) and isinstance(output, Tensor):
                calls.append((module, sum(each[0] is module for each in calls), inputs[0], output.detach()))

        hooks = [
            each.register_forward_hook(note) for each in self.subject.net.modules() if isinstance(each, nn.Embedding)
        ]
        try:
            with torch.no_grad():
                self.subject.net(self.x)
        finally:
            for hook in hooks:
                hook.remove()
        steps = self.x.shape[1]
        for module, call, given, output in calls:
            if given.ndim != 2 or output.ndim != 3:
                continue
            for offset in range(given.shape[1] - steps + 1):
                if torch.equal(given[:, offset : offset + steps], self.x):
                    self._call = call
                    return module, offset, output
        raise CouloirError(
            "The tokens pass no embedding (nn.Embedding) of the network, so no gradient reaches them.",
            next_step="--methods occlusion leaves tokens out instead",
        )

    def score(self, values: Tensor, target: Tensor) -> Tensor:
        """The score of an output with such numbers in place of the sequence's, (B,); gradients pass.

        Args:
            values: (B, t', ...).
            target: (B,).
        """
        if self._embedding is None:
            return self.subject.score(values, target)
        with _replaced(self._embedding, values, self._call):
            return self.subject.score(self.x.expand(len(values), -1), target)

    def gradients(self, values: Tensor, target: Tensor) -> Tensor:
        """How the score changes with each of such numbers, in their form."""
        found = []
        with torch.backends.cudnn.flags(enabled=False):
            for part, wanted in zip(torch.split(values, BATCH), torch.split(target, BATCH), strict=True):
                given = part.detach().clone().requires_grad_()
                with torch.enable_grad():
                    found.append(torch.autograd.grad(self.score(given, wanted).sum(), given)[0])
        return torch.cat(found)

    def baseline(self) -> Tensor:
        """The same numbers of nothing: zeros, the mean of a series or of a video, and no token at all."""
        if self._embedding is None:
            return torch.zeros_like(self.values)
        found = self.values.clone()
        found[:, self._own] = 0
        return found

    @property
    def _own(self) -> slice:
        return slice(self._offset, self._offset + self.x.shape[1])

    def of_steps(self, values: Tensor) -> Tensor:
        """Those of the sequence's own steps: (B, t', ...) -> (B, t, ...)."""
        return values if self._embedding is None else values[:, self._own]


def sequences_shown(
    subject: OverSteps, fields: Sequence[Any], names: list[str], truth: list[int] | None, wanted: Wanted
) -> ShownSequences:
    """The sequences that are explained, and the output of each that is.

    Args:
        subject: the network.
        fields: sequences, of the form that `subject.kind` has in a batch.
        names: of each.
        truth: the class of each.
        wanted: it may name the output.

    Raises:
        CouloirError: there is no such output.
    """
    samples = [each for field in fields for each in samples_of(field, subject.kind)]
    x: Any = joined(list(fields))
    answers = subject.answers(x)
    if wanted.label is not None:
        outputs = [subject.name_of(number) for number in range(answers.shape[1])]
        target = torch.full((len(samples),), output_number(wanted.label, outputs, subject), device=subject.device)
    else:
        target = answers.argmax(dim=1) if subject.chooses else torch.zeros_like(answers[:, 0], dtype=torch.int64)
    return ShownSequences(x, x, target, names, truth, samples)


def output_number(label: str, outputs: Sequence[str], subject: OverSteps) -> int:
    """The number of the class, token or series of a name.

    Raises:
        CouloirError: there is none.
    """
    if subject.data.kind == "target_tokens" and repr(label) in outputs:
        return list(outputs).index(repr(label))
    return class_number(label, list(outputs), "--class")


@contextmanager
def _replaced(embedding: nn.Embedding, values: Tensor, call: int) -> Iterator[None]:
    """Vectors in place of those that an embedding gives for tokens, where it is called for the time `call`, from 0."""
    count = iter(range(1 << 30))

    def hook(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return values if next(count) == call else output

    handle = embedding.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
