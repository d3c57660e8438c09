from pathlib import Path

import optuna
import pytest

from hms_search.document import parse_yaml, read_yaml
from hms_search.search.space import SearchSpace
from hms_search.search.spelling import Spelling

SPACES = Path(__file__).parents[2] / "search_spaces"
TEXT = """\
name: doubles
base:
  pipeline: {source: spectrogram, resize: [32, 48]}
  model: {name: timm, backbone: resnet10t, dropout: 0.1}
  training: {scheduler: {name: cosine}}
parameters:
  model.dropout: {type: float, low: 0.0, high: 0.5, step: 0.1}
  training.batch_size: {type: int, low: 4, high: 16}
  training.scheduler:
    type: categorical
    choices: {plain: {name: cosine}, warm: {name: cosine, warmup_epochs: 1}, same: {name: cosine, warmup_epochs: 0}}
"""


@pytest.mark.parametrize("file", sorted(SPACES.glob("*.yaml")), ids=lambda file: file.stem)
def test_an_experiment_is_the_one_that_would_be_run(file: Path) -> None:
    space = SearchSpace.from_document(read_yaml(file))
    spelling, study = Spelling(space), optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(3):
        trial = study.ask()
        assert space.suggest(trial).to_dict() == spelling.experiment(trial.params)


def test_what_is_one_experiment_is_spelt_one_way() -> None:
    space = SearchSpace.from_document(parse_yaml(TEXT, source="doubles.yaml"))
    spelling, params = Spelling(space), {"model.dropout": 0.3, "training.batch_size": 8, "training.scheduler": "plain"}
    assert spelling.spelt(params) == params
    assert spelling.spelt({**params, "model.dropout": 0.1 + 2 * 0.1, "training.scheduler": "same"}) == params
    assert spelling.spelt({**params, "training.scheduler": "warm"})["training.scheduler"] == "warm"
    assert spelling.name_of("training.scheduler", space.base_value("training.scheduler")) == "plain"
    with pytest.raises(LookupError):
        spelling.name_of("training.scheduler", {"name": "cosine", "warmup_epochs": 2.0})


def test_what_a_space_varies_may_lie_in_a_path_or_around_it() -> None:
    spelling = Spelling(SearchSpace.from_document(parse_yaml(TEXT, source="doubles.yaml")))
    asked = ("training.scheduler.warmup_epochs", "training.scheduler", "training", "model.dropout_rate", "pipeline")
    assert [spelling.varies(path) for path in asked] == [True, True, True, False, False]
