"""The errors that a user can cause, and the exits that they lead to."""

from __future__ import annotations


class CouloirError(Exception):
    """A mistake that the user can mend: the fact, the place, and the next step.

    Args:
        fact: what is wrong, one sentence.
        place: where: a file and line, a key, a folder; left out when the fact already names it.
        next_step: what to do about it, one sentence.
    """

    exit_code = 2

    def __init__(self, fact: str, place: str | None = None, next_step: str | None = None) -> None:
        super().__init__(fact, place, next_step)
        self.fact = fact
        self.place = place
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.fact]
        if self.place:
            lines.append(f"  where: {self.place}")
        if self.next_step:
            lines.append(f"  next:  {self.next_step}")
        return "\n".join(lines)


class Diverged(CouloirError):
    """The loss became NaN or infinite: exit 3."""

    exit_code = 3


class ProcessLost(CouloirError):
    """One of the processes that trained together ended before its time: exit 1."""

    exit_code = 1


class FolderLost(CouloirError):
    """The run folder cannot be written any more, the disk being full, say: exit 1."""

    exit_code = 1


class Interrupted(BaseException):
    """A signal asked the run to stop: exit 130 after Ctrl-C, 143 after SIGTERM.

    It derives from BaseException, as KeyboardInterrupt does, so that nothing on the way up swallows it.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 plus the number of the signal."""
        return 128 + self.signal_number
