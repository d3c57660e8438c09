"""hms_search: YAML search spaces become Optuna studies over an EEG-classification pipeline.

These are the public names; each is imported when it is first asked for, because PyTorch, timm and MLflow take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hms_search.component import Component as Component
    from hms_search.data.folds import FoldPlan as FoldPlan
    from hms_search.data.folds import plan_folds as plan_folds
    from hms_search.data.prepare import prepare as prepare
    from hms_search.data.store import Store as Store
    from hms_search.eeg.pipeline import InputPipeline as InputPipeline
    from hms_search.errors import HmsSearchError as HmsSearchError
    from hms_search.experiment import ExperimentConfig as ExperimentConfig
    from hms_search.experiment import ExperimentResult as ExperimentResult
    from hms_search.experiment import run_experiment as run_experiment
    from hms_search.inference.predictor import Prediction as Prediction
    from hms_search.inference.predictor import Predictor as Predictor
    from hms_search.inference.submission import predict_folder as predict_folder
    from hms_search.search.places import Places as Places
    from hms_search.search.session import run_study as run_study
    from hms_search.search.space import SearchSpace as SearchSpace
    from hms_search.search.study import StudyConfig as StudyConfig
    from hms_search.search.study import read_study as read_study

_HOMES = {
    "Component": "component",
    "ExperimentConfig": "experiment",
    "ExperimentResult": "experiment",
    "FoldPlan": "data.folds",
    "HmsSearchError": "errors",
    "InputPipeline": "eeg.pipeline",
    "Places": "search.places",
    "Prediction": "inference.predictor",
    "Predictor": "inference.predictor",
    "SearchSpace": "search.space",
    "Store": "data.store",
    "StudyConfig": "search.study",
    "plan_folds": "data.folds",
    "predict_folder": "inference.submission",
    "prepare": "data.prepare",
    "read_study": "search.study",
    "run_experiment": "experiment",
    "run_study": "search.session",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
