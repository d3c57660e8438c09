"""Where final models are trained: one MLflow run each, taken up again after an interruption."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hms_search.curves import learning_curve
from hms_search.data.folds import FoldPlan
from hms_search.data.progress import Progress
from hms_search.document import Document, dump_yaml
from hms_search.experiment import ExperimentConfig
from hms_search.inference.model_folder import CARD, ModelFolder, is_model, open_model
from hms_search.promotion.runs import ended_if_broken
from hms_search.promotion.samples import StudySamples
from hms_search.promotion.train import Recipe, train
from hms_search.search.contract import Contract
from hms_search.search.data_config import SYNTHETIC
from hms_search.search.places import Places
from hms_search.search.recorded import RecordedTrial
from hms_search.search.session import study_tags
from hms_search.search.study import StudyConfig
from hms_search.search.study_data import ReportProgress
from hms_search.search.trial_record import epoch_metrics
from hms_search.tracking import Run, Tracker
from hms_search.training.results import Epoch
from hms_search.training.tasks import TASKS


@dataclass(frozen=True)
class Design:
    """What becomes a final model: what to call it, its experiment, what was searched of it, and what else is known."""

    label: str
    config: ExperimentConfig
    params: Mapping[str, object]
    tags: Mapping[str, str]


def design_of(trial: RecordedTrial) -> Design:
    """Return the design of a study's trial."""
    tags = {
        "trial": str(trial.number),
        "origin_run_id": trial.row.run_id,
        "origin_value": str(trial.row.value),
        "baseline": str(trial.row.baseline).lower(),
    }
    return Design(trial.label, trial.config, trial.row.params, tags)


@dataclass
class Workshop:
    """Trains final models on the samples of a study, on the same folds and under the same seeds; see :meth:`model`.

    ``by_file`` are the folds of files, where the task wants the score on them beside that of ``plan``.
    """

    study: StudyConfig
    contract: Contract
    places: Places
    store: StudySamples
    plan: FoldPlan
    seeds: tuple[int, ...]
    epochs: int | None
    tracker: Tracker
    parent_id: str
    progress: ReportProgress
    by_file: FoldPlan | None = None
    _models: dict[str, ModelFolder] = field(default_factory=dict)

    def model(self, design: Design) -> ModelFolder:
        """Return the final model of a design, trained where it is not there yet."""
        if design.label not in self._models:
            self._models[design.label] = self._model(design, self._recipe(design))
        return self._models[design.label]

    def _model(self, design: Design, recipe: Recipe) -> ModelFolder:
        target, work = self.places.models / recipe.name, self.places.unfinished / recipe.name
        if is_model(target):
            shutil.rmtree(work, ignore_errors=True)
            model = open_model(target)
            left_open = self.tracker.open_run(model.card.origin["run_id"])
            if left_open is not None:  # the process died right after the training
                _finish(left_open, model, [])
            return model
        target.parent.mkdir(parents=True, exist_ok=True)
        self.tracker.end_orphans({"identity": [recipe.identity]}, "its session died; the promotion was taken up again")
        tags = self._tags(design, recipe)
        run = self.tracker.start_run(
            recipe.name,
            parent_id=self.parent_id,
            params=design.params,
            tags=tags,
            texts={"config.yaml": dump_yaml(recipe.config.to_dict())},
            kind="promotion",
        )
        watch = _Watch(run, recipe, self.progress)
        watch.show()
        with ended_if_broken(run):
            model = train(
                recipe,
                work=work,
                target=target,
                origin={**tags, "run_id": run.id},
                on_epoch=watch.on_epoch,
                on_beside=lambda _: watch.advance(),
            )
        _finish(run, model, watch.first_seed)
        return model

    def _recipe(self, design: Design) -> Recipe:
        config = final_config(design.config, self.epochs)
        unnamed = Recipe(
            name="",
            config=config,
            store=self.store,
            plan=self.plan,
            seeds=self.seeds,
            objective=self.study.objective,
            device=self.study.device,
            by_file=self.by_file,
        )
        return replace(unnamed, name=f"{design.label}-{unnamed.identity[:6]}")

    def _tags(self, design: Design, recipe: Recipe) -> Mapping[str, str]:
        config = self.study
        return {
            **study_tags(config, self.contract),
            **design.tags,
            "folds_fingerprint": self.plan.fingerprint,
            "config_fingerprint": recipe.config.fingerprint(),
            "identity": recipe.identity,
            "n_folds": str(self.plan.n_folds),
            "epochs": str(recipe.config.training.epochs),
            "seed": " ".join(map(str, self.seeds)),
            "sampling": config.data.sampling.name,
            "recordings": "synthetic" if config.data.root == SYNTHETIC else "real",
        }


def final_config(trial: ExperimentConfig, epochs: int | None) -> ExperimentConfig:
    """Return a trial's experiment with another number of epochs; raises ConfigError where the two do not fit."""
    if epochs is None:
        return trial
    content = trial.to_dict()
    content["training"]["epochs"] = epochs
    return ExperimentConfig.from_document(Document(content, {(): "promotion"}))


@dataclass
class _Watch:
    """Passes the epochs of one model on, to its run and to whoever watches."""

    run: Run
    recipe: Recipe
    progress: ReportProgress
    first_seed: list[Epoch] = field(default_factory=list)
    _done: int = 0

    def on_epoch(self, seed_place: int, epoch: Epoch) -> None:
        if seed_place == 0:
            self.first_seed.append(epoch)
        prefix = f"seed{seed_place}/" if seed_place else ""
        metrics = {f"{prefix}{name}": value for name, value in epoch_metrics(epoch, self.recipe.task).items()}
        self.run.log(metrics, step=epoch.epoch)
        self.advance()

    def advance(self) -> None:
        self._done += 1
        self.show()

    def show(self) -> None:
        self.progress(f"training {self.recipe.name}", Progress(self._done, self.recipe.epochs))


def _finish(run: Run, model: ModelFolder, first_seed: Sequence[Epoch]) -> None:
    files = {"oof.parquet": model.oof.read_bytes(), CARD: (model.path / CARD).read_bytes()}
    if first_seed:
        files["learning_curve.png"] = learning_curve(first_seed, title=model.card.name, task=TASKS[model.card.task])
    run.finish("complete", metrics=model.card.scores, files=files)
