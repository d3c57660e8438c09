import optuna
import pytest
from optuna.trial import TrialState

from hms_search.document import parse_yaml
from hms_search.errors import ConfigError
from hms_search.search.samplers import Cmaes, CurveGp, Gp, Grid, Qmc, Random, Sampler, Tpe, exhausted, session_seed
from hms_search.search.space import SearchSpace

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


def ask(sampler: Sampler, session: int, n_trials: int, study: optuna.Study | None = None) -> list[dict[str, object]]:
    study = study or optuna.create_study()
    study.sampler = sampler.build(SPACE, seed=7, session=session)
    asked = []
    for _ in range(n_trials):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, float(trial.params["model.dropout"]))
        asked.append(trial.params)
    return asked


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
def test_every_sampler_proposes_valid_experiments(sampler: Sampler) -> None:
    study = optuna.create_study()
    study.enqueue_trial(SPACE.baseline())
    assert len(ask(sampler, 0, 8, study)) == 8


@pytest.mark.parametrize("sampler", ALL, ids=lambda sampler: sampler.name)
def test_a_session_is_repeatable(sampler: Sampler) -> None:
    assert ask(sampler, 0, 6) == ask(sampler, 0, 6)


@pytest.mark.parametrize("sampler", [Tpe(), Gp(), CurveGp(), Cmaes(), Random()], ids=lambda sampler: sampler.name)
def test_a_resumed_session_does_not_repeat_the_start_up_points(sampler: Sampler) -> None:
    first, second = ask(sampler, 0, 3), ask(sampler, 3, 3)
    assert all(params not in first for params in second)
    assert session_seed(7, 0) != session_seed(7, 3)


@pytest.mark.parametrize("sampler", [Qmc(), Grid(points=2)], ids=lambda sampler: sampler.name)
def test_a_resumed_sequence_goes_on_where_it_stopped(sampler: Sampler) -> None:
    study = optuna.create_study()
    ask(sampler, 0, 4, study)
    ask(sampler, 4, 4, study)
    points = {tuple(sorted(trial.params.items())) for trial in study.trials}
    assert len(points) == 8


def test_a_grid_visits_every_combination_once_and_then_says_so() -> None:
    study = optuna.create_study()
    study.sampler = Grid(points=2).build(SPACE, seed=7, session=0)
    while not exhausted(study.sampler, study):
        trial = study.ask()
        SPACE.suggest(trial)
        study.tell(trial, 0.0)
    points = {tuple(sorted(trial.params.items())) for trial in study.get_trials(states=(TrialState.COMPLETE,))}
    assert len(study.trials) == len(points) == 2**4


def test_cmaes_refuses_a_space_without_numbers() -> None:
    space = SPACE.model_copy(update={"parameters": {"pipeline.gap_fill": SPACE.parameters["pipeline.gap_fill"]}})
    with pytest.raises(ConfigError, match="needs a float or int"):
        Cmaes().build(space, seed=0, session=0)
