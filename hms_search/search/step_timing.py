"""How long the batches of an experiment take on this machine, from a few of them, built as a trial builds them."""

import time
from dataclasses import dataclass
from math import ceil
from typing import Self

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from hms_search.augment.augmenter import Augmenter
from hms_search.data.batches import Batches, InOrder
from hms_search.data.fitting import fit_pipeline
from hms_search.data.labels import TaskName
from hms_search.data.samples import Samples
from hms_search.eeg.histogram import count_log_power
from hms_search.eeg.pipelines import FittedPipeline
from hms_search.eeg.shapes import Kind
from hms_search.experiment import ExperimentConfig
from hms_search.models import architecture
from hms_search.models.device import device_of
from hms_search.training.curriculum import Curriculum
from hms_search.training.learner import Learner
from hms_search.training.passes import predict, train_epoch
from hms_search.training.results import Slot
from hms_search.training.tasks import TASKS

_LONG_ENOUGH_S = 2.0
_MOST_BATCHES = 20


@dataclass(frozen=True)
class BatchSeconds:
    """Seconds per batch of training and of validation, and how many numbers the network has."""

    training: float
    validation: float
    parameters: int


@dataclass(frozen=True)
class FewSamples:
    """Some rows of a Store, some of them several times, as a Store of their own: opened without counting all of it."""

    store: Samples
    rows: Int[np.ndarray, " rows"]
    fingerprint: str = "few samples"

    @property
    def task(self) -> TaskName:
        """What the targets are labels of."""
        return self.store.task

    @property
    def targets(self) -> Float[np.ndarray, "rows classes"]:
        """Vote distributions."""
        targets: np.ndarray = self.store.targets[self.rows]
        return targets

    @property
    def votes(self) -> Int[np.ndarray, "rows classes"]:
        """Votes of each class."""
        votes: np.ndarray = self.store.votes[self.rows]
        return votes

    @property
    def sample_ids(self) -> Int[np.ndarray, " rows"]:
        """Id of each sample."""
        ids: np.ndarray = self.store.sample_ids[self.rows]
        return ids

    @property
    def groups(self) -> Int[np.ndarray, " rows"]:
        """A group of its own for each row, so that a pass sees them all."""
        return np.arange(len(self.rows))

    @property
    def high(self) -> Bool[np.ndarray, " rows"]:
        """Whether a sample belongs to the HIGH stratum."""
        high: np.ndarray = self.store.high[self.rows]
        return high

    @property
    def patients(self) -> Int[np.ndarray, " rows"]:
        """Patient of each sample."""
        patients: np.ndarray = self.store.patients[self.rows]
        return patients

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return what is recorded of a sample, by kind."""
        return self.store.recording(int(self.rows[row]))

    def histograms(self) -> Integer[np.ndarray, "rows counts"]:
        """Histogram of each row's log power, counted anew."""
        return np.stack([count_log_power(self.recording(row)["spectrogram"]) for row in range(len(self.rows))])


def time_batches(config: ExperimentConfig, store: Samples, *, device: str = "auto") -> BatchSeconds:
    """Return what a batch of training and one of validation take, after one of each that is not counted.

    The network starts from random weights and learns from votes alone, whatever the configuration says of weights,
    stages and other models' predictions: that costs no time per batch.
    """
    timed = TimedExperiment.of(plain(config), store, device)
    warming_up_s = sum(timed.seconds(1))
    training, validation = timed.seconds(min(_MOST_BATCHES, ceil(_LONG_ENOUGH_S / warming_up_s)))
    return BatchSeconds(training, validation, sum(weight.numel() for weight in timed.learner.model.parameters()))


def plain(config: ExperimentConfig) -> ExperimentConfig:
    """Return an experiment that starts from random weights and learns from votes alone."""
    votes_alone = {"stages": (), "noisy_student": None, "pseudo_labels": None, "sampler": "none"}
    training = config.training.model_copy(update=votes_alone)
    return config.model_copy(update={"training": training, "model": architecture(config.model)})


@dataclass(frozen=True)
class TimedExperiment:
    """An experiment about to be timed or measured on a few samples of a Store."""

    config: ExperimentConfig
    store: Samples
    learner: Learner
    slot: Slot
    device: str

    @classmethod
    def of(cls, config: ExperimentConfig, store: Samples, device: str) -> Self:
        """Return the experiment with its network, on the device."""
        slot = Slot(fold=0, task=TASKS[store.task])
        network = config.model.build(config.pipeline.shape, classes=len(slot.task.classes))
        return cls(config, store, Learner.of(network, config.training, device_of(device)), slot, device)

    def seconds(self, n_batches: int) -> tuple[float, float]:
        """Return the mean seconds of so many batches of training and of validation."""
        size = self.config.training.batch_size
        train = self.training(n_batches)
        few, pipeline = self.few(n_batches * size)
        in_order = InOrder(np.arange(n_batches * size), few.targets)
        validation = Batches(few, in_order, pipeline, batch_size=size, device=device_of(self.device))
        try:
            started = time.perf_counter()
            train_epoch(self.learner, train, 0)
            between = time.perf_counter()
            predict(self.learner.average.network, validation, self.learner.precision)
            return (between - started) / n_batches, (time.perf_counter() - between) / n_batches
        finally:
            train.close()
            validation.close()

    def training(self, n_batches: int) -> Batches:
        """Return batches of a few samples to train on."""
        size, augmentations = self.config.training.batch_size, self.config.augmentations
        few, pipeline = self.few(n_batches * size)
        return Batches(
            few,
            Curriculum(self.config.training, few, np.arange(n_batches * size), slot=self.slot),
            pipeline,
            batch_size=size,
            device=device_of(self.device),
            augment=Augmenter(augmentations) if augmentations else None,
        )

    def few(self, n_rows: int) -> tuple[FewSamples, FittedPipeline]:
        """Return so many samples, some of them repeated where there are fewer, and the pipeline fitted to them."""
        there = len(self.store.votes)
        few = FewSamples(self.store, np.resize(np.arange(there), n_rows))
        return few, fit_pipeline(
            self.config.pipeline, few, np.arange(min(n_rows, there)), device=device_of(self.device)
        )
