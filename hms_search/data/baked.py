"""Baked representations: the EEG images of all samples, computed once and kept beside the Store.

What is kept is what :class:`hms_search.eeg.eeg_pipeline.EegPipeline` makes before it normalises, as float16; training
then reads images in place of microvolts. It suits a representation that is slow and that no trial changes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from hms_search.data.atomic import replacing
from hms_search.data.fitting import fit_pipeline
from hms_search.data.progress import Progress, ignore
from hms_search.data.store import Store, baked_file
from hms_search.eeg.both_pipeline import BothPipeline
from hms_search.eeg.eeg_pipeline import EegPipeline, FittedEegPipeline
from hms_search.eeg.pipelines import Pipeline
from hms_search.errors import DataError

_AT_A_TIME = 16


def baked_part(pipeline: Pipeline) -> EegPipeline | None:
    """Return what of a pipeline can be baked: its EEG, up to the normalisation; None where it reads no EEG."""
    eeg = pipeline.eeg if isinstance(pipeline, BothPipeline) else pipeline
    return eeg.represented() if isinstance(eeg, EegPipeline) else None


def bake(
    store: Store, part: EegPipeline, *, device: torch.device, on_progress: Callable[[Progress], None] = ignore
) -> Path:
    """Return the file with the images of all samples, written first where it is missing.

    ``part`` is :func:`baked_part`'s. ``on_progress`` counts samples and bytes. Raises DataError where an image is
    beyond float16's range or the file cannot be written.
    """
    file = baked_file(store.path, store.fingerprint, part)
    if file.is_file():
        return file
    pipeline = fit_pipeline(part, store, np.arange(len(store)), device=device)
    assert isinstance(pipeline, FittedEegPipeline)
    assert part.shape.size is not None
    shape = (len(store), part.shape.channels, *part.shape.size)
    total = int(np.prod(shape)) * np.dtype(np.float16).itemsize
    try:
        file.parent.mkdir(exist_ok=True)
        with replacing(file) as partial:
            images = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
            for first in range(0, len(store), _AT_A_TIME):
                rows = range(first, min(first + _AT_A_TIME, len(store)))
                images[rows.start : rows.stop] = _images(store, pipeline, rows, device)
                on_progress(Progress(rows.stop, len(store), total * rows.stop // len(store), total))
            images.flush()
    except OSError as error:
        raise DataError(
            f"cannot write {total / 1e9:.1f} GB of baked images to {file.parent}: {error.strerror or error}; free some "
            "space, or set data.baked: false"
        ) from error
    return file


def _images(store: Store, pipeline: FittedEegPipeline, rows: range, device: torch.device) -> np.ndarray:
    eeg = torch.from_numpy(np.stack([store.eeg(row) for row in rows])).to(device)
    with torch.inference_mode():
        images = pipeline.forward(eeg).half()
    if not images.isfinite().all():
        bad = rows[int((~images.isfinite()).flatten(1).any(dim=1).nonzero()[0])]
        raise DataError(
            f"the image of sample {store.sample_ids[bad]} is beyond float16's range of 65504 and cannot be baked; set "
            "pipeline.scale_uv, or data.baked: false"
        )
    return images.cpu().numpy()
