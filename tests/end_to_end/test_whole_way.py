"""From a search to a submission on another machine: run, promote, ensemble, predict, export, predict there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine
from slim_environment import slim_environment

from hms_search.data.submission import SUBMISSION_COLUMNS
from hms_search.tracking.environment import PRIVATE

LOAD_CHAMPION = """
import sys
import mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/hms@champion")
print(model.predict(pandas.DataFrame({"spectrogram_path": sys.argv[2:]})).to_json(orient="values", double_precision=15))
"""


@pytest.mark.slow
def test_a_search_ends_as_a_bundle_that_predicts_the_same_numbers_elsewhere(
    hms_search: CommandLine, recordings: Path, tmp_path: Path
) -> None:
    folder = hms_search.folder
    hms_search("run", "small.yaml", "--data", "recordings")
    promoted = hms_search("promote", "small", "--top", "2", "--folds", "2", "--epochs", "1")
    members = promoted.split("--members ")[1].splitlines()[0].split()
    assert len(members) == 2
    output = hms_search("ensemble", "duo", "--members", *members, "--method", "nelder-mead", "--force")
    assert "duo: version 3 of 'hms', champion by --force, recorded" in output
    assert "against best member" in output or "against champion" in output
    again = hms_search("ensemble", "duo", "--members", *members, "--method", "nelder-mead")
    assert "version 3 of 'hms', champion" in again
    assert "choose another name" in hms_search("ensemble", "duo", "--members", *members, code=2)

    hms_search("predict", "champion", "--data", "recordings", "-o", "submission.csv")
    assert "would be scored" in hms_search("check-submission", "submission.csv", "--data", "recordings")
    ours = pd.read_csv(folder / "submission.csv")
    assert tuple(ours.columns) == SUBMISSION_COLUMNS
    np.testing.assert_allclose(ours.iloc[:, 1:].sum(axis=1), 1, atol=1e-12)

    hms_search("export", "champion", "bundle")
    shutil.move(folder / "bundle", tmp_path / "elsewhere")
    slim = slim_environment(tmp_path / "slim")
    find = "import importlib.util as u; print([u.find_spec(name) for name in ('optuna', 'mlflow', 'pydantic')])"
    assert slim.run("-c", find).stdout.strip() == "[None, None, None]"
    slim.run(tmp_path / "elsewhere" / "predict.py", "--data", recordings, "-o", tmp_path / "theirs.csv")
    theirs = pd.read_csv(tmp_path / "theirs.csv")
    pd.testing.assert_frame_equal(theirs, ours, check_exact=False, rtol=0, atol=1e-6)

    test = pd.read_csv(recordings / "test.csv")
    files = [str(recordings / "test_spectrograms" / f"{one}.parquet") for one in test["spectrogram_id"]]
    uri = f"sqlite:///{folder / 'mlruns' / 'mlflow.db'}"
    fresh = subprocess.run(
        [sys.executable, "-c", LOAD_CHAMPION, uri, *files],
        cwd=tmp_path,
        env={**os.environ, **PRIVATE},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert fresh.returncode == 0, fresh.stderr
    loaded = np.array(json.loads(fresh.stdout.splitlines()[-1]))
    np.testing.assert_allclose(loaded, ours.iloc[:, 1:], atol=1e-6)


def test_members_that_cannot_be_blended_are_named(hms_search: CommandLine) -> None:
    hms_search("run", "small.yaml", "--data", "recordings", "--trials", "1")
    hms_search("promote", "small", "--folds", "2", "--epochs", "1")
    hms_search("promote", "small", "--folds", "3", "--epochs", "1")
    two, three = sorted(path.name for path in (hms_search.folder / "mlruns" / "models").iterdir())
    assert "the folds of member" in hms_search("ensemble", "duo", "--members", two, three, code=2)
    assert "no model 'missing'" in hms_search("ensemble", "duo", "--members", two, "missing", code=2)
    assert "at least two members" in hms_search("ensemble", "duo", "--members", two, code=2)
    assert "found" in hms_search("ensemble", "duo", "--members", two, two, code=2)
    weights = hms_search.folder / "mlruns" / "models" / two / "networks"
    file = next(weights.iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "was changed since the model was written" in hms_search("predict", two, "--data", "recordings", code=2)
