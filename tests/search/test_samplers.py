import optuna
import pytest
from optuna.trial import TrialState

from hms_search.document import parse_yaml
from hms_search.search.outcomes import OUTCOME_KEY
from hms_search.search.overview import Overview
from hms_search.search.samplers import (
    Cmaes,
    CurveGp,
    Gp,
    Grid,
    Nsga2,
    Qmc,
    Random,
    Sampler,
    Tpe,
    exhausted,
)
from hms_search.search.space import Float, Int, Parameter, SearchSpace

SPACE = SearchSpace.from_document(
    parse_yaml(
        """\
name: small
base: {model: {name: timm, backbone: resnet18, dropout: 0.1}}
parameters:
  model.dropout: {type: float, low: 0.0, high: 0.5}
  model.drop_path: {type: float, low: 0.0, high: 0.5}
  training.batch_size: {type: int, low: 8, high: 32}
  pipeline.gap_fill: {type: categorical, choices: [floor, mean]}
""",
        source="small.yaml",
    )
)
ALL = [
    Tpe(n_startup_trials=3),
    Gp(n_startup_trials=3),
    CurveGp(n_startup_trials=3),
    Cmaes(),
    Random(),
    Qmc(),
    Grid(points=2),
]


def ask(sampler: Sampler, n_trials: int, study: optuna.Study | None = None) -> list[dict[str, object]]:
    study = study or optuna.create_study()
    study.sampler = sampler.build(SPACE, seed=7)
    asked = []
    for _ in range(n_trials):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, (trial.params["model.dropout"] - 0.2) ** 2 + (trial.params["model.drop_path"] - 0.3) ** 2)
        asked.append(trial.params)
    return asked


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
def test_every_sampler_proposes_valid_experiments(sampler: Sampler) -> None:
    study = optuna.create_study()
    study.enqueue_trial(SPACE.baseline())
    assert len(ask(sampler, 8, study)) == 8


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
def test_a_session_is_repeatable(sampler: Sampler) -> None:
    assert ask(sampler, 6) == ask(sampler, 6)


@pytest.mark.parametrize("sampler", [Tpe(), Gp(), CurveGp(), Cmaes(), Random()], ids=lambda sampler: sampler.name)
def test_a_resumed_session_does_not_repeat_the_start_up_points(sampler: Sampler) -> None:
    study = optuna.create_study()
    first, second = ask(sampler, 3, study), ask(sampler, 3, study)
    assert all(params not in first for params in second)


@pytest.mark.parametrize(
    "sampler",
    [
        Tpe(n_startup_trials=3),
        Gp(n_startup_trials=3),
        CurveGp(n_startup_trials=3),
        Cmaes(),
        Random(),
        Nsga2(population_size=4),
    ],
    ids=lambda sampler: sampler.name,
)
@pytest.mark.parametrize("killed_at", [0, 1, 5, 10, 13])
@pytest.mark.parametrize("had_parameters", [True, False], ids=["as it ran", "as it was asked for"])
def test_a_session_that_takes_up_a_killed_one_proposes_what_that_one_would_have(
    sampler: Sampler, killed_at: int, had_parameters: bool
) -> None:
    study = optuna.create_study()
    ask(sampler, killed_at, study)
    left = study.ask()
    if had_parameters:
        SPACE.suggest(left)
        study.enqueue_trial(left.params, user_attrs={"retry_of": left.number})
    left.set_user_attr(OUTCOME_KEY, "interrupted")
    study.tell(left, state=TrialState.FAIL)
    ask(sampler, 15 - killed_at, study)
    proposed = [trial.params for trial in study.trials if trial.number != left.number]
    assert proposed == ask(sampler, 15)


def test_what_one_of_several_workers_lost_leaves_the_others_their_places() -> None:
    study = optuna.create_study()
    study.sampler = Random().build(SPACE, seed=7)
    lost, other = study.ask(), study.ask()
    SPACE.suggest(other)
    lost.set_user_attr(OUTCOME_KEY, "interrupted")
    study.tell(lost, state=TrialState.FAIL)
    for sampler in (study.sampler, Random().build(SPACE, seed=7)):
        study.sampler = sampler
        SPACE.suggest(study.ask())
    drawn = [tuple(trial.params.values()) for trial in study.trials if trial.params]
    assert len(set(drawn)) == len(drawn) == 3


def test_what_another_session_queued_meanwhile_has_no_place_of_its_own() -> None:
    study = optuna.create_study()
    lost = study.ask()
    SPACE.suggest(lost)
    overview = Overview(study)
    overview.read()
    study.enqueue_trial(lost.params, user_attrs={"retry_of": lost.number})
    lost.set_user_attr(OUTCOME_KEY, "interrupted")
    study.tell(lost, state=TrialState.FAIL)
    places = []
    for _ in range(3):
        trial = study.ask()
        overview.begun(trial)
        places.append(overview.place(trial))
    assert places == [0, 1, 2]


@pytest.mark.parametrize("sampler", [Qmc(), Grid(points=2)], ids=lambda sampler: sampler.name)
def test_a_resumed_sequence_goes_on_where_it_stopped(sampler: Sampler) -> None:
    study = optuna.create_study()
    ask(sampler, 4, study)
    ask(sampler, 4, study)
    points = {tuple(sorted(trial.params.items())) for trial in study.trials}
    assert len(points) == 8


def test_a_grid_visits_every_combination_once_and_then_says_so() -> None:
    study = optuna.create_study()
    study.sampler = Grid(points=2).build(SPACE, seed=7)
    while not exhausted(study.sampler, study):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, 0.0)
    points = {tuple(sorted(trial.params.items())) for trial in study.get_trials(states=(TrialState.COMPLETE,))}
    assert len(study.trials) == len(points) == 2**4


@pytest.mark.parametrize(
    ("parameter", "points", "values"),
    [
        (Int(type="int", low=8, high=100, step=25), 3, [8, 58, 83]),
        (Int(type="int", low=16, high=100, step=32), 3, [16, 48, 80]),
        (Int(type="int", low=1, high=9), 3, [1, 5, 9]),
        (Float(type="float", low=0.1, high=0.5, step=0.1), 5, [0.1, 0.2, 0.3, 0.4, 0.5]),
        (Float(type="float", low=0.1, high=0.38, step=0.1), 9, [0.1, 0.2, 0.3]),
    ],
)
@pytest.mark.filterwarnings("ignore:The distribution is specified by")
def test_a_grid_stands_on_whole_steps_within_the_range(parameter: Parameter, points: int, values: list[float]) -> None:
    space = SPACE.model_copy(update={"parameters": {"model.dropout": parameter}})
    study = optuna.create_study(sampler=Grid(points=points).build(space, seed=7))
    for _ in values:
        trial = study.ask({"model.dropout": parameter.distribution})
        study.tell(trial, 0.0)
    assert exhausted(study.sampler, study)
    assert sorted(trial.params["model.dropout"] for trial in study.trials) == values


def test_cmaes_draws_at_random_in_a_space_that_a_later_round_left_no_number() -> None:
    space = SPACE.model_copy(update={"parameters": {"pipeline.gap_fill": SPACE.parameters["pipeline.gap_fill"]}})
    study = optuna.create_study(sampler=Cmaes().build(space, seed=0))
    for _ in range(12):
        trial = study.ask()
        space.suggest(trial)
        study.tell(trial, 0.5)
    assert {trial.params["pipeline.gap_fill"] for trial in study.trials} == {"floor", "mean"}
