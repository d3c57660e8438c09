"""A recorded trial run again: equal, or different for a reason that is named."""

from pathlib import Path

import mlflow
import optuna
import pandas as pd
from command_line import CommandLine

RUN = ("run", "small.yaml", "--data", "recordings")


def client_of(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")


def trial_run(folder: Path, number: int) -> mlflow.entities.Run:
    experiment = client_of(folder).get_experiment_by_name("small")
    assert experiment is not None
    condition = f"tags.kind = 'trial' and tags.trial = '{number}'"
    return client_of(folder).search_runs([experiment.experiment_id], condition)[0]


def recorded(folder: Path) -> tuple[list[optuna.trial.FrozenTrial], int]:
    """The study's trials and the number of its runs."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")
    trials = optuna.load_study(study_name="small", storage=storage).trials
    storage.engine.dispose()
    experiment = client_of(folder).get_experiment_by_name("small")
    assert experiment is not None
    return trials, len(client_of(folder).search_runs([experiment.experiment_id]))


def test_a_trial_gives_the_recorded_values_again_and_a_pruned_one_its_first_epochs(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "3", "--set", "pruner={name: threshold, upper: 0.001}")
    before = recorded(hms_search.folder)
    assert "equal: all 4 recorded epochs, to the last bit" in hms_search("reproduce", "small", "--trial", "0")
    assert "equal: all 1 recorded epochs, to the last bit" in hms_search("reproduce", "small", "--trial", "1")
    assert recorded(hms_search.folder) == before


def test_what_differs_from_the_record_is_named(hms_search: CommandLine, recordings: Path) -> None:
    hms_search(*RUN, "--trials", "1")
    folder = hms_search.folder
    run = trial_run(folder, 0)
    client_of(folder).set_tag(run.info.run_id, "version_torch", "1.0.0")
    output = hms_search("reproduce", "small", "--trial", "0")
    assert "changed since: torch was 1.0.0, is " in output
    assert "equal" in output
    other = folder / "other"
    other.mkdir()
    for name in ("train_eegs", "train_spectrograms"):
        (other / name).symlink_to(recordings / name)
    table = pd.read_csv(recordings / "train.csv")
    table["other_vote"] += 3
    table.to_csv(other / "train.csv", index=False)
    output = hms_search("reproduce", "small", "--trial", "0", "--data", "other", code=1)
    assert "changed since: data was" in output
    assert "differs by up to" in output


def test_a_record_that_was_changed_is_found_out(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "1", "--tracking-uri", "none")
    folder = hms_search.folder
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")
    trial = optuna.load_study(study_name="small", storage=storage).trials[0]
    with storage.engine.begin() as connection:
        connection.exec_driver_sql(
            "update trial_intermediate_values set intermediate_value = intermediate_value + 0.001 "
            f"where trial_id = {trial._trial_id} and step = 1"
        )
    storage.engine.dispose()
    output = hms_search("reproduce", "small", "--trial", "0", "--tracking-uri", "none", code=1)
    assert "differs by up to 0.001 nats" in output
    assert "what has changed since is not known" in output


def test_what_cannot_be_run_again_is_named(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "1")
    assert "no study 'x'" in hms_search("reproduce", "x", "--trial", "0", code=2)
    assert "has no trial 9; it has 0 to 0" in hms_search("reproduce", "small", "--trial", "9", code=2)
