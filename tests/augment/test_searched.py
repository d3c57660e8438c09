"""Augmentations as a search space has them: all that the sources name, each with its probability."""

from typing import get_args

import optuna
import pytest

from hms_search.augment import Augmentation
from hms_search.document import parse_yaml
from hms_search.errors import ConfigError
from hms_search.search.space import SearchSpace

NAMED_BY_THE_SOURCES = {
    *("left_right_flip", "front_back_flip", "crop_cat", "mixup", "head_scale", "edge_noise", "xy_masking"),
    *("coarse_dropout", "frequency_dropout", "time_resample", "time_reversal", "plane_drop", "electrode_drop"),
    *("narrow_band_pass", "window_shift", "edge_dropout", "blur", "polarity_inversion", "time_cutout"),
}
MEMBERS = [member() for member in get_args(get_args(Augmentation)[0])]


def space(member: str, source: str) -> SearchSpace:
    text = f"""
name: augmented
base:
  pipeline: {{source: {source}, resize: [32, 64]}}
  augmentations: [{{name: {member}}}]
  model: {{name: timm, backbone: test_resnet}}
parameters:
  augmentations.0.p: {{type: float, low: 0.0, high: 1.0}}
"""
    return SearchSpace.from_document(parse_yaml(text, source="augmented.yaml"))


def test_every_augmentation_that_the_sources_name_is_there() -> None:
    assert {member.name for member in MEMBERS} >= NAMED_BY_THE_SOURCES


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member.name)
def test_every_augmentation_is_searched_with_its_probability(member: Augmentation) -> None:
    source = "spectrogram" if member.acts_on == ("log_power",) else "eeg"
    searched = space(member.name, source)
    assert searched.baseline() == {"augmentations.0.p": member.p}
    config = searched.suggest(optuna.trial.FixedTrial({"augmentations.0.p": 0.25}))
    assert config.augmentations == (member.model_copy(update={"p": 0.25}),)


def test_an_augmentation_of_what_is_not_looked_at_is_refused_before_the_first_trial() -> None:
    with pytest.raises(ConfigError, match="time_cutout do not act on source spectrogram"):
        space("time_cutout", "spectrogram")
