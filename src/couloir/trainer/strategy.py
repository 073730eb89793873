"""How the processes of a run work together, for Lightning: all of them are up and connected before it begins."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy, FSDPStrategy, Strategy

from couloir.config.world import World


class Connected(ClusterEnvironment):
    """Processes that are already connected, so that Lightning neither starts any nor looks into `os.environ`.

    Args:
        world: this process's place.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @property
    def creates_processes_externally(self) -> bool:
        """Lightning starts none."""
        return True

    @property
    def main_address(self) -> str:
        """Asked for by nobody once the processes are connected."""
        raise RuntimeError("the processes are connected already")

    @property
    def main_port(self) -> int:
        """Asked for by nobody once the processes are connected."""
        raise RuntimeError("the processes are connected already")

    @staticmethod
    def detect() -> bool:
        """It is never found, only given."""
        return False

    def world_size(self) -> int:
        """How many processes there are."""
        return self.world.size

    def set_world_size(self, size: int) -> None:
        """It stands already."""

    def global_rank(self) -> int:
        """This process among all."""
        return self.world.rank

    def set_global_rank(self, rank: int) -> None:
        """It stands already."""

    def local_rank(self) -> int:
        """This process among those of its machine."""
        return self.world.local_rank

    def node_rank(self) -> int:
        """This machine among all."""
        return self.world.node


class DataParallel(DDPStrategy):
    """Lightning's DDP without its launcher, which would run the command line again in every child."""

    @property
    def launcher(self) -> None:
        """None, whatever Lightning has prepared."""


def strategy(name: str, world: World, find_unused_parameters: bool, min_shard_parameters: int) -> Strategy:
    """Lightning's strategy for several connected processes.

    Args:
        name: `ddp`, or `fsdp`, which keeps only a share of the weights in each process.
        world: this process's place.
        find_unused_parameters: ddp: look in each step for weights that took no part in it.
        min_shard_parameters: fsdp: parts of the network with so many weights are gathered one after another.
    """
    environment: Any = Connected(world)
    if name != "fsdp":
        return DataParallel(cluster_environment=environment, find_unused_parameters=find_unused_parameters)
    from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy  # half a second that others need not wait

    policy: Callable[..., bool] = partial(size_based_auto_wrap_policy, min_num_params=min_shard_parameters)
    # A full state dict: a checkpoint is one file, and loads as any other.
    return FSDPStrategy(cluster_environment=environment, auto_wrap_policy=policy, state_dict_type="full")
