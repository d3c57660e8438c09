"""Stacking: a network learns from statistics of the members' probabilities what the votes will be.

The recipe is the report's, with its faults mended: the logits go through one log-softmax, the votes come first in the
KL, and no network is stopped, chosen or scored on rows of patients that it was trained on.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from hms_search.component import Component, Field
from hms_search.ensemble.blends import FittedBlend, StackingBlend, statistics_of
from hms_search.ensemble.rows import Rows
from hms_search.errors import DataError
from hms_search.training.losses import kl_divergence


class Stacking(Component):
    """A network on five statistics per class, trained by cross-entropy + ``kl_weight`` x KL with Adam.

    Attributes
    ----------
    hidden
        Widths of the hidden layers.
    kl_weight
        The report's lambda. Both losses differ by the entropy of the votes only, so it acts as a factor.
    lr, batch_size, epochs
        Adam's learning rate, rows per step, largest number of passes over the rows.
    patience
        Training ends after so many epochs without a lower KL on the held-out patients; the best epoch's weights stay.
    held_out
        Share of the patients of the given rows that are kept from training, to say when to stop.
    """

    name: Literal["stacking"] = "stacking"
    hidden: tuple[int, ...] = Field((600, 1200, 1000, 600), min_length=1)
    kl_weight: float = Field(2.0, ge=0)
    lr: float = Field(1e-3, gt=0)
    batch_size: int = Field(64, ge=1)
    epochs: int = Field(80, ge=1)
    patience: int = Field(20, ge=1)
    held_out: float = Field(0.1, gt=0, lt=1)

    def fit(self, rows: Rows, *, seed: int) -> FittedBlend:
        """Return the trained network; the same for the same rows and seed.

        Raises DataError where the rows are of a single patient.
        """
        x = torch.from_numpy(statistics_of(rows.probabilities)).float()
        y = torch.from_numpy(rows.targets).float()
        stopping = torch.from_numpy(self._held_out(rows.patients, seed))
        blend = StackingBlend(hidden=self.hidden, classes=rows.targets.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = blend.build()
        state = self._train(network, (x[~stopping], y[~stopping]), (x[stopping], y[stopping]), seed)
        return FittedBlend(blend, state)

    def _train(
        self, network: nn.Sequential, train: tuple[Tensor, Tensor], stopping: tuple[Tensor, Tensor], seed: int
    ) -> dict[str, Tensor]:
        """Train the network and return the state it had when the KL on the ``stopping`` rows was lowest."""
        adam = torch.optim.Adam(network.parameters(), lr=self.lr, fused=True)  # a third of the time on a CPU
        shuffle = torch.Generator().manual_seed(seed)
        best, best_epoch, state = float("inf"), -1, _copy(network)
        for epoch in range(self.epochs):
            for rows in torch.split(torch.randperm(len(train[0]), generator=shuffle), self.batch_size):
                loss = stacking_loss(network(train[0][rows]), train[1][rows], self.kl_weight)
                adam.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
            with torch.inference_mode():
                value = kl_divergence(network(stopping[0]), stopping[1]).mean().item()
            if value < best:
                best, best_epoch, state = value, epoch, _copy(network)
            elif epoch - best_epoch >= self.patience:
                break
        return state

    def _held_out(self, patients: Int[np.ndarray, " rows"], seed: int) -> Bool[np.ndarray, " rows"]:
        """Return which rows say when to stop: all rows of some patients, of at least one and not of all."""
        everyone = np.unique(patients)
        if len(everyone) < 2:
            raise DataError(
                f"stacking holds patients back to know when to stop, the rows are of {len(everyone)} patients; "
                "use more data or --method mean"
            )
        number = max(1, round(self.held_out * len(everyone)))
        return np.isin(patients, np.random.default_rng(seed).permutation(everyone)[:number])


def stacking_loss(
    logits: Float[Tensor, "batch classes"], target: Float[Tensor, "batch classes"], kl_weight: float
) -> Float[Tensor, ""]:
    """Return the mean over rows of cross-entropy + ``kl_weight`` x KL(target || softmax(logits)).

    Both take the log-softmax of the logits themselves, so that these must not have gone through one.
    """
    return functional.cross_entropy(logits, target) + kl_weight * kl_divergence(logits, target).mean()


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
