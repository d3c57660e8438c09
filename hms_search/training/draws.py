"""Rows drawn at random for an epoch: one of each group, or classes equally often."""

import numpy as np
import torch
from jaxtyping import Int


def one_of_each(groups: Int[np.ndarray, " rows"], generator: torch.Generator) -> Int[np.ndarray, " groups"]:
    """Return the place of one row of each group, every row of a group equally likely, in rising order.

    Where every row is a group of its own there is no choice, and the generator stays as it is.
    """
    _, group = np.unique(groups, return_inverse=True)
    places = np.arange(len(groups))
    if group.max(initial=-1) + 1 == len(groups):
        return places
    lots = torch.rand(len(groups), generator=generator).numpy()
    by_group = np.lexsort((lots, group))
    return np.sort(by_group[np.searchsorted(group[by_group], np.unique(group))])


def balanced(classes: Int[np.ndarray, " rows"], generator: torch.Generator) -> Int[np.ndarray, " rows"]:
    """Return as many places as there are rows, in random order, drawn with replacement within each class.

    Every class that occurs gets the same number of places; of those that remain, each class at most one.
    """
    present = np.unique(classes)
    order = present[torch.randperm(len(present), generator=generator).numpy()]
    drawn = []
    for number, name in enumerate(order):
        share = (len(classes) - number + len(order) - 1) // len(order)
        members = np.flatnonzero(classes == name)
        drawn.append(members[torch.randint(len(members), (share,), generator=generator).numpy()])
    return np.asarray(np.concatenate(drawn)[torch.randperm(len(classes), generator=generator).numpy()])
