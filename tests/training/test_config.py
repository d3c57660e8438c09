"""A training configuration in which every option is used, as written in a search space."""

import json

import pytest

from hms_search.document import dump_yaml, parse_yaml
from hms_search.errors import ConfigError
from hms_search.training.config import TrainingConfig
from hms_search.training.schedulers import Constant
from hms_search.training.weights import LinearVotes, LogVotes

EVERYTHING = """
epochs: 16
accumulate: 2
optimiser: {name: adamw, lr: 1.0e-4}
lr_groups: [{prefix: image., factor: 0.1}, {prefix: classifier, factor: 10}]
weight_decay_on: weights
stages:
  - {epochs: 2, rows: low, lr: 1.0e-5, scheduler: {name: constant}, weights: {name: linear, divisor: 20}}
  - {rows: high, min_votes: 12, fresh_optimiser: true}
sampler: balanced
weights: {name: votes}
label_smoothing: 0.05
ema: {decay: 0.99, warmup: false}
noisy_student: {oof: mlruns/teachers/effnet, probability: 0.15}
pseudo_labels: {oof: mlruns/models/x/oof.parquet, weight: 0.9, optimistic: true}
"""


def read(text: str) -> TrainingConfig:
    return TrainingConfig.from_document(parse_yaml(text, source="space.yaml"))


def test_every_option_is_read_from_yaml_and_survives_the_way_back() -> None:
    config = read(EVERYTHING)
    assert [span.epochs for span in config.spans] == [2, 14]
    assert config.stages[0].scheduler == Constant()
    assert (config.stages[0].weights, config.weights) == (LinearVotes(), LogVotes())
    assert config.optimistic
    restored = read(dump_yaml(config.to_dict()))
    assert restored == config
    assert hash(restored) == hash(config)
    assert restored.fingerprint() == config.fingerprint()
    assert json.loads(json.dumps(config.to_dict())) == config.to_dict()


@pytest.mark.parametrize(
    ("written", "wrong", "said"),
    [
        ("rows: low", "rows: few", "'all', 'high' or 'low'"),
        ("rows: low", "row: low", "did you mean 'rows'?"),
        ("{epochs: 2, rows: low", "{epochs: 17, rows: low", "found 17 and one open with epochs 16"),
        ("accumulate: 2", "accumulate: 0", "greater than or equal to 1"),
        ("weight_decay_on: weights", "weight_decay_on: biases", "'all' or 'weights'"),
        ("factor: 10", "factor: 0", "greater than 0"),
        ("prefix: image.", "prefix: classifier", "found classifier again"),
        ("decay: 0.99", "decay: 1", "less than 1"),
        ("ema: {decay: 0.99, warmup: false}", "swa: {start: 16}", "must be below epochs, found 16 with epochs 16"),
        ("ema: {decay: 0.99", "swa: {start: 12}\nema: {decay: 0.99", "expected one of them, found both"),
        ("sampler: balanced", "sampler: balance", "'none' or 'balanced'"),
        ("label_smoothing: 0.05", "label_smoothing: 1.0", "less than 1"),
        ("probability: 0.15", "probability: 0", "greater than 0"),
        ("weight: 0.9", "weight: 1.5", "less than or equal to 1"),
        ("weights: {name: votes}", "weights: {name: vote}", "choose one of linear, low, none, ranges, votes"),
    ],
)
def test_a_fault_is_named_with_its_line(written: str, wrong: str, said: str) -> None:
    assert EVERYTHING.count(written) == 1
    with pytest.raises(ConfigError, match=r"space\.yaml:") as error:
        read(EVERYTHING.replace(written, wrong))
    assert said in str(error.value)
