"""Where a process stands among those of its run. Nothing here imports torch."""

from __future__ import annotations

import os


class World:
    """One of the processes that train together. (A dataclass would reach the trainer as a dictionary, through Hydra.)

    Args:
        rank: its number among all of them; 0 leads: it alone writes and speaks.
        size: how many there are.
        local_rank: its number on its own machine, and so which of the machine's GPUs it takes.
        local_size: how many there are on its machine.
        node: the number of its machine.
    """

    def __init__(self, rank: int, size: int, local_rank: int, local_size: int, node: int = 0) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size, self.node = local_rank, local_size, node

    @property
    def leads(self) -> bool:
        """Whether this process writes the run folder and speaks."""
        return self.rank == 0

    def environment(self, address: str, port: int) -> dict[str, str]:
        """What tells a new process that it is this one; torchrun's variables, which `launched` reads."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
            "GROUP_RANK": str(self.node),
            "MASTER_ADDR": address,
            "MASTER_PORT": str(port),
        }


def chosen_devices(devices: object) -> list[int] | None:
    """The devices that are named one by one, as a list or as `1,3`; None where only their number is stated."""
    if isinstance(devices, str):
        names = [name for name in devices.split(",") if name.strip()]
        return (
            [int(name) for name in names] if "," in devices and all(name.strip().isdigit() for name in names) else None
        )
    return None if devices is None or isinstance(devices, int) else [int(device) for device in devices]  # type: ignore[attr-defined]


ALONE = World(rank=0, size=1, local_rank=0, local_size=1)


def launched() -> World | None:
    """This process's place where a launcher such as torchrun has started several; None where it started alone."""
    needed = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    if any(name not in os.environ for name in needed) or os.environ["WORLD_SIZE"] == "1":
        return None
    size = int(os.environ["WORLD_SIZE"])
    return World(
        rank=int(os.environ["RANK"]),
        size=size,
        local_rank=int(os.environ["LOCAL_RANK"]),
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", size)),
        node=int(os.environ.get("GROUP_RANK", 0)),
    )
