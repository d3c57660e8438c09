"""What the command line says of a recorded study: the space its trials leave, and what is wrong with it."""

from pathlib import Path

import numpy as np
from command_line import CommandLine

from hms_search.search.contract import contract_of, open_study
from hms_search.search.locks import only_session
from hms_search.search.places import Places
from hms_search.search.space import SearchSpace
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, read_study

LR = "training.optimiser.lr"


def recorded(config: StudyConfig, trials: int) -> None:
    """Keep a study in which only the rate matters, best at the upper bound, as if its trials had run."""
    storage = open_storage(f"sqlite:///{Path('mlruns/optuna.db').resolve()}")
    study = open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage)
    rng = np.random.default_rng(0)
    for _ in range(trials):
        trial = study.ask()
        config.space.suggest(trial)
        folds = [0.9 - 0.2 * np.log(trial.params[LR] / 1e-4) + 0.01 * rng.normal() for _ in range(2)]
        trial.set_user_attr("folds", folds)
        trial.set_user_attr("outcome", "complete")
        study.tell(trial, float(np.mean(folds)))
    close_storage(storage)


def test_a_narrowed_space_is_a_file_that_can_be_run_by_hand(hms_search: CommandLine, workplace: Path) -> None:
    config = read_study(workplace / "small.yaml")
    recorded(config, 20)
    output = hms_search("narrow", "small", "-o", "space.yaml")
    assert "widened" in output
    assert "written: space.yaml" in output
    assert "valid search space" in hms_search("validate", "space.yaml")
    text = (workplace / "space.yaml").read_text()
    assert "# widened from 0.0001 to 0.01, log: the best" in text
    narrowed = SearchSpace.from_yaml(workplace / "space.yaml")
    assert narrowed.parameters[LR].high > 0.01  # type: ignore[union-attr]
    (workplace / "next.yaml").write_text("name: next\nspace: space.yaml\n")
    assert read_study(workplace / "next.yaml").space == narrowed


def test_a_study_of_few_trials_is_not_narrowed_and_says_why(hms_search: CommandLine, workplace: Path) -> None:
    recorded(read_study(workplace / "small.yaml"), 4)
    output = hms_search("narrow", "small")
    assert "4 finished trials, at least 10" in " ".join(output.split())
    assert "kept" in output


def test_an_unknown_study_is_an_error_that_names_those_there_are(hms_search: CommandLine, workplace: Path) -> None:
    recorded(read_study(workplace / "small.yaml"), 1)
    assert "there are: small" in hms_search("narrow", "other", code=2)


def test_the_doctor_looks_at_installation_stores_and_study(hms_search: CommandLine, workplace: Path) -> None:
    recorded(read_study(workplace / "small.yaml"), 12)
    output = hms_search("doctor", "small")
    assert "stores: nothing found" in output
    assert "study small: warning: too few trials for the parameters" in output
    assert "    -> trials: 10 or more, or fewer parameters" in output
    assert "0 errors" in output


def test_the_doctor_tells_a_dead_sessions_trials_from_a_running_ones(hms_search: CommandLine, workplace: Path) -> None:
    config = read_study(workplace / "small.yaml")
    recorded(config, 3)
    storage = open_storage(f"sqlite:///{Path('mlruns/optuna.db').resolve()}")
    open_study(config, contract_of(config, data="d" * 12, folds="f" * 12), storage).ask()
    close_storage(storage)
    said = "study small: warning: trials were left running by a session that died"
    with only_session(Places().lock("small"), "small"):
        assert said not in hms_search("doctor", "small")
    assert said in hms_search("doctor", "small")


def test_a_damaged_store_is_an_error_and_so_is_the_exit_code(hms_search: CommandLine, workplace: Path) -> None:
    (workplace / "mlruns").mkdir()
    (workplace / "mlruns" / "optuna.db").write_text("not a database " * 1000)
    output = hms_search("doctor", code=2)
    assert "stores: error: the studies' database is damaged" in output
    assert "1 error," in output


def test_a_plan_says_what_a_study_will_take_and_what_it_changes(hms_search: CommandLine, workplace: Path) -> None:
    recorded(read_study(workplace / "small.yaml"), 3)
    changed = f"space.parameters.{LR}.low=5.0e-4"
    output = hms_search("plan", "small.yaml", "--data", "recordings", "--trials", "7", "--set", changed)
    assert "study small: 7 trials; 28 epochs of all folds" in output
    assert "not prepared yet" in output
    assert "time on cpu: " in output
    assert "the base" in output
    assert f"  parameters.{LR}: " in output
    assert "of its 3 trials lie in it" in output
