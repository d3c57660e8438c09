"""StudyConfig: how a space is searched."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hms_search.component import Component
from hms_search.data.folds import Folds, GroupedFolds
from hms_search.data.labels import TaskName
from hms_search.document import Document, read_yaml
from hms_search.errors import ConfigError
from hms_search.search.aims import Aim, Constraint, Wanted, aim_faults
from hms_search.search.baking import check_baked
from hms_search.search.data_config import SYNTHETIC as SYNTHETIC
from hms_search.search.data_config import DataConfig
from hms_search.search.executors import Executor, LocalExecutor
from hms_search.search.halving import PausingHalving
from hms_search.search.pruners import Median, NoPruner, Pruner, Racing
from hms_search.search.rounds import Rounds, round_name
from hms_search.search.samplers import LEARN_OF_ENDED, Cmaes, CurveGp, Sampler, Tpe
from hms_search.search.schedules import Adaptive, Schedule, Sequential, schedule_faults
from hms_search.search.seizure_data import task_faults
from hms_search.search.space import SearchSpace
from hms_search.search.study_attributes import CONFIG_KEY as CONFIG_KEY
from hms_search.search.study_attributes import stored_config as stored_config
from hms_search.training.steps import Steps
from hms_search.training.tasks import TASKS, Task

_LONGEST_NAME = 120


class PromotionConfig(Component):
    """How a trial becomes a final model: on how many folds, for how many epochs (null: the trial's), under which seeds.

    Folds and seeds are the same for all models of a study, so that they can be compared in pairs.
    """

    n_folds: int = Field(default=5, ge=2)
    epochs: int | None = Field(default=None, ge=1)
    seeds: int = Field(default=1, ge=1)


class Patience(Component):
    """Stop where the last ``trials`` of them gained no more than chance would.

    Chance is ``of_noise`` times what tells two trials apart (:class:`hms_search.search.evidence.Evidence`), from the
    folds of the better half of the completed ones. Until there are enough of them to know, nothing is stopped. Of one
    fold in use no noise is known: there any gain counts.
    """

    trials: int = Field(default=20, ge=5)
    of_noise: float = Field(default=1.0, gt=0)


class StudyConfig(Component):
    """A study: a task, a space, the data and folds every trial is judged on, a budget, a sampler and a pruner.

    ``objective``, the stratum of votes that a value is of, is ``all`` where the task has no votes.

    The budget: ``trials``, ``max_epochs`` (of all folds of all trials) and ``max_hours`` (of training, summed over the
    workers) over all sessions, ``timeout_s`` of this one; whichever is first. Trials that run then are let to their
    end, but by ``timeout_s`` only to that of their epoch.

    A trial whose worker process dies is run again, from its last checkpoint, up to ``retries`` times.

    The usual ``sampler`` and ``pruner`` need the fewest epochs on real learning curves (docs/search.md). They know one
    value and one fold at a time: with ``aims``, ``constraints`` or another ``schedule``, name others. A sampler that
    learns of trials that ended learns nothing of those that pause.

    ``schedule`` says in which order the folds of a trial run, and whether all trials run all of them.

    ``warm_start`` names studies and CSV files (relative to the study's file) whose configurations are tried first, see
    :mod:`hms_search.search.warm_start`.

    ``migrate`` names a study, of another space, whose trials that lie in this one are taken over
    (:mod:`hms_search.search.migration`).

    ``aims`` are what trials are judged by where that is more than one thing, ``constraints`` what none may exceed
    (:mod:`hms_search.search.aims`).

    ``executor`` says on which machines the ``workers`` run.

    With ``rounds``, each is a study in the space that the one before leaves, with ``rounds.trials`` trials and the
    other budgets each.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=_LONGEST_NAME)
    description: str = ""
    task: TaskName = "hms"
    space: SearchSpace
    data: DataConfig = DataConfig()
    folds: Folds = GroupedFolds(n_folds=2)
    objective: Literal["all", "high", "low"] = "all"
    aims: tuple[Aim, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    trials: int = Field(default=20, ge=1)
    rounds: Rounds | None = None
    max_epochs: int | None = Field(default=None, ge=1)
    max_hours: float | None = Field(default=None, gt=0)
    timeout_s: float | None = Field(default=None, gt=0)
    patience: Patience | None = None
    retries: int = Field(default=2, ge=0)
    sampler: Sampler = CurveGp()
    pruner: Pruner = PausingHalving()
    schedule: Schedule = Sequential()
    warm_start: tuple[str, ...] = ()
    migrate: str | None = None
    promotion: PromotionConfig = PromotionConfig()
    seed: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=1)
    executor: Executor = LocalExecutor()
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")

    @model_validator(mode="after")
    def _one_representation_is_baked(self) -> Self:
        if self.data.baked:
            check_baked(self.space)
        return self

    @model_validator(mode="after")
    def _suits_its_task(self) -> Self:
        found = list(task_faults(self.task, self.space.base, self.folds, self.objective))
        if isinstance(self.pruner, Racing) and self.task != "hms":
            found.append(f"pruner racing compares the KL of recordings, task {self.task} has none; use median")
        found += schedule_faults(self.schedule, self.pruner, self.sampler, n_folds=self.steps.n_folds)
        if self.migrate == self.name:
            found.append(f"migrate: a study cannot take over its own trials; --set name={self.name}_2")
        if self.migrate is not None and self.rounds is not None:
            found.append("migrate: a search in rounds carries its own trials over; leave migrate or rounds out")
        found += [*aim_faults(self.learned, self.wanted), *self._what_aims_exclude()]
        if found:
            raise ValueError("; ".join(found))
        return self

    def _what_aims_exclude(self) -> Iterator[str]:
        """Yield which settings know one value only where there are several aims, or nothing of constraints."""
        sampler, pruner = self.sampler.name, self.pruner.name
        if self.constraints and sampler in ("gp", "curve_gp", "cmaes"):
            yield f"constraints: sampler {sampler} does not heed them; use tpe or nsga2"
        if not self.aims:
            return
        if sampler in ("curve_gp", "cmaes"):
            yield f"aims: sampler {sampler} knows one value; use tpe or nsga2"
        if pruner != "none":
            why = "a trial that is behind in the first aim may be the best in another"
            yield f"aims: {why}, so none may be stopped; write pruner: {{name: none}} for {pruner}"
        if isinstance(self.schedule, Adaptive):
            yield "aims: schedule adaptive decides by one value; use sequential or interleaved"
        for name in ("rounds", "patience"):
            if getattr(self, name) is not None:
                yield f"aims: {name} decide by one value; leave {name} out"

    @property
    def wanted(self) -> Wanted:
        """What trials are judged by, and what none may exceed."""
        return Wanted(self.aims, self.constraints, self.objective)

    @property
    def learned(self) -> Task:
        """What the task means."""
        return TASKS[self.task]

    @property
    def steps(self) -> Steps:
        """The epochs of a trial's folds."""
        n_folds = len(self.folds.use or range(self.folds.n_folds))
        return Steps(n_folds, self.space.base.training.epochs, self.schedule.order)


def read_study(path: Path, settings: tuple[str, ...] = ()) -> StudyConfig:
    """Return the study in a YAML file, its space inlined and each ``path=value`` of ``settings`` put in.

    ``space`` is a mapping, or the path of a space's YAML file relative to the study's file. A mapping ``settings`` in
    the file (path: value) is put in first. Raises ConfigError naming every fault with file and line.
    """
    return study_from_document(study_document(path, settings))


def study_document(path: Path, settings: tuple[str, ...] = ()) -> Document:
    """Return the document of a study with its space inlined under ``space`` and the settings put in."""
    document = read_yaml(path)
    if not isinstance(document.content, dict):
        raise ConfigError(f"{path}:1: a study is a mapping with name and space, found {document.content!r}")
    space = document.content.get("space")
    if isinstance(space, str):
        file = path.parent / space
        if not file.is_file():
            raise ConfigError(f"{document.place(('space',))}: space: no such file: {file}; give it relative to {path}")
        document = document.mounted("space", read_yaml(file))
    document, own = document.popped("settings")
    if own is not None and not isinstance(own, dict):
        raise ConfigError(f"{document.place(('settings',))}: settings: expected a mapping, found {own!r}")
    for dotted, value in (own or {}).items():
        document = document.with_value(dotted, value, place=document.place(("settings", dotted)))
    sources = document.content.get("warm_start")
    if isinstance(sources, list):
        beside = [str(path.parent / one) if str(one).endswith(".csv") else one for one in sources]
        document = document.with_value("warm_start", beside, place=document.place(("warm_start",)))
    for setting in settings:
        document = document.with_setting(setting)
    return document


def study_from_document(document: Document) -> StudyConfig:
    """Return the validated study; the faults of its space are reported together with its own.

    A search that it does not name is one that fits its aims, constraints and schedule.
    """
    for name, fitting in _fitting_search(document.content):
        if name not in document.content:
            document = document.with_value(name, fitting.to_dict(), place=document.place(("name",)))
    config = StudyConfig.from_document(document)
    space = Document(
        document.content["space"],
        {path[1:]: place for path, place in document.places.items() if path[:1] == ("space",)},
    )
    found = [*config.space.faults(space), *_names_of_rounds(config, document)]
    if isinstance(config.sampler, Cmaes):  # of a later round it is not asked: that may have no number left
        found += [f"{document.place(('sampler',))}: {why}" for why in config.sampler.faults(config.space)]
    if found:
        raise ConfigError("\n".join(found))
    return config


def _names_of_rounds(config: StudyConfig, document: Document) -> Iterator[str]:
    """Yield that the last round's study would have too long a name."""
    last = round_name(config.name, config.rounds.count if config.rounds is not None else 1)
    too_many = len(last) - _LONGEST_NAME
    if too_many > 0:
        yield (
            f"{document.place(('name',))}: name: the last of the rounds would be called {last}, of {len(last)} letters "
            f"where {_LONGEST_NAME} are allowed; make it shorter by {too_many}"
        )


def _fitting_search(content: Mapping[str, Any]) -> Iterator[tuple[str, Component]]:
    """Yield which sampler and pruner a study needs where the usual ones do not fit."""
    order, sampler = _named(content, "schedule"), _named(content, "sampler")
    if sampler is None and (content.get("aims") or content.get("constraints") or order == "interleaved"):
        sampler = Tpe().name
        yield "sampler", Tpe()
    if content.get("aims"):
        yield "pruner", NoPruner()
    elif order == "adaptive" or sampler in LEARN_OF_ENDED:
        yield "pruner", Median()


def _named(content: Mapping[str, Any], part: str) -> str | None:
    """Return the name of a part of a study, None where it has none."""
    found = content.get(part)
    return found.get("name") if isinstance(found, dict) else None
