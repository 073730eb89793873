"""`report.html` of one run, or of several that are compared. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from couloir.artifacts.page import Cell, Page, beside, charts, copyable, facts, table, text
from couloir.artifacts.sheet import tiles
from couloir.config.fields import learns_map
from couloir.config.metrics import TRANSLATION
from couloir.config.metrics import facts as metric_facts
from couloir.record.files import write_atomically
from couloir.record.metrics import epochs_in
from couloir.record.status import has_trained
from couloir.record.tested import read_confusion
from couloir.report import confusion, gallery, origin, tables, written
from couloir.report.curves import curves, signals
from couloir.report.evidence import RunRecord, about_losses, labels
from couloir.report.translations import translations
from couloir.sweep.progress import duration
from couloir.sweep.table import shown

LONGEST = 4000
"""Characters of an error that are shown."""
FORECASTS = (
    "Naive: the last value for all steps. Seasonal naive: the last season again. MSE and MAE are of standardised "
    "values. MASE is 1 where a forecast is as good as the seasonal naive one is in training. sMAPE lies between "
    "0 and 2."
)
SAMPLES = 12
"""Runs whose samples are shown beside each other: a page with all of many would be too large."""
ENDS = {
    "running": "It is still running; this page shows what is recorded so far.",
    "killed": "Its process ended without a message; this page shows what it had recorded.",
    "interrupted": "It was stopped and can continue.",
    "pruned": "It was stopped early, because other trials of its sweep were better at that point.",
    "unknown": "Its status.json cannot be read.",
}
"""What a status other than `completed` means."""


def write_report(runs: Sequence[Path], file: Path) -> Path:
    """Write the report of one run, or of several that are compared, and return its path.

    Args:
        runs: the run folders.
        file: where it goes; its folder is made.
    """
    records = [RunRecord.read(run) for run in runs]
    page = _of_one(records[0]) if len(records) == 1 else _of_several(records)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, page.as_html())
    return file


def _of_one(record: RunRecord) -> Page:
    page = Page(f"Run {record.name}")
    page.parts.append(_header(record))
    _end(page, record)
    said, note, kind = origin.diagnosis(record)
    page.section("Diagnosis", said, note=note, kind=kind)
    drawn = curves([record])
    if drawn:
        page.section("Curves", drawn, tables.epochs(record), note=_about_curves(record))
    else:
        page.section("Curves", note="No epoch is complete.")
    _optional(page, "Results", tables.results(record))
    _made(page, record)
    _learned(page, record)
    _predictions(page, record)
    _descent(page, record)
    _network(page, record)
    _optional(page, "Configuration", tables.configuration([record]))
    _optional(page, "Provenance", origin.provenance([record]))
    page.section("Commands", origin.commands([record]))
    page.parts.insert(1, page.contents())
    return page


def _of_several(records: Sequence[RunRecord]) -> Page:
    page = Page(f"{len(records)} runs")
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    shared = [word for word in records[0].typed if all(word in record.typed for record in records)]
    common = f"All of them: {' '.join(shared)}. " if shared else ""
    page.parts.append(
        f'<header><h1>{len(records)} runs</h1><p class="note">{text(common)}Written {written}.</p></header>'
    )
    page.section("Results", tables.comparison(records), note=f"Click a heading to sort.{about_losses(records)}")
    drawn = curves(records)
    if drawn:
        note = "Stars are best epochs; dotted lines are the training split. Click a name or its box to hide a run."
        page.section("Curves", drawn, note=note)
    _made_by_several(page, records)
    rows = []
    for record, label in zip(records, labels(records), strict=True):
        rows.append([Cell(label, kind="code long"), Cell(origin.in_a_word(record)), Cell(record.error.split("\n")[0])])
    if any(cell.shown for row in rows for cell in row[1:]):
        page.section("Diagnosis", table(["run", "diagnosis", "error"], rows, "diagnosis of the runs"))
    _optional(page, "Configuration", tables.configuration(records))
    _optional(page, "Provenance", origin.provenance(records))
    page.section("Commands", origin.commands(records))
    page.parts.insert(1, page.contents())
    return page


def _header(record: RunRecord) -> str:
    name = metric_facts(record.metric).label
    numbers: list[tuple[str, str]] = []
    if record.test_value is not None:
        numbers.append((f"test {name}", shown(record.test_value)))
    if record.best_value is not None:
        epoch = "" if record.best is None else f" ({record.best['epoch']:g}, by {record.monitor[0]})"
        numbers.append((f"validation {name} in the best epoch{epoch}", shown(record.best_value)))
    if "parameters" in record.numbers:
        numbers.append(("parameters", shown(record.numbers["parameters"])))
    asked = record.flat.get("trainer.max_epochs")
    if record.rows:
        epochs = epochs_in(record.rows)
        of = f" of {asked}" if isinstance(asked, int) and asked > epochs else ""
        numbers.append(("epochs", f"{epochs:g}{of}"))
    if record.seconds is not None:
        numbers.append(("time", duration(record.seconds)))
    rate = record.numbers.get("train/samples_per_second")
    if rate is not None:
        numbers.append(("training", f"{rate:,.0f} samples/s"))
    began = str(record.status.get("started", ""))[:16].replace("T", " ")
    badge = f'<span class="badge {text(record.state)}">{text(record.state)}</span>'
    return (
        f'<header><h1>Run {text(record.name)}</h1><p class="note">{badge} {text(began)}</p>'
        f"{copyable(record.sentence)}{facts(numbers)}</header>"
    )


def _end(page: Page, record: RunRecord) -> None:
    if record.state == "completed":
        return
    said = record.error if len(record.error) <= LONGEST else f"{record.error[:LONGEST]} …"
    error = f"<pre>{text(said)}</pre>" if said else ""
    bad = record.state in ("failed", "diverged")
    note = ENDS.get(record.state, f"It {record.state}." if bad else record.state)
    if not record.rows and not has_trained(record.status):
        note += " It has not trained a step."
    at = record.status.get("step")
    note += f" Its last record is of epoch {record.status.get('epoch', 0)}, step {at}." if at is not None else ""
    page.section("Status", error, note=note, kind="alarm" if bad else "")


def _about_curves(record: RunRecord) -> str:
    note = "Drag to zoom; double-click to reset."
    if record.best is not None:
        monitor = record.monitor[0]
        note += f" The star is the best epoch, {record.best['epoch']:g}, by {monitor}."
    return note


def _optional(page: Page, title: str, html: str, note: str = "") -> None:
    if html:
        page.section(title, html, note=note)


def _made(page: Page, record: RunRecord) -> None:
    """What a network makes that makes things, or writes: at the end, over the epochs, and beside training images."""
    made, epoch = gallery.made(record.folder)
    said = "With the weights of the best checkpoint, or of the last one where only that is kept."
    _optional(page, "Samples", made, note=said if epoch is None else f"After epoch {epoch}.")
    html, count = gallery.film(record.folder)
    of = f"Some of {count} epochs" if count > gallery.FRAMES else f"{count} epochs"
    _optional(
        page, "Film", html, note=f"{of}: the same codes, or the same samples, each time. samples/ has all of them."
    )
    texts = written.by_epoch(record.folder)
    if texts is not None:
        page.section("Text", texts[0], note=texts[1])
    ratio = record.numbers.get("test/neighbour_ratio")
    note = "Each made picture beside the 5 training images whose pixels are nearest; below them the distance."
    if ratio is not None:
        note += f" Made pictures are {ratio:.2f} times as far from the training images as test images are (medians); "
        note += "far below 1, they are copies, or grey and blurred."
    _optional(page, "Nearest training images", gallery.neighbours(record.folder), note=note)


def _made_by_several(page: Page, records: Sequence[RunRecord]) -> None:
    """What several networks make, beside each other."""
    named = list(zip(records, labels(records), strict=True))
    pictures = ((gallery.made(record.folder, gallery.FRAME_WIDTH)[0], label) for record, label in named)
    items = [f"<li>{picture}<b>{text(label)}</b></li>" for picture, label in pictures if picture]
    note = f"The first {SAMPLES} of {len(items)} runs." if len(items) > SAMPLES else ""
    _optional(page, "Samples", tiles(items[:SAMPLES], gallery.FRAME_WIDTH) if items else "", note=note)
    texts = written.beside_each_other([(record.folder, label) for record, label in named], SAMPLES)
    _optional(page, "Text", texts, note="The newest text of each run; samples/ of a run has all of them.")


def _learned(page: Page, record: RunRecord) -> None:
    """What the network has learned of one or two inputs and of values, and how it came to it."""
    said = "With the weights of the best checkpoint, or of the last one where only that is kept."
    _optional(page, "Learned", gallery.learned(record.folder), note=said)
    html, count = gallery.films(record.folder)
    note = f"{count} pictures, the first before training. All of them are in fit/, regions/, features/ or filters/."
    _optional(page, "Film of learning", html, note=note)


def _predictions(page: Page, record: RunRecord) -> None:
    """What the network makes of the test split."""
    pictures = gallery.forecasts(record.folder)
    if pictures:
        errors = tables.forecast(record.folder)
        shown = "".join(
            f'<p class="note">{text(told[0].upper() + told[1:])}.</p>{picture}' for picture, told in pictures
        )
        page.section("Forecasts", errors + shown, note=FORECASTS)
    answers = translations(record.folder) if record.flat.get("data.task") == TRANSLATION else None
    if answers is not None:
        page.section("Answers", answers[0], note=answers[1])
    matrix = read_confusion(record.folder)
    if matrix is not None:
        drawn, note = confusion.picture(matrix)
        note += " The counts are pixels of the test images." if learns_map(record.flat) else ""
        pairs = confusion.pairs(matrix)
        page.section("Confusion matrix", beside(drawn, pairs), note=note)
        rows, note = confusion.per_class(matrix)
        page.section("Classes", rows, note=note)
    worst = gallery.maps(record.folder)
    if worst is not None:
        html, count, by = worst
        note = f"The {count} test images with the worst {metric_facts(by).label}, the worst first; maps.csv has the "
        note += "numbers of these, predictions.csv those of all. A number is the image's place in the test split."
        page.section("Worst maps", html, note=note)
    wrong = gallery.mistakes(record.folder)
    if wrong is not None:
        html, style, count = wrong
        page.styles.append(style)
        what = "texts" if record.flat.get("data.vocabulary_size") is not None else "images"
        note = f"The {count} test {what} to whose true class the network gave the least probability, the worst first."
        page.section("Most wrong", html, note=note)


def _descent(page: Page, record: RunRecord) -> None:
    """Where the training went in the landscape of its loss."""
    note = "The exact loss over both weights, the steps of the training, and the solution by least squares."
    _optional(page, "Descent", gallery.bowl(record.folder), note=note)
    note = (
        "Left: along two random directions that have the norm of each filter (Li et al., 2018). Right, where there is "
    )
    note += "one: the plane in which the weights have moved most, with their path. Biases and normalisation stay."
    _optional(page, "Loss surface", gallery.loss_surface(record.folder), note=note)


def _network(page: Page, record: RunRecord) -> None:
    """What the network is made of."""
    found = gallery.filters(record.folder)
    if found is not None:
        html, style, sheet = found
        page.styles.append(style)
        of = f" of {sheet.layer}" if sheet.layer else ""
        width, height = sheet.tile
        note = f"The {sheet.count} filters{of}, {width} × {height}, each scaled to the full range of grey or colour."
        page.section("First layer", html, note=note)
    listed = tables.layers(record.folder)
    if listed is not None:
        page.section("Layers", listed[0], note=listed[1])
    measured = signals(record)
    if measured:
        note = "Variances over one batch, layer by layer: where signals and gradients vanish, and where they grow."
        page.section("Signals", charts(measured, width=310), note=note)
