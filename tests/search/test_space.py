from pathlib import Path

import optuna
import pytest

from hms_search.document import Document, parse_yaml, read_yaml
from hms_search.errors import ConfigError
from hms_search.experiment import ExperimentConfig
from hms_search.search.space import Float, Int, SearchSpace, on_grid, placed

SPACES = Path(__file__).parents[2] / "search_spaces"
TEXT = """\
name: small
base:
  pipeline: {source: spectrogram, clip_log: {low: -6, high: 10}, resize: [32, 64]}
  model: {name: timm, backbone: resnet18, dropout: 0.1}
  training: {optimiser: {name: adamw, lr: 1.0e-3}, scheduler: {name: cosine}}
parameters:
  pipeline.clip_log.high: {type: float, low: 6, high: 12}
  pipeline.clip_log.low: {type: float, low: -10, high: -2}
  model.dropout: {type: float, low: 0.0, high: 0.5}
  training.batch_size: {type: int, low: 8, high: 32, log: true}
  training.optimiser.lr: {type: float, low: 1e-4, high: 3e-3, log: true}
  training.scheduler: {type: categorical, choices: {cosine: {name: cosine}, step: {name: step}}}
  pipeline.gap_fill: {type: categorical, choices: [floor, mean]}
"""


def document() -> Document:
    return parse_yaml(TEXT, source="small.yaml")


def fault(setting: str) -> str:
    with pytest.raises(ConfigError) as caught:
        SearchSpace.from_document(document().with_setting(setting))
    return str(caught.value)


@pytest.mark.parametrize("file", sorted(SPACES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_space_is_valid(file: Path) -> None:
    SearchSpace.from_document(read_yaml(file))


def test_the_baseline_names_the_base_itself() -> None:
    space = SearchSpace.from_document(document())
    suggested = space.suggest(optuna.trial.FixedTrial(space.baseline()))
    assert suggested == space.base
    assert space.baseline()["training.scheduler"] == "cosine"


def test_every_suggestion_differs_from_the_base_only_on_the_searched_paths() -> None:
    space = SearchSpace.from_document(document())
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(25):
        trial = study.ask()
        config = space.suggest(trial)
        assert isinstance(config, ExperimentConfig)
        assert 6 <= config.pipeline.clip_log.high <= 12
        assert 8 <= config.training.batch_size <= 32
        assert config.training.scheduler.name == trial.params["training.scheduler"]
        assert config.model_copy(update={"pipeline": space.base.pipeline}).model.backbone == "resnet18"
        assert set(trial.params) == set(space.parameters)


def test_the_fingerprint_names_the_content_and_not_the_spelling() -> None:
    space = SearchSpace.from_document(document())
    respelt = SearchSpace.from_document(parse_yaml(TEXT.replace("1.0e-3", "0.001"), source="other.yaml"))
    other = SearchSpace.from_document(document().with_setting("parameters.model.dropout.high=0.4"))
    assert space.fingerprint() == respelt.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("parameters.model.droput={type: float, low: 0, high: 0.1}", ["no such path", "did you mean 'model.dropout'"]),
        (
            "parameters.training.optimizer.lr={type: float, low: 0, high: 0.1}",
            ["no such path", "training.optimiser.lr"],
        ),
        ("parameters.model.dropout.high=1.5", ["dropout", "less than 1", "1.5"]),
        ("parameters.model.dropout.low=0.9", ["low 0.9 is above high 0.5"]),
        ("parameters.training.optimiser.lr.low=0", ["log: true needs low above 0"]),
        ("parameters.training.optimiser.lr.step=1", ["log and step exclude each other"]),
        ("parameters.pipeline.clip_log.low.high=11", ["low must be below high", "11"]),
        ("parameters.training.scheduler.choices.bad={name: cosin}", ["cosin", "cosine"]),
        ("parameters.model.dropout.type=flaot", ["flaot", "categorical, float, int"]),
        ("parameters.model.dropout.low='0.1'", ["expected a valid number", "'0.1'"]),
        ("parameters.model.dropout={type: float, low: 0.2, high: 0.5}", ["0.1, outside [0.2, 0.5]", "trial 0"]),
        (
            "parameters.training.batch_size={type: int, low: 6, high: 30, step: 8}",
            ["16, at no step of 8 from 6 (nearest: 14, 22)", "or change the base", "trial 0"],
        ),
        (
            "parameters.model.dropout={type: float, low: 0.0, high: 0.13, step: 0.08}",
            ["0.1, at no step of 0.08 from 0.0 (nearest: 0.08);"],
        ),
        (
            "parameters.training.optimiser.weight_decay={type: int, low: 0, high: 1}",
            ["0.01, no whole number; write type: float", "trial 0"],
        ),
        ("parameters.pipeline.gap_fill.choices=[mean]", ["none of the choices", "trial 0"]),
        ("parameters.training.scheduler.eta_min={type: float, low: 0, high: 1}", ["training.scheduler.eta_min"]),
        ("base.training.optimizer={name: sgd}", ["unknown key 'optimizer'", "did you mean 'optimiser'"]),
        ("base.training.epochs=2.5", ["valid integer", "2.5"]),
    ],
)
def test_a_fault_is_found_on_loading_and_says_what_to_write(setting: str, words: list[str]) -> None:
    message = fault(setting)
    for word in words:
        assert word in message


def test_a_base_at_a_step_is_found_whatever_the_arithmetic_of_floats() -> None:
    written = document().with_setting("parameters.model.dropout={type: float, low: 0.1, high: 0.3, step: 0.05}")
    for value in (0.1, 0.15, 0.3, 0.1 + 4 * 0.05, 0.1 + 0.2):
        space = SearchSpace.from_document(written.with_setting(f"base.model.dropout={value!r}"))
        assert space.baseline()["model.dropout"] == round(value, 2)  # named by its step
    off = space.to_dict() | {"base": space.config({"model.dropout": 0.17}).to_dict()}
    assert SearchSpace.model_validate(off).base.model.dropout == 0.17  # one that was stored is read all the same


def test_whole_numbers_of_a_field_of_real_ones_are_searched() -> None:
    path = "pipeline.clip_log.high"
    space = SearchSpace.from_document(document().with_setting(f"parameters.{path}={{type: int, low: 5, high: 15}}"))
    assert space.base_value(path) == 10.0
    assert repr(space.baseline()[path]) == "10"
    assert space.suggest(optuna.trial.FixedTrial(space.baseline())) == space.base
    assert [space.parameters[path].contains(value) for value in (10.0, 10.5, 16.0)] == [True, False, False]  # type: ignore[union-attr]


def test_a_choice_is_known_by_what_it_becomes() -> None:
    path = "training.scheduler"
    choices = "{plain: {name: cosine}, warm: {name: cosine, warmup_epochs: 1}}"
    space = SearchSpace.from_document(
        document().with_setting(f"parameters.{path}={{type: categorical, choices: {choices}}}")
    )
    plain, warm = space.base_value(path), {"name": "cosine", "warmup_epochs": 1.0}
    assert [space.name_of(path, value) for value in (plain, warm)] == ["plain", "warm"]
    for none_of_them in ({"name": "cosine", "warmup_epochs": 0.5}, {"name": "step"}, {"name": "no such"}, "warm"):
        with pytest.raises(LookupError):
            space.name_of(path, none_of_them)


def test_the_last_value_of_a_range_is_at_a_step() -> None:
    whole = Int(type="int", low=16, high=100, step=32)
    tenths = Float(type="float", low=0.1, high=0.55, step=0.1)
    assert (whole.last, whole.distribution.high) == (80, 80)
    assert (tenths.last, tenths.distribution.high) == (0.5, 0.5)


def test_a_number_is_put_at_its_step_only_where_it_is_beside_it() -> None:
    tenths = Float(type="float", low=0.1, high=0.5, step=0.1).distribution
    assert placed(tenths, 0.1 + 2 * 0.1) == 0.3
    assert placed(tenths, 0.34) == 0.34
    assert on_grid({"a": 0.1 + 2 * 0.1, "gone": "x"}, {"a": tenths}) == {"a": 0.3, "gone": "x"}


def test_bounds_that_only_clash_in_pairs_are_found() -> None:
    text = TEXT.replace("low: -10, high: -2", "low: -10, high: 8")
    with pytest.raises(ConfigError, match=r"clip_log.high low with .*clip_log.low high|low must be below high"):
        SearchSpace.from_document(parse_yaml(text, source="small.yaml"))


def test_all_faults_are_reported_at_once_each_with_file_and_line() -> None:
    text = (
        TEXT.replace("dropout: 0.1", "droput: 0.1")
        .replace("resize: [32, 64]", "resize: 32")
        .replace("lr: 1.0e-3", "lr: x")
    )
    with pytest.raises(ConfigError) as caught:
        SearchSpace.from_document(parse_yaml(text, source="small.yaml"))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["small.yaml:3", "small.yaml:4", "small.yaml:5"]


def test_searching_a_component_and_a_path_inside_it_is_an_error() -> None:
    text = TEXT + "  training.scheduler.warmup_epochs: {type: int, low: 0, high: 1}\n"
    with pytest.raises(ConfigError) as caught:
        SearchSpace.from_document(parse_yaml(text, source="small.yaml"))
    message = str(caught.value)
    assert message.startswith("small.yaml:14: ")
    assert "lies inside parameters.training.scheduler" in message
    assert "search one of the two" in message


def test_the_entries_of_a_list_are_searched_by_their_place() -> None:
    written = document().with_setting("parameters.training.optimiser.betas.0={type: float, low: 0.4, high: 0.95}")
    space = SearchSpace.from_document(written)
    assert space.baseline()["training.optimiser.betas.0"] == 0.5
    suggested = space.config({"training.optimiser.betas.0": 0.9})
    assert suggested.training.optimiser.betas == (0.9, 0.999)  # type: ignore[union-attr]
    assert space.base.training.optimiser.betas == (0.5, 0.999)  # type: ignore[union-attr]
    assert "betas.0 high" in fault("parameters.training.optimiser.betas.0={type: float, low: 0.4, high: 1.5}")
    assert "no such path in base" in fault("parameters.training.optimiser.betas.2={type: float, low: 0.4, high: 0.5}")


def test_averages_accumulation_and_rates_of_groups_are_searched() -> None:
    written = document()
    for setting in (
        "base.training.ema={decay: 0.99}",
        "base.training.lr_groups=[{prefix: fc., factor: 10}]",
        "parameters.training.ema.decay={type: float, low: 0.9, high: 0.999}",
        "parameters.training.accumulate={type: int, low: 1, high: 4}",
        "parameters.training.lr_groups.0.factor={type: float, low: 1, high: 100, log: true}",
        "parameters.training.weight_decay_on={type: categorical, choices: [all, weights]}",
        "parameters.training.swa={type: categorical, choices: {none: null}}",
    ):
        written = written.with_setting(setting)
    space = SearchSpace.from_document(written)
    values = {"training.ema.decay": 0.9, "training.accumulate": 4, "training.lr_groups.0.factor": 2.5}
    suggested = space.config(values).training
    assert suggested.ema is not None
    assert (suggested.ema.decay, suggested.accumulate, suggested.lr_groups[0].factor) == (0.9, 4, 2.5)
    either = "parameters.training.swa={type: categorical, choices: {none: null, mean: {start: 1}}}"
    with pytest.raises(ConfigError, match=r"choice 'mean': .*ema and swa both average the weights"):
        SearchSpace.from_document(written.with_setting(either))


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("training.epochs", "{type: int, low: 2, high: 4}"),
        ("pipeline.source", "{type: categorical, choices: [spectrogram]}"),
        ("pipeline", "{type: categorical, choices: {one: {source: spectrogram}, two: {source: eeg}}}"),
    ],
)
def test_what_all_trials_share_cannot_be_searched(path: str, parameter: str) -> None:
    found = fault(f"parameters={{{path}: {parameter}}}")
    assert f"parameters.{path}: cannot be searched: " in found
