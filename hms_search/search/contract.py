"""The contract a study keeps with its space, its data and its folds; and the Optuna study, opened under it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from hms_search.component import fingerprint_of
from hms_search.data.fold_words import Order
from hms_search.errors import StudyError
from hms_search.search.experimental import knowingly
from hms_search.search.foreign import COPIED_KEY, why_foreign
from hms_search.search.space_difference import difference, with_use
from hms_search.search.study import StudyConfig
from hms_search.search.study_attributes import CONFIG_KEY, stored_config, study_names
from hms_search.search.study_attributes import CONTRACT_KEY as CONTRACT_KEY
from hms_search.training.metrics import Stratum
from hms_search.training.tasks import Task

_IN_USE = "folds in use"


@dataclass(frozen=True)
class Contract:
    """What must stay the same for the trials of one study to be comparable.

    ``order`` is that of the folds' epochs: it says what the values by step are of.
    """

    space: str
    data: str
    folds: str
    objective: str
    seed: int
    order: Order = "sequential"


def contract_of(config: StudyConfig, *, data: str, folds: str) -> Contract:
    """Return the contract of a study on data and folds with these fingerprints.

    The space's prose (name, description) is no part of it.
    """
    space = config.space.to_dict()
    searched = {"base": space["base"], "parameters": space["parameters"]}
    objective = "; ".join((config.objective, *config.wanted.words))
    return Contract(fingerprint_of(searched), data, folds, objective, config.seed, config.schedule.order)


def open_study(
    config: StudyConfig,
    contract: Contract,
    storage: optuna.storages.BaseStorage,
    *,
    sampler_seed: int | None = None,
    keeps_config: bool = False,
) -> optuna.Study:
    """Return the Optuna study, created or resumed.

    ``sampler_seed`` goes before the study's seed.
    With ``keeps_config`` the study keeps its stored configuration, where it else takes on ``config``.

    Raises StudyError where a study of that name exists with another space, data, folds, objective, seed or order of
    folds, or with others in use: Optuna itself accepts changed bounds silently, and the trials would no longer be
    comparable.
    """
    directions = list(config.wanted.directions or (config.learned.direction,))
    study = optuna.create_study(
        storage=storage, study_name=config.name, directions=directions, load_if_exists=has_study(storage, config.name)
    )
    if (
        is_empty(study) and [one.name.lower() for one in study.directions] == directions
    ):  # made just now, or by a session that died as it made it
        with knowingly():
            study.set_metric_names([value_name(config.learned, config.objective), *config.wanted.names[1:]])
        study.set_user_attr(CONFIG_KEY, config.to_dict())
        study.set_user_attr(CONTRACT_KEY, asdict(contract))
    else:
        _keep_contract(config, contract, study)
        if not keeps_config and stored_config(study) != config.to_dict():  # a larger total, say
            study.set_user_attr(CONFIG_KEY, config.to_dict())
    study.sampler = config.sampler.build(config.space, config.seed if sampler_seed is None else sampler_seed)
    return study


def has_study(storage: optuna.storages.BaseStorage, name: str) -> bool:
    """Say whether a storage has a study of that name."""
    return name in study_names(storage)


def is_empty(study: optuna.Study) -> bool:
    """Say whether nothing is known of a study but perhaps its configuration: no session has begun to run it."""
    return not study.user_attrs.keys() - {CONFIG_KEY} and not study.get_trials(deepcopy=False)


def value_name(task: Task, objective: Stratum) -> str:
    """Return what a study's value is, in words."""
    return f"{task.measure}, {objective} votes" if len(task.strata) > 1 else task.measure


def _keep_contract(config: StudyConfig, contract: Contract, study: optuna.Study) -> None:
    kept = study.user_attrs.get(CONTRACT_KEY)
    if kept is None:
        if COPIED_KEY in study.user_attrs:
            raise StudyError(why_foreign(config.name, study.user_attrs))
        raise StudyError(
            f"the storage holds a study {config.name!r} that hms-search did not make; choose another name "
            f"(--set name={config.name}_2)"
        )
    stored = {**asdict(Contract(**kept)), _IN_USE: with_use(stored_config(study)["folds"])["use"]}
    now = {**asdict(contract), _IN_USE: with_use(config.folds.to_dict())["use"]}
    changed = [key for key, value in now.items() if stored[key] != value]
    if not changed:
        return
    takeover = ""
    if changed == ["space"]:
        takeover = _takeover(study, config)
    details = [f"{key} was {stored[key]} and is now {now[key]}" for key in changed]
    if "space" in changed:
        details += _differences(stored_config(study)["space"], config.space.to_dict())
    what = " and ".join(changed)
    raise StudyError(
        f"study {config.name!r} has {len(study.get_trials(deepcopy=False))} trials with another {what}: "
        f"{'; '.join(details)}. Its trials are kept. Restore the {what} to go on with it, "
        f"or start another study: --set name={config.name}_2{takeover}"
    )


@dataclass(frozen=True)
class _Stored:
    config: StudyConfig
    trials: tuple[FrozenTrial, ...]


def _takeover(study: optuna.Study, config: StudyConfig) -> str:
    """Return how another study takes over the trials that lie in its space, empty where none does."""
    stored = _Stored(StudyConfig.model_validate(stored_config(study)), tuple(study.get_trials(deepcopy=False)))
    changes = difference(stored, config)
    if changes.kind != "migratable" or not changes.fitting:
        return ""
    alone, later = (" --set rounds=null", "; rounds can be added later") if config.rounds is not None else ("", "")
    taken_over = f"takes over the {changes.fitting} of its {changes.trials} trials that lie in it"
    return f"{alone} --migrate {config.name} {taken_over}{later}"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    before, after = (
        _flat({key: old[key] for key in ("base", "parameters")}),
        _flat({key: new[key] for key in ("base", "parameters")}),
    )
    return [
        f"{path}: {json.dumps(before.get(path))} -> {json.dumps(after.get(path))}"
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix.removesuffix("."): content}
    return {path: value for key, inner in content.items() for path, value in _flat(inner, f"{prefix}{key}.").items()}
