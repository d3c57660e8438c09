"""Promotion on a small study: final models, the registry, the gate, and what a kill costs."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine

from hms_search.data.oof import read_oof
from hms_search.inference.model_folder import open_model
from hms_search.inference.predictor import Predictor
from hms_search.tracking.registry import ModelRegistry

RUN = ("run", "small.yaml", "--data", "recordings")
SHORT = ("--folds", "3", "--epochs", "2")


def models_of(folder: Path) -> dict[int, Path]:
    """The promoted models by trial."""
    return {int(path.name.split("-trial")[1].split("-")[0]): path for path in (folder / "mlruns" / "models").iterdir()}


def registry_of(folder: Path) -> ModelRegistry:
    return ModelRegistry(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}", folder / "mlruns" / "artifacts")


def promotion_runs(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'promotion'"))


def test_promoted_models_carry_folds_predictions_origin_and_aliases(hms_search: CommandLine) -> None:
    hms_search(*RUN)
    output = hms_search("promote", "small", "--top", "2", *SHORT, "--seeds", "2")
    folder = hms_search.folder
    paths, runs = models_of(folder), {int(run.data.tags["trial"]): run for run in promotion_runs(folder)}
    assert 0 in paths  # the baseline, trained on the same folds for the gate
    designs = {open_model(path).card.networks[0].pipeline.config.normalise.name for path in paths.values()}
    assert designs == {"instance", "datawide"}
    assert runs.keys() == paths.keys()
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    trial_runs = {run.info.run_id for run in _trial_runs(folder)}
    for number, path in paths.items():
        card = open_model(path).card
        oof = read_oof(path / "oof.parquet")
        assert len(card.networks) == 6  # three folds under two seeds
        assert set(oof.folds) == {0, 1, 2}
        assert runs[number].data.tags["origin_run_id"] in trial_runs
        assert card.origin["run_id"] == runs[number].info.run_id
        assert {
            "data_fingerprint",
            "folds_fingerprint",
            "config_fingerprint",
            "seed",
            "version_torch",
            "git_commit",
        } <= (card.origin.keys())
        assert runs[number].data.metrics["kl_all"] == pytest.approx(card.scores["kl_all"])
        assert {"kl_all/fold2", "seed1/kl_all/fold0"} <= runs[number].data.metrics.keys()
        assert sum(card.prior) == pytest.approx(1)
    best = registry_of(folder).find("candidate")
    assert best.tags["study"] == "small"
    assert "gate of small-trial" in output
    assert "of each seed" in output
    listed = hms_search("models")
    assert all(path.name in listed for path in paths.values())
    assert "candidate" in listed
    again = hms_search("promote", "small", "--top", "2", *SHORT, "--seeds", "2")
    assert "training" not in again
    assert len(promotion_runs(folder)) == len(runs)
    assert len(registry_of(folder).versions()) == 2


def test_out_of_fold_predictions_are_those_of_the_networks_that_did_not_see_the_fold(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "1")
    hms_search("promote", "small", *SHORT)
    path = models_of(hms_search.folder)[0]
    card, oof = open_model(path).card, read_oof(path / "oof.parquet")
    patients_of_fold = {fold: set(oof.patients[oof.folds == fold]) for fold in range(3)}
    assert not patients_of_fold[0] & patients_of_fold[1] & patients_of_fold[2]
    assert [network.fold for network in card.networks] == [0, 1, 2]
    assert Predictor.open(path, device="cpu").card == card
    expected = oof.targets[np.ones(len(oof), dtype=bool)].mean(axis=0)
    np.testing.assert_allclose(card.prior, expected)


def test_a_gate_that_stays_shut_can_be_forced_and_says_so(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "1")
    output = hms_search("promote", "small", "--trial", "0", *SHORT)
    assert "nothing to compare with" in output
    assert "not champion" in output
    assert "has no model 'champion'" in hms_search("predict", "champion", "--data", "recordings", code=2)
    output = hms_search("promote", "small", "--trial", "0", *SHORT, "--force")
    assert "champion by --force, recorded" in output
    champion = registry_of(hms_search.folder).find("champion")
    assert champion.tags["forced"] == "true"
    run = promotion_runs(hms_search.folder)[0]
    client = mlflow.MlflowClient(f"sqlite:///{hms_search.folder / 'mlruns' / 'mlflow.db'}")
    gate = json.loads(Path(client.download_artifacts(run.info.run_id, "gate.json")).read_text())
    assert gate["forced"]
    assert not gate["passed"]


def test_what_cannot_be_promoted_is_named(hms_search: CommandLine, recordings: Path) -> None:
    assert "no models yet; hms-search promote" in hms_search("models")
    assert "there are no studies yet" in hms_search("promote", "small", code=2)
    hms_search(*RUN, "--trials", "6", "--set", "pruner={name: threshold, upper: 0.001}")
    assert "no study 'smal'; there are: small" in hms_search("promote", "smal", code=2)
    output = hms_search("promote", "small", "--trial", "3", code=2)
    assert "trial 3 of study 'small' is pruned" in output
    assert "only a completed trial can be promoted; the completed ones, best first: 0" in output
    assert "no trial 77; it has 0 to 5" in hms_search("promote", "small", "--trial", "77", code=2)
    other = hms_search.folder / "other"
    other.mkdir()
    for name in ("train_eegs", "train_spectrograms"):
        (other / name).symlink_to(recordings / name)
    pd.read_csv(recordings / "train.csv").iloc[5:].to_csv(other / "train.csv", index=False)
    output = hms_search("promote", "small", "--trial", "0", "--data", "other", code=2)
    assert "give the same recordings as --data ROOT" in output
    output = hms_search("promote", "small", "--folds", "9", code=2)
    assert "grouped folds need at least one patient per fold" in output


def _trial_runs(folder: Path) -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("small")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], "tags.kind = 'trial'"))
