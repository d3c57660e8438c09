"""Teachers of a plan's folds, and final models where an epoch sees one window of each EEG."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hms_search.data.folds import FoldPlan, GroupedFolds, plan_folds
from hms_search.data.oof import read_oof
from hms_search.data.prepare import prepare
from hms_search.data.sampling import LabelSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.errors import ConfigError
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.promotion.register import Registrar
from hms_search.promotion.teachers import train_teachers
from hms_search.promotion.train import Recipe, train
from hms_search.training.metrics import kl
from hms_search.training.results import Epoch


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("teachers")
    write_synthetic(folder / "data", n_patients=9, seed=2, workers=1)
    prepare(folder / "data", folder / "store", workers=1)
    return Store.open(folder / "store", LabelSampling(one_per_eeg=True))


@pytest.fixture(scope="module")
def plan(store: Store) -> FoldPlan:
    return plan_folds(GroupedFolds(n_folds=3), store)


def config(**training: object) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "pipeline": {"source": "spectrogram", "resize": [32, 32]},
            "model": {"name": "timm", "backbone": "test_resnet"},
            "training": {"epochs": 1, "batch_size": 8, **training},
        }
    )


def test_teachers_predict_every_window_outside_their_fold_and_students_may_use_them(
    store: Store, plan: FoldPlan, tmp_path: Path
) -> None:
    two = replace(plan, use=(0, 2))
    seen: list[Epoch] = []
    train_teachers(config(), store, two, tmp_path, seed=1, on_epoch=seen.append)
    assert [epoch.fold for epoch in seen] == [1, 2, 0, 1]
    for fold in two.use:
        oof = read_oof(tmp_path / f"fold{fold}.parquet")
        outside = plan.assignment != fold
        assert set(oof.samples["sample_id"]) == set(store.sample_ids[outside])
        assert not set(oof.patients) & set(store.patients[~outside])
    soft = {"oof": str(tmp_path)}
    student = config(noisy_student=soft, pseudo_labels=soft)
    result = run_experiment(student, store, two)
    assert np.isfinite(result.value)
    assert not result.optimistic
    with pytest.raises(ConfigError, match="a teacher learns from votes"):
        train_teachers(student, store, two, tmp_path)


def test_a_recipe_with_other_predictions_is_another_recipe(store: Store, plan: FoldPlan, tmp_path: Path) -> None:
    first = replace(plan, use=(0,))
    identities = []
    for seed in (0, 1):
        train_teachers(config(), store, first, tmp_path / "of one seed", seed=seed)
        student = config(noisy_student={"oof": str(tmp_path / "of one seed")})
        identities.append(Recipe("student", student, store, first, (0,), "all", "cpu").identity)
        shutil.rmtree(tmp_path / "of one seed")
    assert identities[0] != identities[1]


def test_interrupted_teachers_are_not_trained_again(store: Store, plan: FoldPlan, tmp_path: Path) -> None:
    first = replace(plan, use=(0,))
    train_teachers(config(), store, first, tmp_path)
    before = (tmp_path / "fold0.parquet").read_bytes()
    networks = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.safetensors")}
    train_teachers(config(), store, first, tmp_path)
    assert len(networks) == 2
    assert {file: file.stat().st_mtime_ns for file in networks} == networks
    assert (tmp_path / "fold0.parquet").read_bytes() == before


def test_a_final_models_out_of_fold_rows_are_the_ones_it_is_scored_on(
    store: Store, plan: FoldPlan, tmp_path: Path
) -> None:
    recipe = Recipe("windows", config(), store, plan, (0, 1), "all", "cpu")
    model = train(recipe, work=tmp_path / "work", target=tmp_path / "model", origin={}, on_epoch=lambda _, __: None)
    oof = read_oof(model.oof)
    assert oof.samples["sample_id"].tolist() == store.sample_ids[store.scored].tolist()
    np.testing.assert_allclose(oof.targets, store.targets[store.scored])
    np.testing.assert_array_equal(oof.folds, plan.assignment[store.scored])
    assert model.card.scores["kl_all"] == pytest.approx(kl(oof.targets, oof.probabilities))
    assert model.card.origin["targets_may_leak"] == "false"
    one = run_experiment(config(), store, plan, seed=1)
    assert model.card.scores["seed1"] == pytest.approx(kl(store.targets[one.rows], one.probabilities))


def test_a_model_taught_by_networks_that_may_know_its_validation_labels_cannot_become_champion(
    store: Store, plan: FoldPlan, tmp_path: Path
) -> None:
    every = replace(plan, scored=np.ones_like(plan.scored))
    made = {}
    for name, soft in (("plain", None), ("student", {"oof": str(tmp_path / "plain/oof.parquet"), "optimistic": True})):
        recipe = Recipe(name, config(noisy_student=soft), store, every, (0,), "all", "cpu")
        target = tmp_path / name
        made[name] = train(recipe, work=tmp_path / "work", target=target, origin={}, on_epoch=lambda _, __: None)
    registrar = Registrar("hms", None)
    references = {"baseline": made["plain"]}
    gate = registrar.register(made["student"], objective="all", references=references, force=False).gate
    assert not gate.opens
    assert "networks that know the labels" in gate.verdict(gate.comparisons[0])
