"""Which keys of a run's configuration a verb leaves open. Nothing here imports Hydra."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Opened:
    """What a verb lets the user change in the configuration of a run.

    Attributes:
        keys: keys, and beginnings of keys where they end in a dot.
        closed: keys below such a beginning that stay as they are.
        groups: groups that another choice may be named of.
        why: what is said of all other keys, after their name: `is settled once a network is trained`.
        takes: the next step then: what the verb does take.
    """

    keys: tuple[str, ...]
    why: str
    takes: str
    closed: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def takes_key(self, key: str) -> bool:
        """Whether a key may be changed."""
        fits = any(key.startswith(name) if name.endswith(".") else key == name for name in self.keys)
        return fits and key not in self.closed
