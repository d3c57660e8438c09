import json
from pathlib import Path

import optuna
import pytest

from hms_search.errors import ConfigError, StudyError
from hms_search.search.contract import Contract, contract_of, open_study
from hms_search.search.rounds import round_name
from hms_search.search.study import read_study
from hms_search.search.study_attributes import CONTRACT_KEY

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies" / "quickstart.yaml"


@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_study_is_valid(file: Path) -> None:
    assert read_study(file).name == file.stem


def test_a_setting_reaches_the_inlined_space() -> None:
    study = read_study(
        ROOT / "studies" / "effnet_b1.yaml",
        ("space.base.pipeline.resize=[128, 256]", "trials=4", "space.parameters.model.dropout.high=0.3"),
    )
    assert study.space.base.pipeline.resize == (128, 256)
    assert study.trials == 4
    assert study.space.parameters["model.dropout"].high == 0.3  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trails=4", "unknown key 'trails'; did you mean 'trials'"),
        ("trials=0", "trials: expected greater than or equal to 1, found 0"),
        ("space.base.pipeline.rezise=[1, 2]", "did you mean 'resize'"),
        ("pruner={name: medain}", "unknown name 'medain'; choose one of hyperband, median"),
        ("pruner={name: threshold}", "threshold needs lower or upper"),
        ("folds.use=[2]", "expected folds 0 to 1"),
        ("device=gpu", "device"),
        ("space.parameters.model.dropout.high=2", "less than 1"),
        ("name=a/b", "name"),
        ("schedule={name: adaptive, keep: 1}", "less than 1"),
        ("pruner=racing", "pruner: expected a mapping, found 'racing'; write {name: racing}"),
        ("pruner={name: patient, wrapped: median}", "pruner.wrapped: expected a mapping, found 'median'; write {name"),
        ("schedule=turns", "found 'turns'; write {name: ...} and choose one of adaptive, interleaved, sequential"),
        ("space.base.pipeline=eeg", "write {source: eeg}"),
        ("patience=20", "patience: expected a mapping, found 20; write {trials: ...}; known: trials, of_noise"),
        ("space.parameters.model.dropout=0.3", "write {type: ...} and choose one of categorical, float, int"),
        ("space.parameters=3", "space.parameters: expected an object, found 3"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_to_write(setting: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_study(STUDY, (setting,))
    assert words in str(caught.value)


def test_cmaes_is_refused_in_a_study_of_choices_alone() -> None:
    choices = "space.parameters={pipeline.gap_fill: {type: categorical, choices: [floor, mean]}}"
    with pytest.raises(ConfigError, match=r"sampler: cmaes needs a float or int parameter, space quickstart has none"):
        read_study(STUDY, (choices, "sampler={name: cmaes}"))


@pytest.mark.parametrize(
    ("schedule", "setting", "words"),
    [
        ("adaptive", "pruner={name: pausing_halving}", "both say who goes on; use schedule interleaved"),
        ("adaptive", "folds.use=[0]", "decides between folds, found one fold in use"),
        (
            "interleaved",
            "sampler={name: curve_gp}",
            "learns from a fold that runs alone; use sampler tpe",
        ),
    ],
)
def test_what_does_not_fit_a_schedule_is_said(schedule: str, setting: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_study(STUDY, (f"schedule={{name: {schedule}}}", setting))


def test_a_study_that_names_no_search_gets_the_usual_one(tmp_path: Path) -> None:
    named = [line for line in STUDY.read_text().splitlines() if not line.startswith(("sampler:", "pruner:"))]
    (tmp_path / "s.yaml").write_text("\n".join(named))
    study = read_study(tmp_path / "s.yaml")
    assert (study.sampler.name, study.pruner.name) == ("curve_gp", "pausing_halving")


def test_a_missing_space_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("name: s\nspace: ../nowhere.yaml\n")
    with pytest.raises(ConfigError, match=r"s.yaml:2: space: no such file: .*nowhere.yaml"):
        read_study(tmp_path / "s.yaml")


@pytest.fixture
def storage(tmp_path: Path) -> optuna.storages.BaseStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'optuna.db'}")


def contract(study_settings: tuple[str, ...] = (), *, data: str = "d", folds: str = "f") -> Contract:
    return contract_of(read_study(STUDY, study_settings), data=data, folds=folds)


def test_a_resumed_study_keeps_its_trials(storage: optuna.storages.BaseStorage) -> None:
    config = read_study(STUDY)
    open_study(config, contract(), storage).enqueue_trial(config.space.baseline())
    assert len(open_study(read_study(STUDY, ("trials=99",)), contract(), storage).trials) == 1


@pytest.mark.parametrize(
    ("settings", "changed", "words"),
    [
        (
            ("space.parameters.model.dropout.high=0.4",),
            {},
            ["another space", "parameters.model.dropout.high: 0.5 -> 0.4"],
        ),
        (
            (
                "space.base.training.swa={start: 1}",
                "space.parameters.training.swa.start={type: int, low: 1, high: 2}",
            ),
            {},
            [
                "another space",
                "base.training.swa.start: null -> 1",
                "parameters.training.swa.start.low: null -> 1",
            ],
        ),
        (("space.base.training.epochs=5",), {}, ["another space", "base.training.epochs: 4 -> 5"]),
        ((), {"data": "other"}, ["another data", "data was d and is now other"]),
        ((), {"folds": "other"}, ["another folds"]),
        (("folds.use=[0]",), {}, ["another folds in use", "was [0, 1] and is now [0]"]),
        (("seed=1",), {}, ["another seed"]),
        (("objective=high",), {}, ["another objective"]),
        (("schedule={name: interleaved}",), {}, ["another order", "order was sequential and is now interleaved"]),
    ],
)
def test_a_study_resumed_with_something_else_is_refused_and_loses_nothing(
    storage: optuna.storages.BaseStorage, settings: tuple[str, ...], changed: dict[str, str], words: list[str]
) -> None:
    config = read_study(STUDY)
    study = open_study(config, contract(), storage)
    study.enqueue_trial(config.space.baseline())
    with pytest.raises(StudyError) as caught:
        open_study(read_study(STUDY, settings), contract(settings, **changed), storage)
    for word in (*words, "--set name=quickstart_2", "Its trials are kept"):
        assert word in str(caught.value)
    assert len(study.trials) == 1


def test_a_study_from_before_there_were_schedules_goes_on_and_only_as_it_was(
    storage: optuna.storages.BaseStorage,
) -> None:
    config = read_study(STUDY)
    study = open_study(config, contract(), storage)
    kept = {name: value for name, value in study.user_attrs[CONTRACT_KEY].items() if name != "order"}
    study.set_user_attr(CONTRACT_KEY, kept)
    open_study(config, contract(), storage)
    adaptive = ("schedule={name: adaptive}",)  # folds one after the other, too
    open_study(read_study(STUDY, adaptive), contract(adaptive), storage)
    named = ("folds.use=[0,1]",)  # all that there are
    open_study(read_study(STUDY, named), contract(named), storage)
    with pytest.raises(StudyError, match="another order"):
        open_study(config, contract(("schedule={name: interleaved}",)), storage)


def test_a_study_of_the_same_name_made_elsewhere_is_refused(storage: optuna.storages.BaseStorage) -> None:
    foreign = optuna.create_study(storage=storage, study_name="quickstart")
    foreign.set_user_attr("mine", True)
    with pytest.raises(StudyError, match="did not make"):
        open_study(read_study(STUDY), contract(), storage)
    backwards = optuna.create_study(storage=storage, study_name="backwards", direction="maximize")
    with pytest.raises(StudyError, match="did not make"):
        open_study(read_study(STUDY, ("name=backwards",)), contract(), storage)
    assert not backwards.user_attrs


@pytest.mark.parametrize(
    "name",
    ["../evil", "a/../../evil", "/evil", "..", ".hidden", "a\\b", "a b", "x'; DROP TABLE studies; --", "$(touch evil)",
     "`touch evil`", "a;b", "<b>", "a\nb", "a\n", ""],
)  # fmt: skip
@pytest.mark.parametrize("place", ["name", "space.name"])
def test_names_are_no_paths_statements_markup_or_commands(place: str, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        read_study(STUDY, (f"{place}={json.dumps(name)}",))


@pytest.mark.parametrize(
    ("given", "sampler", "pruner"),
    [
        ({}, "curve_gp", "pausing_halving"),
        ({"aims": [{"metric": "kl"}, {"metric": "parameters"}]}, "tpe", "none"),
        ({"constraints": [{"metric": "memory_mb", "at_most": 4000}]}, "tpe", "median"),
        ({"schedule": {"name": "interleaved"}}, "tpe", "median"),
        ({"sampler": {"name": "gp"}}, "gp", "median"),
        ({"sampler": {"name": "random"}}, "random", "pausing_halving"),
        ({"schedule": {"name": "adaptive"}}, "curve_gp", "median"),
        ({"schedule": {"name": "adaptive"}, "pruner": {"name": "racing"}}, "curve_gp", "racing"),
    ],
)
def test_a_study_that_names_no_search_gets_one_that_fits(
    given: dict[str, object], sampler: str, pruner: str, tmp_path: Path
) -> None:
    content = {key: value for key, value in read_study(STUDY).to_dict().items() if key not in ("sampler", "pruner")}
    (tmp_path / "s.yaml").write_text(json.dumps({**content, **given}))
    config = read_study(tmp_path / "s.yaml")
    assert (config.sampler.name, config.pruner.name) == (sampler, pruner)


def test_a_study_in_rounds_takes_trials_over_before_it_has_rounds(storage: optuna.storages.BaseStorage) -> None:
    rounds = "rounds={count: 2, trials: 12}"
    study = open_study(read_study(STUDY, (rounds,)), contract((rounds,)), storage)
    trial = study.ask()
    read_study(STUDY).space.suggest(trial)
    study.tell(trial, 0.5)
    wider = (rounds, "space.parameters.model.dropout.high=0.6")
    with pytest.raises(StudyError) as error:
        open_study(read_study(STUDY, wider), contract(wider), storage)
    name = read_study(STUDY).name
    assert f"--set name={name}_2 --set rounds=null --migrate {name} takes over" in str(error.value)
    settings = (*wider, f"name={name}_2", "rounds=null", f"migrate={name}")
    assert read_study(STUDY, settings).migrate == name


def test_a_name_that_would_be_too_long_for_the_last_round_is_refused_as_the_file_is_read() -> None:
    long = f"name={'a' * 113}"
    with pytest.raises(ConfigError, match=r"name: the last of the rounds would be called a+\.round10, of 121 letters"):
        read_study(STUDY, (long, "rounds={count: 10, trials: 5}"))
    config = read_study(STUDY, (long, "rounds={count: 9, trials: 5}"))
    assert config.model_validate({**config.to_dict(), "name": round_name(config.name, 9)})
