"""A sweep as one watches it: the live table, the line a trial, and the time left."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from couloir.log import rendered
from couloir.sweep import watch as watching
from couloir.sweep.progress import Progress, ProgressReader, duration, falling, sweep_left
from couloir.sweep.table import short_names
from couloir.sweep.trials import Objective, SweepRecord, TrialRecord, TrialState
from couloir.sweep.watch import Watch, caption, ended_line


class Clock:
    """A clock that is set by hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run(folder: Path, epochs: int, accuracies: list[float], state: str = "running", seconds: float = 10.0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(f"trainer:\n  max_epochs: {epochs}\n")
    (folder / "status.json").write_text(json.dumps({"status": state}))
    lines = [f"{epoch},{value},{seconds}\n" for epoch, value in enumerate(accuracies, 1)]
    (folder / "metrics.csv").write_text("epoch,val/accuracy,seconds\n" + "".join(lines))
    return folder


def trial(number: int, state: TrialState, *runs: Path, value: float | None = None, error: str = "") -> TrialRecord:
    over = state not in ("running", "waiting")
    return TrialRecord(
        number, {"optimizer.lr": f"1e-{number}"}, state, list(runs), [[value]] if value is not None else [],
        20.0 if over else None, error,
    )  # fmt: skip


def sweep(folder: Path, *trials: TrialRecord, total: int = 20) -> SweepRecord:
    goals = [Objective("best/accuracy", "maximize")]
    return SweepRecord(folder, "s", [], ["optimizer.lr"], goals, "val/accuracy", ["train"], list(trials), total)


def test_the_time_left_follows_from_the_epochs_so_far_and_runs_down_within_one(tmp_path: Path) -> None:
    clock = Clock()
    reader = ProgressReader("val/accuracy", False, clock)
    running = trial(0, "running", run(tmp_path / "0", 5, [0.8, 0.9, 0.85]))
    assert reader.progress(running) == Progress(3, 5, 0.85, 0.9, 20.0, 50.0)
    clock.now += 4
    assert reader.progress(running).left == 16.0
    clock.now += 100
    assert reader.progress(running).left == 10.0, "an epoch that takes longer than the others costs one epoch at most"
    run(tmp_path / "0", 5, [0.8, 0.9, 0.85, 0.95])
    assert reader.progress(running) == Progress(4, 5, 0.95, 0.95, 10.0, 50.0)


def test_the_time_left_counts_the_seeds_that_have_not_begun(tmp_path: Path) -> None:
    reader = ProgressReader("val/accuracy", False, Clock())
    first = run(tmp_path / "0/0", 4, [0.1] * 4, "completed")
    second = run(tmp_path / "0/1", 4, [0.2])
    place = reader.progress(trial(0, "running", first, second, tmp_path / "0/2"))
    assert place == Progress(1, 4, 0.2, 0.2, 30.0 + 40.0, 120.0)


def test_the_best_of_a_loss_is_the_least(tmp_path: Path) -> None:
    place = ProgressReader("val/accuracy", True, Clock()).progress(
        trial(0, "running", run(tmp_path / "0", 3, [0.3, 0.5]))
    )
    assert (place.now, place.best) == (0.5, 0.3)
    record = sweep(tmp_path)
    assert not falling(record)
    assert falling(replace(record, monitor="val/loss"))
    assert falling(replace(record, monitor="val/loss", objectives=[Objective("best/loss", "minimize")]))
    assert falling(replace(record, objectives=[Objective("best/accuracy", "minimize")]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.csv", b"epoch,val/accuracy,seconds\n1,0.5,10.0\n2,0."),
        ("metrics.csv", b"epoch,val/accuracy,seconds\n1,0.5,10.0\n2\n"),
        ("metrics.csv", b"\xff\xfe\n"),
        ("metrics.csv", b""),
        ("metrics.csv", None),
        ("status.json", b'{"stat'),
        ("status.json", b"[1]"),
        ("status.json", None),
        ("config.yaml", b"trainer: ["),
        ("config.yaml", b"trainer: {}"),
        ("config.yaml", b"[]"),
        ("config.yaml", None),
    ],
)
def test_torn_and_absent_files_do_not_end_the_sweep(name: str, content: bytes | None, tmp_path: Path) -> None:
    folder = run(tmp_path / "0", 3, [0.5])
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    record = sweep(tmp_path, trial(0, "running", folder), trial(1, "running", tmp_path / "none"))
    text = rendered(Watch(Clock()).table(record), 120)
    assert "running" in text
    assert ("0.5000 / 0.5000" in text) == (name != "metrics.csv" or b"0.5" in (content or b""))


def test_the_configuration_is_read_once_and_the_numbers_only_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Path.read_text

    def counted(self: Path, *args: str, **kwargs: str) -> str:
        read.append(self.name)
        return original(self, *args, **kwargs)

    reader = ProgressReader("val/accuracy", False, Clock())
    running = trial(0, "running", run(tmp_path / "0", 3, [0.5]))
    monkeypatch.setattr(Path, "read_text", counted)
    for _ in range(5):
        reader.progress(running)
    assert (read.count("config.yaml"), read.count("metrics.csv")) == (1, 1)


def test_the_time_left_of_the_sweep_follows_from_ended_trials_and_those_that_run_at_once(tmp_path: Path) -> None:
    trials = [trial(0, "completed"), trial(1, "pruned"), trial(2, "running"), trial(3, "running")]
    record = sweep(tmp_path, *trials, trial(4, "waiting"), total=10)
    places = {2: Progress(left=5.0), 3: Progress()}
    # Six wait, 20 s each; 5 s and, of a trial that nothing is known of, 20 s are left of the running ones; two at once.
    assert sweep_left(record, places) == (6 * 20.0 + 5.0 + 20.0) / 2
    assert sweep_left(sweep(tmp_path, *trials, total=4), places) == 20.0, "the last to end"
    fresh = sweep(tmp_path, trial(0, "running"), total=3)
    assert sweep_left(fresh, {0: Progress(left=30.0, whole=40.0)}) == 30.0 + 2 * 40.0
    assert sweep_left(fresh, {0: Progress()}) is None


def test_the_table_shows_running_trials_first_and_never_loses_the_best(tmp_path: Path) -> None:
    over = [trial(number, "completed", value=0.9 if number == 3 else 0.5) for number in range(30)]
    running = trial(30, "running", run(tmp_path / "30", 20, [0.7, 0.6]))
    record = sweep(tmp_path, *over, running, total=40)
    watch = Watch(Clock())
    for done in over:
        watch.ended(done, record)
    text = rendered(watch.table(record), 120)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert [int(row[0]) for row in rows] == [30, *range(29, 16, -1), 3]
    assert rows[0] == ["30", "lr=1e-30", "0.6000 / 0.7000", "2/20", "", "running", "3 min 00 s"]
    assert rows[-1] == ["3", "lr=1e-3", "", "", "0.9000", "completed, best", ""]
    assert "30 of 40 ended, 1 running; best so far: trial 3, best/accuracy 0.9000; about 6 min 00 s left" in " ".join(
        text.split()
    )


def test_the_caption_counts_what_went_wrong(tmp_path: Path) -> None:
    record = sweep(tmp_path, trial(0, "failed"), trial(1, "diverged"), trial(2, "pruned"), trial(3, "waiting"))
    assert caption(record, {}).startswith("3 of 20 ended, 0 running, 1 pruned, 1 diverged, 1 failed; about")


def test_off_a_terminal_each_trial_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = trial(2, "completed", value=0.97)
    other = replace(trial(3, "completed", value=0.965), parameters={"optimizer": "sgd", "model.hidden": "[64]"})
    failed = trial(4, "failed", error="\nThe data are [gone].\n  where: x")
    record = sweep(tmp_path, best, other, failed)
    with Watch() as watch:
        watch.update(record)
        for done in (best, other, failed):
            watch.ended(done, record)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "trial 2 (3/20)  optimizer.lr=1e-2  completed  best/accuracy 0.9700  20.0 s  (the best so far)",
        "trial 3 (3/20)  optimizer=sgd model.hidden=[64]  completed  best/accuracy 0.9650  20.0 s  "
        "(best so far: trial 2, 0.9700)",
    ]
    assert said.err.splitlines() == [
        "trial 4 (3/20)  optimizer.lr=1e-4  failed  20.0 s  The data are [gone].  (best so far: trial 2, 0.9700)",
    ]
    assert "best so far" not in ended_line(failed, sweep(tmp_path, failed))


def test_on_a_terminal_the_table_is_drawn_and_only_failures_are_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, legacy_windows=False)
    monkeypatch.setattr(watching, "on_a_terminal", lambda: True)
    monkeypatch.setattr(watching, "get_console", lambda: console)
    done, failed = trial(0, "completed", value=0.9), trial(1, "failed", error="no memory")
    record = sweep(tmp_path, done, failed)
    with Watch() as watch:
        watch.update(record)
        watch.ended(done, record)
        watch.ended(failed, record)
    text = screen.getvalue()
    assert "2 of 20 ended" in text
    assert "trial 1 (2/20)" in text
    assert "trial 0 (2/20)" not in text


def test_parameters_are_shown_by_the_last_part_of_their_keys_where_that_says_which(tmp_path: Path) -> None:
    record = replace(sweep(tmp_path), swept=["optimizer.lr", "scheduler.lr", "model"])
    assert short_names(record) == {"optimizer.lr": "optimizer.lr", "scheduler.lr": "scheduler.lr", "model": "model"}
    assert short_names(replace(record, swept=["optimizer.lr"])) == {"optimizer.lr": "lr"}


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3599.6, 7500)] == [
        "0 s", "59 s", "1 min 01 s", "1 h 00 min", "2 h 05 min",
    ]  # fmt: skip
