"""A study of several aims and a constraint, run, taken up again, shown and promoted."""

from pathlib import Path

import mlflow
import optuna
from command_line import CommandLine

from hms_search.search.aims import BREAKS_KEY

AIMS = "aims=[{metric: kl}, {metric: kl, stratum: low}, {metric: parameters}]"
CHOICES = "{type: categorical, choices: [test_resnet, test_vit, test_efficientnet]}"
"""Of 373,000, 268,000 and 100,000 weights with the study's images, the first of them the base."""


def test_several_aims_and_a_constraint_from_the_search_to_a_model(hms_search: CommandLine) -> None:
    run = ("run", "small.yaml", "--data", "recordings", "--set", AIMS)
    run = (*run, "--set", f"space.parameters.model.backbone={CHOICES}")
    assert "write pruner: {name: none} for median" in hms_search(*run, "--set", "pruner={name: median}", code=2)
    run = (*run, "--set", "constraints=[{metric: parameters, at_most: 300000}, {metric: memory_mb, at_most: 900}]")
    hms_search(*run, "--trials", "3")
    output = hms_search(*run, "--trials", "6")
    folder = hms_search.folder
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'mlruns' / 'optuna.db'}")
    trials = optuna.load_study(study_name="small", storage=storage).trials
    storage.engine.dispose()
    assert len(trials) == 6
    by_backbone = {name: [t for t in trials if t.params["model.backbone"] == name] for name in ("test_resnet",)}
    for trial in trials:
        is_resnet = trial.params["model.backbone"] == "test_resnet"
        assert (BREAKS_KEY in trial.user_attrs) == (trial.constraints["parameters"] > 0) == is_resnet
        assert trial.constraints["memory_mb"] < 0
        trained = trial.number == 0 or not is_resnet  # the baseline is trained whatever it costs
        assert len(trial.intermediate_values) == (4 if trained else 0)
        if trained:
            assert trial.values[1] == trial.user_attrs["kl_low"]
            assert trial.values[2] == trial.user_attrs["parameters"]
    assert by_backbone["test_resnet"]
    assert "on the Pareto front" in output
    assert "constraints: parameters at most 300000; memory_mb at most 900" in output

    runs = {int(one.data.tags["trial"]): one for one in runs_of(folder, "trial")}
    for trial in trials:
        if trial.values:
            logged = [runs[trial.number].data.metrics[f"aim/{name}"] for name in ("kl_all", "kl_low", "parameters")]
            assert logged == trial.values
    (parent,) = runs_of(folder, "study")
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    assert "pareto_front.png" in {file.path for file in client.list_artifacts(parent.info.run_id)}

    assert "a space is narrowed by one value" in hms_search("narrow", "small", code=2)
    hms_search("report", "small")
    assert "## Pareto front" in (folder / "mlruns" / "reports" / "small.md").read_text()
    chosen = next(trial.number for trial in reversed(trials) if trial.values)
    promoted = hms_search("promote", "small", "--trial", str(chosen), "--folds", "2", "--epochs", "1")
    assert f"small-trial{chosen}-" in promoted


def runs_of(folder: Path, kind: str) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.kind = '{kind}'"))
