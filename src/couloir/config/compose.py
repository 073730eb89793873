"""From a list of overrides to a composed configuration, with every mistake answered in a sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from couloir.config import contract, resolvers, targets, tree
from couloir.config.defaults import wrong_defaults, wrong_place
from couloir.config.files import check_own_files
from couloir.config.hydra_private import compose_without_needless_copies, note_merged, remember_files
from couloir.config.launch import check_hydra, check_launch, missing_launcher
from couloir.config.made_for import brought
from couloir.config.mistakes import COMPLAINTS, Choices, explain, find_mistake, refuse_lost_backslash
from couloir.config.omegaconf_private import parse_each_reference_once, read_yaml_by_libyaml
from couloir.config.tree import Source
from couloir.config.wrong_choices import wrong_choices
from couloir.errors import CouloirError, display

SWEEP_GROUPS = ("sweep", "pruner")
"""What a trial of a sweep does not know of."""
THAT_FOLLOW = ("task", "loss")
"""Groups whose choice follows from the data where none is named."""
OF_A_MULTIRUN = ("hydra/launcher=", "hydra/sweeper=", "hydra.launcher.", "hydra.sweeper.", "hydra.sweep.")
"""How overrides begin that Hydra reads in a multirun only."""


@dataclass(frozen=True)
class Sentence:
    """A composed sentence.

    Attributes:
        cfg: the configuration, Hydra's own node left out.
        choices: the choice of each group.
        sources: the files in the order in which they were merged.
        overrides: what the user typed.
        run_dir: where the run folder goes.
        beside: what was composed along and is no part of a run, by its root key: `hydra`, and nodes of a sweep.
        waiting: those of the overrides that are not in `cfg` yet: keys of a task or loss that follows from other words.
    """

    cfg: DictConfig
    choices: Choices
    sources: list[Source]
    overrides: list[str]
    run_dir: Path
    beside: dict[str, Any] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)


class UserConfFirst(SearchPathPlugin):
    """Puts the user's own folders before the packaged tree."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Hydra calls this once for each composition."""
        for number, folder in reversed(list(enumerate(tree.own_confs()))):
            search_path.prepend(f"user{number or ''}", f"file://{folder}")
        search_path.prepend("elsewhere", f"{Elsewhere.scheme()}://")  # first: Hydra reads experiment=../x.yaml too


class Elsewhere(ConfigSource):
    """Experiment files that a path names, `experiment=outputs/latest/recipe.yaml`, and those that they build on."""

    @staticmethod
    def scheme() -> str:
        """How its entry in the search path begins."""
        return "elsewhere"

    def load_config(self, config_path: str) -> ConfigResult:
        """The content of a file, and what its first lines say of its place."""
        file = self._file(config_path)
        assert file is not None, "Hydra has asked whether it is there"
        package = contract.package_of(file)
        return ConfigResult(self.provider, f"{self.scheme()}://", OmegaConf.load(file), {"package": package})

    def is_group(self, config_path: str) -> bool:
        """Groups are in the folders that are searched."""
        return False

    def is_config(self, config_path: str) -> bool:
        """Whether this is such a file, and no choice has the name."""
        return self._file(config_path) is not None

    def available(self) -> bool:
        """The disk is there."""
        return True

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """There is no list of the files of a disk."""
        return []

    def _file(self, config_path: str) -> Path | None:
        if not config_path.startswith(f"{tree.EXPERIMENT}/") or not config_path.endswith(tree.ENDINGS):
            return None
        file = tree.find(config_path)
        return file if file is not None and tree.is_elsewhere(file) else None


def prepare_hydra() -> None:
    """Register the resolvers and the search path of Couloir; calling it again changes nothing."""
    resolvers.register()
    read_yaml_by_libyaml()
    parse_each_reference_once()
    compose_without_needless_copies()
    remember_files()
    plugins = Plugins.instance()
    if UserConfFirst not in plugins.discover(SearchPathPlugin):
        plugins.register(UserConfFirst)
        plugins.register(Elsewhere)


def compose_sentence(overrides: list[str]) -> Sentence:
    """Compose a sentence from words and files; `couloir.config.settle` fills in what follows from them.

    Args:
        overrides: Hydra overrides such as `model=resnet50` or `optimizer.lr=0.01`.

    Raises:
        CouloirError: an unknown group, choice or key, or a sentence that Hydra cannot read.
    """
    resolvers.forget()
    overrides = tree.take_own(overrides)
    check_own_files()
    overrides = [item for item in overrides if item != "experiment=null"]  # the default, which Hydra cannot be told
    of_a_sweep = next((item for item in overrides if is_of_a_sweep(item) or is_of_hydras_sweep(item)), None)
    if of_a_sweep is not None:
        raise CouloirError(f"'{of_a_sweep}' is only for sweeps.", next_step="train -m ... makes a sweep")
    refuse_lost_backslash(overrides)
    check_hydra(overrides, ())
    mistake = wrong_choices(overrides)
    if mistake is not None:
        raise mistake
    prepare_hydra()
    with _hydra():
        try:
            merged = note_merged()
            cfg, choices, waiting = _compose_what_is_there(overrides)
            sources = _sources(merged)
            check_hydra(overrides, _own_hydra(sources))
            targets.typed_roots(cfg, overrides, partial(_set_in, sources))  # before any reference can be followed
            run_dir = Path(cfg.hydra.run.dir)
        except COMPLAINTS as error:
            raise _in_words(error, overrides) from error
    with open_dict(cfg):
        beside = {name: cfg.pop(name, None) for name in ("hydra", *SWEEP_GROUPS)}
    return Sentence(cfg, choices, sources, overrides, run_dir, beside, waiting)


def explained(error: Exception, overrides: list[str]) -> CouloirError:
    """What `explain` says of an exception of Hydra's or OmegaConf's, for words that are composed."""
    with _hydra():
        return _in_words(error, overrides)


def _in_words(error: Exception, overrides: list[str]) -> CouloirError:
    chosen = [(group, choice) for word in overrides for group, _, choice in [word.lstrip("+").partition("=")]]
    return wrong_defaults(chosen) or wrong_place(str(error)) or explain(error, overrides, _hydra_compose)


def mistake_in(words: list[str]) -> CouloirError:
    """What is wrong with words of which one cannot be part of a sentence, a flag that is not there, say."""
    words = tree.take_own(words)
    prepare_hydra()
    with _hydra():
        mistake = find_mistake(words, _hydra_compose, multirun=True)
    return mistake or CouloirError(f"These words are no sentence: {' '.join(words)}")


def is_of_a_sweep(override: str) -> bool:
    """Whether an override is about the sweep, not about its trials."""
    return override.lstrip("+~").partition("=")[0].partition(".")[0] in SWEEP_GROUPS


def is_of_hydras_sweep(override: str) -> bool:
    """Whether an override is about what Hydra does in a multirun only."""
    return override.lstrip("+~").startswith(OF_A_MULTIRUN)


def compose_sweep(overrides: list[str]) -> Sentence:
    """The nodes of a multirun that say how it goes: `sweep` and `pruner`, and `hydra`.

    Args:
        overrides: those that name one value.

    Raises:
        CouloirError: an unknown group, choice or key, or a sentence that Hydra cannot read.
    """
    refuse_lost_backslash(overrides)
    prepare_hydra()
    with _hydra():
        try:
            merged = note_merged()
            cfg, choices = _hydra_compose(overrides)
            for group in SWEEP_GROUPS:
                if cfg[group] is not None:
                    OmegaConf.resolve(cfg[group])
            sources = _sources(merged)
        except COMPLAINTS as error:
            raise _in_words(error, overrides) from error
    kept = OmegaConf.masked_copy(cfg, [*SWEEP_GROUPS])
    return Sentence(kept, choices, sources, list(overrides), Path())


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra over the packaged tree; a sweep composes its trials within a Hydra that is already at work."""
    # Not GlobalHydra.get_state(): it copies all that Hydra has, and looks for its plugins again.
    outer, name = GlobalHydra.instance().hydra, JobRuntime.instance().get("name")
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(tree.packaged_conf()), version_base="1.3", job_name=tree.ROOT_CONFIG):
            yield
    finally:
        GlobalHydra.instance().hydra = outer
        JobRuntime.instance().set("name", name)


def _sources(merged: list[ResultDefault]) -> list[Source]:
    return [
        Source(file, item.package or "")
        for item in merged
        if item.config_path is not None and (file := tree.find(item.config_path)) is not None
    ]


def _own_hydra(sources: list[Source]) -> Iterator[tuple[str, str]]:
    """The keys of the node `hydra` in the user's own files, each with its file and line, but those of a copy of the
    packaged root file.
    """
    packaged = contract.read_keys(tree.packaged_conf() / f"{tree.ROOT_CONFIG}.yaml")
    usual = {(entry.path, str(entry.default)) for entry in packaged}
    for source in sources:
        if not source.package and tree.is_own(source.file):
            for entry in contract.read_keys(source.file):
                inside = entry.path.startswith("hydra.") and entry.default != {}
                if inside and (entry.path, str(entry.default)) not in usual:
                    yield entry.path, f"{display(source.file)}, line {entry.line}"


def _set_in(sources: list[Source], key: str) -> str | None:
    """The file and line of a root key."""
    found = [
        f"{display(source.file)}, line {entry.line}"
        for source in sources
        for entry in contract.read_keys(source.file)
        if not source.package and entry.path == key
    ]
    return found[-1] if found else None


def _hydra_compose(overrides: list[str]) -> tuple[DictConfig, Choices]:
    overrides = [*overrides, *brought(overrides)]
    cfg = hydra_compose(tree.ROOT_CONFIG, overrides=overrides, return_hydra_config=True)
    chosen = cfg.hydra.runtime.choices.items()
    return cfg, {group: choice for group, choice in chosen if not group.startswith("hydra/")}


def _compose_what_is_there(overrides: list[str]) -> tuple[DictConfig, Choices, list[str]]:
    """The configuration, the choices, and the words whose keys the default task or loss lacks.

    `data.target=saliency task.output=density` is such a sentence: that the task is saliency follows only from what is
    composed here.
    """
    try:
        return *_hydra_compose(overrides), []
    except COMPLAINTS:
        later = _of_what_follows(overrides)
        if not later:
            raise
        now = [word for word in overrides if word not in later]
        try:
            return *_hydra_compose(now), later
        except COMPLAINTS as error:
            raise _in_words(error, now) from error


def _of_what_follows(overrides: list[str]) -> list[str]:
    """The words for keys of groups for which no word chooses."""
    words = {word: word.lstrip("+~").partition("=")[0] for word in overrides}
    open_groups = [f"{group}." for group in THAT_FOLLOW if group not in words.values()]
    return [word for word, key in words.items() if key.startswith(tuple(open_groups))]


def check_sweep(overrides: list[str]) -> None:
    """Answer the mistakes of a multirun's overrides before its first job starts, and before Hydra builds a launcher.

    Raises:
        CouloirError: an unknown group, choice or key, or code that Hydra itself should not call.
    """
    overrides = tree.take_own(overrides)
    prepare_hydra()
    check_own_files()
    check_hydra(overrides, (), multirun=True)
    with _hydra():
        later = _of_what_follows(overrides)  # each job says whether its task and loss have these keys
        mistake = find_mistake([word for word in overrides if word not in later], _hydra_compose, multirun=True)
        if mistake is not None:
            raise mistake
        for words in _without_sweeps(overrides):
            try:
                cfg, _, _ = _compose_what_is_there(words)
            except COMPLAINTS as error:
                raise missing_launcher(str(error)) or _in_words(error, words) from error
            check_launch(cfg, overrides)


def _without_sweeps(overrides: list[str]) -> Iterator[list[str]]:
    """The words that are the same in every job, alone and with each choice out of the user's own tree."""
    parsed = [OverridesParser.create().parse_override(item) for item in overrides]
    same = [item for item, override in zip(overrides, parsed, strict=True) if not override.is_sweep_override()]
    yield same
    for override in parsed:
        group = override.key_or_group
        if not override.is_sweep_override() or not any((own / group).is_dir() for own in tree.own_confs()):
            continue
        for choice in map(str, override.sweep_string_iterator()):
            file = tree.find(f"{group}/{choice}")
            if file is not None and tree.is_own(file):
                yield [*same, f"{group}={choice}"]
