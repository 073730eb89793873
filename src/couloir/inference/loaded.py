"""A finished run in Python: files, arrays, pictures and rows in, answers in the data's own units out."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from couloir.artifacts.prediction_table import CODE, Columns, joined
from couloir.config.fields import IGNORED, input_field
from couloir.data.batches import Batch
from couloir.data.unseen import (
    IMAGES,
    IMAGES_LAST,
    ROWS,
    InMemory,
    Photographs,
    Unseen,
    images_of,
    native,
    numbers_of,
)
from couloir.errors import CouloirError
from couloir.inference.answers import spoken
from couloir.inference.asking import Asked, Asking, photographs_of, row_offsets, rows_wanted, sample_of, texts_for
from couloir.inference.codes import decoded, looked, makes
from couloir.inference.forecasting import forecast, is_forecaster
from couloir.inference.inputs import (
    PHOTOGRAPHS,
    TABLE,
    Inputs,
    array_form,
    check_answered,
    check_kinds,
    find_inputs,
    in_folders,
    labels_texts,
)
from couloir.inference.map_files import names_of, shares
from couloir.inference.rows_in_memory import columns_of, is_column, table_of
from couloir.inference.sampling.drawing import Maker
from couloir.inference.texts import Texts
from couloir.inference.trained import Trained, loaded_size
from couloir.task.dense import Dense
from couloir.task.generative import Generative
from couloir.task.restoration import Restoration
from couloir.task.segmentation import Segmentation

LONGEST_NAME = 1000
"""Letters of the name of a file at most: what is longer is a text."""
LOSSLESS = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16")
"""Modes of pictures that a PNG holds as they are."""


@dataclass(frozen=True)
class Answer:
    """What a run says of one sample; what does not apply is None.

    Attributes:
        label: the most probable class.
        probability: its probability.
        probabilities: of each class, by name.
        labels: of several labels at once, those that are there.
        value: of a regression of one value, in the data's units.
        values: of each value, by name or number.
        map: of a segmentation the class of each pixel, uint8 (H, W), or int64 where there are more than 255; of a
            saliency its values, float32 (H, W); of a restoration the image, uint8 (H, W, C) or (H, W).
        shares: of a segmentation the share of the pixels that each class has, by name.
        code: of an autoencoder or a VAE the code, float32 (K,); of the latter its mean.
        numbers: of what makes or rebuilds samples, what else is said of the sample by name: `error`, `neg_elbo`.
        forecast: of a forecast the steps to come of each column, by name, in the table's units.
        dates: of a forecast the dates of these steps; without dates their numbers, from 1 on.
        series: of a forecast the name of the series, where a table has several.
        array: the answer as NumPy has it: probabilities, values, a map, a sample that was rebuilt, in the data's units.
    """

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    labels: list[str] | None = None
    value: float | None = None
    values: dict[str, float] | None = None
    map: Any = None
    shares: dict[str, float] | None = None
    code: Any = None
    numbers: dict[str, float] | None = None
    forecast: dict[str, list[float]] | None = None
    dates: list[str] | None = None
    series: str | None = None
    array: Any = None

    def __repr__(self) -> str:
        if self.label is not None:
            return f"Answer({self.label!r}, {self.probability:.4f})"
        if self.labels is not None:
            return f"Answer({self.labels!r})"
        if self.forecast is not None and self.dates:
            named = f"{self.series}: " if self.series else ""
            columns = ", ".join(self.forecast)
            return f"Answer({named}{columns}, {len(self.dates)} steps from {self.dates[0]} to {self.dates[-1]})"
        if self.values is not None:
            return f"Answer({self.value if len(self.values) == 1 else self.values!r})"
        if self.numbers is not None:
            return f"Answer({', '.join(f'{name} {value:.4g}' for name, value in self.numbers.items())})"
        if self.map is not None:
            most = sorted((self.shares or {}).items(), key=lambda entry: -entry[1])[:3]
            told = "".join(f", {name} {share:.1%}" for name, share in most if share)
            return f"Answer(map of {np.shape(self.map)[0]} x {np.shape(self.map)[1]} pixels{told})"
        return f"Answer(array of shape {np.shape(self.array)})"


class LoadedRun:
    """One finished run, or several that answer together; it is called with one sample or several.

    Attributes:
        run: the folder of the first.
        runs: each run, with all that its folder says of it.
    """

    def __init__(self, runs: Sequence[Trained]) -> None:
        self.runs = list(runs)
        Asking(self.runs)  # whether they can answer together
        self.run = self.runs[0].run

    @property
    def net(self) -> nn.Module:
        """The first run's network, in evaluation mode; it takes what `runs[0].prepare` makes."""
        return self.runs[0].net

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of the outputs; none for a regression."""
        return self.runs[0].classes

    def __repr__(self) -> str:
        of = f"{len(self.runs)} runs, {self.run.name}, ..." if len(self.runs) > 1 else self.run.name
        return f"LoadedRun({of})"

    def __call__(self, samples: Any) -> Any:
        """What the runs say of one sample, an `Answer`, or of several, a list of them.

        Args:
            samples: the path of a photograph, a PIL image, or a uint8 array (H, W, C) or (H, W), of any size: scaled
                and cut as in validation, or whole where the answer is a map; the path of a folder, a table or a `.npy`
                file, a pattern, or a list of photographs; an array or a tensor as `couloir predict` takes it from a
                `.npy` file, or one sample of it; a row of a table as a mapping, a list of them, columns by name, or a
                DataFrame; of a run that tells the class of texts a text, or a list of them.

        Raises:
            CouloirError: the run does not take such samples, or one of them cannot be read.
        """
        if isinstance(samples, str | Path) and all(map(is_forecaster, self.runs)):
            return self._forecast(samples)
        asking = Asking(self.runs)
        asked, single = self._asked(asking, samples)
        for note in asking.notes:
            warnings.warn(note, stacklevel=2)
        answers = [answer for each in asked for answer in self._answers(asking, each)]
        return answers[0] if single else answers

    def _forecast(self, word: str | Path) -> Any:
        """What follows the last steps of a table: of one series an `Answer`, of several a list of them."""
        found = find_inputs([str(word)])
        for run in self.runs:
            check_answered(found, run.cfg, run.run)
            check_kinds(found, run.cfg, run.run, run.is_plain)
        if found.kind != TABLE:
            asking = Asking(self.runs)
            return [answer for each in asking.about(found) for answer in self._answers(asking, each)]
        answers: list[Answer] = []
        for file in found.files:
            forecasts, notes = forecast(self.runs, file)
            for note in notes:
                warnings.warn(note, stacklevel=3)
            for each in forecasts:
                columns = dict(zip(each.targets, each.values.T.tolist(), strict=True))
                answers.append(
                    Answer(forecast=columns, dates=each.moments, series=each.name or None, array=each.values)
                )
        return answers[0] if len(answers) == 1 else answers

    def sample(self, count: int, seed: int = 0, label: str | int | None = None) -> NDArray[np.float32]:
        """Samples of a VAE or a GAN, float32 (count, C, H, W) in [0, 1], as `couloir sample` makes them.

        Args:
            count: how many, at least 1.
            seed: what they follow from; the first are the same, whatever `count` is.
            label: of a conditional GAN the class, by its name or number; None: all of them in turn.

        Raises:
            CouloirError: the run draws no samples, or does not know the class.
        """
        maker = Maker(self.runs[0])
        if count < 1 or seed < 0:
            raise CouloirError(f"sample takes a count of at least 1 and a seed of at least 0, not {count} and {seed}.")
        parts = maker.samples(count, seed, maker.label(label))
        return np.concatenate([made.pictures.float().numpy() for made in parts])

    def encode(self, samples: Any) -> Tensor:
        """The codes of samples, float32 (N, K), or (K,) of one; of a VAE their means.

        Args:
            samples: as the run is called with them.

        Raises:
            CouloirError: the run finds no codes, or does not take such samples.
        """
        task = makes(self.runs[0], encodes=True)
        return self._looked(samples, task.codes)

    def decode(self, codes: Any, labels: Any = None) -> Tensor:
        """The samples of codes, float32 images (N, C, H, W) in [0, 1] or rows (N, F) as they were standardised.

        Args:
            codes: (N, K), or one of them (K,): then the sample has no first axis either.
            labels: of a network that is told a class, their numbers, (N,) or one for all.

        Raises:
            CouloirError: the run makes nothing out of codes, or out of codes of another size.
        """
        return decoded(self.runs[0], codes, labels)

    def rebuild(self, samples: Any) -> Tensor:
        """Samples through their codes, as they are given: nothing is made worse before; in the form of `decode`.

        Args:
            samples: as the run is called with them.

        Raises:
            CouloirError: the run finds no codes, or does not take such samples.
        """
        task = makes(self.runs[0], encodes=True)
        return self._looked(samples, task.rebuilt)

    def _looked(self, samples: Any, look: Callable[[Batch], Tensor]) -> Tensor:
        asked, single = self._asked(Asking(self.runs), samples)
        found = looked(self.runs[0], asked, look)
        return found[0] if single else found

    def _answers(self, asking: Asking, asked: Asked) -> Iterator[Answer]:
        data = self.runs[0].data
        columns = Columns(data.kind, data.classes, data.targets)
        for answered in asking.answers(asked, strict="repair it, or leave it out"):
            rows = {name: joined([values]) for name, values in answered.columns.items()}
            for place in range(len(answered.places)):
                row, array = {name: values[place] for name, values in rows.items()}, sample_of(answered.answer, place)
                task = self.runs[0].task
                if isinstance(task, Dense):
                    yield _of_map(task, array)
                elif isinstance(task, Generative):
                    numbers = {name: float(value) for name, value in row.items() if not np.ndim(value)}
                    yield Answer(code=row.get(CODE), numbers=numbers, array=array)
                else:
                    yield _answer(row, columns, array)

    def _asked(self, asking: Asking, samples: Any) -> tuple[list[Asked], bool]:
        """What is asked, and whether it is one sample."""
        if labels_texts(self.runs[0].cfg) and (texts := _as_texts(samples)) is not None:
            return self._texts(texts), isinstance(samples, str)
        if isinstance(samples, str | Path):
            found = find_inputs([str(samples)], looked_for=in_folders(self.runs[0].cfg))
            one = found.kind == PHOTOGRAPHS and not found.folders and found.files == [Path(samples).expanduser()]
            return self._about(asking, found), one
        if isinstance(samples, Tensor):
            samples = _as_numpy(samples)
        if isinstance(samples, Image.Image) or _is_photograph(samples):
            return self._pictures([samples]), True
        if isinstance(samples, np.ndarray):
            return self._array(samples)
        if isinstance(samples, Mapping) and not any(map(is_column, samples.values())):
            return self._rows(asking, [samples]), True
        if (columns := columns_of(samples)) is not None:
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
            return self._rows(asking, rows), False
        if isinstance(samples, list | tuple):
            return self._listed(asking, list(samples))
        raise CouloirError(
            f"A run takes files, pictures, arrays and rows, not {type(samples).__name__}.",
            next_step="give a path, a PIL image, a NumPy array, a mapping of columns, or a list of these",
        )

    def _listed(self, asking: Asking, samples: list[Any]) -> tuple[list[Asked], bool]:
        samples = [_as_numpy(each) if isinstance(each, Tensor) else each for each in samples]
        if not samples:
            return [], False
        if all(isinstance(each, str | Path) for each in samples):
            return self._about(
                asking, find_inputs(list(map(str, samples)), looked_for=in_folders(self.runs[0].cfg))
            ), False
        if all(isinstance(each, Image.Image) or _is_photograph(each) for each in samples):
            return self._pictures(samples), False
        if all(isinstance(each, Mapping) for each in samples):
            return self._rows(asking, samples), False
        if all(isinstance(each, int | float | np.number) for each in samples):
            return self._array(np.array(samples, dtype=np.float64))
        try:
            stack = np.stack([np.asarray(each) for each in samples])
        except (ValueError, TypeError) as error:
            raise CouloirError(
                "The samples of the list are not all of one kind and shape.", next_step="ask for one kind at a time"
            ) from error
        return self._array(stack, stacked=True)

    def _texts(self, texts: Sequence[str]) -> list[Asked]:
        """Texts in memory."""
        found = Texts(Path("the texts"))
        for number, text in enumerate(texts, start=1):
            found.add(text, number)
        if found.skipped:
            raise CouloirError(
                "A text is empty.", place=f"the texts, number {found.skipped[0].line}", next_step="leave it out"
            )
        return [Asked([texts_for(run, found) for run in self.runs])] if texts else []

    def _about(self, asking: Asking, found: Inputs) -> list[Asked]:
        if found.unusable:
            first = found.unusable[0]
            raise CouloirError(f"{Path(first.where).name} {first.reason}.", place=first.where, next_step="leave it out")
        return asking.about(found)

    def _pictures(self, pictures: Sequence[Any]) -> list[Asked]:
        """Pictures in memory, by way of files: they are decoded, scaled and cut by the same code."""
        self._refuse_unless("image", "pictures")
        with tempfile.TemporaryDirectory() as folder:
            files = [_as_file(picture, Path(folder) / f"{place}") for place, picture in enumerate(pictures)]
            if isinstance(self.runs[0].task, Dense) and not any(run.is_plain for run in self.runs):
                return [self._whole(file) for file in files]
            found: list[Unseen] = []
            for run in self.runs:
                if run.is_plain:
                    raise CouloirError(
                        "The run was trained on a data module of your own, which prepares its images itself: Couloir "
                        "does not know how.",
                        next_step="give what it hands to the network: an array of floats (N, C, H, W)",
                    )
                reader = photographs_of(run, files)
                if isinstance(reader, Photographs):
                    reader.workers = 0
                parts = list(reader.batches(max(1, len(files))))
                for raw in parts:
                    for error in raw.failed.values():
                        raise CouloirError(error.fact, next_step="look at the picture")
                found.append(InMemory(torch.cat([raw.x.clone() for raw in parts])))
        return [Asked(found)]

    def _whole(self, file: Path) -> Asked:
        """A picture whose size each run keeps."""
        raws = [next(photographs_of(run, [file]).batches(1)) for run in self.runs]
        for raw in raws:
            for error in raw.failed.values():
                raise CouloirError(error.fact, next_step="look at the picture")
        return Asked([InMemory(raw.x, size=raw.size) for raw in raws])

    def _array(self, values: NDArray[Any], stacked: bool = False) -> tuple[list[Asked], bool]:
        found: list[Unseen] = []
        single = False
        for run in self.runs:
            data, array = run.data, native(values)
            if not stacked and array.ndim == _dimensions(data) - 1 and not _is_grey_stack(array, data):
                array, single = array[None], True
            form = array_form(array.shape, array.dtype, run.cfg, "the array", run.is_plain)
            if form in (IMAGES, IMAGES_LAST):
                size = None if isinstance(run.task, Dense) else loaded_size(run.cfg, run.views)[0]
                x = images_of(array, form, "the array", size)
            elif form == ROWS:
                x = numbers_of(array, row_offsets(run, array.shape, "the array"), "the array")
            else:
                x = torch.from_numpy(array.astype(np.float32) if array.dtype.kind == "f" else array)
            found.append(InMemory(x))
        return [Asked(found)], single

    def _rows(self, asking: Asking, rows: Sequence[Mapping[Any, Any]]) -> list[Asked]:
        self._refuse_unless("row", "rows of a table")
        found: list[Unseen] = []
        for run in self.runs:
            wanted = replace(rows_wanted(run), targets=())
            features = wanted.features or []
            names = list(dict.fromkeys(str(name) for row in rows for name in row))
            lacking = next((feature.name for feature in features if feature.name not in names), None)
            if lacking is not None:
                raise CouloirError(f"The rows have no column '{lacking}'.", place=f"columns: {', '.join(names[:20])}")
            if wanted.features is not None:  # others may be of any kind
                names = [feature.name for feature in features]
            samples, notes = table_of(rows, names, {feature.name: feature for feature in features}, wanted)
            asking.notes += [note for note in notes if note not in asking.notes]
            found.append(samples)
        return [Asked(found)]

    def _refuse_unless(self, kind: str, what: str) -> None:
        taken = self.runs[0].data.fields[self.runs[0].task.input]
        if taken != kind:
            raise CouloirError(f"The run {self.run.name} takes no {what}: its input is of the kind '{taken}'.")


def _answer(row: Mapping[str, Any], columns: Columns, array: Any) -> Answer:
    said = spoken(row, columns) if row else {}
    values = None
    if columns.kind == "value" and "prediction" in row:
        values = said.get("values") or {columns.names(1)[0]: said["value"]}
    return Answer(
        label=said.get("label"), probability=said.get("probability"), probabilities=said.get("probabilities"),
        labels=said.get("labels"), value=said.get("value"), values=values, array=array,
    )  # fmt: skip


def _of_map(task: Dense, array: NDArray[np.float32]) -> Answer:
    """An answer (K, H, W) that is a map."""
    if isinstance(task, Segmentation):
        kind = np.uint8 if len(array) <= IGNORED else np.int64
        by_class = dict(zip(names_of(task), map(float, shares(array)), strict=True))
        return Answer(map=array.argmax(axis=0).astype(kind), shares=by_class, array=array)
    if isinstance(task, Restoration):
        pixels = (array.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
        return Answer(map=pixels[..., 0] if pixels.shape[2] == 1 else pixels, array=array)
    return Answer(map=array[0], array=array)


def _as_texts(samples: Any) -> list[str] | None:
    """Texts themselves, and no names of files."""
    listed = [samples] if isinstance(samples, str) else samples
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        return None
    return (
        None if listed and all(len(each) < LONGEST_NAME and Path(each).is_file() for each in listed) else list(listed)
    )


def _is_photograph(sample: Any) -> bool:
    """Whether an array is a picture as people have it in memory, (H, W, C) or (H, W) of bytes."""
    if not isinstance(sample, np.ndarray) or sample.dtype != np.uint8:
        return False
    return sample.ndim == 2 or (sample.ndim == 3 and sample.shape[2] in (1, 3, 4) and sample.shape[0] not in (1, 3))


def _as_numpy(x: Tensor) -> NDArray[Any]:
    x = x.detach().cpu()
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()  # NumPy has no bfloat16


def _dimensions(data: Any) -> int:
    """Of a stack of samples of a run."""
    kind = data.fields[input_field(data.fields)]
    return {"image": 4, "row": 2, "tokens": 2, "series": 3, "video": 5}.get(kind, 0)


def _is_grey_stack(array: NDArray[Any], data: Any) -> bool:
    """Whether (N, H, W) are grey images, and not one (C, H, W) or (H, W, C)."""
    return array.ndim == 3 and data.channels == 1 and 1 not in (array.shape[0], array.shape[2])


def _as_file(picture: Any, stem: Path) -> Path:
    """A picture as a file that loses nothing of it."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture[..., 0] if picture.ndim == 3 and picture.shape[2] == 1 else picture)
    if picture.mode == "F":
        file = stem.with_suffix(".tif")
        picture.save(file)
        return file
    file = stem.with_suffix(".png")
    exif = picture.getexif()
    if picture.mode not in LOSSLESS:
        picture = picture.convert("RGB")
    picture.save(file, compress_level=0, **({"exif": exif} if exif else {}))
    return file
