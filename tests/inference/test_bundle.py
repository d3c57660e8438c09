"""A bundle in a fresh environment without network, pydantic, Optuna and MLflow: the same numbers, or a clear error."""

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from command_line import CommandLine
from slim_environment import Environment, slim_environment
from small_models import PRIOR, SEIZURE_PRIOR, fitted, write_ensemble, write_model, write_seizure_model

from hms_search.data.labels import SEIZURE_TYPES, VOTE_COLUMNS
from hms_search.data.synthetic import write_synthetic
from hms_search.ensemble.blends import FittedBlend, StackingBlend
from hms_search.errors import CheckpointError
from hms_search.inference.bundle import export_bundle, is_bundle
from hms_search.inference.model_folder import ModelCard, ModelFolder, NetworkFile, open_model, write_manifest
from hms_search.inference.predictor import Predictor
from hms_search.inference.sources import source_files
from hms_search.inference.submission import predict_folder
from hms_search.models import Braindecode

NORMALISATIONS = ("instance", "datawide", "robust", "none")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings without test.csv, so that there are several rows."""
    root = tmp_path_factory.mktemp("recordings") / "hms"
    write_synthetic(root, n_patients=2, seed=2, workers=1)
    (root / "test.csv").unlink()
    return root


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return slim_environment(tmp_path_factory.mktemp("slim"))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ensemble with a member per normalisation, one of them without gap filling at the floor, stacked."""
    folder = tmp_path_factory.mktemp("model") / "four"
    for number, normalise in enumerate(NORMALISATIONS):
        changes = {"normalise": {"name": normalise}, "gap_fill": "mean" if normalise == "robust" else "floor"}
        write_model(folder / "members" / normalise, name=normalise, networks=1, seed=number, **changes)
    stacking = StackingBlend(hidden=(16,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        weights = {name: value * 5 for name, value in stacking.build().state_dict().items()}
    blend = FittedBlend(stacking, weights)
    return write_ensemble(folder, blend, members=NORMALISATIONS, name="four", scores={"kl_all": 0.5})


@pytest.fixture(scope="module")
def exported(ensemble: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("exported") / "bundle"
    export_bundle(open_model(ensemble), target)
    return target


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy of the bundle in another place."""
    return Path(shutil.copytree(exported, tmp_path / "elsewhere" / "bundle"))


@pytest.fixture
def predict(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """The bundle's predict.py in this process, where the installed hms_search is imported already."""
    spec = importlib.util.spec_from_file_location("bundled_predict", bundle / "predict.py")
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(*arguments: str | Path) -> int:
        monkeypatch.setattr(sys, "argv", ["predict.py", *map(str, arguments)])
        code: int = module.main()
        return code

    return run


def listing(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_the_slim_environment_has_neither_the_search_nor_a_network(slim: Environment) -> None:
    absent = ["optuna", "mlflow", "pydantic", "hms_search", "einops", "jaxtyping", "sklearn", "scipy", "ruamel"]
    found = slim.run("-c", f"import importlib.util as u; print([m for m in {absent} if u.find_spec(m)])")
    assert found.stdout.strip() == "[]"
    refused = slim.run("-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:1')", code=1)
    assert "no network" in refused.stderr


def test_a_bundle_predicts_the_same_numbers_where_nothing_of_the_search_can_be_imported(
    bundle: Path, ensemble: Path, recordings: Path, slim: Environment, tmp_path: Path
) -> None:
    for file in [bundle, *bundle.rglob("*")]:
        file.chmod(0o555 if file.is_dir() else 0o444)
    before = listing(bundle)
    slim.run(bundle / "predict.py", "--data", recordings, "-o", tmp_path / "submission.csv", "--tta", "left_right")
    assert listing(bundle) == before
    predicted = pd.read_csv(tmp_path / "submission.csv")
    expected = predict_folder(Predictor.open(ensemble, device="cpu"), recordings, tta="left_right")
    assert predicted["eeg_id"].tolist() == expected.rows.eeg_ids.tolist()
    assert len(predicted) > 3
    assert expected.probabilities.std(axis=0).max() > 0.01
    np.testing.assert_allclose(predicted[list(VOTE_COLUMNS)], expected.probabilities, rtol=0, atol=1e-6)


def test_a_bundle_of_seizure_types_predicts_arrays_and_needs_no_other_library(
    slim: Environment, tmp_path: Path
) -> None:
    export_bundle(open_model(write_seizure_model(tmp_path / "model")), tmp_path / "bundle")
    folder, rng = tmp_path / "seizures", np.random.default_rng(0)
    folder.mkdir()
    arrays = {
        f"{name}.npy": rng.normal(1, 1, (4 + place, 20, 24)).astype(np.float32) for place, name in enumerate("ab")
    }
    for name, samples in arrays.items():
        np.save(folder / name, samples)
    out = tmp_path / "predictions.csv"
    (folder / "c.npy").write_bytes(b"no array")
    done = slim.run(tmp_path / "bundle" / "predict.py", "--data", folder, "-o", out, code=3)
    assert "c.npy gets the prior: expected FFT samples" in done.stderr
    expected = Predictor.open(tmp_path / "model", device="cpu").predict(list(arrays.values())).probabilities
    table = pd.read_csv(out)
    assert table["file"].tolist() == [*arrays, "c.npy"]
    np.testing.assert_allclose(table[list(SEIZURE_TYPES)], [*expected, SEIZURE_PRIOR], rtol=0, atol=1e-6)
    readme = (tmp_path / "bundle" / "README.md").read_text(encoding="utf-8")
    assert "weighted_f1_by_file 0.68000, weighted_f1_by_patient 0.26000" in readme
    assert "kaggle" not in readme.lower()


def test_a_bundle_is_a_model_folder_too(exported: Path, ensemble: Path, tmp_path: Path) -> None:
    assert is_bundle(exported)
    assert open_model(exported).card == open_model(ensemble).card
    export_bundle(open_model(exported), tmp_path / "again")
    assert (tmp_path / "again" / "manifest.json").read_text() == (exported / "manifest.json").read_text()
    assert not [file for file in exported.rglob("*") if file.is_file() and file.stat().st_size == 0]
    assert "MIT License" in (exported / "vendor" / "einops" / "LICENSE").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "model.json",
        "predict.py",
        "README.md",
        "code/hms_search/inference/predictor.py",
        "vendor/einops/einops.py",
        "blend.safetensors",
        "members/datawide/networks/seed0-fold0.safetensors",
        "members/datawide/model.json",
        "members/datawide/manifest.json",
    ],
)
def test_a_changed_byte_anywhere_is_one_clear_line(bundle: Path, slim: Environment, name: str) -> None:
    assert "every file is as it was exported" in slim.run(bundle / "predict.py", "--check").stdout
    content = bytearray((bundle / name).read_bytes())
    content[5] ^= 1
    (bundle / name).write_bytes(bytes(content))
    done = slim.run(bundle / "predict.py", "--data", "nowhere", code=2)
    assert done.stderr.count("\n") == 1
    assert f"{bundle / name} was changed; copy the bundle again" in done.stderr


def test_files_that_are_missing_or_too_many_are_named(bundle: Path, slim: Environment) -> None:
    extra = bundle / "code" / "hms_search" / "mischief.py"
    extra.write_text("")
    assert f"{extra} does not belong here" in slim.run(bundle / "predict.py", "--check", code=2).stderr
    extra.unlink()
    (bundle / "dataset-metadata.json").write_text("{}")  # Kaggle's own, beside the code
    slim.run(bundle / "predict.py", "--check")
    shutil.rmtree(bundle / "members" / "robust")
    missing = bundle / "members" / "robust" / "manifest.json"
    assert f"{missing} is missing" in slim.run(bundle / "predict.py", "--check", code=2).stderr
    with pytest.raises(CheckpointError, match=r"members/robust/manifest\.json is missing"):
        open_model(bundle)
    (bundle / "manifest.json").unlink()
    assert "manifest.json is missing or damaged" in slim.run(bundle / "predict.py", "--check", code=2).stderr


def test_a_recording_that_cannot_be_read_gets_the_prior_and_the_exit_code_says_so(
    predict: Callable[..., int], recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = tmp_path / "broken", tmp_path / "submission.csv"
    (root / "train_spectrograms").mkdir(parents=True)
    shutil.copy(recordings / "train.csv", root)
    files = sorted((recordings / "train_spectrograms").iterdir())
    for file in files[1:]:
        (root / "train_spectrograms" / file.name).symlink_to(file)
    assert predict("--data", root, "-o", output, "--strict") == 2
    assert not output.exists()
    assert "nothing was written" in capsys.readouterr().err
    assert predict("--data", root, "-o", output) == 3
    assert re.search(rf"eeg \d+ gets the prior: spectrogram {files[0].stem}: no file", capsys.readouterr().err)
    rows = pd.read_csv(output)[list(VOTE_COLUMNS)].to_numpy()
    assert 0 < np.isclose(rows, PRIOR).all(axis=1).sum() < len(rows)
    assert predict("--data", recordings, "-o", output) == 0


def test_a_model_of_another_pipeline_version_and_a_folder_without_tables_are_refused(
    bundle: Path, predict: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict("--data", tmp_path, "-o", tmp_path / "submission.csv") == 2
    assert "expected test.csv" in capsys.readouterr().err
    card = json.loads((bundle / "model.json").read_text())
    (bundle / "model.json").write_text(json.dumps({**card, "pipeline_version": 999}))
    write_manifest(bundle)
    assert predict("--data", tmp_path) == 2
    assert "the model has input pipeline version 999" in capsys.readouterr().err


def test_only_an_empty_folder_or_an_earlier_bundle_is_written_to(
    exported: Path, ensemble: Path, tmp_path: Path
) -> None:
    model = open_model(ensemble)
    for target in (ensemble, ensemble / "inner", ensemble.parent):
        with pytest.raises(CheckpointError, match="one lies in the other"):
            export_bundle(model, target)
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(CheckpointError, match="expected a new or empty folder or an earlier bundle"):
        export_bundle(model, tmp_path)
    with pytest.raises(CheckpointError, match="found a file"):
        export_bundle(model, tmp_path / "notes.txt")
    with pytest.raises(CheckpointError, match=r"cannot export to .*notes\.txt/bundle"):
        export_bundle(model, tmp_path / "notes.txt" / "bundle")
    (tmp_path / "bundle").mkdir()
    for _ in range(2):
        export_bundle(model, tmp_path / "bundle")
        (tmp_path / "bundle" / "stale").write_text("")
    export_bundle(model, tmp_path / "bundle")
    assert listing(tmp_path / "bundle").keys() == listing(exported).keys()
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "bundle"}


def test_code_that_needs_another_library_is_not_bundled() -> None:
    names = source_files()
    assert "inference/predictor.py" in names
    assert names["component.py"].parent.name == "bundled"
    assert not [name for name in names if name.startswith(("search/", "tracking/", "training/", "cli/"))]
    with pytest.raises(CheckpointError, match=r"data/folds\.py imports sklearn"):
        source_files(["hms_search.data.folds"])
    with pytest.raises(CheckpointError, match=r"tracking/.* imports mlflow.*move these imports"):
        source_files(["hms_search.tracking.registry"])
    with pytest.raises(CheckpointError, match=r"cannot bundle hms_search\.nowhere"):
        source_files(["hms_search.nowhere"])


def test_a_network_of_an_optional_package_is_not_exported_nor_an_ensemble_with_it(tmp_path: Path) -> None:
    network = NetworkFile(file="a.safetensors", model=Braindecode(), pipeline=fitted(0), fold=0, seed=0)
    card = ModelCard(name="eegnet", kind="model", prior=PRIOR, scores={}, origin={}, networks=(network,))
    member = ModelFolder(tmp_path / "eegnet", card)
    whole = ModelFolder(tmp_path / "both", card.model_copy(update={"networks": ()}), (member,))
    for model in (member, whole):
        with pytest.raises(CheckpointError, match=r"cannot export .*eegnet: its networks need the package braindecode"):
            export_bundle(model, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_the_command_exports_a_folder_and_refuses_a_damaged_one(
    ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = CommandLine(tmp_path, monkeypatch, capsys)
    said = command("export", str(ensemble), "bundle")
    assert "ensemble four" in said
    assert "python bundle/predict.py --data FOLDER" in said
    (tmp_path / "bundle" / "predict.py").write_text("")
    assert "the file predict.py was changed" in command("export", "bundle", "again", code=2)
    assert "no such folder" in command("export", "nowhere", "again", code=2)
    assert not (tmp_path / "again").exists()
