"""The Predictor: from recordings to class probabilities, by the networks of a model folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cudnn

from hms_search.data.fft_samples import N_DERIVATIONS, N_FREQUENCIES
from hms_search.data.hms import EEG_WINDOW, ELECTRODES, POWERS, SPECTROGRAM_WINDOW, Kind
from hms_search.data.labels import TaskName
from hms_search.eeg.mirror import flipped
from hms_search.eeg.montage import Flip
from hms_search.eeg.pipelines import FittedPipeline, Inputs
from hms_search.errors import ConfigError, DataError
from hms_search.inference.model_folder import Heads, ModelFolder, load_blend, load_network, open_model
from hms_search.models.device import device_of

Tta = Literal["own", "none", "left_right", "flips"]
"""Test-time augmentation: the model's own, or else."""

Recording = Mapping[Kind, np.ndarray]
"""What is recorded of a patient. Of the competition's task, rounded to float16 as the Store has it, NaN where it is
missing: ``spectrogram``, natural-log power ``[time, 400]``, -inf for power 0; ``eeg``, microvolts ``[10000, 20]``. Of
seizure types, float32: ``fft``, log10 magnitudes ``[samples, 20, 24]`` of derivations and frequencies."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """Class probabilities of some recordings, and those of each part: a model's networks, an ensemble's members."""

    probabilities: Float[np.ndarray, "recordings classes"]
    members: Float[np.ndarray, "members recordings classes"]


class Predictor:
    """The networks of a model folder, loaded; open one with :meth:`open`.

    ``networks`` are a model's, each with its input pipeline, ``members`` the predictors of an ensemble's.
    A model's probabilities are the mean of its networks', an ensemble's the blend of its members'. Networks run in
    evaluation mode and float32, as in validation, without the shorter mantissa that CUDA takes for convolutions.
    """

    def __init__(self, folder: ModelFolder, device: torch.device) -> None:
        self.card, self.device = folder.card, device
        self.members = tuple(Predictor(member, device) for member in folder.members)
        self._blend = None if folder.card.blend is None else load_blend(folder.path, folder.card.blend)
        # channels last: EfficientNet-B1 at 512 x 512 takes 0.6 of the time on a CPU, 0.87 at 128 x 256
        self.networks = tuple(
            (
                load_network(folder.path, network, classes=len(self.classes))
                .to(device)
                .to(memory_format=torch.channels_last),
                network.pipeline,
            )
            for network in folder.card.networks
        )

    @classmethod
    def open(cls, path: Path, *, device: str = "auto") -> "Predictor":
        """Return the predictor of a model, ensemble or bundle folder; raises CheckpointError where it is damaged."""
        return cls(open_model(path), device_of(device))

    @property
    def task(self) -> TaskName:
        """What the networks were trained for."""
        return self.card.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of the probabilities."""
        return self.card.classes

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the networks look at: spectrograms, EEG, or both in an ensemble; FFT samples of seizures."""
        return frozenset(kind for pipeline in self.pipelines for kind in pipeline.config.kinds)

    def check(self, recording: Recording) -> None:
        """Raise DataError unless a recording has all that the networks look at, in shapes that they take."""
        for kind in sorted(self.kinds):
            if kind not in recording:
                raise DataError(f"model {self.card.name} looks at the {kind}, the recording has none")
            _check_shape(kind, recording[kind])
        fixed = not all(pipeline.config.any_length for pipeline in self.pipelines)
        if fixed and len(recording["spectrogram"]) != SPECTROGRAM_WINDOW:
            raise DataError(
                f"expected {SPECTROGRAM_WINDOW} rows of time, found {len(recording['spectrogram'])}: model "
                f"{self.card.name} was trained without pipeline.resize and takes windows of 10 minutes only"
            )

    def predict(self, recordings: Sequence[Recording | np.ndarray], *, tta: Tta = "own") -> Prediction:
        """Return the probabilities of recordings, spectrograms and seizures of any lengths, in their order.

        An array is taken as the one kind of recording that the model looks at. Recordings of one length run together,
        so memory grows with their number; a row's result does not depend on the others (to 1e-6). Raises DataError for
        a recording that :meth:`check` refuses.
        """
        if tta not in get_args(Tta):
            raise ConfigError(f"expected tta to be one of {', '.join(get_args(Tta))}, found {tta!r}")
        heads = self.card.tta if tta == "own" else tta
        named = [self._named(recording) for recording in recordings]
        for recording in named:
            self.check(recording)
        probabilities = np.empty((len(recordings), len(self.classes)))
        members = np.empty((len(self.members) or len(self.networks), *probabilities.shape))
        for rows in _by_length(named):
            with torch.inference_mode(), cudnn.flags(enabled=True, allow_tf32=False):
                plain = {kind: self._batch(kind, [named[row][kind] for row in rows]) for kind in self.kinds}
                members[:, rows] = self._parts([_View(head) for head in _heads(plain, heads)])
            probabilities[rows] = self._combined(members[:, rows])
        return Prediction(probabilities, members)

    def tensors(self, recording: Recording) -> dict[Kind, Tensor]:
        """Return a recording as the pipelines take it: a batch of one on the device of the networks."""
        return {kind: self._batch(kind, [recording[kind]]) for kind in self.kinds}

    @property
    def pipelines(self) -> Iterator[FittedPipeline]:
        """The input pipeline of every network, those of members included."""
        for _, pipeline in self.networks:
            yield pipeline
        for member in self.members:
            yield from member.pipelines

    def _named(self, recording: Recording | np.ndarray) -> Recording:
        if not isinstance(recording, np.ndarray):
            return recording
        if len(self.kinds) > 1:
            kinds = " and ".join(sorted(self.kinds))
            raise DataError(f"model {self.card.name} looks at {kinds}: expected a mapping of both, found one array")
        return dict.fromkeys(self.kinds, recording)

    def _batch(self, kind: Kind, arrays: Sequence[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(arrays).astype(_TYPES[kind], copy=False)).to(self.device)

    def _parts(self, views: "Sequence[_View]") -> Float[np.ndarray, "members batch classes"]:
        if self.members:
            return np.stack([member._combined(member._parts(views)) for member in self.members])
        logits = [[network(view.image(pipeline)) for view in views] for network, pipeline in self.networks]
        mean = [torch.stack(of_a_network).double().softmax(dim=2).mean(dim=0) for of_a_network in logits]
        return torch.stack(mean).cpu().numpy()

    def _combined(self, parts: Float[np.ndarray, "members batch classes"]) -> Float[np.ndarray, "batch classes"]:
        return np.asarray(parts.mean(axis=0)) if self._blend is None else self._blend.apply(parts)


class _View:
    """Recordings as they are or mirrored, and the images made of them: networks of one pipeline share one."""

    def __init__(self, recordings: Mapping[Kind, Tensor]) -> None:
        self._recordings = recordings
        self._images: list[tuple[FittedPipeline, Inputs]] = []

    def image(self, pipeline: FittedPipeline) -> Inputs:
        for known, image in self._images:
            if known == pipeline:
                return image
        self._images.append((pipeline, pipeline.inputs(self._recordings)))
        return self._images[-1][1]


_FLIPS: Mapping[Heads, Sequence[Sequence[Flip]]] = {
    "none": [()],
    "left_right": [(), ("left_right",)],
    "flips": [(), ("left_right",), ("front_back",), ("left_right", "front_back")],
}
_TYPES: Mapping[Kind, type[np.floating]] = {"spectrogram": np.float16, "eeg": np.float16, "fft": np.float32}
"""As the samples that networks are trained on are kept."""
_SHAPES: Mapping[Kind, tuple[str, tuple[int | str, ...]]] = {
    "spectrogram": ("log power", ("time", len(POWERS))),
    "eeg": ("microvolts", (EEG_WINDOW, len(ELECTRODES))),
    "fft": ("log10 magnitudes", ("samples", N_DERIVATIONS, N_FREQUENCIES)),
}
"""What the numbers of a kind are, and their axes: a length, or the name of one that may have any."""


def _check_shape(kind: Kind, recording: np.ndarray) -> None:
    numbers, axes = _SHAPES[kind]
    free = len(recording) if recording.ndim else 0
    if not free or recording.shape != tuple(free if isinstance(axis, str) else axis for axis in axes):
        raise DataError(f"expected {numbers} [{', '.join(map(str, axes))}], found the shape {list(recording.shape)}")


def _heads(recordings: Mapping[Kind, Tensor], heads: Heads) -> Iterator[Mapping[Kind, Tensor]]:
    """Yield the recordings of each head that the mean is taken over."""
    for flips in _FLIPS[heads]:
        head = recordings
        for flip in flips:
            head = flipped(head, flip)
        yield head


def _by_length(recordings: Sequence[Recording]) -> list[list[int]]:
    """Return the rows of recordings of one length; EEG windows all are."""
    rows: dict[tuple[int, ...], list[int]] = {}
    for row, recording in enumerate(recordings):
        rows.setdefault(tuple(len(recording[kind]) for kind in sorted(recording)), []).append(row)
    return list(rows.values())
