"""Teachers for the folds of a plan: experiments on the other folds alone, kept for noisy students and pseudo labels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hms_search.data.folds import FoldPlan
from hms_search.data.oof import out_of_fold
from hms_search.data.store import Store
from hms_search.data.teachers import write_teacher
from hms_search.errors import ConfigError
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.training.results import Epoch, ignore


def train_teachers(
    config: ExperimentConfig,
    store: Store,
    plan: FoldPlan,
    folder: Path,
    *,
    seed: int = 0,
    device: str = "auto",
    on_epoch: Callable[[Epoch], None] = ignore,
) -> None:
    """Train a teacher for each fold that ``plan`` uses and keep its predictions in ``folder``.

    A teacher of a fold is ``config`` on all folds but this one: with n folds, n - 1 networks each. The folder is what
    ``training.noisy_student.oof`` and ``training.pseudo_labels.oof`` take. An interrupted call goes on when it is made
    again; the networks stay in the folder.

    Raises ConfigError where ``config`` learns from predictions itself: its teachers have seen what it must not know.
    """
    if config.training.noisy_student is not None or config.training.pseudo_labels is not None:
        raise ConfigError(
            "a teacher learns from votes: expected training.noisy_student and training.pseudo_labels to be null; "
            "teachers of a teacher were trained on patients that it must not know of"
        )
    for fold in plan.use:
        others = plan.without(fold)
        result = run_experiment(
            config, store, others, seed=seed, device=device, on_epoch=on_epoch, out_dir=folder / f"without{fold}"
        )
        oof = out_of_fold(
            f"teacher of fold {fold}",
            store.samples.iloc[result.rows],
            others.assignment[result.rows],
            store.targets[result.rows],
            result.probabilities,
        )
        held_out = np.unique(store.patients[plan.assignment == fold])
        write_teacher(folder, fold, oof, held_out.tolist())
