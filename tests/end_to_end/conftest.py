"""A small synthetic data set, a small study over it, and the command line as a real process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, chromium
from command_line import CommandLine
from lacking import lacking

from hms_search.data.synthetic import write_synthetic

STUDY = """\
name: small
space:
  name: small
  base:
    pipeline: {source: spectrogram, normalise: {name: instance}, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, weights: none, dropout: 0.0}
    training: {epochs: 2, batch_size: 8, optimiser: {name: adamw, lr: 1.0e-3}, scheduler: {name: cosine}}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
    training.optimiser.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
    pipeline.normalise: {type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}
data: {sampling: {name: eeg_middle}}
folds: {name: grouped, n_folds: 2}
trials: 3
sampler: {name: tpe}
pruner: {name: none}
device: cpu
"""


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic recordings of eight patients."""
    root = tmp_path_factory.mktemp("recordings") / "synthetic"
    write_synthetic(root, n_patients=8, seed=5, workers=1)
    return root


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, recordings: Path) -> Path:
    """A working directory in which the small study has run to its end; tests only read it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "hms_search", "run", "small.yaml", "--data", str(recordings), "--trials", "5"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def workplace(tmp_path: Path, recordings: Path) -> Path:
    """A working directory with the small study in it."""
    (tmp_path / "small.yaml").write_text(STUDY)
    (tmp_path / "recordings").symlink_to(recordings)
    return tmp_path


@pytest.fixture
def hms_search(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[CommandLine]:
    """The command line in a fresh working directory."""
    line = CommandLine(workplace, monkeypatch, capsys)
    yield line
    line.stop_all()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A fresh Chromium; skipped where there is none, but never in CI."""
    with chromium(tmp_path_factory.mktemp("chromium")) as found:
        if found is None:
            lacking("no Chromium here: install Debian's packages chromium and chromium-driver")
        yield found
