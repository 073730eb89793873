"""`couloir evaluate RUN... [OVERRIDES]`: the test split with the best checkpoint of one run or of several together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from couloir.cli.answer import JSON, Answer
from couloir.cli.flags import take_switches
from couloir.config.finished import Opened
from couloir.errors import CouloirError

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """usage: couloir evaluate RUN... [tta=CHOICE] [metric=CHOICE] [--json] [KEY=VALUE ...]

Test the best checkpoint of a run again; several runs form an ensemble, whose predictions are averaged.
A run is a folder, its name, or `latest`; or one of its checkpoints.
  couloir evaluate latest tta=ten_crop          the mean of ten views of each image
  couloir evaluate RUN RUN RUN                  the mean of three networks
  couloir evaluate RUN/checkpoints/epoch_0007.ckpt    another checkpoint than the best
  couloir evaluate latest metric=[f1,auroc]     other metrics than those of the run
  couloir evaluate latest data.root=FOLDER      where the data is, and other keys of it
  couloir evaluate latest task.importance_samples=5000    of a VAE: the importance-weighted bound by so many codes
  couloir evaluate latest --json                one JSON object on standard output, and no words"""


OPENED = Opened(
    keys=(
        "data.",
        "tta.",
        "metric.",
        "trainer.accelerator",
        "trainer.limit_test_batches",
        "output_dir",
        "allow_targets",
    ),
    closed=(
        "data._target_",
        "data.task",
        "data.channels",
        "data.image_size",
        "data.num_classes",
        "data.classes",
        "data.maps",
        "data.target",
        "data.by_digit",
        "data.factor",
        "data.folds",
        "data.fold",
    ),
    groups=("tta", "metric"),
    why="cannot change after training",
    takes="couloir evaluate takes tta=..., metric=..., data.root, data.batch_size and other keys of the data",
    tests=True,
)


def main(arguments: list[str]) -> int:
    """Evaluate, print the metrics, and leave them in `outputs/evaluate/<date>_<time>_<id>/`."""
    if "-h" in arguments or "--help" in arguments:
        print(USAGE)  # noqa: T201
        return 0
    switches, words = take_switches(arguments, (JSON,))
    with Answer.of(switches) as answer:
        return _evaluate(words, answer)


def _evaluate(arguments: list[str], answer: Answer) -> int:
    from couloir.config.finished import asked_runs
    from couloir.config.resolvers import run_name
    from couloir.record.find import runs_and_overrides
    from couloir.record.folder import RunFolder

    words, overrides, outputs = runs_and_overrides(arguments)
    if not words:
        raise CouloirError("No run is named.", next_step="couloir evaluate latest, or the folder of a run")
    runs, _, cfgs = asked_runs(words, outputs, overrides, OPENED)
    folder = RunFolder.create(Path(outputs) / "evaluate" / run_name(), Path(outputs), latest=False)

    from couloir.inference.evaluation import record_evaluation

    with answer.about_probe(folder.path):
        answer.facts |= {"runs": [str(run) for run in runs], "tta": _views(cfgs[0])}
        record_evaluation(cfgs, runs, folder, overrides)
    return 0


def _views(cfg: DictConfig) -> str | None:
    """The name of the views that the answers are averaged over; None: each input as it is."""
    node = cfg.get("tta")
    return None if node is None else str(node.get("_target_")).rpartition(".")[2]
