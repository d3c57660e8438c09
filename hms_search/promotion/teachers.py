"""Teachers for the folds of a plan: experiments on the other folds alone, kept for noisy students and pseudo labels."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hms_search.data.folds import FoldPlan, plan_folds
from hms_search.data.oof import out_of_fold
from hms_search.data.progress import Progress
from hms_search.data.store import Store
from hms_search.data.teachers import write_teacher
from hms_search.errors import ConfigError, StudyError
from hms_search.experiment import ExperimentConfig, run_experiment
from hms_search.promotion.choose import choose, completed_trial
from hms_search.promotion.samples import check_same, open_samples
from hms_search.search.events import Event
from hms_search.search.places import Places
from hms_search.search.recorded import recorded_study
from hms_search.search.storage import existing_storage
from hms_search.search.study_data import ReportProgress
from hms_search.training.results import Epoch, ignore


def teach(
    study: str,
    places: Places,
    folder: Path,
    *,
    trial: int | None = None,
    n_folds: int | None = None,
    data: str | None = None,
    notify: Callable[[Event], None],
    progress: ReportProgress,
) -> Path:
    """Train teachers for the folds of a study with the configuration of one of its trials; return their folder.

    ``trial`` is the best completed one if None; ``n_folds`` other than the study's is for the folds of a promotion, and
    goes into a folder of its own in ``folder``, which serves both.

    Raises StudyError where study or trial are unknown, the trial did not complete, or the recordings are others;
    ConfigError as :func:`train_teachers`.
    """
    with existing_storage(places.storage) as storage:
        record = recorded_study(storage, study)
    chosen = completed_trial(record, trial) if trial is not None else choose(record, top=1)[0]
    store = open_samples(record, data, places, notify=notify, progress=progress)
    if not isinstance(store, Store):
        raise StudyError(f"study {study!r} is of task {store.task}, which has no predicted targets; teach one of hms")
    check_same(store, record)
    folds = record.config.folds
    if n_folds is not None:
        folds = folds.model_copy(update={"n_folds": n_folds, "use": None})
    plan = plan_folds(folds, store)
    target = folder / f"{plan.n_folds}folds"
    epochs = len(plan.use) * (plan.n_folds - 1) * chosen.config.training.epochs
    done = itertools.count(1)

    def on_epoch(_: Epoch) -> None:
        progress(f"teachers by trial {chosen.number}", Progress(next(done), epochs))

    train_teachers(chosen.config, store, plan, target, seed=chosen.seed, device=record.config.device, on_epoch=on_epoch)
    return folder


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

    Raises ConfigError where ``config`` learns from predictions itself, since its teachers have seen what it must not
    know, or where there are only two folds: without one of them, nothing is left to train on and predict.
    """
    if plan.n_folds < 3:
        raise ConfigError(
            "teachers need at least three folds, one held out, others to train on and to predict; "
            f"found {plan.n_folds}; "
            "search with folds: {name: grouped, n_folds: 5, use: [0, 1]}, whose teachers hold out a fifth each"
        )
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
