"""ExperimentConfig: all that defines an experiment but its data, folds and seed."""

from collections.abc import Mapping
from typing import Self

from pydantic import ValidationInfo

from hms_search.augment import Augmentation, Mixup
from hms_search.component import Component, field_validator, model_validator
from hms_search.eeg.pipeline import SpectrogramPipeline
from hms_search.eeg.pipelines import Pipeline
from hms_search.eeg.shapes import Kind
from hms_search.errors import ConfigError
from hms_search.models import Model, parameter_names
from hms_search.training.config import TrainingConfig
from hms_search.training.parameter_groups import check_prefixes

_RECORDED_AS: Mapping[Kind, str] = {"eeg": "eeg", "spectrogram": "log_power", "fft": "fft"}
"""What augmentations call a kind of recording."""


class ExperimentConfig(Component):
    """All that defines an experiment but its data, folds and seed; what a search space varies.

    ``augmentations`` change training samples at random, one after the other.
    """

    pipeline: Pipeline = SpectrogramPipeline()
    augmentations: tuple[Augmentation, ...] = ()
    model: Model
    training: TrainingConfig = TrainingConfig()

    @field_validator("model")
    @classmethod
    def _takes_its_input(cls, model: Model, info: ValidationInfo) -> Model:
        pipeline: Pipeline | None = info.data.get("pipeline")
        if pipeline is not None:  # else it has faults of its own
            model.check(pipeline.shape)
        return model

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        there = {"image", *(_RECORDED_AS[kind] for kind in self.pipeline.kinds)}
        idle = [one.name for one in self.augmentations if one.p and not there & set(one.acts_on)]
        mixes = any(isinstance(one, Mixup) and one.p for one in self.augmentations)
        if mixes and isinstance(self.pipeline.shape, Mapping):
            raise ValueError("mixup acts on one image, the pipeline keeps two apart; use eeg_mixup or crop_cat")
        if idle:
            raise ValueError(
                f"augmentations {', '.join(idle)} do not act on source {self.pipeline.source}; remove them, or set p: 0"
            )
        if self.training.lr_groups:
            self._check_lr_groups()
        return self

    def _check_lr_groups(self) -> None:
        try:
            check_prefixes(parameter_names(self.model, self.pipeline.shape), self.training.lr_groups)
        except ConfigError as error:
            raise ValueError(str(error)) from None
