"""The composition root: one sentence becomes a data set, a network, a loop, and a complete run folder."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer, seed_everything
from pytorch_lightning.strategies import FSDPStrategy

from couloir.callbacks.checkpoint import Checkpoint, best_checkpoint, last_checkpoint
from couloir.callbacks.divergence import divergence
from couloir.callbacks.epoch_record import Record
from couloir.callbacks.momentum import MomentumSchedule
from couloir.callbacks.stop_on_signal import StopOnSignal
from couloir.config.build import build
from couloir.config.classifier_run import classifier_file
from couloir.config.compose import Sentence
from couloir.config.metrics import stated_metrics
from couloir.config.recipe import record_recipe
from couloir.config.scaling import limit_in_words, scaled_lr_in_words
from couloir.config.unread import PLAIN
from couloir.config.weights import in_words, other_columns
from couloir.config.world import World
from couloir.data.skipped import as_csv, how_many, unusable
from couloir.data.worker_processes import lost_worker, workers_ended
from couloir.distributed import total
from couloir.errors import Interrupted
from couloir.log import note, run_log, say, silence
from couloir.loss.class_weights import in_words as class_weights_in_words
from couloir.machine import print_any_character
from couloir.model.activation import steps_in_words
from couloir.model.weights import sha256, weights_record
from couloir.record.checkpoint import LAST, network_state, read_checkpoint
from couloir.record.columns import read_columns, write_columns
from couloir.record.configuration import write_configuration
from couloir.record.folder import RunFolder
from couloir.record.provenance import write_provenance
from couloir.record.result import RunResult
from couloir.run.assemble import build_network, check_limits, load_data
from couloir.run.earlier import Amended, Earlier
from couloir.run.features import features_once
from couloir.run.outcome import Trained, as_lost_folder, is_tested, write_ending
from couloir.task.build import build_task
from couloir.task.task import Task
from couloir.trainer.lightning_private import log_no_hyperparameters
from couloir.trainer.processes import first_here_first, follow, together
from couloir.trainer.profiling import reported

if TYPE_CHECKING:
    from couloir.artifacts.tested import Tested

WITHOUT_FINETUNE = (
    "all of the weights learn at one rate; finetune=head trains the head alone, finetune=head_then_all the head first"
)
SEED_STRIDE = 1_000_003
"""Between the seeds of two processes, which draw augmentation and dropout each for itself."""


def train_sentence(
    sentence: Sentence,
    folder: RunFolder,
    command: list[str],
    earlier: Earlier | None = None,
    accept: Callable[[RunFolder], None] | None = None,
    also: Sequence[Callback] = (),
) -> RunResult:
    """Train a checked sentence into its folder; whatever happens, `status.json` tells the truth afterwards.

    Args:
        sentence: what to train.
        folder: where it goes; it belongs to this process, and is given up at the end.
        command: the words of the command line.
        earlier: what the folder's run has done so far, if it is to go on.
        accept: called once the data is read and `provenance.json` written, before training; it may refuse by an error.
        also: callbacks that belong to what this run is a part of, such as a sweep.

    Raises:
        CouloirError: parts that do not go together, as far as it shows only now.
        Diverged: the loss became NaN or infinite.
        Interrupted: a signal asked to stop; a checkpoint is saved.
        ProcessLost: a process that trained along, or one that read the data, ended before its time.
        Pruned: one of the callbacks has ended it.
    """
    stop = StopOnSignal()
    print_any_character()
    with run_log(folder.path / "train.log"), stop.listening():
        note.info("command: %s", " ".join(command))
        try:
            write_configuration(folder, sentence.cfg, sentence.overrides)  # before anything can fail
            record_recipe(folder, sentence, [] if earlier is None else earlier.overrides)
            if earlier is None:
                folder.begin()
            began = time.perf_counter()
            checkpoint = None if earlier is None else earlier.checkpoint
            with together(sentence.cfg, folder, checkpoint) as world:
                trained = _train(sentence, folder, command, stop, world, earlier, accept, also)
            from couloir.run.conclusion import conclude  # draws: no step waits for Matplotlib to be imported

            return conclude(sentence, folder, stop, trained, began)
        except BaseException as error:
            lost = as_lost_folder(error, folder) or lost_worker(error, checkpoint=folder.checkpoints / LAST)
            write_ending(folder, stop.received, lost or error)
            if stop.received is not None and not isinstance(error, Interrupted):
                raise Interrupted(stop.received) from error  # a broken line to another process, say
            if lost is not None:
                raise lost from error
            raise
        finally:
            folder.release()


def train_along() -> RunResult:
    """What `train_sentence` is to the first process, to every other one: the same training, written down nowhere."""
    stop = StopOnSignal()
    # A child of the first process is told to leave signals alone; torchrun's processes get them all.
    listening = nullcontext() if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN else stop.listening()
    with silence(), follow() as (world, cfg, folder, checkpoint), listening:
        if checkpoint is None:
            _weights(cfg, world)
        data = _load_data(cfg, world)
        going_on = None if checkpoint is None else Earlier(checkpoint)
        assemble = partial(_assemble, cfg, data, folder, stop, world, going_on)
        module, trainer, _ = assemble()
        with workers_ended(data):
            module, _ = _fit_and_test(cfg, module, trainer, data, assemble, checkpoint, is_tested(cfg), None)
        return RunResult(folder.path, dict(module.measured), "completed")


def _train(
    sentence: Sentence,
    folder: RunFolder,
    command: list[str],
    stop: StopOnSignal,
    world: World,
    earlier: Earlier | None,
    accept: Callable[[RunFolder], None] | None,
    also: Sequence[Callback],
) -> Trained:
    cfg = sentence.cfg
    weights = _weights(cfg, world) if earlier is None or earlier.checkpoint is None else None
    data = _load_data(cfg, world)
    if earlier is None:
        write_provenance(folder, command, cfg.seed, _describe(data), weights, _classifier(cfg))
    else:
        earlier.take_up(folder, command, cfg, _describe(data), weights, _classifier(cfg))
    if accept is not None:
        accept(folder)
    if data.skipped:
        folder.write_text("skipped.csv", as_csv(data.skipped))
    if data.columns:
        write_columns(folder, [each.cells() for each in data.columns])
    assemble = partial(_assemble, cfg, data, folder, stop, world, earlier, also)
    module, trainer, record = assemble()
    parameters = sum(parameter.numel() for parameter in module.net.parameters())  # before fsdp makes shares of them
    say.info(_opening(sentence, data, parameters, trainer))
    if told := in_words(cfg.model, cfg.data, data.mean, data.std):
        say.info("%s", told)
    if data.columns and (elsewhere := other_columns(cfg.model, read_columns(folder.path))):
        say.warning("warning: %s", elsewhere)
    unlearned = steps_in_words(module.net)
    if module.learning is not None:
        say.info("%s", module.learning.in_words(module.net))
    elif unlearned is not None:
        say.info("%s", unlearned)
    elif cfg.model.get("weights") is not None or cfg.model.get("pretrained"):
        say.info("%s", WITHOUT_FINETUNE)
    if counted := class_weights_in_words(module.loss, data.classes):
        say.info("%s", counted)
    if module.automatic_optimization and (limit := limit_in_words(cfg, data)):
        say.info("%s", limit)
    checkpoint = None if earlier is None else earlier.checkpoint
    with workers_ended(data):
        module, seen = _fit_and_test(cfg, module, trainer, data, assemble, checkpoint, is_tested(cfg), folder)
    return Trained(module, parameters, seen, data, record)


def _assemble(
    cfg: DictConfig,
    data: Any,
    folder: RunFolder,
    stop: StopOnSignal,
    world: World,
    earlier: Earlier | None = None,
    also: Sequence[Callback] = (),
) -> tuple[Task, Trainer, Record]:
    """Network, loss, optimizer and loop; the same weights in every process, random numbers of its own afterwards."""
    seed_everything(cfg.seed, workers=True, verbose=False)  # the weights do not depend on what loading the data drew
    anew = earlier is None or earlier.checkpoint is None
    net = build_network(cfg, data, weights=anew)
    module = build_task(cfg, net, data)
    # Plain values: the checkpoint says what it is, and loads without running code.
    # Loggers have them already where a run goes on.
    module.save_hyperparameters(OmegaConf.to_container(cfg, resolve=True), logger=anew)
    monitored = cfg.callbacks.checkpoint
    svg, chosen = cfg.get("curves_svg", False), stated_metrics(cfg)
    record = Record(folder, monitored.monitor, monitored.mode, svg, chosen)
    # Of several optimizers each goes by the gradients of a part of the weights, and a part that is fixed gives none.
    some_unused = not module.automatic_optimization or (module.learning is not None and module.learning.starts_late)
    trainer = _build_trainer(cfg, folder, [Amended(cfg), *also], record, stop, world, some_unused)
    data.to(trainer.strategy.root_device)
    if not world.leads:
        seed_everything((cfg.seed + SEED_STRIDE * world.rank) % 2**32, workers=True, verbose=False)
    return module, trainer, record


def _fit_and_test(
    cfg: DictConfig,
    module: Task,
    trainer: Trainer,
    data: Any,
    assemble: Callable[[], tuple[Task, Trainer, Record]],
    checkpoint: Path | None,
    test: bool,
    folder: RunFolder | None,
) -> tuple[Task, Tested | None]:
    """Train, from a checkpoint on if there is one, and test with the best, unless `test` is false.

    The first process of a run names the folder that `predictions.csv` goes to.

    Returns:
        the module with the best weights, and what the test has seen, if the data has classes.
    """
    with reported(trainer), features_once(cfg, module, trainer, data):
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    validated = None if module.validated is None else total(module.validated)
    best = best_checkpoint(trainer)
    chosen = trainer.strategy.broadcast(best if best.exists() else last_checkpoint(trainer))
    if isinstance(trainer.strategy, FSDPStrategy):
        module, trainer, _ = assemble()  # training has cut the weights into shares, which Lightning cannot wrap again
    module.validated = validated
    from couloir.artifacts.prediction_table import predictions_recorded  # as above: what draws, after the last step
    from couloir.artifacts.tested import tested

    if not test:
        module.net.load_state_dict(network_state(read_checkpoint(Path(chosen))))
        return module, None
    log_no_hyperparameters(module)  # the training has done so, and Lightning's test would again
    with predictions_recorded(module, data, folder):
        trainer.test(module, datamodule=data, ckpt_path=chosen, verbose=False, weights_only=True)
    return module, tested(module, data)


def _weights(cfg: DictConfig, world: World) -> dict[str, str] | None:
    """The record of the weights that the network begins with; they are downloaded before the data is read."""
    with first_here_first(world):
        return weights_record(cfg.model)


def _classifier(cfg: DictConfig) -> dict[str, str] | None:
    """The record of the run's classifier that made samples are measured by, where there is one."""
    file = classifier_file(cfg)
    return None if file is None else {"file": str(file), "sha256": f"sha256:{sha256(file)}"}


def _load_data(cfg: DictConfig, world: World) -> Any:
    """The data, and this process's share of it in every batch."""
    seed_everything(cfg.seed, workers=True, verbose=False)
    data = load_data(cfg, world)
    check_limits(cfg, data)
    return data


def _build_trainer(
    cfg: DictConfig,
    folder: RunFolder,
    changes: list[Callback],
    record: Record,
    stop: StopOnSignal,
    world: World,
    some_unused: bool,
) -> Trainer:
    built = [build(cfg.logger, name, save_dir=str(folder.path)) for name in cfg.logger or ()]
    loggers = [logger for logger in built if logger is not None]
    names = [name for name in cfg.callbacks if name not in PLAIN["callbacks"]]
    names = [name for name in names if loggers or not _logs_the_rate(cfg.callbacks[name])]
    callbacks = [build(cfg.callbacks, name) for name in names]
    stop.checkpoint = next((callback for callback in callbacks if isinstance(callback, Checkpoint)), None)
    if stop.checkpoint is not None:
        stop.checkpoint.background = folder.background
    # First what may break a step off or leave it out, then what sets the rate, then what notes it down.
    callbacks = [callback for callback in callbacks if callback is not None]
    callbacks = [divergence(cfg, folder), *changes, *_over_the_steps(cfg), *callbacks, record, stop]
    more: dict[str, Any] = {"find_unused_parameters": True} if some_unused else {}
    trainer: Trainer = build(
        cfg, "trainer", logger=loggers, callbacks=callbacks, default_root_dir=str(folder.path), world=world, **more
    )
    return trainer


def _logs_the_rate(node: DictConfig | None) -> bool:
    return node is not None and str(node.get("_target_")).endswith(".LearningRateMonitor")


def _over_the_steps(cfg: DictConfig) -> list[Callback]:
    """What follows the optimizer from step to step: the mean of its weights, and its momentum."""
    averaging, rule = build(cfg, "averaging"), build(cfg, "momentum_schedule")
    return [
        *([] if averaging is None else [averaging]),
        *([] if rule is None else [MomentumSchedule(rule)]),
    ]


def _describe(data: Any) -> dict[str, Any]:
    names = ("task", "fields", "channels", "image_size", "num_classes", "classes", "mean", "std")
    described = {name: getattr(data, name) for name in names}
    if data.target_scale != 1.0 or data.target_offset != 0.0 or data.task == "regression":
        described |= {"target_offset": data.target_offset, "target_scale": data.target_scale}
    if data.kind != "map" and (counted := data.class_counts()) is not None:
        described["class_counts"] = counted[0]
    return {
        "fingerprint": data.fingerprint(),
        "sizes": data.sizes(),
        "skipped": how_many(unusable(data.skipped)),
        **described,
    }


def _opening(sentence: Sentence, data: Any, parameters: int, trainer: Trainer) -> str:
    chosen = sentence.choices
    words = " ".join(f"{group}={chosen[group]}" for group in ("model", "data", "loss", "optimizer") if group in chosen)
    sizes = data.sizes()
    where = f"on {trainer.strategy.root_device}"
    if trainer.world_size > 1:
        where = f"in {trainer.world_size} processes, batches of {trainer.world_size} x {data.batch_size}, {where}"
    return (
        (f"{words}: " if words else "")
        + f"{parameters:,} parameters; {sizes['train']:,} training, {sizes['val']:,} validation, "
        f"{sizes['test']:,} test samples; {where}"
        + (f"\n{scaled}" if (scaled := scaled_lr_in_words(sentence.cfg)) else "")
    )
