"""Batches: rows of a Store as network input, loaded one batch ahead and transformed on the device."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from hms_search.data.fft_images import FftImages
from hms_search.data.samples import Samples
from hms_search.data.seizure_types import SeizureTypes
from hms_search.eeg.fft_pipeline import FittedFftPipeline
from hms_search.eeg.pipelines import FittedPipeline, Inputs, joined
from hms_search.eeg.shapes import Kind
from hms_search.errors import DataError


@dataclass(frozen=True)
class Portion:
    """Rows of a Store that one pass goes through, in this order, with their targets and their weights in the loss."""

    rows: Int[np.ndarray, " rows"]
    targets: Float[np.ndarray, "rows classes"]
    weights: Float[np.ndarray, " rows"]

    def __len__(self) -> int:
        return len(self.rows)


class Draw(Protocol):
    """What each pass of some batches goes through."""

    @property
    def rows(self) -> Int[np.ndarray, " rows"]:
        """Every row that a pass may hold."""

    @property
    def generator(self) -> torch.Generator | None:
        """Where all chance comes from; its state is all that a draw carries from one pass to the next."""

    def portion(self, epoch: int) -> Portion:
        """Return what the pass of an epoch goes through."""


@dataclass(frozen=True)
class InOrder:
    """The same rows in the same order in each pass, with the votes as targets and equal weights: validation."""

    rows: Int[np.ndarray, " rows"]
    targets: Float[np.ndarray, "samples classes"]
    generator: None = None

    def portion(self, epoch: int) -> Portion:  # noqa: ARG002 - one signature for every draw
        """Return all rows."""
        return Portion(self.rows, self.targets[self.rows], np.ones(len(self.rows)))


class Augment(Protocol):
    """Random changes of training samples, before and after the input pipeline; all chance comes from the generator."""

    def recordings(
        self, recordings: dict[Kind, Tensor], target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[dict[Kind, Tensor], Tensor, Tensor]:
        """Return recordings, targets and weights, changed."""

    def images(
        self, x: Inputs, target: Tensor, weight: Tensor, generator: torch.Generator
    ) -> tuple[Inputs, Tensor, Tensor]:
        """Return images, targets and weights, changed."""


@dataclass(frozen=True)
class Batch:
    """Images, target distributions, weights in the loss and Store rows of some samples, in the same order.

    ``x`` is ``[batch, channel, height, width]``, or a mapping of kinds to such images where the pipeline keeps them
    apart.
    """

    x: Inputs
    target: Float[Tensor, "batch classes"]
    weight: Float[Tensor, " batch"]
    rows: Int[np.ndarray, " batch"]


@dataclass(frozen=True)
class _Loaded:
    """Recordings of a batch, those of one length together; or their images, where these were made before."""

    groups: list[dict[Kind, Tensor]]
    images: Tensor | None
    target: Tensor
    weight: Tensor
    rows: Int[np.ndarray, " batch"]


class Batches:
    """Batches over rows of a Store, pass after pass; :meth:`close` them in the end.

    While a batch is in use, a thread reads and stacks the next one from the memory-mapped file. Recordings of one
    length are stacked together, so a batch lists its rows by length. A single row that would be left over joins the
    batch before it: batch normalisation cannot learn from one row.

    Parameters
    ----------
    store, draw
        The Store, and which of its rows a pass goes through.
    pipeline
        Runs on the device, once per batch and length.
    augment
        Changes training samples at random, by the draw's generator; None: nothing is changed.
    """

    def __init__(
        self,
        store: Samples,
        draw: Draw,
        pipeline: FittedPipeline,
        *,
        batch_size: int,
        device: torch.device,
        augment: Augment | None = None,
    ) -> None:
        if len(draw.rows) == 0:
            raise DataError("batches need at least one row, found none; check the folds and the sampling rule")
        self.store, self.draw, self.pipeline, self.device = store, draw, pipeline, device
        self._batch_size, self._augment = batch_size, augment
        self._made: FftImages | None = None
        if isinstance(store, SeizureTypes) and isinstance(pipeline, FittedFftPipeline):
            self._made = FftImages(store, pipeline)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        if not pipeline.config.any_length:
            self._check_lengths()

    def __iter__(self) -> Iterator[Batch]:
        return self.over(self.draw.portion(0))

    def over(self, portion: Portion) -> Iterator[Batch]:
        """Yield the batches of a pass, in as many as :meth:`count` says."""
        targets = torch.from_numpy(np.ascontiguousarray(portion.targets, dtype=np.float32))
        weights = torch.from_numpy(np.ascontiguousarray(portion.weights, dtype=np.float32))
        ahead: Future[_Loaded] | None = None
        try:
            for places in np.split(np.arange(len(portion)), self._starts(len(portion))):
                loaded = ahead
                ahead = self._pool.submit(self._load, portion.rows[places], targets[places], weights[places])
                if loaded is not None:
                    yield self._on_device(loaded.result())
            if ahead is not None:
                yield self._on_device(ahead.result())
        finally:
            if ahead is not None:
                ahead.cancel()

    def count(self, portion: Portion) -> int:
        """Return how many batches a pass has."""
        return len(self._starts(len(portion))) + 1

    def close(self) -> None:
        """End the loading thread and wait for it."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _starts(self, n_rows: int) -> Int[np.ndarray, " starts"]:
        starts = np.arange(self._batch_size, n_rows, self._batch_size)
        return starts[:-1] if len(starts) and n_rows - starts[-1] == 1 and self._batch_size > 1 else starts

    def _load(self, rows: Int[np.ndarray, " batch"], target: Tensor, weight: Tensor) -> _Loaded:
        if self._made is not None:
            return _Loaded([], self._made.of(rows), target, weight, rows)
        by_length: dict[tuple[int, ...], list[tuple[int, dict[Kind, np.ndarray]]]] = {}
        for place, row in enumerate(rows.tolist()):
            recording = self.store.recording(row)
            by_length.setdefault(tuple(map(len, recording.values())), []).append((place, recording))
        groups = [self._stacked([recording for _, recording in group]) for group in by_length.values()]
        places = np.array([place for group in by_length.values() for place, _ in group])
        return _Loaded(groups, None, target[places], weight[places], rows[places])

    def _stacked(self, recordings: list[dict[Kind, np.ndarray]]) -> dict[Kind, Tensor]:
        stacked = {kind: torch.from_numpy(np.stack([one[kind] for one in recordings])) for kind in recordings[0]}
        if self.device.type == "cuda":
            return {kind: x.pin_memory() for kind, x in stacked.items()}
        return stacked

    def _on_device(self, loaded: _Loaded) -> Batch:
        groups = [{kind: x.to(self.device, non_blocking=True) for kind, x in group.items()} for group in loaded.groups]
        target, weight = (part.to(self.device, non_blocking=True) for part in (loaded.target, loaded.weight))
        augment, generator = self._augment, self.draw.generator
        if loaded.images is not None:
            x: Inputs = loaded.images.to(self.device, non_blocking=True)
        elif augment is None or generator is None:
            x = self._images(groups)
        else:
            x, target, weight = self._changed(groups, target, weight, augment, generator)
        if augment is not None and generator is not None:
            x, target, weight = augment.images(x, target, weight, generator)
        return Batch(x, target, weight, loaded.rows)

    def _changed(
        self,
        groups: list[dict[Kind, Tensor]],
        target: Tensor,
        weight: Tensor,
        augment: Augment,
        generator: torch.Generator,
    ) -> tuple[Inputs, Tensor, Tensor]:
        """Return the images of recordings that were changed at random, and their targets and weights."""
        sizes = [len(next(iter(group.values()))) for group in groups]
        parts = [
            augment.recordings(*part, generator)
            for part in zip(groups, torch.split(target, sizes), torch.split(weight, sizes), strict=True)
        ]
        x = self._images([recordings for recordings, _, _ in parts])
        return x, torch.cat([part for _, part, _ in parts]), torch.cat([part for _, _, part in parts])

    def _images(self, groups: list[dict[Kind, Tensor]]) -> Inputs:
        return joined([self.pipeline.inputs(group) for group in groups])

    def _check_lengths(self) -> None:
        lengths = sorted({len(self.store.recording(row)["spectrogram"]) for row in self.draw.rows.tolist()})
        if len(lengths) > 1:
            raise DataError(
                f"recordings in one batch must have one length, found {lengths[0]} to {lengths[-1]} rows of time; "
                "set pipeline.resize: [height, width]"
            )
