"""Gradient accumulation: several batches, one optimiser step."""

from collections.abc import Iterator
from dataclasses import dataclass

from hms_search.data.batches import Batch, Batches, Portion


@dataclass(frozen=True)
class Part:
    """A batch as a part of an optimiser step.

    ``share`` is the batch's part of the step's rows: the mean loss of all of them is the sum over the step's batches
    of share x the batch's mean loss.
    """

    batch: Batch
    step: int
    share: float
    first: bool
    last: bool


def parts(batches: Batches, portion: Portion, accumulate: int) -> Iterator[Part]:
    """Yield the batches of a pass, ``accumulate`` of them to a step; the last step has what is left."""
    n_batches, seen, rows_of_step = batches.count(portion), 0, 0
    for number, batch in enumerate(batches.over(portion)):
        step, place = divmod(number, accumulate)
        if place == 0:  # every batch but the pass's last has as many rows as this one
            ends_pass = number + accumulate >= n_batches
            rows_of_step = len(portion) - seen if ends_pass else accumulate * len(batch.rows)
        seen += len(batch.rows)
        last = place + 1 == accumulate or number + 1 == n_batches
        yield Part(batch, step, len(batch.rows) / rows_of_step, first=place == 0, last=last)


def n_steps(batches: Batches, portion: Portion, accumulate: int) -> int:
    """Return how many optimiser steps a pass has."""
    return -(-batches.count(portion) // accumulate)
