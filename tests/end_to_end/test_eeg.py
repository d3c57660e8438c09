"""EEG instead of the file's spectrogram, from the search to a bundle: the same commands, another source."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine
from slim_environment import slim_environment

STUDY = """\
name: eeg
space:
  name: eeg
  base:
    pipeline:
      source: eeg
      clip_uv: 1024
      filters: [{name: band_pass, low_hz: 0.5, high_hz: 20.0}]
      montage: {name: deotte}
      representation: {name: chain_mel}
      normalise: {name: datawide}
      resize: [32, 48]
    augmentations: [{name: left_right_flip}, {name: xy_masking}]
    model: {name: timm, backbone: test_resnet}
    training: {epochs: 1, batch_size: 8}
  parameters:
    pipeline.filters.0.high_hz: {type: float, low: 10, high: 40}
    pipeline.montage: {type: categorical, choices: {deotte: {name: deotte}, banana: {name: double_banana_16}}}
    augmentations.0.p: {type: float, low: 0.0, high: 1.0}
data: {sampling: {name: eeg_middle}}
folds: {name: grouped, n_folds: 2}
trials: 2
pruner: {name: none}
device: cpu
"""


@pytest.mark.slow
def test_a_search_over_eeg_ends_as_a_bundle_and_blends_with_a_spectrogram_model(
    hms_search: CommandLine, recordings: Path, tmp_path: Path
) -> None:
    folder = hms_search.folder
    (folder / "eeg.yaml").write_text(STUDY)
    hms_search("run", "eeg.yaml", "--data", "recordings")
    hms_search("run", "small.yaml", "--data", "recordings", "--trials", "1")
    names = [
        hms_search("promote", study, "--folds", "2", "--epochs", "1", "--trial", "0").split("predict ")[1].split()[0]
        for study in ("eeg", "small")
    ]
    output = hms_search("ensemble", "both", "--members", *names)
    assert "both: mean in probabilities of 2 members" in output
    hms_search("predict", "both", "--data", "recordings", "-o", "ours.csv", "--tta", "left_right")
    hms_search("export", "both", "bundle")
    slim = slim_environment(tmp_path / "slim")
    data = ("--data", recordings, "-o", tmp_path / "theirs.csv", "--tta", "left_right")
    slim.run(folder / "bundle" / "predict.py", *data)
    ours, theirs = pd.read_csv(folder / "ours.csv"), pd.read_csv(tmp_path / "theirs.csv")
    pd.testing.assert_frame_equal(theirs, ours, check_exact=False, rtol=0, atol=1e-6)
    assert np.ptp(ours.iloc[:, 1:].to_numpy(), axis=0).max() > 0
