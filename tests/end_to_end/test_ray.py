"""A study on a Ray cluster that loses a node: its trials are run elsewhere, to the same values."""

from contextlib import ExitStack
from pathlib import Path

import mlflow
import optuna
import pytest
import torch
from optuna.trial import FixedTrial, FrozenTrial, TrialState
from ray_nodes import cluster_of, lose, node_without

from hms_search.data.folds import plan_folds
from hms_search.experiment import run_experiment
from hms_search.search.asking import trial_seed
from hms_search.search.events import Event, Judged
from hms_search.search.outcomes import place_of
from hms_search.search.places import Places
from hms_search.search.session import run_study
from hms_search.search.study import StudyConfig, read_study
from hms_search.search.study_data import study_samples
from hms_search.servers import free_port
from hms_search.tracking.server import mlflow_server

SETTINGS = ("data.root=recordings", "space.base.training.epochs=3", "trials=4", "workers=2")
SECRET = "correct-horse-battery"


def ended(places: Places) -> list[FrozenTrial]:
    trials = optuna.load_study(study_name="small", storage=places.storage).trials
    assert all(trial.state.is_finished() for trial in trials)
    return trials


def undisturbed(trial: FrozenTrial, config: StudyConfig, places: Places) -> list[float]:
    """Train a trial's configuration under its seed in this process; return its value after each epoch, and at last."""
    samples = study_samples(config, places, progress=lambda *_: None, notify=lambda _: None)
    reached: list[float] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = run_experiment(
            config.space.suggest(FixedTrial(trial.params)),
            samples,
            plan_folds(config.folds, samples, order=config.schedule.order),
            seed=trial_seed(config.seed, place_of(trial)),
            device="cpu",
            on_epoch=lambda epoch: reached.append(epoch.value),
        )
    finally:
        torch.set_num_threads(threads)
    return [*reached, result.value]


@pytest.mark.slow
def test_trials_of_a_lost_ray_node_are_run_elsewhere_to_the_same_values(
    workplace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)
    port, elsewhere = free_port("127.0.0.1", 0, "MLflow"), tmp_path_factory.mktemp("server")
    lost: list[int] = []
    with (
        mlflow_server(f"sqlite:///{elsewhere}/mlflow.db", elsewhere / "artifacts", host="127.0.0.1", port=port),
        cluster_of(1) as (cluster, (seeing,)),
        ExitStack() as stack,
    ):
        places = Places(tracking=f"http://search:{SECRET}@127.0.0.1:{port}")

        def lose_the_node_that_sees_the_folder(event: Event | None) -> None:
            if not isinstance(event, Judged) or lost or event.ended.epoch.step != 1:
                return
            if any(places.trials("small").glob(f"trial{event.ended.number}-*")):
                lost.append(event.ended.number)
                lose(cluster, seeing)
                stack.enter_context(node_without(workplace, cluster, 1))

        ray = (f"executor={{name: ray, address: '{cluster.address}'}}",)
        config = read_study(Path("small.yaml"), (*SETTINGS, *ray))
        run_study(config, places, notify=lose_the_node_that_sees_the_folder, progress=lambda *_: None)
        logs = Path(cluster.head_node.get_logs_dir_path())
        written = [file for file in logs.rglob("*") if file.is_file()]
        assert written
        assert not [file.name for file in written if SECRET.encode() in file.read_bytes()]
        client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
        experiment = client.get_experiment_by_name("small")
        runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}

    trials = ended(places)
    (number,) = lost
    assert trials[number].user_attrs["outcome"] == "interrupted"
    assert "Ray node" in trials[number].user_attrs["reason"]
    assert "was lost" in trials[number].user_attrs["reason"]
    (again,) = [trial for trial in trials if trial.user_attrs.get("retry_of") == number]
    assert again.params == trials[number].params
    assert {run.info.status for run in runs.values()} == {"FINISHED", "KILLED"}
    assert runs[trials[number].user_attrs["mlflow_run_id"]].info.status == "KILLED"
    assert len(runs) == len(trials) + 1  # and the study's own

    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len({str(trial.params) for trial in done}) == len(done) == config.trials
    for trial in done:
        assert [*trial.intermediate_values.values(), trial.value] == undisturbed(trial, config, places)
