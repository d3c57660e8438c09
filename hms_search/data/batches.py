"""Batches: rows of a Store as network input, loaded one batch ahead and transformed on the device."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from hms_search.eeg.pipeline import InputPipeline
from hms_search.errors import DataError


class Samples(Protocol):
    """What training reads of a :class:`hms_search.data.store.Store`."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits that name the content."""

    @property
    def targets(self) -> Float[np.ndarray, "samples 6"]:
        """Vote distributions."""

    @property
    def high(self) -> Bool[np.ndarray, " samples"]:
        """Whether a sample belongs to the HIGH stratum."""

    @property
    def patients(self) -> Int[np.ndarray, " samples"]:
        """Patient of each sample."""

    def spectrogram(self, row: int) -> Float[np.ndarray, "time 400"]:
        """Natural-log power of a sample."""

    def histograms(self) -> Integer[np.ndarray, "samples counts"]:
        """Histogram of each sample's log power."""


@dataclass(frozen=True)
class Batch:
    """Images, vote distributions and Store rows of some samples, in the same order."""

    x: Float[Tensor, "batch 1 height width"]
    target: Float[Tensor, "batch 6"]
    rows: Int[np.ndarray, " batch"]


@dataclass(frozen=True)
class _Loaded:
    groups: list[Tensor]
    target: Tensor
    rows: Int[np.ndarray, " batch"]


class Batches:
    """Batches over some rows of a Store; iterate as often as needed, then :meth:`close`.

    While a batch is in use, a thread reads and stacks the next one from the memory-mapped file. Recordings of one
    length are stacked together, so a batch lists its rows by length. A single row that would be left over joins the
    batch before it: batch normalisation cannot learn from one row.

    Parameters
    ----------
    store, rows
        The Store and the rows to go through.
    pipeline
        Runs on the device, once per batch and length.
    shuffle
        Draws a new order for each pass; None: the order of ``rows``.
    """

    def __init__(
        self,
        store: Samples,
        rows: Int[np.ndarray, " rows"],
        pipeline: InputPipeline,
        *,
        batch_size: int,
        device: torch.device,
        shuffle: torch.Generator | None = None,
    ) -> None:
        if len(rows) == 0:
            raise DataError("batches need at least one row, found none; check the folds and the sampling rule")
        self.store, self.rows, self.pipeline, self.device = store, rows, pipeline, device
        self.shuffle = shuffle
        starts = np.arange(batch_size, len(rows), batch_size)
        self._starts = starts[:-1] if len(starts) and len(rows) - starts[-1] == 1 and batch_size > 1 else starts
        self._targets = torch.from_numpy(np.ascontiguousarray(store.targets, dtype=np.float32))
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        if pipeline.config.resize is None:
            self._check_lengths()

    def __len__(self) -> int:
        return len(self._starts) + 1

    def __iter__(self) -> Iterator[Batch]:
        order = self.rows
        if self.shuffle is not None:
            order = order[torch.randperm(len(order), generator=self.shuffle).numpy()]
        ahead: Future[_Loaded] | None = None
        try:
            for rows in np.split(order, self._starts):
                loaded, ahead = ahead, self._pool.submit(self._load, rows)
                if loaded is not None:
                    yield self._on_device(loaded.result())
            if ahead is not None:
                yield self._on_device(ahead.result())
        finally:
            if ahead is not None:
                ahead.cancel()

    def close(self) -> None:
        """End the loading thread and wait for it."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, rows: Int[np.ndarray, " batch"]) -> _Loaded:
        by_length: dict[int, list[tuple[int, np.ndarray]]] = {}
        for row in rows.tolist():
            recording = self.store.spectrogram(row)
            by_length.setdefault(len(recording), []).append((row, recording))
        groups = [torch.from_numpy(np.stack([recording for _, recording in group])) for group in by_length.values()]
        grouped = np.array([row for group in by_length.values() for row, _ in group])
        if self.device.type == "cuda":
            groups = [group.pin_memory() for group in groups]
        return _Loaded(groups, self._targets[torch.from_numpy(grouped)], grouped)

    def _on_device(self, loaded: _Loaded) -> Batch:
        images = [self.pipeline.forward(group.to(self.device, non_blocking=True)) for group in loaded.groups]
        x = images[0] if len(images) == 1 else torch.cat(images)
        return Batch(x, loaded.target.to(self.device, non_blocking=True), loaded.rows)

    def _check_lengths(self) -> None:
        lengths = sorted({len(self.store.spectrogram(row)) for row in self.rows.tolist()})
        if len(lengths) > 1:
            raise DataError(
                f"recordings in one batch must have one length, found {lengths[0]} to {lengths[-1]} rows of time; "
                "set pipeline.resize: [height, width]"
            )
