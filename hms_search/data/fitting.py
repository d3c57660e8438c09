"""Fitting an input pipeline: the statistics and coefficients it needs, from training rows only."""

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Int, Integer

from hms_search.eeg.both_pipeline import FittedBothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline, needs_moments
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.eeg.filter_design import sections_of
from hms_search.eeg.histogram import Moments
from hms_search.eeg.pipeline import InputPipeline, SpectrogramPipeline
from hms_search.eeg.pipelines import FittedPipeline, Pipeline
from hms_search.eeg.shapes import Kind

_AT_A_TIME = 32


class Recorded(Protocol):
    """What fitting reads of a :class:`hms_search.data.store.Store`."""

    def recording(self, row: int) -> dict[Kind, np.ndarray]:
        """Return what is recorded of a sample, by kind."""

    def histograms(self) -> Integer[np.ndarray, "samples counts"]:
        """Return the histogram of each sample's log power; asked for where the pipeline reads spectrograms."""


def fit_pipeline(
    pipeline: Pipeline, store: Recorded, rows: Int[np.ndarray, " rows"], *, device: torch.device
) -> FittedPipeline:
    """Return a pipeline fitted on the training rows of a Store.

    Of spectrograms the data-wide statistics come from the stored histograms; of EEG from one pass over the rows, on the
    device, and only where the normalisation asks for them.
    """
    if isinstance(pipeline, SpectrogramPipeline):
        return _fit_spectrogram(pipeline, store, rows)
    if isinstance(pipeline, EegPipeline):
        return _fit_eeg(pipeline, store, rows, device)
    if isinstance(pipeline, FftPipeline):
        return FittedFftPipeline(config=pipeline)
    return FittedBothPipeline(
        config=pipeline,
        eeg=_fit_eeg(pipeline.eeg, store, rows, device),
        spectrogram=_fit_spectrogram(pipeline.spectrogram, store, rows),
    )


def _fit_spectrogram(pipeline: SpectrogramPipeline, store: Recorded, rows: Int[np.ndarray, " rows"]) -> InputPipeline:
    return pipeline.fit(store.histograms()[rows].sum(axis=0, dtype=np.int64))


def _fit_eeg(
    pipeline: EegPipeline, store: Recorded, rows: Int[np.ndarray, " rows"], device: torch.device
) -> FittedEegPipeline:
    fitted = pipeline.fit([sections_of(wanted) for wanted in pipeline.filters])
    if not needs_moments(pipeline):
        return fitted
    return pipeline.fit(fitted.sections, _moments(fitted, store, rows, device))


def _moments(
    fitted: FittedEegPipeline, store: Recorded, rows: Int[np.ndarray, " rows"], device: torch.device
) -> Moments:
    """Return mean and population standard deviation of the rows' images, as the sums of two passes in one."""
    count, total, squares = 0, 0.0, 0.0
    for first in range(0, len(rows), _AT_A_TIME):
        eeg = np.stack([store.recording(row)["eeg"] for row in rows[first : first + _AT_A_TIME].tolist()])
        with torch.inference_mode():
            images = fitted.unnormalised({"eeg": torch.from_numpy(eeg).to(device)}).double()
        count += images.numel()
        total += float(images.sum())
        squares += float(images.square().sum())
    mean = total / count
    return Moments(mean, float(np.sqrt(max(squares / count - mean**2, 0.0))), count)
