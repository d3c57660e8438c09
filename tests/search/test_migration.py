"""Migration: which trials of a study are trials of a changed space, and what refuses to mix."""

from pathlib import Path
from typing import Any

import optuna
import pytest

from hms_search.document import parse_yaml
from hms_search.errors import ConfigError, StudyError
from hms_search.search.asking import WEIGHTS_KEY
from hms_search.search.contract import contract_of, open_study
from hms_search.search.ledger import Ledger, Surroundings
from hms_search.search.migration import migrate
from hms_search.search.outcomes import CARRIED_KEY, PARAMS_KEY
from hms_search.search.racing import Ground
from hms_search.search.recorded import recorded_study
from hms_search.search.study import StudyConfig, read_study, study_from_document
from hms_search.tracking import MemoryTracker

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
DROPOUT, LR = "model.dropout", "training.optimiser.lr"
NEXT = ("name=next", "migrate=quickstart")


def opened(settings: tuple[str, ...], storage: optuna.storages.BaseStorage) -> tuple[StudyConfig, optuna.Study]:
    config = read_study(QUICKSTART, settings)
    return config, open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)


@pytest.fixture
def storage() -> optuna.storages.BaseStorage:
    """Eight trials of the quickstart, the base first; the last two pruned and failed."""
    storage = optuna.storages.InMemoryStorage()
    config, study = opened((), storage)
    study.enqueue_trial(config.space.baseline(), user_attrs={"baseline": True})
    for number in range(8):
        trial = study.ask()
        config.space.suggest(trial)
        trial.report(0.9, 0)
        state = {6: optuna.trial.TrialState.PRUNED, 7: optuna.trial.TrialState.FAIL}.get(number)
        trial.set_user_attr("outcome", {6: "pruned", 7: "failed"}.get(number, "complete"))
        study.tell(trial, None if state else 0.9 - 0.01 * number, state=state)
    study.set_user_attr(WEIGHTS_KEY, {"resnet10t": "none"})
    return storage


def taken_over(settings: tuple[str, ...], storage: optuna.storages.BaseStorage) -> tuple[StudyConfig, optuna.Study]:
    config, study = opened((*NEXT, *settings), storage)
    migrate(config, contract_of(config, data="d" * 12, folds="f" * 12), study)
    return config, study


def origins(study: optuna.Study) -> list[str]:
    return [trial.user_attrs[CARRIED_KEY] for trial in study.trials]


def test_a_widened_space_takes_all_finished_trials_over_and_a_second_time_none(storage: Any) -> None:
    config, study = taken_over((f"space.parameters.{LR}.high=0.1",), storage)
    assert origins(study) == [f"quickstart#{number}" for number in range(7)]  # not the one that failed
    assert [trial.distributions[LR].high for trial in study.trials] == [0.1] * 7  # type: ignore[attr-defined]
    assert study.trials[0].user_attrs["baseline"]
    assert study.user_attrs[WEIGHTS_KEY] == {"resnet10t": "none"}
    again = migrate(config, contract_of(config, data="d" * 12, folds="f" * 12), study)
    assert (again.added, again.taken_over) == (0, 7)


def test_a_narrowed_space_takes_over_what_lies_in_it(storage: Any) -> None:
    _, study = taken_over((f"space.parameters.{DROPOUT}.high=0.25",), storage)
    there = optuna.load_study(study_name="quickstart", storage=storage).trials[:7]
    assert origins(study) == [f"quickstart#{one.number}" for one in there if one.params[DROPOUT] <= 0.25]
    assert 0 < len(study.trials) < 7


def test_a_choice_or_a_parameter_may_be_added(storage: Any) -> None:
    choices = "{cosine: {name: cosine}, one_cycle: {name: one_cycle}, constant: {name: constant}}"
    added = (
        f"space.parameters.training.scheduler.choices={choices}",
        "space.parameters.training.optimiser.weight_decay={type: float, low: 0.001, high: 0.1}",
    )
    _, study = taken_over(added, storage)
    assert len(study.trials) == 7
    assert {trial.params["training.optimiser.weight_decay"] for trial in study.trials} == {0.01}  # the base's
    assert all("training.optimiser.weight_decay" not in trial.user_attrs[PARAMS_KEY] for trial in study.trials)


@pytest.mark.parametrize("fixed", ["plain", "warm"])
def test_where_a_choice_says_less_than_another_the_trials_of_the_one_that_is_fixed_now_are_taken_over(
    fixed: str,
) -> None:
    path, becomes = "training.scheduler", {"plain": 0.0, "warm": 3.0}
    choices = "{plain: {name: cosine}, warm: {name: cosine, warmup_epochs: 3}}"
    storage = optuna.storages.InMemoryStorage()
    config, study = opened((f"space.parameters.{path}={{type: categorical, choices: {choices}}}",), storage)
    for name in ("plain", "warm", "warm"):
        study.enqueue_trial({path: name})
        trial = study.ask()
        warmup = config.space.suggest(trial).training.scheduler.warmup_epochs
        trial.set_user_attr("warmup", warmup)
        study.tell(trial, 0.5)
    document = parse_yaml(QUICKSTART.read_text(), source="quickstart.yaml").with_setting("name=next")
    del document.content["space"]["parameters"][path]
    settings = ("migrate=quickstart", f"space.base.{path}={{name: cosine, warmup_epochs: {becomes[fixed]}}}")
    for setting in settings:
        document = document.with_setting(setting)
    changed = study_from_document(document)
    contract = contract_of(changed, data="d" * 12, folds="f" * 12)
    following = open_study(changed, contract, storage)
    migrate(changed, contract, following)
    assert [one.user_attrs["warmup"] for one in following.trials] == [becomes[fixed]] * (1 + (fixed == "warm"))


def surroundings(tmp_path: Path) -> Surroundings:
    return Surroundings(MemoryTracker(), "study", {}, tmp_path, tmp_path, Ground((), ()))


def test_the_baseline_is_run_again_only_where_it_is_another(storage: Any, tmp_path: Path) -> None:
    same, study = taken_over((f"space.parameters.{LR}.high=0.1",), storage)
    Ledger(same, study, surroundings(tmp_path)).begin()
    assert not study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    other, study = taken_over(("name=third", f"space.base.{DROPOUT}=0.3"), storage)
    Ledger(other, study, surroundings(tmp_path)).begin()
    (queued,) = study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    assert queued.user_attrs["baseline"]
    assert sum(bool(trial.user_attrs.get("baseline")) for trial in study.trials) == 1
    Ledger(other, study, surroundings(tmp_path)).begin()
    assert len(study.get_trials(states=(optuna.trial.TrialState.WAITING,))) == 1


def test_a_trial_that_was_taken_over_is_recorded_as_it_was_run(storage: Any) -> None:
    taken_over((f"space.parameters.{LR}.high=0.1",), storage)
    record, before = recorded_study(storage, "next"), recorded_study(storage, "quickstart")
    for number in range(7):
        assert record.trial(number).config == before.trial(number).config
        assert record.trial(number).seed == before.trial(number).seed
    assert record.baseline.label == "quickstart-trial0"


def test_a_changed_contract_names_what_takes_its_trials_over(storage: Any) -> None:
    with pytest.raises(
        StudyError, match="--set name=quickstart_2 --migrate quickstart takes over the 7 of its 8 trials"
    ):
        opened((f"space.parameters.{LR}.high=0.1",), storage)
    with pytest.raises(StudyError, match="--migrate quickstart takes over the 7 of its 8 trials"):
        opened((f"space.base.{LR}=0.002",), storage)  # another trial 0 in the same ranges
    with pytest.raises(StudyError) as caught:
        opened((f"space.parameters.{LR}.high=0.1", "seed=3"), storage)
    assert "--migrate" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("space.base.training.epochs=9",), "were other experiments: base.training.epochs: 4 -> 9"),
        (("seed=3",), "seed of study 'quickstart' was 0 and is now 3"),
        (("objective=high",), "objective of study 'quickstart' was all and is now high"),
        (
            (f"space.parameters.{LR}={{type: float, low: 0.02, high: 0.1}}", f"space.base.{LR}=0.05"),
            "none of the 8 trials of study 'quickstart' lies in space quickstart",
        ),
        (("migrate=other",), "no study 'other'; there are: next, quickstart"),
    ],
)
def test_what_does_not_compare_is_not_taken_over(storage: Any, settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(StudyError, match=words.replace("(", r"\(")):
        taken_over(settings, storage)


def test_other_recordings_are_refused(storage: Any) -> None:
    config = read_study(QUICKSTART, NEXT)
    contract = contract_of(config, data="e" * 12, folds="f" * 12)
    with pytest.raises(StudyError, match="data of study 'quickstart' was dddddddddddd and is now eeeeeeeeeeee"):
        migrate(config, contract, open_study(config, contract, storage))


@pytest.mark.parametrize(
    ("settings", "words"),
    [(("migrate=quickstart",), "cannot take over its own trials"), ((*NEXT, "rounds={count: 2}"), "carries its own")],
)
def test_what_makes_no_sense_with_migration_is_refused(settings: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read_study(QUICKSTART, settings)


def test_what_was_answered_from_the_record_has_the_seed_that_made_its_value(storage: Any) -> None:
    study = optuna.load_study(study_name="quickstart", storage=storage)
    first = next(trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE)
    study.enqueue_trial(first.params)
    again = study.ask(dict(first.distributions))
    again.set_user_attr("same_as", first.number)
    study.tell(again, first.value)
    record = recorded_study(storage, "quickstart")
    assert record.trial(again.number).seed == record.trial(first.number).seed
    assert record.trial(again.number).label == f"quickstart-trial{again.number}"
