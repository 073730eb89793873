"""What Couloir uses of Hydra's private parts; `tests/config/test_hydra_private.py` fails when they change."""

from __future__ import annotations

from argparse import ArgumentParser

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig


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
