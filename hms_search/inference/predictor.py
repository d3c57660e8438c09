"""The Predictor: from recordings to class probabilities, by the networks of a model folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cudnn

from hms_search.data.hms import POWERS, SPECTROGRAM_WINDOW
from hms_search.data.labels import CLASSES
from hms_search.eeg.mirror import mirrored
from hms_search.eeg.pipeline import InputPipeline
from hms_search.errors import ConfigError, DataError
from hms_search.inference.model_folder import ModelFolder, load_blend, load_network, open_model
from hms_search.models.device import device_of

Tta = Literal["none", "left_right"]
"""Test-time augmentation: none, or the mean with the mirrored recording (LL <-> RL, LP <-> RP)."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Class probabilities of some recordings, and those of each part: a model's networks, an ensemble's members."""

    probabilities: Float[np.ndarray, "recordings 6"]
    members: Float[np.ndarray, "members recordings 6"]


class Predictor:
    """The networks of a model folder, loaded; open one with :meth:`open`.

    A model's probabilities are the mean of its networks', an ensemble's the blend of its members'. Networks run in
    evaluation mode and float32, as in validation, without the shorter mantissa that CUDA takes for convolutions.
    """

    def __init__(self, folder: ModelFolder, device: torch.device) -> None:
        self.card, self.device = folder.card, device
        self._members = tuple(Predictor(member, device) for member in folder.members)
        self._blend = None if folder.card.blend is None else load_blend(folder.path, folder.card.blend)
        # channels last: EfficientNet-B1 at 512 x 512 takes 0.6 of the time on a CPU, 0.87 at 128 x 256
        self._networks = tuple(
            (load_network(folder.path, network).to(device).to(memory_format=torch.channels_last), network.pipeline)
            for network in folder.card.networks
        )

    @classmethod
    def open(cls, path: Path, *, device: str = "auto") -> "Predictor":
        """Return the predictor of a model, ensemble or bundle folder; raises CheckpointError where it is damaged."""
        return cls(open_model(path), device_of(device))

    def check(self, recording: np.ndarray) -> None:
        """Raise DataError unless a recording is log power ``[time, 400]`` of a length that all networks take."""
        if recording.ndim != 2 or recording.shape[1] != len(POWERS) or not len(recording):
            raise DataError(f"expected log power [time, {len(POWERS)}], found the shape {list(recording.shape)}")
        if len(recording) != SPECTROGRAM_WINDOW and any(pipeline.config.resize is None for pipeline in self.pipelines):
            raise DataError(
                f"expected {SPECTROGRAM_WINDOW} rows of time, found {len(recording)}: model {self.card.name} was "
                "trained without pipeline.resize and takes windows of 10 minutes only"
            )

    def predict(self, recordings: Sequence[np.ndarray], *, tta: Tta = "none") -> Prediction:
        """Return the probabilities of recordings of any lengths, in their order.

        Recordings of one length run together, so memory grows with their number; a row's result does not depend on the
        others (to 1e-6). Each recording is natural-log power ``[time, 400]``, rounded to float16 as the Store has it:
        -inf for power 0, NaN for missing values. Raises DataError for a recording that :meth:`check` refuses.
        """
        if tta not in get_args(Tta):
            raise ConfigError(f"expected tta to be one of {', '.join(get_args(Tta))}, found {tta!r}")
        for recording in recordings:
            self.check(recording)
        probabilities = np.empty((len(recordings), len(CLASSES)))
        members = np.empty((len(self._members) or len(self._networks), len(recordings), len(CLASSES)))
        for rows in _by_length(recordings):
            batch = np.stack([recordings[row] for row in rows]).astype(np.float16, copy=False)
            with torch.inference_mode(), cudnn.flags(enabled=True, allow_tf32=False):
                log_power = torch.from_numpy(batch).to(self.device)
                views = [log_power, mirrored(log_power)] if tta == "left_right" else [log_power]
                members[:, rows] = self._parts([_View(view) for view in views])
            probabilities[rows] = self._combined(members[:, rows])
        return Prediction(probabilities, members)

    @property
    def pipelines(self) -> Iterator[InputPipeline]:
        """The input pipeline of every network, those of members included."""
        for _, pipeline in self._networks:
            yield pipeline
        for member in self._members:
            yield from member.pipelines

    def _parts(self, views: "Sequence[_View]") -> Float[np.ndarray, "members batch 6"]:
        if self._members:
            return np.stack([member._combined(member._parts(views)) for member in self._members])
        logits = [[network(view.image(pipeline)) for view in views] for network, pipeline in self._networks]
        mean = [torch.stack(of_a_network).double().softmax(dim=2).mean(dim=0) for of_a_network in logits]
        return torch.stack(mean).cpu().numpy()

    def _combined(self, parts: Float[np.ndarray, "members batch 6"]) -> Float[np.ndarray, "batch 6"]:
        return np.asarray(parts.mean(axis=0)) if self._blend is None else self._blend.apply(parts)


class _View:
    """Recordings as they are or mirrored, and the images made of them: networks of one pipeline share one."""

    def __init__(self, log_power: Float[Tensor, "batch time 400"]) -> None:
        self._log_power = log_power
        self._images: list[tuple[InputPipeline, Tensor]] = []

    def image(self, pipeline: InputPipeline) -> Float[Tensor, "batch 1 height width"]:
        for known, image in self._images:
            if known == pipeline:
                return image
        self._images.append((pipeline, pipeline.forward(self._log_power)))
        return self._images[-1][1]


def _by_length(recordings: Sequence[np.ndarray]) -> list[list[int]]:
    """Return the rows of recordings of each length."""
    rows: dict[int, list[int]] = {}
    for row, recording in enumerate(recordings):
        rows.setdefault(len(recording), []).append(row)
    return list(rows.values())
