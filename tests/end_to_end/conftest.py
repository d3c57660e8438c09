"""A small synthetic data set, a small study over it, and the command line as a real process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import CommandLine

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
pruner: {name: none}
device: cpu
"""


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic recordings of eight patients."""
    root = tmp_path_factory.mktemp("recordings") / "synthetic"
    write_synthetic(root, n_patients=8, seed=5, workers=1)
    return root


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
