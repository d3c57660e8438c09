"""How far long work over files has come, for whoever draws a bar."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Files and bytes done so far.

    The first report of a run counts what an earlier, interrupted run had finished; speed is what came after it.
    """

    done: int
    total: int
    done_bytes: int = 0
    total_bytes: int = 0


def ignore(progress: Progress) -> None:
    """Do nothing."""
