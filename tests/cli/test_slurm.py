"""Which study's report ends a search in jobs."""

import optuna
import pytest

from hms_search.cli.slurm import last_round
from hms_search.search.lineage import FIRST_KEY
from hms_search.search.study import StudyConfig

SPACE = {
    "base": {
        "pipeline": {"source": "spectrogram", "normalise": {"name": "instance"}},
        "model": {"name": "timm", "backbone": "test_resnet", "weights": "none"},
        "training": {
            "epochs": 1,
            "batch_size": 8,
            "optimiser": {"name": "adamw", "lr": 1e-3},
            "scheduler": {"name": "cosine"},
        },
    },
    "parameters": {"training.optimiser.lr": {"type": "float", "low": 1e-4, "high": 1e-2}},
}


@pytest.mark.parametrize(
    ("firsts", "last"),
    [
        ({}, "small"),
        ({"small.round2": "small"}, "small.round2"),
        ({"small.round3": "small", "small.round2": "small"}, "small.round3"),
        ({"small.round2": "small", "small.round3": "small", "small.round4": "small"}, "small.round3"),
        ({"small.round2": "another"}, "small"),
    ],
)
def test_the_last_round_that_there_is_has_the_result(firsts: dict[str, str], last: str) -> None:
    config = StudyConfig.model_validate({"name": "small", "rounds": {"count": 3}, "space": {"name": "s", **SPACE}})
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="small", storage=storage)
    for name, first in firsts.items():
        optuna.create_study(study_name=name, storage=storage).set_user_attr(FIRST_KEY, first)
    assert last_round(config, storage) == last
