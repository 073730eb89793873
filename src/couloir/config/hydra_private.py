"""What Couloir uses of Hydra's private parts; `tests/config/test_hydra_private.py` fails when they change."""

from __future__ import annotations

import copy
import os
from argparse import ArgumentParser
from collections.abc import Hashable
from typing import Any

from hydra._internal import defaults_list as hydras_defaults
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository, IConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.default_element import ResultDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf, flag_override

from couloir.config.hydra_memory import Beginning, File, Loaded, Memory, pickled, unpickled


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


def declared(name: str) -> DictConfig:
    """A node that Hydra, or a launcher, declares in Python, to look at. `_load`: in public it is copied, which takes
    longer than to look.
    """
    node: DictConfig = ConfigStore.instance()._load(name).node
    return node


def compose_without_needless_copies() -> None:
    """Let Hydra collect the choices so far only for a defaults list that refers to them; a second call changes nothing.

    `_create_interpolation_map`: it is called for every file, and takes a sixth of a composition's time.
    """
    collect = hydras_defaults._create_interpolation_map
    if collect.__module__ == __name__:
        return

    nothing = OmegaConf.create()

    def collected(overrides: Any, defaults_list: Any, self_added: bool) -> DictConfig:
        if not any(entry.is_interpolation() for entry in defaults_list):
            return nothing
        return collect(overrides, defaults_list, self_added)

    hydras_defaults._create_interpolation_map = collected


def remember_files() -> None:
    """Let Hydra read a file again only where it has changed, and merge the same files once; a second call changes
    nothing.

    A process that composes one sentence after the other, for the trials of a sweep say, takes half the time for each.
    `_find_object_source` says where Hydra would read; `_embed_result_config`, `_load_single_config` and
    `_compose_config_from_defaults_list` merge what was read. In each composition Hydra copies a repository with all
    that it holds, and changes the list of its sources alone.
    """
    if ConfigRepository.load_config.__module__ == __name__:
        return
    read, embed = ConfigRepository.load_config, ConfigLoaderImpl._embed_result_config
    load, merge = ConfigLoaderImpl._load_single_config, ConfigLoaderImpl._compose_config_from_defaults_list
    files, merged = Memory[File](2048), Memory[bytes](512)  # of about 1 KB and 14 KB each

    def load_config(self: ConfigRepository, config_path: str) -> ConfigResult | None:
        version, held = version_of(self, config_path)
        file = files.get(version)
        if file is None:
            result = read(self, config_path)
            if version is None or result is None or (content := pickled(result.config)) is None:
                return result
            file = File(content, result, held)
            files.keep(version, file)
        return Loaded(file, version)

    def version_of(repo: ConfigRepository, config_path: str) -> tuple[Hashable, Any]:
        """What changes where the content changes, and an object whose address is a part of it; None: nothing says."""
        source: Any = repo._find_object_source(config_path, ObjectType.CONFIG)
        name = f"{config_path.removesuffix('.yaml')}.yaml"
        scheme = None if source is None else source.scheme()
        if scheme == "file":
            file = os.path.abspath(f"{source.path}/{name}")  # noqa: PTH100  this and os.stat: thirty for each sentence
            stat = os.stat(file)  # noqa: PTH116
            state = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            return (source.provider, source.path, file, *state), None
        if scheme == "pkg" and source.path == "hydra.conf":
            return (source.provider, name), None
        if scheme == "structured":
            node = declared(name)
            return (source.provider, name, id(node)), node
        return None, None

    def embed_result_config(result: ConfigResult, package_override: str | None) -> ConfigResult:
        package = result.header["package"] if package_override is None else package_override
        if not isinstance(result, Loaded) or not package:
            return embed(result, package_override)
        cfg = OmegaConf.create()
        with flag_override(cfg, "no_deepcopy_set_nodes", True):
            OmegaConf.update(cfg, package, result.own(), merge=False)
        return ConfigResult(result.provider, result.path, cfg, result.header)

    def load_single_config(self: ConfigLoaderImpl, default: ResultDefault, repo: IConfigRepository) -> ConfigResult:
        if isinstance(default, Beginning):
            return ConfigResult("", "", unpickled(default.content), {"package": None})
        return load(self, default, repo)

    def compose(self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        found = [repo.load_config(str(item.config_path)) for item in defaults]
        versions = tuple(
            (item.config_path, item.package, result.version)
            for item, result in zip(defaults, found, strict=True)
            if isinstance(result, Loaded)
        )
        if len(versions) < len(defaults):
            return merge(self, defaults, repo)
        content = merged.get(versions)
        if content is not None:
            cfg: DictConfig = unpickled(content)
            return cfg
        # Hydra's own files come first, and are the same for most sentences.
        count = next((n for n, item in enumerate(defaults) if not str(item.config_path).startswith("hydra/")), 0)
        beginning = merged.get(versions[:count])
        if count and beginning is None and (beginning := pickled(merge(self, defaults[:count], repo))) is not None:
            merged.keep(versions[:count], beginning)
        cfg = merge(self, defaults if beginning is None else [Beginning(content=beginning), *defaults[count:]], repo)
        if (content := pickled(cfg)) is not None:
            merged.keep(versions, content)
        return cfg

    def copied(self: ConfigRepository, _memo: dict[int, Any]) -> ConfigRepository:
        twin = copy.copy(self)
        twin.sources = list(self.sources)
        return twin

    changed: Any = ConfigRepository
    changed.load_config, changed.__deepcopy__ = load_config, copied
    changed = ConfigLoaderImpl
    changed._embed_result_config = staticmethod(embed_result_config)
    changed._load_single_config, changed._compose_config_from_defaults_list = load_single_config, compose
