"""A model card in Markdown: what a run's network is, what it was trained on, what was measured, and what was not.

Every number stands in a file of the run. Nothing here imports torch.
Source: Mitchell et al., 2019, Model Cards for Model Reporting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from couloir.config.fields import learns_map
from couloir.config.image_size import in_words
from couloir.config.metrics import facts as metric_facts
from couloir.data.classes import UNEQUAL
from couloir.diagnosis import diagnose
from couloir.diagnosis.given_up import given_up_by
from couloir.errors import CouloirError, as_typed
from couloir.record.checkpoint import FOLDER, best_weights
from couloir.record.columns import read_columns
from couloir.record.files import write_atomically, writing
from couloir.record.result import summarise
from couloir.record.tested import read_confusion
from couloir.report.evidence import RunRecord
from couloir.report.tables import SPLITS
from couloir.sweep.progress import duration
from couloir.sweep.table import shown

CURVES = "curves.png"
NAMED = 20
"""Classes that are named; the others are counted."""
PACKAGES = ("torch", "pytorch-lightning", "torchmetrics", "numpy")
PURPOSES = {
    "segmentation": "it says of each pixel of an image which class it belongs to",
    "saliency": "it says of each pixel of an image how much people look at it",
    "restoration": "it makes a better image of one: larger, less noisy or sharper, as the data shows it",
}
MAKING = {
    "Reconstruction": "it squeezes a sample into a few numbers, its code, and rebuilds it from them",
    "Vae": "it squeezes an image into a few numbers, its code, and makes new images of drawn ones",
    "Gan": "it makes new images",
}
"""What a network is for whose task learns nothing that the data says of its samples, by the class of that task."""
NO_METRICS = ("epoch", "samples_per_second")


def write_card(run: Path, checkpoint: Path | None, file: Path) -> Path | None:
    """Write the card, and the picture of the curves beside it, which is returned; None where there is none.

    Args:
        run: the run's folder.
        checkpoint: the one that the card is about; None: the best.
        file: where the card goes; its folder is there.

    Raises:
        CouloirError: a file of the run is torn, or it has no checkpoint.
    """
    record = RunRecord.read(run)
    weights = best_weights(checkpoint or run)
    picture = file.with_name(picture_of(file)) if (run / CURVES).is_file() else None
    with writing(file):
        if picture is not None:
            write_atomically(picture, (run / CURVES).read_bytes())
        write_atomically(file, card(record, weights, None if picture is None else picture.name))
    return picture


def picture_of(file: Path) -> str:
    """The name of the picture beside a card."""
    return f"{file.stem}-{CURVES}"


def card(record: RunRecord, weights: Path, picture: str | None) -> str:
    """The page.

    Args:
        record: the run.
        weights: the checkpoint that the page is about.
        picture: the name of the file with the curves; None: there is none.
    """
    parts = [
        "---\nlicense:  # fill in, such as mit\nlibrary_name: couloir\n---",
        f"# {_model(record)} on {_data_name(record)}",
        _section("The model", _table(_about_model(record, weights))),
        _section("The data", _table(_about_data(record))),
        _section("Numbers", *_numbers(record, weights)),
        _section("Curves", *_curves(record, picture)),
        _section("Limits", "\n".join(f"- {line}" for line in _limits(record, weights))),
        _section("Train it again", *_command(record)),
        _section("Environment", _table(_environment(record))),
        _section("License", "Fill in: under which license these weights are given away, and that of the data."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, *parts: str) -> str:
    there = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *there]) if there else ""


def _table(rows: Iterable[tuple[str, Any]], head: Sequence[str] = ("", "")) -> str:
    told = [(name, value) for name, value in rows if value not in (None, "", [], {})]
    return _grid(head, [(name, str(value)) for name, value in told]) if told else ""


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """A text in one line, whose bars are none of the table's."""
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _target(record: RunRecord, group: str) -> str:
    """The last part of what a group's node is built from, such as `resnet50`."""
    return str(record.flat.get(f"{group}._target_") or "").rpartition(".")[2]


def _chosen(record: RunRecord, group: str) -> str:
    """The choice that was typed, or else what it is built from."""
    typed = [word.partition("=")[2] for word in record.typed if word.startswith(f"{group}=")]
    return typed[-1] if typed else _target(record, group)


def _task(record: RunRecord) -> str:
    """What the network has learned: what its task is called, where the data does not say it."""
    name = _target(record, "task")
    if name in MAKING:
        return name.lower()
    return str(record.provenance.get("data", {}).get("task") or record.flat.get("data.task") or "")


def _model(record: RunRecord) -> str:
    return _chosen(record, "model") or "A network"


def _data_name(record: RunRecord) -> str:
    root = record.flat.get("data.root") or record.flat.get("data.path")
    name = _chosen(record, "data") or "its data"
    return f"{name} ({Path(str(root)).name})" if root else name


def _about_model(record: RunRecord, weights: Path) -> list[tuple[str, Any]]:
    data = record.provenance.get("data", {})
    size, channels = data.get("image_size"), data.get("channels")
    inputs = f"images, {channels} channel{'s' * (channels != 1)} of {in_words(size)} pixels" if size else ""
    parameters = record.numbers.get("parameters")
    task = _task(record)
    purpose = PURPOSES.get(task, "")
    if purpose:
        inputs = f"images of any size, {channels} channel{'s' * (channels != 1)}"
        inputs += f"; trained on windows of {in_words(size)} pixels" if size else ""
    return [
        ("what it is for", purpose or MAKING.get(_target(record, "task"), "")),
        ("task", task),
        ("network", _model(record)),
        ("parameters", None if parameters is None else f"{parameters:,.0f}"),
        ("input", inputs or (f"rows of {channels} numbers" if channels else "")),
        ("weights", f"{_code(f'{FOLDER}/{weights.name}')}, {weights.stat().st_size / 1e6:,.1f} MB with the optimizer"),
        ("began with the weights", _code(Path(str(record.flat.get("model.weights") or "")).name)),
        ("what learned", _chosen(record, "finetune") if record.flat.get("finetune._target_") else ""),
        ("loss", _target(record, "loss")),
        ("optimizer", f"{_target(record, 'optimizer')}, rate {record.flat.get('optimizer.lr')}"),
        ("run", _code(record.name)),
    ]


def _about_data(record: RunRecord) -> list[tuple[str, Any]]:
    data = record.provenance.get("data", {})
    sizes, classes, counts = data.get("sizes") or {}, data.get("classes") or [], data.get("class_counts") or []
    named = ", ".join(
        f"{name} ({count:,})" if count is not None else str(name)
        for name, count in zip(classes[:NAMED], [*counts, *[None] * len(classes)], strict=False)
    )
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    columns = read_columns(record.folder)
    used = [f"{row['column']} ({row['kind']})" for row in columns if row["inputs"]]
    targets = [row["column"] for row in columns if row["kind"] == "target"]
    return [
        ("set", _data_name(record)),
        ("columns that it takes", ", ".join(used[:NAMED]) + (f" and {len(used) - NAMED} more" if used[NAMED:] else "")),
        ("columns that it predicts", ", ".join(targets)),
        ("samples", ", ".join(f"{split} {size:,}" for split, size in sizes.items())),
        ("classes" + (" (training samples)" if counts else ""), f"{named}{more}"),
        ("mean", _listed(data.get("mean"))),
        ("deviation", _listed(data.get("std"))),
        ("left out as unreadable", data.get("skipped") or None),
        ("fingerprint", _code(str(data.get("fingerprint") or ""))),
    ]


def _listed(values: Any) -> str:
    if not isinstance(values, list):
        return ""
    shown_values = ", ".join(f"{value:.4g}" for value in values[:NAMED])
    return f"{shown_values}{', ...' if len(values) > NAMED else ''}"


def _numbers(record: RunRecord, weights: Path) -> list[str]:
    numbers = record.numbers or summarise(record.rows, record.best)
    splits = [split for split in SPLITS if any(name.startswith(f"{split}/") for name in numbers)]
    metrics = dict.fromkeys(name.partition("/")[2] for name in numbers if name.partition("/")[0] in SPLITS)
    rows = []
    for name in metrics:
        if name not in NO_METRICS:
            cells = [numbers.get(f"{split}/{name}") for split in splits]
            label = metric_facts(name, record.chosen).label
            rows.append([label, *("" if value is None else shown(value) for value in cells)])
    if not rows:
        return ["Nothing was measured."]
    return [_grid(["", *(SPLITS[split] for split in splits)], rows), " ".join(_measured(record, numbers, weights))]


def _measured(record: RunRecord, numbers: dict[str, float], weights: Path) -> list[str]:
    """How the numbers came about."""
    said, sizes = [], record.provenance.get("data", {}).get("sizes") or {}
    monitor = record.monitor[0]
    if "best/epoch" in numbers:
        said.append(
            f"The best epoch is {numbers['best/epoch']:g} of {numbers.get('epochs', len(record.rows)):g}, by {monitor}."
        )
    if any(name.startswith("test/") for name in numbers):
        which = "the last epoch" if record.flat.get("callbacks.checkpoint.keep") == "last" else "the best epoch"
        count = f"{sizes['test']:,} test samples" if "test" in sizes else "test split"
        said.append(f"The test: the {count}, once, at the end, with the weights of {which}.")
    if weights.name.startswith("epoch_"):
        said.append(f"The table is about the run; {weights.name} was not measured on its own.")
    if any(name.startswith("train/") for name in numbers):
        said.append("The column of training was measured while the network learned, in the last epoch.")
    if "seconds" in numbers:
        said.append(f"Training took {duration(numbers['seconds'])}.")
    return said


def _curves(record: RunRecord, picture: str | None) -> list[str]:
    if picture is None:
        return []
    return [f"![loss and metrics of training and validation by epoch]({picture})"]


def _limits(record: RunRecord, weights: Path) -> list[str]:
    """What was found, and what was not looked at."""
    lines = []
    if record.state != "completed":
        lines.append(f"The run is {record.state}: it did not come to its end.")
    if not any(name.startswith("test/") for name in record.numbers):
        lines.append("There is no test: no number is of samples that had no say in choosing the weights.")
    if record.best is not None:
        lines.append("The best epoch was chosen on the validation split: its numbers there are a little too good.")
    if (count := record.flat.get("overfit")) is not None:
        lines.append(
            f"It was trained, validated and tested on the same {count} samples (overfit={count}): its numbers say that "
            "it can learn, and nothing else."
        )
    if (count := record.flat.get("data.subset")) is not None:
        lines.append(f"A part of the set alone was used (data.subset={count}).")
    lines += _imbalance(record)
    if said := given_up_by(record.folder):
        lines.append(said)
    try:
        found = diagnose(record.files)
        lines += [f"{finding.title}: {finding.sentence}" for finding in found.findings]
        lines += [f"What its curves say: {found.note}"] if found.note else []
    except CouloirError as error:
        lines.append(f"Its curves cannot be read: {error.fact}")
    lines.append("One run with one seed: how far its numbers vary with the seed was not measured.")
    lines.append(
        "Measured on the splits above alone. How it answers for samples of another origin (another camera, place, time "
        "or group of people), and whether it is equally good for all of them, was not measured."
    )
    return lines


def _imbalance(record: RunRecord) -> list[str]:
    data = record.provenance.get("data", {})
    matrix = read_confusion(record.folder)
    if matrix is not None and learns_map(record.flat):
        pixels = sorted((sum(row), name) for row, name in zip(matrix.counts, matrix.classes, strict=True))
        total = sum(count for count, _ in pixels)
        (least, rare), (most, common) = pixels[0], pixels[-1]
        unequal = len(pixels) > 1 and most >= UNEQUAL * max(least, 1)
        told = f"The classes are imbalanced: {most / max(total, 1):.1%} of the test pixels are {common}, "
        return [f"{told}{least / total:.1%} {rare}. Pixel accuracy says little then."] if total and unequal else []
    counts, names = data.get("class_counts") or [], data.get("classes") or []
    there = sorted((count, str(name)) for count, name in zip(counts, names, strict=False) if count)
    if len(there) < 2 or _task(record) != "classification":
        return []
    (least, rare), (most, common) = there[0], there[-1]
    if most < UNEQUAL * least:
        return []
    return [
        f"The classes are imbalanced: {most:,} training samples of {common}, {least:,} of {rare}. Always answering "
        f"{common} is right for {most / sum(count for count, _ in there):.0%} of the training split."
    ]


def _command(record: RunRecord) -> list[str]:
    command = record.provenance.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else ["train", *record.typed]
    git = record.provenance.get("git") or {}
    commit = f"At the commit {_code(str(git.get('commit')))}{', with changes (git.diff)' if git.get('dirty') else ''}."
    outputs = record.flat.get("output_dir")
    where = "" if outputs in (None, "outputs") else f" {as_typed([f'output_dir={outputs}'])}"  # else it is not found
    again = f"`couloir rerun {record.name}{where}` trains it again and compares every number."
    return [f"```\n{as_typed(words)}\n```", f"{commit} {again}" if git.get("commit") else again]


def _environment(record: RunRecord) -> list[tuple[str, Any]]:
    origin = record.provenance
    packages, hardware = origin.get("packages") or {}, origin.get("hardware") or {}
    listed = [f"{name} {packages[name]}" for name in PACKAGES if name in packages]
    return [
        ("couloir", origin.get("couloir")),
        ("python", origin.get("python")),
        ("packages", ", ".join(listed)),
        ("system", hardware.get("platform")),
        ("processor", f"{hardware.get('processor')}, {hardware.get('cores')} cores" if hardware else None),
        ("memory", f"{hardware['memory_gib']} GiB" if hardware.get("memory_gib") else None),
        ("GPUs", ", ".join(map(str, hardware.get("gpus") or [])) or ("none" if hardware else None)),
        ("seed", origin.get("seed")),
        ("started", str(record.status.get("started") or "")[:16].replace("T", " ")),
    ]
