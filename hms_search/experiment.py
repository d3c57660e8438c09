"""The centre: one configuration, trained and scored on some folds of one Store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int

from hms_search.component import Component
from hms_search.data.batches import Batches, Samples
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.errors import ConfigError, DataError
from hms_search.models import Model
from hms_search.training.config import TrainingConfig
from hms_search.training.metrics import Stratum, in_stratum, kl_terms, patient_interval, scores
from hms_search.training.trainer import Epoch, FoldResult, Slot, fit, ignore


class ExperimentConfig(Component):
    """All that defines an experiment but its data, folds and seed; what a search space varies."""

    pipeline: SpectrogramPipeline = SpectrogramPipeline()
    model: Model
    training: TrainingConfig = TrainingConfig()


class Plan(Protocol):
    """What an experiment reads of a :class:`hms_search.data.folds.FoldPlan`."""

    @property
    def use(self) -> tuple[int, ...]:
        """The folds to run, in this order."""

    def split(self, fold: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
        """Training and validation rows of a fold."""


@dataclass(frozen=True)
class ExperimentResult:
    """What an experiment found.

    Attributes
    ----------
    value
        Mean over folds of the KL on the objective's stratum.
    folds
        One result per fold, in the order they ran.
    metrics
        :func:`hms_search.training.metrics.scores` over the out-of-fold rows of all folds together, and the ends of
        the 95 % interval over patients of the objective's KL: ``kl_interval_low``, ``kl_interval_high``.
    rows, probabilities
        Out-of-fold rows of the Store and their class probabilities.
    pipelines
        The fitted input pipeline of each fold.
    """

    value: float
    folds: tuple[FoldResult, ...]
    metrics: dict[str, float]
    rows: Int[np.ndarray, " rows"]
    probabilities: Float[np.ndarray, "rows 6"]
    pipelines: tuple[InputPipeline, ...]
    objective: Stratum
    seed: int

    @property
    def optimistic(self) -> bool:
        """Whether epochs were chosen on the rows that they are scored on."""
        return any(fold.optimistic for fold in self.folds)


def run_experiment(
    config: ExperimentConfig,
    store: Samples,
    plan: Plan,
    *,
    seed: int = 0,
    device: str = "auto",
    objective: Stratum = "all",
    on_epoch: Callable[[Epoch], None] = ignore,
) -> ExperimentResult:
    """Return the result of training and scoring ``config`` on each fold that ``plan`` uses, one after the other.

    Nothing of a fold's validation rows enters its training: datawide statistics come from its training rows.
    ``on_epoch`` sees every validated epoch and may raise :class:`hms_search.errors.TrialStopped`.

    Raises DataError where a fold has no validation row in the objective's stratum, TrainingError where training
    diverges or memory runs out.
    """
    _check_strata(store, plan, objective)
    target_device = _device(device)
    folds, pipelines, histograms = [], [], store.histograms()
    for position, fold in enumerate(plan.use):
        training, validation = plan.split(fold)
        slot = Slot(fold=fold, position=position, seed=_fold_seed(seed, fold), objective=objective)
        pipeline = config.pipeline.fit(histograms[training].sum(axis=0, dtype=np.int64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(slot.seed)
            model = config.model.build(config.pipeline.resize)
        shuffle = torch.Generator().manual_seed(slot.seed)
        size = config.training.batch_size
        folds.append(
            fit(
                model,
                Batches(store, training, pipeline, batch_size=size, device=target_device, shuffle=shuffle),
                Batches(store, validation, pipeline, batch_size=size, device=target_device),
                config.training,
                slot=slot,
                on_epoch=on_epoch,
            )
        )
        pipelines.append(pipeline)
    rows = np.concatenate([fold.rows for fold in folds])
    probabilities = np.concatenate([fold.probabilities for fold in folds])
    return ExperimentResult(
        value=float(np.mean([fold.value for fold in folds])),
        folds=tuple(folds),
        metrics=_pooled(store, rows, probabilities, objective, seed),
        rows=rows,
        probabilities=probabilities,
        pipelines=tuple(pipelines),
        objective=objective,
        seed=seed,
    )


def _pooled(
    store: Samples,
    rows: Int[np.ndarray, " rows"],
    probabilities: Float[np.ndarray, "rows 6"],
    objective: Stratum,
    seed: int,
) -> dict[str, float]:
    high = store.high[rows]
    scored = in_stratum(high, objective)
    losses = kl_terms(store.targets[rows], probabilities).sum(axis=1)
    low_end, high_end = patient_interval(losses[scored], store.patients[rows][scored], seed=seed)
    pooled = scores(store.targets[rows], probabilities, high)
    return {**pooled, "kl_interval_low": low_end, "kl_interval_high": high_end}


def _check_strata(store: Samples, plan: Plan, objective: Stratum) -> None:
    empty = [fold for fold in plan.use if not in_stratum(store.high[plan.split(fold)[1]], objective).any()]
    if empty:
        raise DataError(
            f"the objective is the KL on the {objective} stratum, but it has no validation row in fold "
            f"{', '.join(map(str, empty))}; use objective: all, fewer folds or more data"
        )


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"expected a device such as auto, cpu, cuda or cuda:1, found {name!r}") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device {name}: found {torch.cuda.device_count()} CUDA devices; write device: auto or cpu")
    return device


def _fold_seed(seed: int, fold: int) -> int:
    return int(np.random.SeedSequence([seed, fold]).generate_state(1)[0])
