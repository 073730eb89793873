"""What Couloir uses of Hydra's private parts; `tests/config/test_hydra_private.py` fails when they change."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from hydra._internal import defaults_list as hydras_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf


def arguments_parser() -> ArgumentParser:
    """Hydra's own flags. `_internal.utils`: they are read before Hydra is started, and Hydra shows them nowhere."""
    return get_args_parser()


def note_merged() -> list[ResultDefault]:
    """A list that holds what Hydra merges, once it has composed, in order.

    `_compose_config_from_defaults_list` of the loader: to ask Hydra for the list afterwards is to read all files again.
    """
    loader = GlobalHydra.instance().config_loader()  # of this one composition
    name = "_compose_config_from_defaults_list"
    merge, merged = getattr(loader, name), list[ResultDefault]()

    def noting(defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        merged[:] = defaults
        cfg: DictConfig = merge(defaults=defaults, repo=repo)
        return cfg

    setattr(loader, name, noting)
    return merged


def apply_overrides(words: list[str], cfg: DictConfig) -> None:
    """Set, add and delete keys as overrides say. `_apply_overrides_to_config`: in public only while composing."""
    ConfigLoaderImpl._apply_overrides_to_config(OverridesParser.create().parse_overrides(words), cfg)


def compose_without_needless_copies() -> None:
    """Let Hydra collect the choices so far only for a defaults list that refers to them; a second call changes nothing.

    `_create_interpolation_map`: it is called for every file, and takes a sixth of a composition's time.
    """
    collect = hydras_defaults._create_interpolation_map
    if collect.__module__ == __name__:
        return

    def collected(overrides: Any, defaults_list: Any, self_added: bool) -> DictConfig:
        if not any(entry.is_interpolation() for entry in defaults_list):
            return OmegaConf.create()
        return collect(overrides, defaults_list, self_added)

    hydras_defaults._create_interpolation_map = collected
