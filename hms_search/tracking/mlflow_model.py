"""A model folder as MLflow keeps one: a ``python_function`` model that is loaded without pickle."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

from hms_search.data.labels import CLASSES_OF, VOTE_COLUMNS, TaskName

_LOADER = Path(__file__).parent / "loader" / "hms_model.py"
_NEEDS = ("torch", "torchvision", "timm", "numpy", "pandas", "pyarrow", "safetensors")
_EXAMPLES: Mapping[TaskName, Mapping[str, list[str]]] = {
    "hms": {"spectrogram_path": ["test_spectrograms/853520.parquet"]},
    "seizure_types": {"seizure_path": ["seizure00000.npy"]},
}


def write_mlflow_model(folder: Path, target: Path, *, run_id: str, model_id: str, task: TaskName) -> None:
    """Write a model folder as the MLflow model of a run; ``task`` says what it takes and returns."""
    mlflow.pyfunc.save_model(
        str(target),
        loader_module=_LOADER.stem,
        data_path=str(folder.resolve()),
        code_paths=[str(_LOADER)],
        mlflow_model=Model(run_id=run_id, model_id=model_id, model_uuid=model_id),
        signature=_signature(task),
        input_example=dict(_EXAMPLES[task]),
        pip_requirements=_requirements(folder),
    )


def rename_mlflow_model(folder: Path, *, run_id: str, model_id: str) -> None:
    """Let an MLflow model that was copied be of another run, under another id."""
    found = Model.load(str(folder))
    found.run_id, found.model_id, found.model_uuid = run_id, model_id, model_id
    found.save(str(folder / MLMODEL_FILE_NAME))


def _signature(task: TaskName) -> ModelSignature:
    """Return what a model of a task takes, a file or the numbers themselves, and what it returns."""
    array = Array(Array(DataType.double))
    inputs: dict[str, DataType | Array] = {"spectrogram_path": DataType.string, "power": array}
    if task == "seizure_types":
        inputs = {"seizure_path": DataType.string, "samples": Array(array)}
    outputs = VOTE_COLUMNS if task == "hms" else CLASSES_OF[task]
    return ModelSignature(
        inputs=Schema([ColSpec(kind, name, required=False) for name, kind in inputs.items()]),
        outputs=Schema([ColSpec(DataType.double, name) for name in outputs]),
        params=ParamSchema([ParamSpec("tta", DataType.string, "own")]),
    )


def _requirements(folder: Path) -> list[str]:
    """Return what a model needs installed, each in the version it was made with; a bundle brings hms_search itself."""
    needs = _NEEDS if (folder / "code").is_dir() else (*_NEEDS, "hms-search")
    return [f"{name}=={version(name).partition('+')[0]}" for name in needs]
