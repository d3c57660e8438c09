"""Training a final model: one experiment per seed over all folds, gathered into a model folder."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from hms_search.component import fingerprint_of
from hms_search.data.atomic import replacing_folder
from hms_search.data.folds import FoldPlan
from hms_search.data.oof import OutOfFold, out_of_fold, write_oof
from hms_search.document import dump_yaml
from hms_search.errors import StudyError
from hms_search.experiment import ExperimentConfig, ExperimentResult, run_experiment, weights_file
from hms_search.inference.model_folder import NETWORKS, OOF, ModelCard, ModelFolder, NetworkFile, open_model, write_card
from hms_search.models import architecture
from hms_search.promotion.samples import StudySamples
from hms_search.training.metrics import STRATA, Stratum, in_stratum
from hms_search.training.predictions import predictions_of
from hms_search.training.results import Epoch, ignore
from hms_search.training.tasks import TASKS, Task

MAY_LEAK = "targets_may_leak"
"""In a card's origin: "true" where the model's scores may be of labels that its predicted targets knew."""
OOF_BY_FILE = "oof_by_file.parquet"
"""In a model's folder: the out-of-fold predictions behind its score by file, by networks that are not kept."""


@dataclass(frozen=True)
class Recipe:
    """All that a final model follows from.

    ``plan`` are the folds whose networks become the model, and that it is judged on; ``by_file`` those of files, whose
    score stands beside where the task wants both; ``seeds`` are those of its experiments, one after the other.
    """

    name: str
    config: ExperimentConfig
    store: StudySamples
    plan: FoldPlan
    seeds: tuple[int, ...]
    objective: Stratum
    device: str
    by_file: FoldPlan | None = None

    @property
    def task(self) -> Task:
        """What is learned."""
        return TASKS[self.store.task]

    @property
    def identity(self) -> str:
        """12 hex digits that name configuration, data, folds, seeds, objective and the predictions that are targets.

        Raises DataError where these are missing or would leak.
        """
        content = [self.config.to_dict(), self.store.fingerprint, self.plan.fingerprint, self.seeds, self.objective]
        beside = [] if self.by_file is None else [self.by_file.fingerprint]
        return fingerprint_of([*content, *beside, *self._predicted])

    @property
    def epochs(self) -> int:
        """How many epochs are trained in all, over seeds and folds."""
        folds = len(self.plan.use) + (0 if self.by_file is None else len(self.by_file.use))
        return len(self.seeds) * folds * self.config.training.epochs

    @property
    def _predicted(self) -> list[str]:
        digests = []
        for fold in self.plan.use:
            training, validation = self.plan.split(fold)
            found = predictions_of(
                self.config.training, self.store, training=training, validation=validation, fold=fold
            )
            digests += [found.digest] if found.digest else []
        return digests


def train(
    recipe: Recipe,
    *,
    work: Path,
    target: Path,
    origin: Mapping[str, str],
    on_epoch: Callable[[int, Epoch], None],
    on_beside: Callable[[Epoch], None] = ignore,
) -> ModelFolder:
    """Return the model that a recipe makes, complete in ``target``.

    ``work`` keeps what is finished: called again after an interruption, however rude, the training goes on after the
    last finished epoch, to the same model. ``on_epoch`` is called with the place of the seed and each epoch, those of
    before included; ``on_beside`` with those of the folds of files. ``origin`` goes onto the model's card.
    """
    results = tuple(
        _experiment(recipe, recipe.plan, seed, work, lambda epoch, place=place: on_epoch(place, epoch))  # type: ignore[misc]
        for place, seed in enumerate(recipe.seeds)
    )
    by_file = None if recipe.by_file is None else _by_file(recipe, recipe.by_file, work / "by_file", on_beside)
    with replacing_folder(target) as gathering:
        (gathering / NETWORKS).mkdir()
        networks = tuple(
            _take_network(recipe, work, gathering, seed, result, position)
            for seed, result in zip(recipe.seeds, results, strict=True)
            for position in range(len(result.folds))
        )
        oof = _average(recipe, recipe.plan, results)
        write_oof(oof, gathering / OOF)
        if by_file is not None:
            write_oof(by_file, gathering / OOF_BY_FILE)
        (gathering / "config.yaml").write_text(dump_yaml(recipe.config.to_dict()), encoding="utf-8")
        card = ModelCard(
            name=recipe.name,
            kind="model",
            task=recipe.task.name,
            prior=prior_of(oof, recipe.objective),
            scores={
                **scores_of(oof, recipe.objective, seed=recipe.seeds[0]),
                **level_scores(oof, by_file),
                **_seed_scores(recipe, results),
            },
            origin={
                **origin,
                "identity": recipe.identity,
                "objective": recipe.objective,
                MAY_LEAK: str(recipe.config.training.targets_may_leak).lower(),
            },
            networks=networks,
        )
        write_card(gathering, card)
    shutil.rmtree(work)
    return open_model(target)


def scores_of(oof: OutOfFold, objective: Stratum, *, seed: int) -> dict[str, float]:
    """Return the metrics of out-of-fold predictions, with the interval of the one that decides."""
    return TASKS[oof.task].pooled_scores(
        oof.targets, oof.probabilities, oof.high, oof.patients, objective=objective, seed=seed
    )


def level_scores(by_patient: OutOfFold, by_file: OutOfFold | None) -> dict[str, float]:
    """Return the values on folds of patients and of files, means over the folds, where the task wants both."""
    if by_file is None:
        return {}
    task = TASKS[by_patient.task]
    return {task.levels["patient"]: _fold_mean(by_patient), task.levels["file"]: _fold_mean(by_file)}


def card_value(card: ModelCard) -> float:
    """Return what a model is judged by: the task's metric on the objective's rows, of all folds together."""
    return TASKS[card.task].value(card.scores, objective_of([card]))


def prior_of(oof: OutOfFold, objective: Stratum) -> tuple[float, ...]:
    """Return the mean target of the objective's rows: the best guess about a recording that cannot be read."""
    mean = oof.targets[in_stratum(oof.high, objective)].mean(axis=0)
    return tuple((mean / mean.sum()).tolist())


def objective_of(cards: Sequence[ModelCard]) -> Stratum:
    """Return the stratum that models were selected on; raises StudyError where they differ."""
    found = {card.origin.get("objective", "all") for card in cards}
    for stratum in STRATA:
        if found == {stratum}:
            return stratum
    named = "; ".join(f"{card.name}: {card.origin.get('objective')}" for card in cards)
    raise StudyError(f"expected models of one objective (all, high or low), found {named}; blend those that share one")


def seed_values(card: ModelCard) -> tuple[float, ...]:
    """Return :func:`card_value` of each seed's own out-of-fold predictions."""
    return tuple(value for name, value in card.scores.items() if name.startswith("seed"))


def _out_dir(work: Path, seed: int) -> Path:
    return work / f"seed{seed}"


def _experiment(
    recipe: Recipe, plan: FoldPlan, seed: int, work: Path, on_epoch: Callable[[Epoch], None]
) -> ExperimentResult:
    return run_experiment(
        recipe.config,
        recipe.store,
        plan,
        seed=seed,
        device=recipe.device,
        objective=recipe.objective,
        on_epoch=on_epoch,
        out_dir=_out_dir(work, seed),
    )


def _by_file(recipe: Recipe, plan: FoldPlan, work: Path, on_epoch: Callable[[Epoch], None]) -> OutOfFold:
    results = tuple(_experiment(recipe, plan, seed, work, on_epoch) for seed in recipe.seeds)
    return _average(recipe, plan, results)


def _take_network(
    recipe: Recipe, work: Path, folder: Path, seed: int, result: ExperimentResult, position: int
) -> NetworkFile:
    fold = result.folds[position].fold
    file = f"{NETWORKS}/seed{seed}-fold{fold}.safetensors"
    shutil.copyfile(weights_file(_out_dir(work, seed), fold), folder / file)
    return NetworkFile(
        file=file,
        model=architecture(recipe.config.model),
        pipeline=result.pipelines[position],
        fold=fold,
        seed=seed,
    )


def _average(recipe: Recipe, plan: FoldPlan, results: tuple[ExperimentResult, ...]) -> OutOfFold:
    probabilities = np.mean([_in_order(result) for result in results], axis=0)
    store, rows = recipe.store, np.sort(results[0].rows)
    samples, folds = store.samples.iloc[rows], plan.assignment[rows]
    return out_of_fold(recipe.name, samples, folds, store.targets[rows], probabilities, store.task)


def _fold_mean(oof: OutOfFold) -> float:
    task, values = TASKS[oof.task], []
    for fold in np.unique(oof.folds):
        rows = oof.folds == fold
        scores = task.scores(oof.targets[rows], oof.probabilities[rows], oof.high[rows])
        values.append(task.value(scores, "all"))
    return float(np.mean(values))


def _in_order(result: ExperimentResult) -> Float[np.ndarray, "rows classes"]:
    """Return an experiment's predictions in the Store's order; every validated sample is out of fold exactly once."""
    return result.probabilities[np.argsort(result.rows)]


def _seed_scores(recipe: Recipe, results: tuple[ExperimentResult, ...]) -> dict[str, float]:
    rows, task = np.sort(results[0].rows), recipe.task
    targets, high = recipe.store.targets[rows], recipe.store.high[rows]
    return {
        f"seed{seed}": task.value(task.scores(targets, _in_order(result), high), recipe.objective)
        for seed, result in zip(recipe.seeds, results, strict=True)
    }
