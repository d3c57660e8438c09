"""Rounds: the next space and the trials it starts with follow from the record alone."""

import math
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from hms_search.document import parse_yaml
from hms_search.errors import ConfigError, StudyError
from hms_search.search.asking import WEIGHTS_KEY
from hms_search.search.carrying import carried, fits
from hms_search.search.contract import contract_of, open_study
from hms_search.search.draws import Places
from hms_search.search.evidence import evidence_of
from hms_search.search.narrowing import Narrow, narrow
from hms_search.search.outcomes import CARRIED_KEY, OUTCOME_KEY, PARAMS_KEY, RETRY_KEY, place_of
from hms_search.search.round_studies import RoundStudy, round_study
from hms_search.search.rounds import PlayedRound, Round, next_round, round_name
from hms_search.search.space import Categorical, Float, SearchSpace
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.study_attributes import stored_config
from hms_search.search.warm_start import known_configurations

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
LR, DROPOUT, SCHEDULER = "training.optimiser.lr", "model.dropout", "training.scheduler"
TEXT = """\
name: small
base:
  pipeline: {source: spectrogram, resize: [32, 64]}
  model: {name: timm, backbone: resnet18, dropout: 0.1}
  training: {epochs: 2, optimiser: {name: adamw, lr: 5.0e-4}, scheduler: {name: cosine}}
parameters:
  training.optimiser.lr: {type: float, low: 1e-4, high: 1e-3, log: true}
  model.dropout: {type: float, low: 0.0, high: 0.5}
  training.scheduler:
    type: categorical
    choices: {cosine: {name: cosine}, step: {name: step}, constant: {name: constant}}
"""
SPACE = SearchSpace.from_document(parse_yaml(TEXT, source="small.yaml"))
FOR_EVER = Narrow(freeze=1)


def loss(trial: optuna.Trial) -> float:
    """Best at a rate of 2.5e-3; the step schedule is bad."""
    rate = trial.params.get(LR, 5e-4)
    return math.log(rate / 2.5e-3) ** 2 + trial.params.get(DROPOUT, 0) + 2 * (trial.params.get(SCHEDULER) == "step")


def play(
    name: str, space: SearchSpace, storage: optuna.storages.BaseStorage, start: Round | None = None
) -> PlayedRound:
    """Run a round of 20 trials, seeded with what it starts with; every fifth trial is pruned."""
    sampler = optuna.samplers.TPESampler(seed=len(name))
    study = optuna.create_study(study_name=name, storage=storage, sampler=sampler)
    if start is not None:
        study.add_trials(start.carried)
    for number in range(20):
        trial = study.ask()
        space.suggest(trial)
        if number % 5 == 4:
            trial.report(9.0, 0)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, loss(trial))
    return PlayedRound(name, space, tuple(study.get_trials()))


@pytest.fixture
def played() -> tuple[PlayedRound, PlayedRound, Round]:
    """Two rounds, and the second as it was planned."""
    storage = optuna.storages.InMemoryStorage()
    first = play("small", SPACE, storage)
    second = next_round([first], FOR_EVER)
    return first, play(second.study, second.space, storage, second), second


def test_rounds_go_on_where_the_last_one_ended(played: tuple[PlayedRound, PlayedRound, Round]) -> None:
    first, second, planned = played
    third = next_round([first, second], FOR_EVER)
    assert [planned.number, planned.study, third.number, third.study] == [2, "small.round2", 3, "small.round3"]
    assert third.study == round_name("small", 3)
    assert min(values(third.carried)) == min(values((*first.own, *second.own)))
    origins = {trial.user_attrs[CARRIED_KEY].partition("#")[0] for trial in third.carried}
    assert "small.round2" in origins
    assert origins <= {"small", "small.round2"}


def values(trials: tuple[FrozenTrial, ...]) -> list[float]:
    return [trial.value for trial in trials if trial.value is not None]


def test_a_carried_trial_is_a_trial_of_the_new_space(played: tuple[PlayedRound, PlayedRound, Round]) -> None:
    first, _, planned = played
    distributions = {path: parameter.distribution for path, parameter in planned.space.parameters.items()}
    assert planned.carried
    for trial in planned.carried:
        assert trial.distributions == distributions
        original = first.trials[int(trial.user_attrs[CARRIED_KEY].partition("#")[2])]
        assert trial.user_attrs[PARAMS_KEY] == original.params
        assert (trial.state, trial.value) == (original.state, original.value)
        assert trial.intermediate_values == original.intermediate_values
    outside = [trial for trial in first.trials if not fits(trial.params, planned.space)]
    assert len(outside) + len(planned.carried) == len(first.trials)


def test_a_trial_of_a_dropped_choice_is_left_behind() -> None:
    fewer = SPACE.model_copy(
        update={
            "parameters": {
                **SPACE.parameters,
                SCHEDULER: SPACE.parameters[SCHEDULER].model_copy(update={"choices": {"cosine": {"name": "cosine"}}}),
            }
        }
    )
    first = play("small", SPACE, optuna.storages.InMemoryStorage())
    taken = carried(first.own, fewer, study="small")
    assert taken
    assert {trial.params[SCHEDULER] for trial in taken} == {"cosine"}


def test_a_frozen_parameter_does_not_keep_a_trial_back() -> None:
    without = SPACE.model_copy(update={"parameters": {LR: SPACE.parameters[LR]}})
    first = play("small", SPACE, optuna.storages.InMemoryStorage())
    taken = carried(first.own, without, study="small")
    assert len(taken) == len(first.own)
    assert all(set(trial.params) == {LR} and DROPOUT in trial.user_attrs[PARAMS_KEY] for trial in taken)


def test_a_round_is_the_same_after_a_kill_wherever_it_hit(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'optuna.db'}"
    storage = open_storage(url)
    first = play("small", SPACE, storage)
    before = next_round([first], FOR_EVER, seed=3)
    study = optuna.create_study(study_name=before.study, storage=storage)
    study.add_trials(before.carried[:2])  # killed while it was seeded
    close_storage(storage)

    reopened = open_storage(url)
    read = PlayedRound("small", SPACE, tuple(optuna.load_study(study_name="small", storage=reopened).get_trials()))
    after = next_round([read], FOR_EVER, seed=3)
    assert (after.space, after.changes) == (before.space, before.changes)
    second = optuna.load_study(study_name=before.study, storage=reopened)
    missing = after.missing(second.get_trials())
    assert len(missing) == len(after.carried) - 2
    second.add_trials(missing)
    assert after.missing(second.get_trials()) == ()
    close_storage(reopened)


def test_what_a_round_was_seeded_with_follows_from_the_rounds_before(
    played: tuple[PlayedRound, PlayedRound, Round],
) -> None:
    first, second, _ = played
    half_seeded = PlayedRound(second.study, second.space, second.own)
    assert next_round([first, half_seeded], FOR_EVER) == next_round([first, second], FOR_EVER)


@pytest.mark.parametrize("seed", range(20))
def test_trials_on_a_grid_of_tenths_and_twentieths_are_carried_into_the_narrowed_grid(seed: int) -> None:
    document = parse_yaml(TEXT, source="small.yaml").with_setting(
        "parameters.model.dropout={type: float, low: 0.1, high: 0.5, step: 0.05}"
    )
    space = SearchSpace.from_document(document)
    study = optuna.create_study(study_name="small", sampler=optuna.samplers.RandomSampler(seed=seed))
    for _ in range(24):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, abs(trial.params[DROPOUT] - 0.3) + 0.01 * abs(math.log(trial.params[LR] / 5e-4)))
    second = next_round([PlayedRound("small", space, tuple(study.get_trials()))], FOR_EVER)
    dropout = second.space.parameters[DROPOUT]
    assert isinstance(dropout, Float)
    assert (dropout.low, dropout.high) == (round(dropout.low, 2), round(dropout.high, 2))
    rates, schedulers = second.space.parameters[LR], second.space.parameters[SCHEDULER]
    assert isinstance(schedulers, Categorical)
    inside = [
        trial
        for trial in study.trials
        if dropout.low - 0.01 < trial.params[DROPOUT] < dropout.high + 0.01
        and rates.contains(trial.params[LR])
        and trial.params[SCHEDULER] in schedulers.named
    ]
    assert len(second.carried) == len(inside) > 0


def test_a_later_round_proposes_from_a_seed_of_its_own() -> None:
    config = read_study(QUICKSTART, ("rounds={count: 3, trials: 5}",))
    seeds = [RoundStudy(number, config.name, config).sampler_seed for number in (1, 2, 3)]
    assert seeds[0] == config.seed
    assert len(set(seeds)) == 3


def test_a_study_that_only_has_the_name_of_a_round_is_not_taken_for_one() -> None:
    storage = optuna.storages.InMemoryStorage()
    config = read_study(QUICKSTART, ("rounds={count: 2, trials: 5}",))
    other = config.model_copy(update={"name": round_name(config.name, 2), "rounds": None})
    study = open_study(other, contract_of(other, data="d" * 12, folds="f" * 12), storage)
    played = PlayedRound(config.name, config.space, ())
    assert round_study(config, [played], storage).start is not None  # nobody has begun to run it
    study.enqueue_trial(config.space.baseline())
    with pytest.raises(StudyError, match=r"to be called 'quickstart\.round2', and there is another study of that"):
        round_study(config, [played], storage)


def test_a_round_in_which_cmaes_has_no_number_left_is_run_and_read_again() -> None:
    parameters = {path: SPACE.parameters[path] for path in (DROPOUT, SCHEDULER)}
    space = SPACE.model_copy(update={"parameters": parameters})
    rounds = {"count": 2, "trials": 20}
    content = {"name": "small", "space": space.to_dict(), "rounds": rounds, "sampler": {"name": "cmaes"}}
    config, storage = StudyConfig.model_validate(content), optuna.storages.InMemoryStorage()
    left = space.model_copy(update={"parameters": {SCHEDULER: parameters[SCHEDULER]}})
    planned = round_study(config, [], storage).config.model_copy(update={"name": "small.round2", "space": left})
    study = open_study(planned, contract_of(planned, data="d" * 12, folds="f" * 12), storage)
    for _ in range(12):
        trial = study.ask()
        left.suggest(trial)
        study.tell(trial, 0.5)
    assert {trial.params[SCHEDULER] for trial in study.trials} == {"cosine", "step", "constant"}
    assert StudyConfig.model_validate(stored_config(study)) == planned


def test_a_later_round_starts_with_the_trials_of_the_earlier_ones_alone(tmp_path: Path) -> None:
    table, storage = tmp_path / "good.csv", optuna.storages.InMemoryStorage()
    table.write_text(f"{LR},{DROPOUT}\n2e-4,0.4\n")
    rounds = {"count": 2, "trials": 20, "narrow": FOR_EVER.to_dict()}
    content = {"name": "small", "space": SPACE.to_dict(), "rounds": rounds, "warm_start": [str(table)]}
    config = StudyConfig.model_validate(content)
    assert round_study(config, [], storage).config.warm_start == (str(table),)
    first = play("small", SPACE, storage)
    second = round_study(config, [first], storage)
    with pytest.raises(ConfigError, match="expected a number from"):
        known_configurations(config.warm_start, second.config.space, storage)
    assert known_configurations(second.config.warm_start, second.config.space, storage) == ()

    def opened(config: StudyConfig) -> optuna.Study:
        return open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)

    second.begin(opened(second.config.model_copy(update={"warm_start": (str(table),)})))  # by an earlier version
    again = round_study(config, [first], storage)
    assert (again.config, again.start is None) == (second.config, False)
    assert StudyConfig.model_validate(stored_config(opened(again.config))) == second.config


def interrupted(trials: tuple[FrozenTrial, ...], storage: optuna.storages.BaseStorage) -> tuple[FrozenTrial, ...]:
    """Return trials as a study has them whose sessions were killed in every third, and whose second ended as third."""
    study = optuna.create_study(storage=storage)
    first: dict[int, int] = {}

    def add(number: int, **change: Any) -> None:
        one = trials[number]
        attributes = {RETRY_KEY: first[number]} if number in first else {}
        known = {"state": one.state, "value": one.value, "user_attrs": attributes} | change
        study.add_trial(create_trial(params=one.params, distributions=one.distributions, **known))

    for number in (0, 1, 2, 1, *range(3, len(trials))):
        if number not in first and (number == 1 or number % 3 == 0):
            add(number, state=TrialState.FAIL, value=None, user_attrs={OUTCOME_KEY: "interrupted"})
            first[number] = len(study.trials) - 1
            if number == 1:
                continue
        add(number)
    return tuple(study.get_trials())


def test_interruptions_change_neither_the_next_space_nor_what_it_starts_with() -> None:
    storage = optuna.storages.InMemoryStorage()
    undisturbed = play("small", SPACE, storage)
    killed = PlayedRound("small", SPACE, interrupted(undisturbed.trials, storage))
    assert len(killed.trials) == 28
    expected, found = (next_round([one], Narrow(freeze=0.3)) for one in (undisturbed, killed))
    assert found.space == expected.space
    assert [(one.params, one.value) for one in found.carried] == [(one.params, one.value) for one in expected.carried]
    study = optuna.create_study(storage=storage)
    study.add_trials(found.carried)
    begun = study.get_trials()
    assert [place_of(trial) for trial in begun] == list(range(len(begun)))
    assert Places().of(len(begun), begun) == len(begun)


def test_chance_is_reckoned_alike_whatever_numbers_trials_have() -> None:
    storage = optuna.storages.InMemoryStorage()
    trials = play("small", SPACE, storage).trials
    evidence = [evidence_of(some) for some in (trials, interrupted(trials, storage))]
    expected, found = ([one.params for one in some.trials] for some in evidence)
    assert found == expected


def test_the_trials_that_a_study_took_over_are_evidence_for_the_rounds_added_to_it() -> None:
    storage = optuna.storages.InMemoryStorage()
    old = play("old", SPACE, storage)
    study = optuna.create_study(study_name="small", storage=storage)
    study.add_trials(carried(old.trials, SPACE, study="old"))
    for _ in range(12):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, loss(trial) + 5)
    second = next_round([PlayedRound("small", SPACE, tuple(study.get_trials()))], FOR_EVER)
    assert min(values(second.carried)) == min(values(old.trials))
    assert second.space == narrow(SPACE, study.get_trials(), FOR_EVER).space
    third = next_round([PlayedRound("small", SPACE, tuple(study.get_trials())), play("b", SPACE, storage)], FOR_EVER)
    origins = [trial.user_attrs[CARRIED_KEY] for trial in third.carried]
    assert len(origins) == len(set(origins)) > 0


@pytest.fixture
def begun() -> tuple[StudyConfig, PlayedRound, RoundStudy, optuna.Study]:
    """A first round that was played, whose weights are settled, and a second one that has begun."""
    storage = optuna.storages.InMemoryStorage()
    rounds = {"count": 2, "trials": 20, "narrow": FOR_EVER.to_dict()}
    config = StudyConfig.model_validate({"name": "small", "space": SPACE.to_dict(), "rounds": rounds})
    first = play("small", SPACE, storage)
    optuna.load_study(study_name="small", storage=storage).set_user_attr(WEIGHTS_KEY, {"resnet18": "none"})
    second = round_study(config, [first], storage)
    study = open_study(second.config, contract_of(second.config, data="d" * 12, folds="f" * 12), storage)
    second.begin(study)
    return config, first, second, study


def test_what_is_added_to_a_round_is_carried_into_the_next_one_which_keeps_its_space(
    begun: tuple[StudyConfig, PlayedRound, RoundStudy, optuna.Study],
) -> None:
    config, _, second, study = begun
    there = len(study.trials)
    added = optuna.load_study(study_name="small", storage=study._storage)
    added.enqueue_trial(max(study.trials, key=lambda trial: trial.value or 0).params)
    trial = added.ask()
    SPACE.suggest(trial)
    added.tell(trial, -1.0)
    more = PlayedRound("small", SPACE, tuple(added.get_trials()))
    assert next_round([more], FOR_EVER).space != second.config.space
    again = round_study(config, [more], study._storage)
    assert (again.config.space, again.changes) == (second.config.space, second.changes)
    again.begin(study)
    assert len(study.trials) == there + 1
    assert study.best_trial.user_attrs[CARRIED_KEY] == f"small#{trial.number}"
    again.begin(study)
    assert len(study.trials) == there + 1


def test_weights_are_settled_in_a_round_as_in_the_one_before(
    begun: tuple[StudyConfig, PlayedRound, RoundStudy, optuna.Study],
) -> None:
    assert begun[-1].user_attrs[WEIGHTS_KEY] == {"resnet18": "none"}
