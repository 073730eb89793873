"""The end of a run: pictures, tables, views and numbers of what training and test have seen."""

from __future__ import annotations

import time

from omegaconf import DictConfig, OmegaConf

from couloir.artifacts.board import conclude_on_board
from couloir.artifacts.checkerboard import draw_checkerboard
from couloir.artifacts.forecast_exhibits import write_forecasts
from couloir.artifacts.learned_exhibits import write_learned
from couloir.artifacts.made_exhibits import write_made
from couloir.artifacts.terminal_curves import show_chart
from couloir.artifacts.tested import write_exhibits
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.config.compose import Sentence
from couloir.diagnosis.given_up import given_up, given_up_by
from couloir.inference.evaluation import tta_numbers
from couloir.log import note, say
from couloir.record.configuration import dotted
from couloir.record.folder import RunFolder
from couloir.record.result import RunResult, summarise, write_result
from couloir.run.outcome import Trained, closing_diagnosis, closing_table, is_tested


def conclude(sentence: Sentence, folder: RunFolder, stop: StopOnSignal, trained: Trained, began: float) -> RunResult:
    """Curves, views and numbers; the first process is alone again, so that nothing of it waits for others."""
    cfg, record, module = sentence.cfg, trained.record, trained.module
    record.draw()
    numbers = summarise(record.rows, record.best)
    numbers |= {name: value for name, value in module.measured.items() if name.startswith("test/")}
    numbers["parameters"] = trained.parameters
    if record.throughput is not None:
        numbers["train/samples_per_second"] = record.throughput
    write_result(folder, numbers)  # samples and views take their time, and may be interrupted
    made, pictures = write_made(cfg, module, trained.data, folder, is_tested(cfg), stop.stop_if_asked)
    numbers |= made
    write_exhibits(cfg, module.net, trained.seen, trained.data.classes, folder, pictures)
    write_learned(cfg, module, trained.data, folder)
    if trained.seen is not None:
        numbers |= write_forecasts(cfg, module, trained.data, folder, trained.seen.forecasts)
    file = folder.path / "checkerboard.png"
    if said := draw_checkerboard(module.net, int(cfg.data.channels or 0), cfg.data.image_size, file):
        note.info("%s", said)
    if cfg.tta is not None and is_tested(cfg):
        numbers |= tta_numbers(cfg, folder.path, stop)
    write_result(folder, numbers)
    conclude_on_board(folder.path, cfg, numbers, step=int(record.rows[-1]["step"]))
    numbers["seconds"] = record.earlier_seconds + time.perf_counter() - began
    write_result(folder, numbers)
    ended = {name: record.rows[-1][name] for name in ("epoch", "step")}
    folder.write_status("completed", **ended, seconds=numbers["seconds"])
    show_chart(record.rows)
    say.info(closing_table(numbers, folder))
    if said := closing_diagnosis(folder):
        say.info("%s", said)
    if said := _given_up(cfg, folder, trained):
        say.warning("warning: %s", said)
    return RunResult(folder.path, numbers, "completed")


def _given_up(cfg: DictConfig, folder: RunFolder, trained: Trained) -> str:
    """What the test says of classes that the network never says or, where there was none, the last validation."""
    if trained.seen is not None or trained.module.validated is None:
        return given_up_by(folder.path)
    there, said = trained.module.validated.tolist()
    keys = dotted(OmegaConf.to_container(cfg, resolve=True))
    return given_up(said, there, trained.data.classes, "validation", keys)
