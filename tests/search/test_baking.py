import re

import pytest

from hms_search.search.baking import check_baked
from hms_search.search.space import SearchSpace

LR = {"training.optimiser.lr": {"type": "float", "low": 1e-4, "high": 1e-2}}
CHOICES = {"type": "categorical", "choices": {"a": {"name": "none"}, "b": {"name": "instance"}}}


def space(pipeline: dict[str, object], *, augmentations: tuple[str, ...] = (), **parameters: object) -> SearchSpace:
    base = {
        "pipeline": pipeline,
        "model": {"name": "timm", "backbone": "test_resnet"},
        "augmentations": [{"name": name} for name in augmentations],
    }
    return SearchSpace.model_validate({"name": "baked", "base": base, "parameters": {**LR, **parameters}})


@pytest.mark.parametrize(
    ("pipeline", "path"),
    [
        ({"source": "eeg"}, "pipeline.normalise"),
        (
            {"source": "both", "join": "channels", "resize": [8, 8], "spectrogram": {"width": 9, "resize": [512, 256]}},
            "pipeline.eeg.normalise",
        ),
        (
            {"source": "both", "join": "channels", "resize": [8, 8], "spectrogram": {"width": 9, "resize": [512, 256]}},
            "pipeline.spectrogram.normalise",
        ),
    ],
)
def test_what_comes_after_the_representation_may_vary(pipeline: dict[str, object], path: str) -> None:
    check_baked(space(pipeline, **{path: CHOICES}))


NUMBER = {"type": "float", "low": 1, "high": 500}


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (space({"source": "spectrogram"}), "found pipeline.source spectrogram; set data.baked: false"),
        (
            space({"source": "eeg", "clip_uv": 9}, **{"pipeline.clip_uv": NUMBER, "pipeline.scale_uv": NUMBER}),
            "the space varies pipeline.clip_uv, pipeline.scale_uv",
        ),
        (
            space({"source": "eeg"}, augmentations=("left_right_flip", "xy_masking")),
            "no signals left for left_right_flip to act on",
        ),
    ],
)
def test_a_space_that_varies_the_signals_or_has_none_is_refused(refused: SearchSpace, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_baked(refused)
